//! Patterns of aliases: `fnmatch(3)` without flags, in the C locale, as kmod matches them.

/// Makes '-' and '_' one, as kmod does: outside brackets every '-' becomes '_'. Patterns and the names looked up both
/// go through it, once.
pub fn normalise(text: &mut [u8]) {
    let mut in_brackets = false;
    for byte in text {
        match *byte {
            b'[' => in_brackets = true,
            b']' => in_brackets = false,
            b'-' if !in_brackets => *byte = b'_',
            _ => {}
        }
    }
}

/// Whether `pattern` (`*`, `?`, `[..]`, `\`) matches all of `text`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the latest star does not fit: behind that star, one character later.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            None if t == text.len() => return true,
            Some(_) => {
                if let Some(length) = text.get(t).and_then(|&byte| one(pattern.get(p..).unwrap_or_default(), byte)) {
                    p += length;
                    t += 1;
                    continue;
                }
            }
            None => {}
        }
        match retry {
            Some((star, from)) if from < text.len() => {
                (p, t) = (star, from + 1);
                retry = Some((p, t));
            }
            _ => return false,
        }
    }
}

/// How long the element at the start of `pattern` is, if it matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => Some(1),
        [b'[', ref set @ ..] => match in_set(set, byte) {
            Some((length, true)) => Some(1 + length),
            Some((_, false)) => None,
            // A bracket that is never closed stands for itself.
            None => (byte == b'[').then_some(1),
        },
        [b'\\', escaped, ..] => (byte == escaped).then_some(2),
        [literal, ..] => (byte == literal).then_some(1),
        [] => None,
    }
}

/// The length of the set behind an opening bracket, its closing bracket included, and whether it holds `byte`.
fn in_set(set: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(set.first(), Some(b'!' | b'^'));
    let first = usize::from(negated);
    let (mut at, mut found) = (first, false);
    loop {
        let low = match *set.get(at..)? {
            // As the first element a closing bracket is an element.
            [b']', ..] if at > first => return Some((at + 1, found != negated)),
            [b'\\', escaped, ..] => {
                at += 1;
                escaped
            }
            [low, ..] => low,
            [] => return None,
        };
        at += 1;
        let high = match *set.get(at..)? {
            [b'-', high, ..] if high != b']' => {
                at += 2;
                high
            }
            _ => low,
        };
        found |= (low..=high).contains(&byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    /// What a POSIX shell's `case` says of each pattern and text: its patterns are those of fnmatch without flags.
    fn oracle(pairs: &[(String, String)]) -> Vec<bool> {
        const SCRIPT: &str = r#"while IFS='|' read -r p t; do case "$t" in $p) echo y;; *) echo n;; esac; done"#;
        let mut shell = Command::new("sh");
        let shell = shell.env("LC_ALL", "C").args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().expect("sh runs");
        let mut input = shell.stdin.take().expect("sh has an input");
        let lines: String = pairs.iter().map(|(pattern, text)| format!("{pattern}|{text}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
        let output = shell.wait_with_output().expect("sh ends");
        writer.join().expect("no panic").expect("sh reads");
        output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(|line| line == b"y").collect()
    }

    fn assert_agrees(pairs: &[(String, String)]) {
        let answers = oracle(pairs);
        assert_eq!(answers.len(), pairs.len());
        for ((pattern, text), answer) in pairs.iter().zip(answers) {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), answer, "{pattern} on {text}");
        }
    }

    #[test]
    fn agrees_with_the_shell() {
        let patterns = [
            "*",
            "?",
            "a",
            "a*",
            "*a",
            "a?c",
            "a*b*c",
            "[abc]",
            "[!abc]x",
            "[a-c]*",
            "[]]",
            "[]a]b",
            "a[0-2]b",
            "**",
            "*?*",
            "[a-]",
            "pci:v00008086d*sv*sd*bc01sc06i01*",
            "usb:v13FDp3940d0[0-2]*dc*",
            "dmi*:svnDell*:pn*",
            "of:N*T*Cvendor,deviceC*",
            "*/x",
            "[a-c][x-z]?",
        ];
        let texts = [
            "",
            "a",
            "b",
            "abc",
            "aXc",
            "aXbYc",
            "]",
            "]b",
            "[",
            "[a",
            "a1b",
            "a3b",
            "*",
            "-",
            "^",
            "a/x",
            "cx1",
            "pci:v00008086d00001234sv00000000sd00000000bc01sc06i01",
            "usb:v13FDp3940d0152dc00",
            "dx",
            "dmi:bvnDell:bd03/11/2018:svnDellInc.:pnX:",
            "of:NfooT(null)Cvendor,device",
            "of:NaTbCvendor,deviceCother",
        ];
        let pair = |pattern: &str, text: &str| (pattern.to_string(), text.to_string());
        let pairs: Vec<_> =
            patterns.iter().flat_map(|pattern| texts.iter().map(move |text| pair(pattern, text))).collect();
        assert_agrees(&pairs);
    }

    #[test]
    fn agrees_with_the_shell_on_made_up_patterns() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize % below
        };
        let mut word = |alphabet: &[u8], least: usize| -> String {
            (0..least + random(8)).map(|_| char::from(alphabet[random(alphabet.len())])).collect()
        };
        let pairs: Vec<_> = (0..100_000)
            .map(|_| (word(b"ab*?[]c!", 1), word(b"abc]", 0)))
            // POSIX leaves open what an unclosed bracket means.
            .filter(|(pattern, _)| pattern.matches('[').count() == pattern.matches(']').count())
            .collect();
        assert_agrees(&pairs);
    }

    #[test]
    fn takes_escapes_and_unclosed_brackets_as_the_c_library_does() {
        for (pattern, text, answer) in [
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[\\]]", "]", true),
            ("[^a]", "b", true),
            ("[^a]", "a", false),
            ("[", "[", true),
            ("[a", "[a", true),
            ("[a", "a", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), answer, "{pattern} on {text}");
        }
    }

    #[test]
    fn normalises_outside_brackets_only() {
        let mut text = *b"a-b_c[0-9]-[x-z]";
        normalise(&mut text);
        assert_eq!(&text, b"a_b_c[0-9]_[x-z]");
    }
}
