//! The reports for people. Numbers are bytes, largest first.

use std::fmt::Write;

use crate::delta::Delta;
use crate::image::Image;
use crate::loader::{BSS, Loader};
use crate::origin::OURS;
use crate::packed::Sizes;
use crate::{Bytes, Report};

/// Width of the column of names, including its indentation.
const NAMES: usize = 30;
/// How many modules and crates a message names as the largest.
const LARGEST: usize = 5;

/// The report on a loader.
pub fn report(report: &Report) -> String {
    let loader = &report.loader;
    let mut out = format!("loader for {}: {}\n", loader.arch, loader.path.display());
    out += &budget_line(report);
    out += &packed(&report.packed);
    out += &sections(loader);
    out += &crates(loader);
    if let Some(delta) = &report.delta {
        out += &changes(delta);
    }
    out
}

/// The report on an image.
pub fn image(image: &Image) -> String {
    let mut out = format!("image: {}\n\nby part\n", image.path.display());
    by_size(&image.parts).for_each(|(name, bytes)| out += &row(1, name, bytes, image.bytes));
    out + &total(image.bytes)
}

/// What to say of a loader over its budget.
pub fn over_budget(report: &Report) -> String {
    let loader = &report.loader;
    let over = loader.bytes.saturating_sub(report.budget.bytes);
    format!(
        "the loader for {} has {} bytes, {} more than its budget of {}\n  largest modules: {}\n  largest crates: {}",
        loader.arch,
        grouped(loader.bytes),
        grouped(over),
        grouped(report.budget.bytes),
        largest(&loader.modules),
        largest(&loader.crates)
    )
}

/// What to say of a packed loader over its limit.
pub fn over_limit(sizes: &Sizes) -> String {
    let limit = sizes.limit.unwrap_or(0);
    format!("the loader `{}` has {} bytes packed, of a budget of {}", sizes.name, grouped(sizes.packed), grouped(limit))
}

/// What each feature adds.
pub fn features(ladder: &[Sizes]) -> String {
    let mut out = format!("{:<NAMES$}{:>10}{:>10}\n", "each added to those before", "linked", "packed");
    let mut before = (0, 0);
    for Sizes { name, raw, packed, .. } in ladder {
        let sign = if before == (0, 0) { "" } else { "+" };
        let added = [raw - before.0, packed - before.1].map(|bytes| format!("{sign}{}", grouped(bytes)));
        let _ = writeln!(out, "  {name:<width$}{:>10}{:>10}", added[0], added[1], width = NAMES - 2);
        before = (*raw, *packed);
    }
    out + &format!("  {:<width$}{:>10}{:>10}\n", "total", grouped(before.0), grouped(before.1), width = NAMES - 2)
}

fn packed(all: &[Sizes]) -> String {
    let mut out = String::new();
    if !all.is_empty() {
        out += &format!("\n{:<NAMES$}{:>10}{:>10}{:>10}\n", "in images", "linked", "packed", "budget");
    }
    for Sizes { name, raw, packed, limit } in all {
        let limit = limit.map_or(String::new(), grouped);
        let _ = writeln!(out, "  {name:<w$}{:>10}{:>10}{limit:>10}", grouped(*raw), grouped(*packed), w = NAMES - 2);
    }
    out
}

fn budget_line(report: &Report) -> String {
    let (bytes, budget) = (report.loader.bytes, report.budget.bytes);
    let room = if report.budget.ok { "free" } else { "too many" };
    format!("{} bytes of a budget of {}: {} {room}\n", grouped(bytes), grouped(budget), grouped(bytes.abs_diff(budget)))
}

fn sections(loader: &Loader) -> String {
    let mut out = "\nby section\n".to_owned();
    let in_file: Bytes =
        loader.sections.iter().filter(|(name, _)| *name != BSS).map(|(name, &bytes)| (name.clone(), bytes)).collect();
    by_size(&in_file).for_each(|(name, bytes)| out += &row(1, name, bytes, loader.bytes));
    let outside = loader.bytes.saturating_sub(in_file.values().sum());
    out += &row(1, "headers, padding, tail", outside, loader.bytes);
    out += &total(loader.bytes);
    if let Some(bss) = loader.sections.get(BSS) {
        let _ = writeln!(out, "  and in memory alone: .bss, {} bytes", grouped(*bss));
    }
    out
}

fn crates(loader: &Loader) -> String {
    let mut out = "\nby crate, and ours by module\n".to_owned();
    for (name, bytes) in by_size(&loader.crates) {
        out += &row(1, name, bytes, loader.bytes);
        if name == OURS {
            by_size(&loader.modules).for_each(|(name, bytes)| out += &row(2, name, bytes, loader.bytes));
        }
    }
    by_size(&loader.other).for_each(|(name, bytes)| out += &row(1, &format!("({name})"), bytes, loader.bytes));
    out + &total(loader.bytes)
}

fn changes(delta: &Delta) -> String {
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

fn by_size(map: &Bytes) -> impl Iterator<Item = (&str, u64)> {
    let mut entries: Vec<(&str, u64)> = map.iter().map(|(name, &bytes)| (name.as_str(), bytes)).collect();
    entries.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
    entries.into_iter()
}

fn largest(map: &Bytes) -> String {
    let named: Vec<String> =
        by_size(map).take(LARGEST).map(|(name, bytes)| format!("{name} {}", grouped(bytes))).collect();
    named.join(", ")
}

fn row(depth: usize, name: &str, bytes: u64, of: u64) -> String {
    let indent = 2 * depth;
    let share = if of == 0 { 0.0 } else { 100.0 * bytes as f64 / of as f64 };
    format!("{:indent$}{name:<width$}{:>10}{share:>7.1} %\n", "", grouped(bytes), width = NAMES - indent)
}

fn total(bytes: u64) -> String {
    format!("  {:<width$}{:>10}\n", "total", grouped(bytes), width = NAMES - 2)
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
