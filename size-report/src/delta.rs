//! What changed between two reports on the loader.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::loader::Loader;
use crate::{Bytes, Report};

/// Changes in bytes; what did not change is left out.
#[derive(Debug, Serialize, Deserialize)]
pub struct Delta {
    /// The earlier report.
    pub against: PathBuf,
    /// Of the whole file.
    pub bytes: i64,
    /// By crate.
    pub crates: BTreeMap<String, i64>,
    /// By our own modules.
    pub modules: BTreeMap<String, i64>,
    /// Of what belongs to no crate.
    pub other: BTreeMap<String, i64>,
}

/// An earlier report and the file it came from.
#[derive(Debug)]
pub struct Earlier {
    path: PathBuf,
    loader: Loader,
}

impl Earlier {
    /// Reads what an earlier `size-report --json` wrote.
    pub fn read(path: &Path) -> Result<Earlier> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the report {}", path.display()))?;
        let report: Report = serde_json::from_str(&text)
            .with_context(|| format!("{} is not the output of `size-report --json`", path.display()))?;
        Ok(Earlier { path: path.to_owned(), loader: report.loader })
    }

    /// What changed since.
    pub fn compare(&self, now: &Loader) -> Delta {
        let before = &self.loader;
        Delta {
            against: self.path.clone(),
            bytes: difference(before.bytes, now.bytes),
            crates: differences(&before.crates, &now.crates),
            modules: differences(&before.modules, &now.modules),
            other: differences(&before.other, &now.other),
        }
    }
}

fn difference(before: u64, now: u64) -> i64 {
    now.wrapping_sub(before).cast_signed()
}

fn differences(before: &Bytes, now: &Bytes) -> BTreeMap<String, i64> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let bytes = |map: &Bytes, name| map.get(name).copied().unwrap_or(0);
    let changes = names.into_iter().map(|name| (name.clone(), difference(bytes(before, name), bytes(now, name))));
    changes.filter(|&(_, change)| change != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pairs: &[(&str, u64)]) -> Bytes {
        pairs.iter().map(|&(name, bytes)| (name.to_owned(), bytes)).collect()
    }

    #[test]
    fn new_gone_grown_and_shrunk() {
        let before = bytes(&[("gone", 5), ("grown", 10), ("same", 7), ("shrunk", 20)]);
        let now = bytes(&[("grown", 11), ("new", 3), ("same", 7), ("shrunk", 12)]);
        let expected = [("gone", -5), ("grown", 1), ("new", 3), ("shrunk", -8)];
        assert_eq!(differences(&before, &now), expected.map(|(name, change)| (name.to_owned(), change)).into());
    }

    #[test]
    fn other_json_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{}").unwrap();
        let error = Earlier::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("is not the output of `size-report --json`"), "{error}");
    }
}
