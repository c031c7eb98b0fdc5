//! What changed between an earlier loader and this one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::Bytes;
use crate::function::Function;
use crate::loader::Loader;
use crate::packed::Sizes;

/// Changes in bytes, by name; what did not change is left out.
pub type Changes = BTreeMap<String, i64>;

/// What changed; the field names are those of the JSON output, and are kept.
#[derive(Debug, Serialize)]
pub struct Delta {
    /// What it is compared with: a file, or a revision as the user calls it.
    pub against: String,
    /// The commit of a revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The whole file's bytes.
    pub bytes: i64,
    /// By section.
    pub sections: Changes,
    /// By crate.
    pub crates: Changes,
    /// By our own modules.
    pub modules: Changes,
    /// Of what belongs to no crate.
    pub other: Changes,
    /// By function, the largest change first.
    pub functions: Vec<Change>,
    /// By the names of the budget: bytes of the packed loaders.
    pub packed: Changes,
    /// What is not compared, and why.
    pub left_out: Vec<String>,
}

/// A function that is not what it was; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its path, see [`Function::name`].
    pub name: String,
    /// The crate that defines it.
    #[serde(rename = "crate")]
    pub krate: String,
    /// Its source module, if it is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Its bytes in the earlier loader; none if it is new.
    pub before: Option<u64>,
    /// Its bytes now; none if it is gone.
    pub now: Option<u64>,
}

impl Change {
    /// By how many bytes the loader changed with it.
    pub fn bytes(&self) -> i64 {
        difference(self.before.unwrap_or(0), self.now.unwrap_or(0))
    }

    /// What became of the function.
    pub fn verb(&self) -> &'static str {
        match (self.before, self.now) {
            (None, _) => "added",
            (_, None) => "gone",
            _ if self.bytes() > 0 => "grown",
            _ => "shrunk",
        }
    }
}

/// An earlier loader.
#[derive(Debug)]
pub struct Earlier {
    /// A file, or a revision as the user calls it.
    pub name: String,
    /// The commit of a revision.
    pub commit: Option<String>,
    /// Its numbers.
    pub loader: Loader,
    /// Those of its packed forms.
    pub packed: Vec<Sizes>,
    /// What of it could not be measured, and why.
    pub left_out: Vec<String>,
}

/// What of an earlier report is compared.
#[derive(Deserialize)]
struct Report {
    loader: Loader,
    #[serde(default)]
    packed: Vec<Sizes>,
}

impl Earlier {
    /// Reads what an earlier `size-report --json` wrote.
    pub fn read(path: &Path) -> Result<Earlier> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the report {}", path.display()))?;
        let Report { loader, packed } = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the output of `size-report --json`", path.display()))?;
        let left_out = match loader.functions.is_empty() {
            true => vec!["functions: the report has none".to_owned()],
            false => Vec::new(),
        };
        Ok(Earlier { name: path.display().to_string(), commit: None, loader, packed, left_out })
    }

    /// What changed since. Refuses a loader for another machine.
    pub fn compare(self, now: &Loader, packed_now: &[Sizes]) -> Result<Delta> {
        let before = &self.loader;
        ensure!(
            before.arch == now.arch,
            "{} is of a loader for {}, this one is for {}",
            self.name,
            before.arch,
            now.arch
        );
        Ok(Delta {
            bytes: difference(before.bytes, now.bytes),
            sections: differences(&before.sections, &now.sections),
            crates: differences(&before.crates, &now.crates),
            modules: differences(&before.modules, &now.modules),
            other: differences(&before.other, &now.other),
            functions: changes(&before.functions, &now.functions),
            packed: packed_differences(&self.packed, packed_now),
            against: self.name,
            commit: self.commit,
            left_out: self.left_out,
        })
    }
}

/// By how many bytes `now` is more than `before`.
pub fn difference(before: u64, now: u64) -> i64 {
    now.wrapping_sub(before).cast_signed()
}

