//! Aliases with their wildcards, found by what stands before the first of these: of a tree's 27,000 a look-up tries a
//! handful.

use std::collections::HashMap;

use modstrap::table::glob;

use crate::module::normal;

/// Patterns, each with who answers to it.
#[derive(Debug)]
pub struct Aliases<T> {
    /// By the bytes before the first wildcard; the whole pattern where it has none.
    by_front: HashMap<Vec<u8>, Vec<(String, T)>>,
}

impl<T> Aliases<T> {
    /// The answers to every pattern that matches `name`, which is [`normal`].
    pub fn matching(&self, name: &str) -> impl Iterator<Item = &T> {
        let fronts = (0..=name.len()).filter_map(|end| self.by_front.get(&name.as_bytes()[..end]));
        let matches = |pattern: &str| glob::matches(pattern.as_bytes(), name.as_bytes());
        fronts.flatten().filter(move |(pattern, _)| matches(pattern)).map(|(_, answer)| answer)
    }
}

impl<T> Default for Aliases<T> {
    fn default() -> Self {
        Aliases { by_front: HashMap::new() }
    }
}

impl<S: AsRef<str>, T> FromIterator<(S, T)> for Aliases<T> {
    fn from_iter<I: IntoIterator<Item = (S, T)>>(aliases: I) -> Self {
        let mut by_front: HashMap<_, Vec<_>> = HashMap::new();
        for (pattern, answer) in aliases {
            let pattern = normal(pattern.as_ref());
            let end = pattern.find(['*', '?', '[', '\\']).unwrap_or(pattern.len());
            by_front.entry(pattern.as_bytes()[..end].to_vec()).or_default().push((pattern, answer));
        }
        Aliases { by_front }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_matching_pattern_is_found() {
        let patterns = ["*", "a-b", "a_b", "a_b*", "a?b", "a[_x]b", "a_c", "", "a_\\b"];
        let aliases: Aliases<&str> = patterns.iter().map(|pattern| (pattern, *pattern)).collect();
        let mut found: Vec<&str> = aliases.matching("a_b").copied().collect();
        found.sort_unstable();
        assert_eq!(found, ["*", "a-b", "a?b", "a[_x]b", "a_\\b", "a_b", "a_b*"]);
        assert_eq!(aliases.matching("").copied().collect::<Vec<_>>(), ["*", ""]);
        assert_eq!(aliases.matching("\u{e4}").copied().collect::<Vec<_>>(), ["*"]);
    }
}
