//! Names that a user may have meant.

/// How alike two names must be, by Jaro and Winkler's measure.
const ALIKE: f64 = 0.85;
/// As many are told.
const MOST: usize = 3;

/// Those of `names` that look like `name`, the likest first.
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let scored = names.map(|known| (strsim::jaro_winkler(name, known), known));
    let mut scored: Vec<(f64, &str)> = scored.filter(|(score, _)| *score > ALIKE).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    scored.dedup_by_key(|(_, known)| *known);
    scored.into_iter().take(MOST).map(|(_, known)| known).collect()
}