/// The differences of two tables. One that is empty was not made, and is compared with nothing.
fn differences(before: &Bytes, now: &Bytes) -> Changes {
    if before.is_empty() {
        return Changes::new();
    }
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let bytes = |map: &Bytes, name| map.get(name).copied().unwrap_or(0);
    let changes = names.into_iter().map(|name| (name.clone(), difference(bytes(before, name), bytes(now, name))));
    changes.filter(|&(_, change)| change != 0).collect()
}

/// The functions that changed, the largest change first. Without functions of the earlier loader there is nothing to say.
fn changes(before: &[Function], now: &[Function]) -> Vec<Change> {
    if before.is_empty() {
        return Vec::new();
    }
    type Sides = (Option<u64>, Option<u64>);
    let mut sides: BTreeMap<(&str, &Option<String>, &str), Sides> = BTreeMap::new();
    for Function { name, krate, module, bytes, .. } in before {
        sides.entry((krate, module, name)).or_default().0 = Some(*bytes);
    }
    for Function { name, krate, module, bytes, .. } in now {
        sides.entry((krate, module, name)).or_default().1 = Some(*bytes);
    }
    let differ = sides.into_iter().filter(|(_, (before, now))| before != now);
    let mut changes: Vec<Change> = differ
        .map(|((krate, module, name), (before, now))| Change {
            name: name.to_owned(),
            krate: krate.to_owned(),
            module: module.clone(),
            before,
            now,
        })
        .collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.bytes().unsigned_abs()));
    changes
}

/// The differences of the packed loaders that both have.
fn packed_differences(before: &[Sizes], now: &[Sizes]) -> Changes {
    let of = |sizes: &[Sizes]| -> Bytes { sizes.iter().map(|size| (size.name.clone(), size.packed)).collect() };
    let (mut before, mut now) = (of(before), of(now));
    before.retain(|name, _| now.contains_key(name));
    now.retain(|name, _| before.contains_key(name));
    differences(&before, &now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pairs: &[(&str, u64)]) -> Bytes {
        pairs.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect()
    }

    fn functions(pairs: &[(&str, u64)]) -> Vec<Function> {
        let function = |&(name, bytes): &(&str, u64)| Function {
            name: name.into(),
            krate: "modstrap".into(),
            module: None,
            bytes,
            copies: 1,
        };
        pairs.iter().map(function).collect()
    }

    #[test]
    fn new_gone_grown_and_shrunk() {
        let before = [("gone", 5), ("grown", 10), ("same", 7), ("shrunk", 20)];
        let now = [("grown", 11), ("new", 3), ("same", 7), ("shrunk", 12)];
        let expected = [("gone", -5), ("grown", 1), ("new", 3), ("shrunk", -8)];
        let expected_bytes = expected.map(|(name, change)| (name.to_owned(), change)).into();
        assert_eq!(differences(&bytes(&before), &bytes(&now)), expected_bytes);
        let changes = changes(&functions(&before), &functions(&now));
        let found = changes.iter().map(|change| (change.name.as_str(), change.verb(), change.bytes()));
        let expected = [("shrunk", "shrunk", -8), ("gone", "gone", -5), ("new", "added", 3), ("grown", "grown", 1)];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_not_measured_before_is_not_compared() {
        assert_eq!(differences(&bytes(&[]), &bytes(&[(".text", 5)])), Changes::new());
        assert_eq!(changes(&[], &functions(&[("boot", 5)])), []);
        let sizes = |name: &str, packed| Sizes { name: name.into(), raw: 2 * packed, packed, limit: None };
        let before = [sizes("everything", 100), sizes("before alone", 10)];
        let now = [sizes("everything", 110), sizes("now alone", 10)];
        assert_eq!(packed_differences(&before, &now), [("everything".to_owned(), 10)].into());
    }

    #[test]
    fn other_json_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let error = Earlier::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("is not the output of `size-report --json`"), "{error}");
    }
}
