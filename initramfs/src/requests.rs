//! What modules ask the kernel for while they run: which names, and what of the tree answers. No metadata says it; the
//! facts are in `requests.txt`, whose head describes the format; here they are parsed and asked.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use regex::Regex;
use serde::Serialize;

use crate::asks::Ask;
use crate::module::normal;
use crate::pattern::{Name, Part, Pattern};
use crate::tree::Tree;

/// The facts, parsed.
#[derive(Debug, Default)]
pub struct Requests {
    lines: Vec<Line>,
}

/// What one line says.
#[derive(Debug)]
struct Line {
    who: Vec<Pattern>,
    what: What,
    answers: Vec<Name>,
}

/// The name that is asked for.
#[derive(Debug)]
struct What {
    /// As it stands in the file.
    text: String,
    /// What it fits: each conversion and each `*` stands for anything.
    fits: Regex,
}

/// A request, and a name that an answer to it goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The request, as the kernel's source has it.
    pub request: &'a str,
    /// A module or an alias; a crypto name may be a composed one, see [`parts`].
    pub name: &'a str,
}

/// The mark for a request that needs no answer before the root is there.
const NOTHING: &str = "-";
/// The mark for a request that names its answer itself.
const ITSELF: &str = "=";
/// What crypto requests begin with.
const CRYPTO: &str = "crypto_";

/// A request that a module may make while it runs, and the builder knows nothing of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownRequest {
    /// The module.
    pub module: String,
    /// The name that it asks for; `*` stands for what is computed.
    pub request: String,
}

impl fmt::Display for UnknownRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownRequest { module, request } = self;
        write!(f, "{module} may ask the kernel for {request} while it runs; if a boot needs an answer, --include it")
    }
}

impl Answer<'_> {
    /// Whether this is a whole name for which a module would be found only under another: an alias is missing. The
    /// parts of a composed crypto name stand for themselves.
    pub fn needs_alias(&self) -> bool {
        !is_open(self.request) && !normal(self.request).starts_with(CRYPTO)
    }
}

/// Whether part of a request is yet to be filled in.
fn is_open(request: &str) -> bool {
    request.contains(['%', '*'])
}

impl Requests {
    /// The facts that are part of the builder.
    pub fn built_in() -> Result<Requests> {
        Self::parse(include_str!("../requests.txt")).context("the builder's requests.txt")
    }

    /// Parses facts; an error names the line.
    pub fn parse(text: &str) -> Result<Requests> {
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            if !words.is_empty() {
                lines.push(Line::parse(&words).with_context(|| format!("line {}: {}", index + 1, line.trim()))?);
            }
        }
        Ok(Requests { lines })
    }

    /// What answers to the requests of `part`.
    pub fn answers<'a>(&'a self, part: Part<'a>) -> impl Iterator<Item = Answer<'a>> {
        let lines = self.lines.iter().filter(move |line| line.is_of(part));
        lines.flat_map(|line| line.answers.iter().map(|name| Answer { request: &line.what.text, name: name.as_str() }))
    }

    /// Whether the file knows of this request of `part`. Of a computed name, that some such request is known must do.
    pub fn know(&self, part: Part, ask: &Ask) -> bool {
        let name = normal(&ask.name);
        let fits = |what: &What| match ask.computed {
            true => normal(&what.text).starts_with(&name) || what.fits.is_match(&name),
            false => what.fits.is_match(&name),
        };
        self.lines.iter().any(|line| fits(&line.what) && line.is_of(part))
    }

    /// Every name and pattern that matches nothing in `tree`, although it is not marked as belonging elsewhere.
    pub fn doubtful(&self, tree: &Tree) -> Vec<String> {
        let who = self.lines.iter().flat_map(|line| &line.who).filter(|who| !who.is_in(tree));
        let names = self.lines.iter().flat_map(|line| &line.answers).filter(|name| !name.is_in(tree));
        who.map(Pattern::to_string).chain(names.map(|name| name.as_str().to_string())).collect()
    }
}

impl Line {
    fn parse(words: &[&str]) -> Result<Line> {
        let [who, what, source, answers @ ..] = words else { bail!("too short") };
        ensure!(source.contains('/'), "{source}: no file of the kernel's sources");
        let answers = match answers {
            [] => bail!("no answer; {NOTHING:?} says that none is needed"),
            [NOTHING] => Vec::new(),
            [ITSELF] => {
                ensure!(!is_open(what), "{what}: no name that could answer itself");
                vec![Name::parse(what)]
            }
            names => names.iter().map(|name| Name::parse(name)).collect(),
        };
        let who = who.split(',').map(Pattern::parse).collect::<Result<Vec<Pattern>>>()?;
        Ok(Line { who, what: What::parse(what)?, answers })
    }

    fn is_of(&self, part: Part) -> bool {
        self.who.iter().any(|who| who.fits(part))
    }
}

impl What {
    fn parse(text: &str) -> Result<What> {
        let conversion = Regex::new(r"%[-+ #0-9.*]*(hh|h|ll|l|z)?[a-zA-Z]|\*")?;
        let name = normal(text);
        let literals: Vec<String> = conversion.split(&name).map(regex::escape).collect();
        Ok(What { text: text.to_string(), fits: Regex::new(&format!("^{}$", literals.join(".*")))? })
    }
}

