//! A loader's bytes: by section, by crate, for our own crate by source module, and by function.
//!
//! The file that ships has neither sections nor symbols, so a second link of the same code, with both, says what its
//! bytes are. Sizes come from the symbol table. What no symbol covers is listed under its own name in `other`, so
//! that `crates` and `other` add up to the file's size, `modules` to our crate's, and `functions` to all crates'.
//! Inlined code counts where it ended up.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use object::elf::{SHF_ALLOC, SHF_EXECINSTR, SHT_NOBITS};
use object::{Object, ObjectSection, ObjectSymbol, Section, SectionFlags, SectionIndex, Symbol, SymbolKind};
use rustc_demangle::try_demangle;
use serde::{Deserialize, Serialize};

use crate::Bytes;
use crate::elf::{self, Elf};
use crate::function::{Count, Function};
use crate::make::Built;
use crate::origin::Origin;

/// Constants without a symbol: strings, jump tables, merged literals.
pub const CONSTANTS: &str = "constants";
/// The ELF header and the program headers.
pub const HEADERS: &str = "headers";
/// Alignment, between functions and between sections.
pub const PADDING: &str = "padding";
/// What follows the last byte that is loaded; lld leaves room there for section headers that it does not write.
pub const TAIL: &str = "tail";
/// The one section that takes memory and no file bytes.
pub const BSS: &str = ".bss";

/// How far the two links may differ, as a fraction of the file: the compiler orders functions by names that hold a
/// hash of the build's settings, and another order needs other padding.
const TOLERANCE: f64 = 0.01;

/// The numbers of one loader; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Loader {
    /// The file that ships.
    pub path: PathBuf,
    /// Its architecture, as in the budget file.
    pub arch: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes by section; `.bss` counts memory, all others count file bytes.
    pub sections: Bytes,
    /// File bytes by defining crate.
    pub crates: Bytes,
    /// File bytes of our own crate by source module, one level below `src`.
    pub modules: Bytes,
    /// File bytes of no crate: [`CONSTANTS`], [`HEADERS`], [`PADDING`], [`TAIL`].
    pub other: Bytes,
    /// The functions of all crates, the largest first; none in what earlier versions of this program wrote.
    #[serde(default)]
    pub functions: Vec<Function>,
}

impl Loader {
    /// Measures the two files of a loader.
    pub fn of(built: &Built) -> Result<Loader> {
        let (shipped, symbols) = (elf::read(&built.shipped)?, elf::read(&built.symbols)?);
        Loader::measure(&Elf::parse(&built.shipped, &shipped)?, &Elf::parse(&built.symbols, &symbols)?)
    }

    /// What can be said of a file that ships by itself: its size.
    pub fn without_symbols(shipped: &Elf) -> Result<Loader> {
        Ok(Loader {
            path: shipped.path.clone(),
            arch: shipped.architecture()?.to_owned(),
            bytes: shipped.data.len() as u64,
            ..Loader::default()
        })
    }

    /// Measures the file that ships by its link with symbols.
    fn measure(shipped: &Elf, symbols: &Elf) -> Result<Loader> {
        ensure!(
            symbols.file.symbols().next().is_some(),
            "{} has no symbol table: was it linked with section headers and without strip?",
            symbols.path.display()
        );
        ensure_same_code(shipped, symbols)?;
        let mut loader = Loader::without_symbols(shipped)?;
        let mut functions = Count::default();
        for section in loaded_sections(symbols) {
            loader.count_section(symbols, &section, &mut functions);
        }
        loader.functions = functions.into_functions();
        loader.count_rest(shipped)?;
        Ok(loader)
    }

    fn count_section(&mut self, elf: &Elf, section: &Section, functions: &mut Count) {
        let name = section.name().unwrap_or("unnamed");
        add(&mut self.sections, family(name), section.size());
        if is_in_file(section) {
            spans(elf, section).for_each(|span| self.count_span(&span, functions));
        }
    }

    fn count_span(&mut self, span: &Span, functions: &mut Count) {
        match span.symbol.and_then(|symbol| Some((symbol, Origin::of(symbol)?))) {
            Some((symbol, origin)) => {
                self.count_origin(&origin, span.bytes);
                functions.add(symbol, &origin, span.bytes);
            }
            None if span.is_code => {} // padding, which `count_rest` counts
            None => add(&mut self.other, CONSTANTS, span.bytes),
        }
    }

    fn count_origin(&mut self, origin: &Origin, bytes: u64) {
        add(&mut self.crates, &origin.krate, bytes);
        if let Some(module) = &origin.module {
            add(&mut self.modules, module, bytes);
        }
    }

