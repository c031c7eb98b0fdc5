//! What a module takes and gives when it is linked: read from its own bytes, of any class and byte order.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, ensure};
use object::{Endianness, File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex};
use serde::{Deserialize, Serialize};

use super::signature::Signature;
use crate::kernel::exports::Export;
use crate::kernel::ksymtab::TABLES;

/// A module's side of linking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linkage {
    /// The symbols that it takes from others, in the order of its symbol table.
    pub imports: Vec<Import>,
    /// Whether it states versions of what it takes (`CONFIG_MODVERSIONS`).
    pub versioned: bool,
    /// The version of `module_layout`, which stands for the kernel's structures.
    pub layout: Option<u32>,
    /// The symbols that it gives to others.
    pub exports: Vec<(Box<str>, Export)>,
    /// The namespaces that it imports.
    pub namespaces: Vec<Box<str>>,
    /// Its licence, from the first `license` line.
    pub license: Option<Box<str>>,
    /// Its signature.
    pub signature: Signature,
    /// The size of its `struct module` in bytes.
    pub structure: u64,
    /// What no kernel would take, in words.
    pub flaws: Vec<String>,
}

/// A symbol that a module takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its name.
    pub name: Box<str>,
    /// It may be missing.
    pub weak: bool,
    /// The version that the module was built with.
    pub version: Option<u32>,
}

impl Linkage {
    /// Reads the module `file`, whose content is `bytes`.
    pub fn parse(file: &File, bytes: &[u8]) -> Result<Linkage> {
        let versions = versions(file)?;
        let mut linkage = Linkage {
            versioned: versions.is_some(),
            layout: versions.as_ref().and_then(|versions| versions.get("module_layout").copied()),
            exports: exports(file)?,
            signature: Signature::of(bytes),
            structure: file.section_by_name(".gnu.linkonce.this_module").map_or(0, |section| section.size()),
            ..Linkage::default()
        };
        linkage.read_symbols(file, &versions.unwrap_or_default())?;
        Ok(linkage)
    }

    /// What kernel/module/main.c (`simplify_symbols`) would look at.
    fn read_symbols(&mut self, file: &File, versions: &HashMap<&str, u32>) -> Result<()> {
        if file.symbol_table().is_none() {
            self.flaws.push("it has no symbol table; was it stripped?".into());
        }
        for symbol in file.symbols() {
            let name = symbol.name().context("its symbol names are damaged")?;
            if symbol.is_common() && !name.starts_with("__gnu_lto") {
                self.flaws.push("it has common symbols; it must be compiled with -fno-common".into());
            }
            if symbol.is_undefined() && !is_left_alone(file, name) {
                let name = own_name(file, name);
                let version = versions.get(name).copied();
                self.imports.push(Import { name: name.into(), weak: symbol.is_weak(), version });
            }
        }
        self.flaws.dedup();
        Ok(())
    }

    /// Whether its licence lets it use what is for the GPL only (include/linux/license.h).
    pub fn is_gpl_compatible(&self) -> bool {
        const COMPATIBLE: [&str; 6] =
            ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
        self.license.as_deref().is_some_and(|license| COMPATIBLE.contains(&license))
    }
}

/// Undefined symbols that the kernel does not look for: it fills them in itself (`ignore_undef_symbol`, and
/// arch/powerpc/kernel/module_64.c).
fn is_left_alone(file: &File, name: &str) -> bool {
    match file.architecture() {
        object::Architecture::I386 | object::Architecture::X86_64 => name == "_GLOBAL_OFFSET_TABLE_",
        object::Architecture::PowerPc64 => name == ".TOC." || name == "TOC.",
        _ => false,
    }
}

/// The name that the kernel looks for: the first ABI of 64-bit PowerPC puts a dot before that of a function.
fn own_name<'a>(file: &File, name: &'a str) -> &'a str {
    match file.architecture() {
        object::Architecture::PowerPc64 => name.strip_prefix('.').unwrap_or(name),
        _ => name,
    }
}

/// The versions of what the module takes: in `__versions`, records of 64 bytes (`struct modversion_info`); since 6.14
/// also, for names that are too long for those, in two sections side by side (kernel/module/version.c).
fn versions<'a>(file: &File<'a>) -> Result<Option<HashMap<&'a str, u32>>> {
    const RECORD: usize = 64;
    let mut versions = HashMap::new();
    let records = section(file, "__versions")?;
    for record in records.unwrap_or_default().chunks_exact(RECORD) {
        let width = if file.is_64() { 8 } else { 4 };
        let crc = number(record, width, file.endianness()).unwrap_or_default();
        versions.insert(own_name(file, text(&record[width..]).context("a name in __versions is damaged")?), crc as u32);
    }
    let crcs = section(file, "__version_ext_crcs")?;
    let mut names = section(file, "__version_ext_names")?.unwrap_or_default().split(|&byte| byte == 0);
    for crc in crcs.unwrap_or_default().chunks_exact(4) {
        let name = names.next().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.context("its sections __version_ext_crcs and __version_ext_names do not fit")?;
        versions.insert(own_name(file, name), number(crc, 4, file.endianness()).unwrap_or_default() as u32);
    }
    Ok((records.is_some() || crcs.is_some()).then_some(versions))
}

