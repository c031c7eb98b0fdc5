//! Loaders with fewer features, and as images hold them: packed, with the stub that unpacks them.

use std::path::Path;

use anyhow::{Context, Result};
use modstrap_initramfs::loader;
use serde::{Deserialize, Serialize};

use crate::budget::Limit;
use crate::make::Workspace;

/// The features in the order in which a loader grows by them.
const LADDER: [&str; 8] = ["requests", "reasons", "probe", "shares", "overlay", "parallel", "tools", "network"];

/// The sizes of one loader; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// What it is called.
    pub name: String,
    /// As it was linked, in bytes.
    pub raw: u64,
    /// As images hold it, in bytes.
    pub packed: u64,
    /// The most that this may be, if there is a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

impl Sizes {
    /// Builds the loader with these features and measures it.
    fn of(workspace: &Workspace, name: &str, features: &[&str], limit: Option<u64>) -> Result<Sizes> {
        let file = workspace.build_with(features)?;
        let (raw, packed) = measure(&file)?;
        Ok(Sizes { name: name.into(), raw, packed, limit })
    }

    /// Whether it is within its limit.
    pub fn ok(&self) -> bool {
        self.limit.is_none_or(|limit| self.packed <= limit)
    }
}

/// Measures the loaders that the budget limits.
pub fn limited(workspace: &Workspace, limits: &[Limit]) -> Result<Vec<Sizes>> {
    let measure = |limit: &Limit| {
        let features: Vec<&str> = limit.features.iter().map(String::as_str).collect();
        Sizes::of(workspace, &limit.name, &features, Some(limit.bytes))
    };
    limits.iter().map(measure).collect()
}

/// Measures the loader with no feature, and then with one more at a time.
pub fn by_feature(workspace: &Workspace) -> Result<Vec<Sizes>> {
    let steps = (0..=LADDER.len()).map(|count| {
        let features = &LADDER[..count];
        Sizes::of(workspace, features.last().unwrap_or(&"no feature"), features, None)
    });
    steps.collect()
}

/// The bytes of a loader's file, as it was linked and as images hold it.
fn measure(file: &Path) -> Result<(u64, u64)> {
    let program = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let packed = loader::packed(&program, loader::STUB)?;
    let packed = packed.with_context(|| format!("{} is no loader that can be packed here", file.display()))?;
    Ok((program.len() as u64, packed.len() as u64))
}
