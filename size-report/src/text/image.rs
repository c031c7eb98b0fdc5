//! The report on an image.

use std::fmt::Write;

use super::{NAMES, by_size, grouped, row, share, total};
use crate::cost::Cost;
use crate::image::{Image, Module, Stages};

/// Kinds of sections are named if they have one in so many bytes.
const LITTLE: u64 = 1000;

/// The report on an image, with so many of its modules.
pub fn image(image: &Image, modules: usize) -> String {
    let mut out = format!("image: {}\n\nby part\n", image.path.display());
    by_size(&image.parts).for_each(|(name, bytes)| out += &row(1, name, bytes, image.bytes));
    out += &total(image.bytes);
    out += &stages(&image.stages, image.modules.len());
    out += &kinds(image);
    out + &largest_modules(image, modules)
}

/// What each stage of the codec leaves of the modules.
fn stages(stages: &Stages, modules: usize) -> String {
    let mut out = format!("\n{:<NAMES$}{:>12}\n", format!("{} modules, by stage", grouped(modules as u64)), "bytes");
    let filtered = format!("filtered ({})", grouped(stages.modules_filtered));
    let deflated = format!("deflated ({})", grouped(stages.modules_deflated));
    let rows = [
        ("raw", stages.raw),
        (filtered.as_str(), stages.filtered),
        (deflated.as_str(), stages.deflated),
        ("with headers, aligned", stages.framed),
    ];
    for (name, bytes) in rows {
        let _ = writeln!(
            out,
            "  {name:<width$}{:>12}{:>7.1} %",
            grouped(bytes),
            share(bytes, stages.raw),
            width = NAMES - 2
        );
    }
    out
}

/// What the sections of all modules take; those of little are one.
fn kinds(image: &Image) -> String {
    let of = image.stages.framed;
    let mut kinds: Vec<(&str, Cost)> = image.kinds.iter().map(|(kind, &cost)| (kind.as_str(), cost)).collect();
    kinds.sort_by_key(|(_, cost)| std::cmp::Reverse(cost.packed));
    let shown = kinds.partition_point(|(_, cost)| cost.packed * LITTLE >= of);
    let others = kinds.split_off(shown);
    let name = format!("({} others)", others.len());
    if !others.is_empty() {
        kinds.push((&name, others.into_iter().map(|(_, cost)| cost).sum()));
    }
    table("by kind of section", kinds.into_iter(), of)
}

fn largest_modules(image: &Image, count: usize) -> String {
    let shown = image.modules.iter().take(count);
    let rows = shown.map(|Module { whole, .. }| (&*whole.name, Cost { raw: whole.raw, packed: whole.packed }));
    let heading = format!("largest modules, {} of {}", count.min(image.modules.len()), image.modules.len());
    table(&heading, rows, image.stages.framed)
}

/// Names with their bytes raw and packed, and their share of all that is packed.
fn table<'a>(heading: &str, rows: impl Iterator<Item = (&'a str, Cost)>, of: u64) -> String {
    let mut out = format!("\n{heading:<NAMES$}{:>12}{:>12}\n", "raw", "packed");
    for (name, Cost { raw, packed }) in rows {
        let (raw, share) = (grouped(raw), share(packed, of));
        let _ = writeln!(out, "  {name:<width$}{raw:>12}{:>12}{share:>7.1} %", grouped(packed), width = NAMES - 2);
    }
    out
}