/// The names under which an answer may be found: its own, and of a composed crypto name (`crypto-xts(ecb(aes))`) those
/// of all its parts, since the kernel asks for the whole first, and then for a template and what that is made of
/// (crypto/api.c, crypto/algboss.c).
pub fn parts(name: &str) -> Vec<String> {
    let name = normal(name);
    let mut parts = vec![name.clone()];
    let Some(algorithm) = name.strip_prefix(CRYPTO) else { return parts };
    let word = |at: usize| algorithm[at..].split(['(', ')', ',']).next().unwrap_or_default();
    let starts = algorithm.char_indices().map(|(at, _)| at);
    for at in starts.filter(|&at| at == 0 || matches!(algorithm.as_bytes()[at - 1], b'(' | b',')) {
        let named = [whole(&algorithm[at..]), word(at)].into_iter().filter(|part| !part.is_empty());
        parts.extend(named.map(|part| format!("{CRYPTO}{part}")));
    }
    parts.sort();
    parts.dedup();
    parts
}

/// The expression at the start of `text`, with what its brackets hold.
fn whole(text: &str) -> &str {
    let mut depth = 0;
    let end = text.find(|character| {
        depth += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth < 0 || depth == 0 && matches!(character, ')' | ',')
    });
    match end {
        Some(end) if depth == 0 && text.as_bytes()[end] == b')' => &text[..=end],
        Some(end) => &text[..end],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part { name: "vfat", place: Some("fs/fat/vfat") };

    fn ask(name: &str, computed: bool) -> Ask {
        Ask { name: name.to_string(), computed }
    }

    #[test]
    fn answers_come_by_name_and_by_place() {
        let requests = Requests::parse(
            "fat,vfat nls_%s fs/fat/inode.c nls-utf8 ~nls_ascii # the usual\n\
             fs/fat/* crypto-xts(aes) x/y.c =\next4 a b/c.c d\nvfat none fs/fat/inode.c -",
        )
        .unwrap();
        let answers: Vec<(&str, &str)> = requests.answers(PART).map(|answer| (answer.request, answer.name)).collect();
        let expected = [("nls_%s", "nls_utf8"), ("nls_%s", "nls_ascii"), ("crypto-xts(aes)", "crypto_xts(aes)")];
        assert_eq!(answers, expected);
    }

    #[test]
    fn conversions_and_stars_stand_for_anything() {
        let requests = Requests::parse(
            "vfat nfs-layouttype4-%u a/b.c -\nvfat cmd_%4.4X a/b.c -\nvfat w1-0x%02X a/b.c -\nvfat sym:* a/b.c -\n\
             vfat q%s%s_%llu a/b.c -\nvfat crypto-%s a/b.c -\next4 other a/b.c -",
        )
        .unwrap();
        let knows = |name: &str, computed| requests.know(PART, &ask(name, computed));
        for name in
            ["nfs-layouttype4-%u", "nfs_layouttype4_3", "cmd_%4.4X", "w1-0x1A", "sym:f(x)", "qa_1", "crypto-sha1"]
        {
            assert!(knows(name, false), "{name}");
        }
        for name in ["nfs-layouttype5-1", "xcmd", "other", "sym"] {
            assert!(!knows(name, false), "{name}");
        }
        // A computed name is known where some request begins as it does.
        assert!(knows("crypto-", true) && knows("", true));
        assert!(!knows("nls_", true));
        assert!(!requests.know(Part { name: "x", place: None }, &ask("", true)));
    }

    #[test]
    fn composed_crypto_names_have_parts() {
        assert_eq!(parts("nls_utf8"), ["nls_utf8"]);
        assert_eq!(parts("crypto-sha256"), ["crypto_sha256"]);
        assert_eq!(parts("crypto-xts(aes)"), ["crypto_aes", "crypto_xts", "crypto_xts(aes)"]);
        assert_eq!(
            parts("crypto-essiv(cbc(aes),sha256)"),
            [
                "crypto_aes",
                "crypto_cbc",
                "crypto_cbc(aes)",
                "crypto_essiv",
                "crypto_essiv(cbc(aes),sha256)",
                "crypto_sha256"
            ]
        );
        // What no kernel asks for must still end.
        for odd in ["crypto-", "crypto-)(", "crypto-a(b", "crypto-a)b,(c", "crypto-,,"] {
            assert!(!parts(odd).is_empty(), "{odd}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, part) in [
            ("\nvfat nls_%s", "line 2: vfat nls_%s: too short"),
            ("vfat nls_%s fs/fat/inode.c", "no answer"),
            ("vfat nls_%s inode.c -", "inode.c: no file of the kernel's sources"),
            ("vfat nls_%s fs/fat/inode.c =", "no name that could answer itself"),
            ("v[ x a/b.c -", "line 1"),
        ] {
            let error = format!("{:#}", Requests::parse(text).unwrap_err());
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
