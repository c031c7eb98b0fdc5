//! The most that a loader may take, from a TOML file with one table for each architecture:
//!
//! ```toml
//! [x86_64]
//! loader = 40960 # bytes of the file as it is linked, with all features
//!
//! [[x86_64.packed]] # the file in an image: packed, with what unpacks it
//! name = "minimal"
//! features = []
//! bytes = 30000
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::loader::Loader;

/// A budget file.
#[derive(Debug)]
pub struct Budget {
    path: PathBuf,
    limits: BTreeMap<String, Limits>,
}

/// What one architecture may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    /// Bytes of the loader's file.
    loader: u64,
    #[serde(default)]
    packed: Vec<Limit>,
}

/// What a loader with these features may take in an image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What it is called.
    pub name: String,
    /// The features of the package `modstrap` beside `bin`.
    pub features: Vec<String>,
    /// Bytes of the packed file.
    pub bytes: u64,
}

/// A loader against its budget; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The most the loader may take, in bytes.
    pub bytes: u64,
    /// Whether it takes no more.
    pub ok: bool,
}

impl Budget {
    /// Reads a budget file.
    pub fn read(path: &Path) -> Result<Budget> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the budget {}", path.display()))?;
        Budget::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Budget> {
        let limits = toml::from_str(text).with_context(|| format!("{} is not a budget", path.display()))?;
        Ok(Budget { path: path.to_owned(), limits })
    }

    /// Judges a loader. An architecture without a budget is an error: silence would look like a budget kept.
    pub fn judge(&self, loader: &Loader) -> Result<Verdict> {
        let limits = self.limits(&loader.arch)?;
        Ok(Verdict { bytes: limits.loader, ok: loader.bytes <= limits.loader })
    }

    /// What packed loaders for an architecture may take.
    pub fn packed(&self, arch: &str) -> Result<&[Limit]> {
        Ok(&self.limits(arch)?.packed)
    }

    fn limits(&self, arch: &str) -> Result<&Limits> {
        let none = || format!("{} has no budget for {arch}: add `[{arch}]` with `loader = BYTES`", self.path.display());
        self.limits.get(arch).with_context(none)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loader(arch: &str, bytes: u64) -> Loader {
        Loader { arch: arch.into(), bytes, ..Loader::default() }
    }

    fn budget(text: &str) -> Result<Budget> {
        Budget::parse(Path::new("budget.toml"), text)
    }

    #[test]
    fn budget_is_kept_up_to_its_last_byte() {
        let budget = budget("[x86_64]\nloader = 1000").unwrap();
        assert_eq!(budget.judge(&loader("x86_64", 1000)).unwrap(), Verdict { bytes: 1000, ok: true });
        assert_eq!(budget.judge(&loader("x86_64", 1001)).unwrap(), Verdict { bytes: 1000, ok: false });
    }

    #[test]
    fn missing_architecture_is_named() {
        let error = budget("[x86_64]\nloader = 1000").unwrap().judge(&loader("riscv64", 1)).unwrap_err().to_string();
        assert!(error.contains("budget.toml has no budget for riscv64"), "{error}");
    }

    #[test]
    fn misspelt_limit_is_refused() {
        let error = format!("{:#}", budget("[x86_64]\nloder = 1000").unwrap_err());
        assert!(error.contains("budget.toml is not a budget") && error.contains("loder"), "{error}");
    }

    #[test]
    fn own_budget_file_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml");
        assert!(Budget::read(&path).unwrap().judge(&loader("x86_64", 0)).unwrap().ok);
    }
}
