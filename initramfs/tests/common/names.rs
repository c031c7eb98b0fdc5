//! Names after a pattern: some that it matches, and some that it nearly matches.

use modstrap::table::glob;

/// What a `*` stands for: nothing, what kernels write there, and what makes simple matchers stumble.
const FILLINGS: [&str; 8] = ["", "0", "00001AF4", "x", "a_b-c", "bd03/11/2018:svnDell-Inc.:", "sv*sd[0-9]?", "-.C/,_"];

/// Several names after `pattern`, the same in every run.
pub fn like(pattern: &str) -> Vec<String> {
    let mut names: Vec<String> = FILLINGS.iter().map(|filling| filled(pattern, &[filling], true)).collect();
    names.push(filled(pattern, &FILLINGS, true));
    let swapped = |c: char| match c {
        '-' => '_',
        '_' => '-',
        other => other,
    };
    names.push(names[1].chars().map(swapped).collect());
    names.push(format!("{}x", names[1]));
    names.push(names[1][..names[1].len() - 1].to_string());
    if pattern.contains(['[', '?']) {
        names.push(filled(pattern, &[""], false));
    }
    names.retain(|name| !name.is_empty());
    names.sort();
    names.dedup();
    names
}

/// `pattern` with its wildcards filled: stars with `fillings` in turn, the others with what is just in range, or just
/// out of it.
fn filled(pattern: &str, fillings: &[&str], in_range: bool) -> String {
    let mut fillings = fillings.iter().copied().cycle();
    let mut name = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let end = if first == '[' { rest.find(']').map_or(1, |at| at + 1) } else { first.len_utf8() };
        let (element, behind) = rest.split_at(end);
        rest = behind;
        match element {
            "*" => name.extend(fillings.next()),
            "?" => name.push_str(if in_range { "-" } else { "" }),
            set if end > 1 && first == '[' => {
                let is_member = |c: &char| glob::matches(set.as_bytes(), &[*c as u8]) == in_range;
                // From both ends of the set in turn.
                let mut candidates = '0'..='z';
                let candidate =
                    if name.len().is_multiple_of(2) { candidates.find(is_member) } else { candidates.rfind(is_member) };
                name.extend(candidate);
            }
            literal => name.push_str(literal),
        }
    }
    name
}
