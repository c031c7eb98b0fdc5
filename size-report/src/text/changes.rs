//! What changed in a loader.

use std::fmt::Write;

use super::NAMES;
use crate::delta::Delta;
use crate::origin::OURS;

/// The changes, largest first.
pub fn changes(delta: &Delta) -> String {
    let mut out = format!("\nsince {}: {:+} bytes\n", delta.against.display(), delta.bytes);
    let ours = delta.modules.iter().map(|(name, change)| (format!("{OURS}::{name}"), change));
    let crates = delta.crates.iter().filter(|(name, _)| *name != OURS).map(|(name, change)| (name.clone(), change));
    let other = delta.other.iter().map(|(name, change)| (format!("({name})"), change));
    let mut all: Vec<(String, &i64)> = ours.chain(crates).chain(other).collect();
    all.sort_by_key(|(_, change)| std::cmp::Reverse(change.abs()));
    for (name, change) in all {
        let _ = writeln!(out, "  {name:<width$}{change:>+10}", width = NAMES - 2);
    }
    out
}
