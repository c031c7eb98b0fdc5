//! The kernel's own tables of exported symbols, read out of its image.
//!
//! A table is an array of `struct kernel_symbol` (kernel/module/internal.h), sorted by name; a second one holds what is
//! for the GPL only; two arrays of checksums of the same lengths follow, and then the names
//! (include/asm-generic/vmlinux.lds.h). An ELF file has a section for each. A raw image has none, but nothing else in it
//! looks like hundreds of records that point to identifiers in ascending order, so there they are found by that.

use std::collections::HashMap;

use object::{Endianness, File, Object, ObjectKind, ObjectSection};

use super::exports::{Export, Exports};
use super::find_all;

/// The tables that a kernel may have, by what their names end in, and whether they are for the GPL only. All but the
/// first two went with 5.12.
pub(crate) const TABLES: [(&str, bool); 5] =
    [("", false), ("_gpl", true), ("_gpl_future", false), ("_unused", false), ("_unused_gpl", true)];
/// The fewest records that are taken for a table in a raw image: more than chance ever puts in order.
const FEWEST: usize = 16;
/// The fewest records behind a known one that confirm where an image is linked.
const ENOUGH: usize = 4;
/// The longest name, with its NUL (`KSYM_NAME_LEN`).
const NAME: usize = 512;
/// How far the names may begin behind the tables, in bytes: what comes first need not be a symbol's name.
const SLACK: u64 = 4096;

/// The symbols that an unwrapped kernel exports; none where no table can be found or made sense of.
pub(super) fn exports(content: &[u8]) -> Option<Exports> {
    let exports = match File::parse(content) {
        Ok(File::Elf64(file)) => of_elf(&File::Elf64(file)),
        Ok(File::Elf32(file)) => of_elf(&File::Elf32(file)),
        _ => None,
    };
    exports.or_else(|| of_raw_image(content))
}

/// How a record is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Pointers are 32-bit distances from where they stand (`CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`).
    relative: bool,
    /// Of each field, in bytes.
    width: u64,
    /// Value, name and, since 5.4, namespace.
    fields: u64,
}

impl Layout {
    const ALL: [Layout; 6] = [
        Layout { relative: true, width: 4, fields: 3 },
        Layout { relative: false, width: 8, fields: 3 },
        Layout { relative: false, width: 4, fields: 3 },
        Layout { relative: true, width: 4, fields: 2 },
        Layout { relative: false, width: 8, fields: 2 },
        Layout { relative: false, width: 4, fields: 2 },
    ];

    fn size(self) -> u64 {
        self.width * self.fields
    }

    /// The record at the address `at`.
    fn symbol<'a>(self, memory: &Memory<'a>, at: u64) -> Option<Symbol<'a>> {
        let name = self.pointer(memory, at.checked_add(self.width)?)?;
        let namespace = match self.fields {
            3 => match self.pointer(memory, at.checked_add(2 * self.width)?)? {
                0 => None,
                text => Some(memory.text(text)?).filter(|text| !text.is_empty()),
            },
            _ => None,
        };
        Some(Symbol { name: memory.text(name).filter(|name| is_identifier(name))?, name_at: name, namespace })
    }

    /// Where the pointer at `at` points to; 0 for a null pointer.
    fn pointer(self, memory: &Memory, at: u64) -> Option<u64> {
        if !self.relative {
            return memory.word(at, self.width);
        }
        match memory.word(at, 4)? as u32 as i32 {
            0 => Some(0),
            distance => at.checked_add_signed(distance.into()),
        }
    }
}

/// A record, read.
#[derive(Clone, Copy, Debug)]
struct Symbol<'a> {
    name: &'a str,
    name_at: u64,
    namespace: Option<&'a str>,
}

impl Symbol<'_> {
    fn export(&self, crc: Option<u32>, gpl_only: bool) -> Export {
        Export { crc, gpl_only, namespace: self.namespace.map(Into::into) }
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty()
        && !text.as_bytes()[0].is_ascii_digit()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
}

/// Bytes at the addresses that they are linked for.
struct Memory<'a> {
    parts: Vec<(u64, &'a [u8])>,
    big_endian: bool,
    /// Words that stand in the relocations of a position-independent kernel instead of in their place.
    relocated: HashMap<u64, u64>,
}