    /// Headers, the tail, and as padding whatever of the file is not accounted for.
    fn count_rest(&mut self, shipped: &Elf) -> Result<()> {
        add(&mut self.other, HEADERS, shipped.header_bytes);
        add(&mut self.other, TAIL, self.bytes.saturating_sub(end_of_loaded(shipped)));
        let counted: u64 = self.crates.values().chain(self.other.values()).sum();
        let rest = self.bytes.checked_sub(counted);
        let rest = rest.with_context(|| {
            format!("{} has {} bytes, but its symbols and headers cover {counted}", self.path.display(), self.bytes)
        })?;
        add(&mut self.other, PADDING, rest);
        Ok(())
    }
}

fn add(map: &mut Bytes, name: &str, bytes: u64) {
    *map.entry(name.to_owned()).or_default() += bytes;
}

/// Refuses a pair of files that were not linked from the same code.
fn ensure_same_code(shipped: &Elf, symbols: &Elf) -> Result<()> {
    let (a, b) = (loaded_bytes(shipped), loaded_bytes(symbols));
    let allowed = (shipped.data.len() as f64 * TOLERANCE) as u64;
    ensure!(
        shipped.architecture()? == symbols.architecture()? && a.abs_diff(b) <= allowed,
        "{} ({a} bytes to load) and {} ({b} bytes to load) are not the same code",
        shipped.path.display(),
        symbols.path.display()
    );
    Ok(())
}

fn loaded_bytes(elf: &Elf) -> u64 {
    elf.segments.iter().filter(|segment| segment.is_loaded()).map(|segment| segment.memory_bytes).sum()
}

fn end_of_loaded(elf: &Elf) -> u64 {
    let loaded = elf.segments.iter().filter(|segment| segment.is_loaded());
    loaded.map(|segment| segment.offset.saturating_add(segment.file_bytes)).max().unwrap_or(0)
}

/// The section's name without the input section's that a linker may have kept: `.text.memcpy` is `.text`.
fn family(name: &str) -> &str {
    [".data.rel.ro", ".text", ".rodata", ".data", BSS]
        .into_iter()
        .find(|family| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        .unwrap_or(name)
}

fn loaded_sections<'data, 'file>(elf: &'file Elf<'data>) -> impl Iterator<Item = Section<'data, 'file>> {
    elf.file
        .sections()
        .filter(|section| matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(SHF_ALLOC)))
}

fn is_in_file(section: &Section) -> bool {
    !matches!(section.flags(), SectionFlags::Elf { sh_type: SHT_NOBITS, .. })
}

fn is_code(section: &Section) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(SHF_EXECINSTR))
}

/// A run of bytes of one section and the symbol that covers it, if any.
struct Span<'data> {
    symbol: Option<&'data str>,
    bytes: u64,
    is_code: bool,
}

/// Cuts a section into spans that cover each byte once.
fn spans<'data>(elf: &Elf<'data>, section: &Section) -> impl Iterator<Item = Span<'data>> {
    let (end, is_code) = (section.address().saturating_add(section.size()), is_code(section));
    let places = places(elf, section.index(), end, is_code);
    let mut spans = Vec::new();
    let mut at = section.address();
    for place in places {
        let start = place.start.clamp(at, end);
        let stop = place.end.clamp(start, end);
        spans.push(Span { symbol: None, bytes: start - at, is_code });
        spans.push(Span { symbol: Some(place.symbol), bytes: stop - start, is_code });
        at = stop;
    }
    spans.push(Span { symbol: None, bytes: end - at, is_code });
    spans.into_iter().filter(|span| span.bytes > 0)
}

/// A symbol and the addresses it covers.
struct Place<'data> {
    start: u64,
    end: u64,
    symbol: &'data str,
}

/// The symbols of a section by address. Of several at one address those with a size come first, and of these a
/// mangled one, since it names its crate. A label in code that carries no size, as hand-written assembly leaves it,
/// reaches up to the next symbol.
fn places<'data>(elf: &Elf<'data>, section: SectionIndex, end: u64, is_code: bool) -> Vec<Place<'data>> {
    let mut places: Vec<Place> = elf
        .file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section))
        .filter_map(|symbol| Place::of(&symbol))
        .collect();
    places.sort_by_key(|place| (place.start, place.is_empty(), try_demangle(place.symbol).is_err(), place.symbol));
    let starts: Vec<u64> = places.iter().map(|place| place.start).collect();
    for place in places.iter_mut().filter(|place| is_code && place.is_empty()) {
        let next = starts.partition_point(|&start| start <= place.start);
        place.end = starts.get(next).copied().unwrap_or(end);
    }
    places
}