/// The tables of what the module gives (see [`crate::kernel::ksymtab`]). They are filled in when the module is linked,
/// so what they will point to is told by their relocations.
fn exports(file: &File) -> Result<Vec<(Box<str>, Export)>> {
    let mut exports = Vec::new();
    for (suffix, gpl_only) in TABLES {
        let table = format!("__ksymtab{suffix}");
        read_table(file, suffix, gpl_only, &mut exports).with_context(|| format!("its section {table} is damaged"))?;
    }
    Ok(exports)
}

fn read_table(file: &File, suffix: &str, gpl_only: bool, exports: &mut Vec<(Box<str>, Export)>) -> Result<()> {
    let Some(pointers) = Pointers::of(file, &format!("__ksymtab{suffix}"))? else { return Ok(()) };
    let strings = file.section_by_name("__ksymtab_strings").context("there is no __ksymtab_strings")?;
    let (strings, names) = (strings.index(), strings.data()?);
    let name_at = |place: u64| match pointers.targets.get(&place) {
        Some(Target { section: Some(section), address, .. }) if *section == strings => {
            text(names.get(usize::try_from(*address).ok()?..)?)
        }
        _ => None,
    };
    // Value, name and, since 5.4, namespace: the value alone points elsewhere.
    let values = pointers.targets.values().filter(|target| target.section != Some(strings)).count() as u64;
    ensure!(values > 0 && pointers.length.is_multiple_of(values), "it is not made of whole records");
    let size = pointers.length / values;
    let width = match size {
        12 | 24 => size / 3,
        8 | 16 => size / 2,
        _ => anyhow::bail!("its records have {size} bytes"),
    };
    let crcs = Pointers::of(file, &format!("__kcrctab{suffix}"))?;
    for index in 0..values {
        let at = index * size;
        let name = name_at(at + width).with_context(|| format!("record {index} has no name"))?;
        let namespace = name_at(at + 2 * width).filter(|text| size > 2 * width && !text.is_empty()).map(Into::into);
        let crc = crcs.as_ref().map(|crcs| crcs.crc(file, index, values)).transpose()?;
        exports.push((name.into(), Export { crc, gpl_only, namespace }));
    }
    Ok(())
}

/// A section of pointers or numbers, and where its relocations point.
struct Pointers<'a> {
    data: &'a [u8],
    length: u64,
    targets: BTreeMap<u64, Target>,
}

/// What a relocation refers to.
struct Target {
    /// None for an absolute or undefined symbol.
    section: Option<SectionIndex>,
    /// In the section, or the absolute symbol's value.
    address: u64,
}

impl<'a> Pointers<'a> {
    /// None where the section is not there, or empty.
    fn of(file: &File<'a>, name: &str) -> Result<Option<Pointers<'a>>> {
        let Some(section) = file.section_by_name(name).filter(|section| section.size() > 0) else { return Ok(None) };
        let data = section.data()?;
        let mut targets = BTreeMap::new();
        for (at, relocation) in section.relocations() {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { continue };
            let symbol = file.symbol_by_index(symbol).context("a relocation names no symbol")?;
            let in_place = || {
                let field = data.get(usize::try_from(at).ok()?..)?;
                number(field, 4, file.endianness()).map(|number| i64::from(number as u32 as i32))
            };
            let addend = match relocation.has_implicit_addend() {
                true => in_place().context("a relocation lies outside it")?,
                false => relocation.addend(),
            };
            let address = symbol.address().wrapping_add_signed(addend);
            targets.insert(at, Target { section: symbol.section_index(), address });
        }
        Ok(Some(Pointers { data, length: section.size(), targets }))
    }

    /// Checksum `index` of `count`. It stands in its place, or is the value of a symbol `__crc_NAME` (up to 5.18), or
    /// lies where that symbol does (`CONFIG_MODULE_REL_CRCS`).
    fn crc(&self, file: &File, index: u64, count: u64) -> Result<u32> {
        let width = self.length / count;
        ensure!(matches!(width, 4 | 8) && self.length == width * count, "there is not one checksum for each symbol");
        let at = index * width;
        let (data, at) = match self.targets.get(&at) {
            None => (self.data, at),
            Some(Target { section: None, address }) => return Ok(*address as u32),
            Some(Target { section: Some(section), address }) => (file.section_by_index(*section)?.data()?, *address),
        };
        let field = usize::try_from(at).ok().and_then(|at| data.get(at..));
        let width = if self.targets.is_empty() { width as usize } else { 4 };
        let crc = field.and_then(|field| number(field, width, file.endianness()));
        Ok(crc.context("a checksum lies outside the file")? as u32)
    }
}

fn section<'a>(file: &File<'a>, name: &str) -> Result<Option<&'a [u8]>> {
    file.section_by_name(name).map(|section| Ok(section.data()?)).transpose()
}