impl<'a> Memory<'a> {
    fn raw(base: u64, image: &'a [u8], big_endian: bool) -> Self {
        Memory { parts: vec![(base, image)], big_endian, relocated: HashMap::new() }
    }

    /// The bytes from `at` to the end of the part that they are in.
    fn bytes(&self, at: u64) -> Option<&'a [u8]> {
        self.parts.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(at.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        })
    }

    fn word(&self, at: u64, width: u64) -> Option<u64> {
        if let Some(word) = self.relocated.get(&at) {
            return Some(*word);
        }
        let bytes = self.bytes(at)?;
        Some(match (width, self.big_endian) {
            (8, false) => u64::from_le_bytes(*bytes.first_chunk()?),
            (8, true) => u64::from_be_bytes(*bytes.first_chunk()?),
            (_, false) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
            (_, true) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
        })
    }

    /// The text at `at`, up to its NUL.
    fn text(&self, at: u64) -> Option<&'a str> {
        let bytes = self.bytes(at)?;
        let bytes = &bytes[..bytes.len().min(NAME)];
        std::str::from_utf8(&bytes[..memchr::memchr(0, bytes)?]).ok()
    }

    /// `count` checksums from `at` on. For a time (4.10 to 5.18, `CONFIG_MODULE_REL_CRCS`) a table could hold distances
    /// to them instead: numbers that are all small, as no checksums are.
    fn crcs(&self, at: u64, count: u64) -> Option<Vec<u32>> {
        let place = |index: u64| at + 4 * index;
        let values: Option<Vec<u32>> = (0..count).map(|index| Some(self.word(place(index), 4)? as u32)).collect();
        let values = values?;
        let is_distance = |value: &u32| (*value as i32).unsigned_abs() < 1 << 28;
        if values.len() < FEWEST || !values.iter().all(is_distance) {
            return Some(values);
        }
        let target = |(index, value): (u64, &u32)| place(index).checked_add_signed((*value as i32).into());
        (0..).zip(&values).map(|pair| Some(self.word(target(pair)?, 4)? as u32)).collect()
    }
}

fn of_elf(file: &File) -> Option<Exports> {
    let sections = file.sections().filter_map(|section| Some((section.address(), section.data().ok()?)));
    let memory = Memory {
        parts: sections.filter(|(address, data)| *address != 0 && !data.is_empty()).collect(),
        big_endian: file.endianness() == Endianness::Big,
        relocated: relocated(file),
    };
    let mut exports = Exports::default();
    for (suffix, gpl_only) in TABLES {
        let Some(section) = file.section_by_name(&format!("__ksymtab{suffix}")) else { continue };
        if section.size() == 0 {
            continue;
        }
        let symbols = table(&memory, section.address(), section.size(), file.is_64())?;
        let crcs = match file.section_by_name(&format!("__kcrctab{suffix}")) {
            Some(crcs) if crcs.size() > 0 => Some(memory.crcs(crcs.address(), symbols.len() as u64)?),
            _ => None,
        };
        for (index, symbol) in symbols.iter().enumerate() {
            exports.add(symbol.name, symbol.export(crcs.as_ref().map(|crcs| crcs[index]), gpl_only));
        }
    }
    (!exports.is_empty()).then_some(exports)
}

/// The table in a section: the layout counts by which all of it reads as names in ascending order.
fn table<'a>(memory: &Memory<'a>, start: u64, length: u64, is_64: bool) -> Option<Vec<Symbol<'a>>> {
    let width = if is_64 { 8 } else { 4 };
    let fits = |layout: &&Layout| (layout.relative || layout.width == width) && length.is_multiple_of(layout.size());
    Layout::ALL.iter().filter(fits).find_map(|layout| {
        let places = (0..length / layout.size()).map(|index| start.checked_add(index * layout.size()));
        let symbols: Option<Vec<Symbol>> = places.map(|at| layout.symbol(memory, at?)).collect();
        symbols.filter(|symbols| symbols.is_sorted_by(|a, b| a.name < b.name))
    })
}

/// The words that a kernel which finds its own place computes from the place and an addend.
fn relocated(file: &File) -> HashMap<u64, u64> {
    if file.kind() != ObjectKind::Dynamic {
        return HashMap::new();
    }
    let relocations = file.dynamic_relocations().into_iter().flatten();
    let without_symbol =
        relocations.filter(|(_, relocation)| relocation.target() == object::RelocationTarget::Absolute);
    without_symbol.map(|(at, relocation)| (at, relocation.addend() as u64)).collect()
}

