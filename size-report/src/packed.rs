//! Loaders with fewer features, and as images hold them: packed, with the stub that unpacks them.

use anyhow::{Context, Result};
use modstrap_initramfs::loader;
use serde::{Deserialize, Serialize};

use crate::budget::Limit;
use crate::elf;
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
    /// Builds the loader with these features, and measures it as this stub unpacks it.
    pub fn of(workspace: &Workspace, name: &str, features: &[String], stub: &[u8]) -> Result<Sizes> {
        let file = workspace.build_with(features)?;
        let program = elf::read(&file)?;
        let packed = loader::packed(&program, stub)?;
        let packed = packed.with_context(|| format!("{} is no loader that can be packed here", file.display()))?;
        Ok(Sizes { name: name.into(), raw: program.len() as u64, packed: packed.len() as u64, limit: None })
    }

    /// Whether it is within its limit.
    pub fn ok(&self) -> bool {
        self.limit.is_none_or(|limit| self.packed <= limit)
    }
}

/// Measures the loaders that the budget limits.
pub fn limited(workspace: &Workspace, limits: &[Limit]) -> Result<Vec<Sizes>> {
    let measure = |limit: &Limit| {
        let sizes = Sizes::of(workspace, &limit.name, &limit.features, loader::STUB)?;
        Ok(Sizes { limit: Some(limit.bytes), ..sizes })
    };
    limits.iter().map(measure).collect()
}

/// Measures the loader with no feature, and then with one more at a time.
pub fn by_feature(workspace: &Workspace) -> Result<Vec<Sizes>> {
    let features = LADDER.map(str::to_owned);
    let steps = (0..=features.len()).map(|count| {
        let features = &features[..count];
        let name = features.last().map_or("no feature", String::as_str);
        Sizes::of(workspace, name, features, loader::STUB)
    });
    steps.collect()
}