/// The text at the beginning of `bytes`, up to its NUL.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(&bytes[..memchr::memchr(0, bytes)?]).ok()
}

/// The number of 4 or 8 bytes at the beginning of `bytes`.
fn number(bytes: &[u8], width: usize, endianness: Endianness) -> Option<u64> {
    Some(match (width, endianness) {
        (8, Endianness::Little) => u64::from_le_bytes(*bytes.first_chunk()?),
        (8, Endianness::Big) => u64::from_be_bytes(*bytes.first_chunk()?),
        (_, Endianness::Little) => u32::from_le_bytes(*bytes.first_chunk()?).into(),
        (_, Endianness::Big) => u32::from_be_bytes(*bytes.first_chunk()?).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf;
    use object::write::{Object as Writer, Relocation, StandardSection, Symbol, SymbolSection};
    use object::{Architecture, BinaryFormat, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

    /// A module with pointers as wide as the machine's, as where `CONFIG_HAVE_ARCH_PREL32_RELOCATIONS` is not set: it
    /// exports `own`, of the namespace `SPACE`, and takes `other`.
    fn module(
        architecture: Architecture,
        endianness: Endianness,
        pointer: elf::RelocationType,
        crc_symbol: bool,
    ) -> Vec<u8> {
        let wide = matches!(architecture, Architecture::Riscv64 | Architecture::S390x);
        let width = if wide { 8 } else { 4 };
        let number = |value: u64| match (wide, endianness) {
            (true, Endianness::Big) => value.to_be_bytes().to_vec(),
            (true, Endianness::Little) => value.to_le_bytes().to_vec(),
            (false, Endianness::Big) => (value as u32).to_be_bytes().to_vec(),
            (false, Endianness::Little) => (value as u32).to_le_bytes().to_vec(),
        };
        let mut object = Writer::new(BinaryFormat::Elf, architecture, endianness);
        let symbol = |name: &str, section: SymbolSection, value: u64| Symbol {
            name: name.into(),
            value,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Linkage,
            weak: false,
            section,
            flags: SymbolFlags::None,
        };
        let mut section = |name: &str, content: &[u8]| {
            let id = object.add_section(Vec::new(), name.into(), SectionKind::ReadOnlyData);
            object.append_section_data(id, content, 8);
            id
        };
        let strings = section("__ksymtab_strings", b"own\0SPACE\0");
        let table = section("__ksymtab", &vec![0; 3 * width]);
        let crc = match endianness {
            Endianness::Big => 0x1234_5678_u32.to_be_bytes(),
            Endianness::Little => 0x1234_5678_u32.to_le_bytes(),
        };
        let crcs = section("__kcrctab", if crc_symbol { &[0; 4] } else { &crc });
        let version = [number(0xdead_beef), b"other".to_vec()].concat();
        section("__versions", &[version.clone(), vec![0; 64 - version.len()]].concat());
        let text = object.section_id(StandardSection::Text);
        let own = object.add_symbol(symbol("own", SymbolSection::Section(text), 0));
        let name = object.add_symbol(symbol("__kstrtab_own", SymbolSection::Section(strings), 0));
        let namespace = object.add_symbol(symbol("__kstrtabns_own", SymbolSection::Section(strings), 4));
        object.add_symbol(symbol("other", SymbolSection::Undefined, 0));
        for (place, symbol) in (0..).zip([own, name, namespace]) {
            let flags = RelocationFlags::Elf { r_type: pointer };
            let offset = place * width as u64;
            object.add_relocation(table, Relocation { offset, symbol, addend: 0, flags }).unwrap();
        }
        if crc_symbol {
            let symbol = object.add_symbol(symbol("__crc_own", SymbolSection::Absolute, 0x1234_5678));
            let flags = RelocationFlags::Elf { r_type: pointer };
            object.add_relocation(crcs, Relocation { offset: 0, symbol, addend: 0, flags }).unwrap();
        }
        object.write().unwrap()
    }

    #[test]
    fn reads_modules_of_every_width_and_byte_order() {
        let machines = [
            (Architecture::Arm, Endianness::Little, elf::R_ARM_ABS32),
            (Architecture::Mips, Endianness::Big, elf::R_MIPS_32),
            (Architecture::Riscv64, Endianness::Little, elf::R_RISCV_64),
            (Architecture::S390x, Endianness::Big, elf::R_390_64),
        ];
        for (architecture, endianness, pointer) in machines {
            for crc_symbol in [false, true] {
                let bytes = module(architecture, endianness, pointer, crc_symbol);
                let linkage = Linkage::parse(&File::parse(&*bytes).unwrap(), &bytes).unwrap();
                let export = Export { crc: Some(0x1234_5678), gpl_only: false, namespace: Some("SPACE".into()) };
                assert_eq!(linkage.exports, [("own".into(), export)], "{architecture:?}");
                let import = Import { name: "other".into(), weak: false, version: Some(0xdead_beef) };
                assert_eq!(linkage.imports, [import], "{architecture:?}");
            }
        }
    }
}