impl<'data> Place<'data> {
    /// The place of an item of the program. Sections, files and the mapping symbols of Arm and RISC-V (`$a`, `$d`,
    /// `$x`) are none.
    fn of(symbol: &Symbol<'data, '_>) -> Option<Self> {
        let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
        let is_item = !matches!(symbol.kind(), SymbolKind::Section | SymbolKind::File);
        is_item.then(|| Place {
            start: symbol.address(),
            end: symbol.address().saturating_add(symbol.size()),
            symbol: name,
        })
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{Program, START};

    /// Two modules of ours, one foreign function, one constant with a name and one without, and some memory.
    const SOURCE: &str = r#"
        .macro item name, bytes, kind
        .type \name, @\kind
        \name: .skip \bytes
        .size \name, \bytes
        .endm
        .section .text.a, "ax"
        item _ZN8modstrap4boot3run17haa10cac73e15b9e4E, 100, function
        .section .text.b, "ax"
        item _ZN8modstrap4root10superblock5probe17h21f1d70466771ac6E, 30, function
        item _ZN8modstrap4root3nfs5mount17h21f1d70466771ac6E, 10, function
        item _ZN11miniz_oxide7inflate4core9init_tree17hf75cb5f12eaaced1E, 50, function
        .text
        label_without_size: .skip 8
        .section .rodata, "a"
        item _ZN8modstrap4boot5WORDS17haa10cac73e15b9e4E, 24, object
        .skip 40
        .bss
        item _ZN8modstrap3sys5STACK17haa10cac73e15b9e4E, 4096, object
    "#;

    fn measured(shipped: &str, symbols: &str) -> Result<Loader> {
        let shipped = Program::assembled(&format!("{START}{shipped}"), &["-s"]);
        let symbols = Program::assembled(&format!("{START}{symbols}"), &[]);
        shipped.with_elf(|shipped| symbols.with_elf(|symbols| Loader::measure(&shipped, &symbols)))
    }

    fn bytes<const N: usize>(pairs: [(&str, u64); N]) -> Bytes {
        pairs.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
    }

    #[test]
    fn bytes_go_to_the_module_and_crate_of_their_symbol() {
        let loader = measured(SOURCE, SOURCE).unwrap();
        assert_eq!(loader.modules, bytes([("boot", 124), ("root", 40), ("sys", 24)]));
        assert_eq!(loader.crates, bytes([("modstrap", 188), ("miniz_oxide", 50)]));
        assert_eq!(loader.other[CONSTANTS], 40);
        assert_eq!(loader.sections[BSS], 4096);
        assert_eq!(loader.sections[".rodata"], 64);
    }

    #[test]
    fn functions_are_largest_first_and_copies_are_one() {
        let copy = "\n.section .text.c, \"ax\"\nitem _ZN8modstrap4boot3run17h0123456789abcdefE, 7, function\n";
        let loader = measured(&format!("{SOURCE}{copy}"), &format!("{SOURCE}{copy}")).unwrap();
        let found = |function: &Function| (function.name.clone(), function.bytes, function.copies);
        let [first, second, ..] = &loader.functions[..] else { panic!("two functions") };
        assert_eq!(found(first), ("modstrap::boot::run".into(), 107, 2));
        assert_eq!((first.krate.as_str(), first.module.as_deref()), ("modstrap", Some("boot")));
        assert_eq!(found(second), ("miniz_oxide::inflate::core::init_tree".into(), 50, 1));
        assert_eq!((second.krate.as_str(), second.module.as_deref()), ("miniz_oxide", None));
    }

    #[test]
    fn everything_adds_up_to_the_file() {
        let loader = measured(SOURCE, SOURCE).unwrap();
        let of_functions = loader.functions.iter().map(|function| function.bytes);
        assert_eq!(of_functions.chain(loader.other.values().copied()).sum::<u64>(), loader.bytes);
        assert_eq!(loader.crates.values().chain(loader.other.values()).sum::<u64>(), loader.bytes);
        assert_eq!(loader.modules.values().sum::<u64>(), loader.crates["modstrap"]);
    }

    #[test]
    fn other_code_is_refused() {
        let error = measured(SOURCE, "").unwrap_err().to_string();
        assert!(error.contains("are not the same code"), "{error}");
    }

    #[test]
    fn file_without_symbols_is_refused() {
        let program = Program::assembled(START, &["-s"]);
        let error = program.with_elf(|elf| Loader::measure(&elf, &elf).unwrap_err().to_string());
        assert!(error.contains("has no symbol table"), "{error}");
    }

    #[test]
    fn one_address_is_counted_once() {
        let alias = "\n.globl bcmp\n.type bcmp, @function\n.set bcmp, _start\n.size bcmp, 16\n";
        let loader = measured(alias, alias).unwrap();
        assert_eq!(loader.crates, bytes([("modstrap", 16)]));
    }
}
