//! The report on a loader.

use std::fmt::Write;

use super::changes::changes;
use super::{NAMES, by_size, grouped, row, share, signed, total};
use crate::delta::difference;
use crate::function::Function;
use crate::loader::{BSS, Loader};
use crate::origin::OURS;
use crate::packed::Sizes;
use crate::{Bytes, Report};

/// How many modules and crates a message names as the largest.
const LARGEST: usize = 5;

/// The report on a loader, with so many of its functions, and of those that changed.
pub fn report(report: &Report, functions: usize) -> String {
    let loader = &report.loader;
    let mut out = format!("loader for {}: {}\n", loader.arch, loader.path.display());
    out += &budget_line(report);
    out += &packed(&report.packed);
    out += &sections(loader);
    out += &crates(loader);
    out += &largest_functions(&loader.functions, functions, loader.bytes);
    if let Some(delta) = &report.delta {
        out += &changes(delta, functions);
    }
    out
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
    let mut line = |name: &str, columns: [String; 2]| {
        let _ = writeln!(out, "  {name:<width$}{:>10}{:>10}", columns[0], columns[1], width = NAMES - 2);
    };
    let columns = |sizes: &Sizes| [sizes.raw, sizes.packed];
    if let Some(first) = ladder.first() {
        line(&first.name, columns(first).map(grouped));
    }
    for pair in ladder.windows(2) {
        let (before, after) = (columns(&pair[0]), columns(&pair[1]));
        line(&pair[1].name, [0, 1].map(|column| signed(difference(before[column], after[column]))));
    }
    if let Some(last) = ladder.last() {
        line("total", columns(last).map(grouped));
    }
    out
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

/// The largest `count` functions of a loader of so many bytes. Their names come last, as some are long.
fn largest_functions(functions: &[Function], count: usize, of: u64) -> String {
    let shown = &functions[..count.min(functions.len())];
    if shown.is_empty() {
        return String::new();
    }
    let mut out = format!("\nlargest functions, {} of {}\n", shown.len(), grouped(functions.len() as u64));
    for Function { name, bytes, copies, .. } in shown {
        let copies = if *copies > 1 { format!(" ({copies} copies)") } else { String::new() };
        let _ = writeln!(out, "{:>10}{:>7.1} %  {name}{copies}", grouped(*bytes), share(*bytes, of));
    }
    out
}

fn largest(map: &Bytes) -> String {
    let named: Vec<String> =
        by_size(map).take(LARGEST).map(|(name, bytes)| format!("{name} {}", grouped(bytes))).collect();
    named.join(", ")
}
