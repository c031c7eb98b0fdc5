//! What changed since an earlier loader.

use std::fmt::Write;

use super::{NAMES, signed};
use crate::delta::{Change, Changes, Delta};
use crate::origin::OURS;
use crate::revision;

/// The changes, largest first, with so many of the functions.
pub fn changes(delta: &Delta, functions: usize) -> String {
    let commit = delta.commit.as_deref().map_or(String::new(), |commit| format!(" ({})", revision::short(commit)));
    let mut out = format!("\nsince {}{commit}: {} bytes\n", delta.against, signed(delta.bytes));
    out += &group("by section", named(&delta.sections, |name| name.to_owned()));
    let ours = named(&delta.modules, |name| format!("{OURS}::{name}"));
    let crates = named(&delta.crates, |name| name.to_owned()).filter(|(name, _)| name != OURS);
    let other = named(&delta.other, |name| format!("({name})"));
    out += &group("by module and crate", ours.chain(crates).chain(other));
    out += &group("packed", named(&delta.packed, |name| name.to_owned()));
    out += &changed_functions(&delta.functions, functions);
    for reason in &delta.left_out {
        let _ = writeln!(out, "  not compared: {reason}");
    }
    out
}

fn named(changes: &Changes, name: impl Fn(&str) -> String) -> impl Iterator<Item = (String, i64)> {
    changes.iter().map(move |(of, &change)| (name(of), change))
}

/// A heading and the changes below it; nothing where there is none.
fn group(heading: &str, changes: impl Iterator<Item = (String, i64)>) -> String {
    let mut changes: Vec<(String, i64)> = changes.collect();
    if changes.is_empty() {
        return String::new();
    }
    changes.sort_by_key(|(_, change)| std::cmp::Reverse(change.unsigned_abs()));
    let mut out = format!("  {heading}\n");
    for (name, change) in changes {
        let _ = writeln!(out, "    {name:<width$}{:>10}", signed(change), width = NAMES - 4);
    }
    out
}

fn changed_functions(changes: &[Change], count: usize) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let of = |verb| changes.iter().filter(|change| change.verb() == verb).count();
    let counts = ["added", "gone", "grown", "shrunk"].map(|verb| format!("{} {verb}", of(verb)));
    let mut out = format!("  functions: {}\n", counts.join(", "));
    for change in &changes[..count.min(changes.len())] {
        let _ = writeln!(out, "{:>10}  {:<8}{}", signed(change.bytes()), change.verb(), change.name);
    }
    out
}