fn of_raw_image(image: &[u8]) -> Option<Exports> {
    let forms = [false, true].into_iter().flat_map(|big_endian| Layout::ALL.map(|layout| (layout, big_endian)));
    forms.into_iter().find_map(|(layout, big_endian)| {
        let base = if layout.relative { 0 } else { base(image, layout, big_endian)? };
        let memory = Memory::raw(base, image, big_endian);
        let symbols = longest_run(&memory, layout, base, image.len() as u64)?;
        read_run(&memory, layout, &symbols)
    })
}

/// The two tables of a raw image, one directly behind the other.
struct Run<'a> {
    start: u64,
    symbols: Vec<Symbol<'a>>,
    /// Where in `symbols` the second table begins.
    second: usize,
}

/// Of all places, the one from which the most records can be read.
fn longest_run<'a>(memory: &Memory<'a>, layout: Layout, base: u64, length: u64) -> Option<Run<'a>> {
    let mut longest: Option<Run> = None;
    let mut at = base;
    while at < base + length {
        let run = run(memory, layout, at);
        let end = at + run.symbols.len() as u64 * layout.size();
        if run.symbols.len() >= FEWEST && longest.as_ref().is_none_or(|other| other.symbols.len() < run.symbols.len()) {
            at = end;
            longest = Some(run);
        } else {
            at += 4;
        }
    }
    longest
}

/// The records from `start` on: names in ascending order, which begins anew once.
fn run<'a>(memory: &Memory<'a>, layout: Layout, start: u64) -> Run<'a> {
    let mut run = Run { start, symbols: Vec::new(), second: usize::MAX };
    let mut at = start;
    while let Some(symbol) = layout.symbol(memory, at) {
        if run.symbols.last().is_some_and(|last: &Symbol| symbol.name <= last.name) {
            if run.second != usize::MAX {
                break;
            }
            run.second = run.symbols.len();
        }
        run.symbols.push(symbol);
        at += layout.size();
    }
    run
}

/// Adds the checksums, which stand between the tables and the names where there are any.
fn read_run(memory: &Memory, layout: Layout, run: &Run) -> Option<Exports> {
    let count = run.symbols.len() as u64;
    let end = run.start + count * layout.size();
    let gap = run.symbols.iter().map(|symbol| symbol.name_at).min()?.checked_sub(end)?;
    let crcs = match gap {
        _ if gap < SLACK.min(4 * count) => None,
        _ if (4 * count..4 * count + SLACK).contains(&gap) => Some(memory.crcs(end, count)?),
        _ => return None,
    };
    let mut exports = Exports::default();
    for (index, symbol) in run.symbols.iter().enumerate() {
        exports.add(symbol.name, symbol.export(crcs.as_ref().map(|crcs| crcs[index]), index >= run.second));
    }
    Some(exports)
}

/// The address that a raw image with absolute pointers is linked for: the multiple of 4 KiB by which most records follow
/// a pointer to the name of a function that every kernel exports.
fn base(image: &[u8], layout: Layout, big_endian: bool) -> Option<u64> {
    const PAGE: u64 = 4096;
    let names = [&b"_printk\0"[..], b"printk\0"];
    let places: Vec<u64> = names.iter().flat_map(|name| find_all(image, name).map(|at| at as u64)).collect();
    let unplaced = Memory::raw(0, image, big_endian);
    let fields = (layout.width..image.len() as u64).step_by(layout.width as usize);
    let pointers = fields.filter_map(|at| Some((at, unplaced.word(at, layout.width)?)));
    let bases = pointers.flat_map(|(at, pointer)| {
        let bases = places.iter().filter_map(move |place| pointer.checked_sub(*place));
        bases.filter(|base| base.is_multiple_of(PAGE) && *base != 0).map(move |base| (at, base))
    });
    let records = |(at, base): (u64, u64)| {
        base.checked_add(image.len() as u64)?;
        let run = run(&Memory::raw(base, image, big_endian), layout, base + at - layout.width);
        (run.symbols.len() >= ENOUGH).then_some((run.symbols.len(), base))
    };
    bases.filter_map(records).max().map(|(_, base)| base)
}
