//! The sections of a module: whose each of its bytes is, and what kind a section is of.
//!
//! Kinds are what people call sections: all that is run is `.text`, all relocations are `.rela`, and names that only
//! tell several of a kind apart are cut, so `.rodata.str1.1` is `.rodata`. What is no section is in parentheses.

use std::ops::Range;

use object::elf::{FileHeader32, FileHeader64, SHF_EXECINSTR, SHT_NOBITS, SHT_REL, SHT_RELA, SectionType};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, FileKind};

/// The ELF header.
pub const FILE_HEADER: &str = "(ELF header)";
/// The table of sections.
pub const HEADERS: &str = "(section headers)";
/// What follows the last section: who signed the module.
pub const SIGNATURE: &str = "(signature)";
/// What lies between sections, and what is no module.
pub const PADDING: &str = "(padding)";

/// Sections of which there are several with one beginning of their names.
const FAMILIES: [&str; 6] = [".rodata", ".data", ".orc_unwind", ".BTF", "__ksymtab", "__versions"];

/// Whose a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The file's header.
    FileHeader,
    /// The headers of sections.
    Headers,
    /// The section of this number.
    Section(usize),
    /// Nobody's, behind all sections.
    Behind,
    /// Nobody's, between sections.
    Between,
}

/// The sections of one module.
#[derive(Debug, Default)]
pub struct Sections {
    sections: Vec<Section>,
    file_header: Range<usize>,
    headers: Range<usize>,
}

#[derive(Debug)]
struct Section {
    kind: String,
    content: Range<usize>,
    info: usize,
}

impl Sections {
    /// Reads the section headers of a module; what is no ELF file has none.
    pub fn of(module: &[u8]) -> Sections {
        let sections = match FileKind::parse(module) {
            Ok(FileKind::Elf32) => read::<FileHeader32<Endianness>>(module),
            Ok(FileKind::Elf64) => read::<FileHeader64<Endianness>>(module),
            _ => return Sections::default(),
        };
        sections.unwrap_or_default()
    }

    /// The section that the relocations in this one apply to.
    pub fn target(&self, section: usize) -> usize {
        self.sections.get(section).map_or(section, |section| section.info)
    }

    /// Whose each of a module's `length` bytes is.
    pub fn owners(&self, length: usize) -> Vec<Owner> {
        let sections = self.sections.iter().enumerate();
        let places = sections.map(|(index, section)| (&section.content, Owner::Section(index)));
        let headers = [(&self.file_header, Owner::FileHeader), (&self.headers, Owner::Headers)];
        let mut owners = vec![Owner::Between; length];
        let mut end = 0;
        for (place, owner) in places.chain(headers) {
            let place = place.start.min(length)..place.end.min(length);
            end = end.max(place.end);
            owners[place].fill(owner);
        }
        // Without sections nothing is behind them.
        if end > 0 {
            owners[end..].fill(Owner::Behind);
        }
        owners
    }

    /// What kind an owner is of.
    pub fn kind(&self, owner: Owner) -> &str {
        match owner {
            Owner::FileHeader => FILE_HEADER,
            Owner::Headers => HEADERS,
            Owner::Section(index) => self.sections.get(index).map_or(PADDING, |section| &section.kind),
            Owner::Behind => SIGNATURE,
            Owner::Between => PADDING,
        }
    }
}

fn read<Elf: FileHeader<Endian = Endianness>>(module: &[u8]) -> object::Result<Sections> {
    let header = Elf::parse(module)?;
    let endian = header.endian()?;
    let table = header.sections(endian, module)?;
    let section = |section: &Elf::SectionHeader| {
        let name = table.section_name(endian, section).unwrap_or_default();
        let is_run = section.sh_flags(endian).contains(SHF_EXECINSTR);
        let start = section.sh_offset(endian).into() as usize;
        let has_bytes = section.sh_type(endian) != SHT_NOBITS;
        let length = if has_bytes { section.sh_size(endian).into() as usize } else { 0 };
        Section {
            kind: kind(&String::from_utf8_lossy(name), section.sh_type(endian), is_run).to_owned(),
            content: start..start.saturating_add(length),
            info: section.sh_info(endian) as usize,
        }
    };
    let headers = header.e_shoff(endian).into() as usize;
    let bytes = usize::from(header.e_shentsize(endian)) * table.len();
    Ok(Sections {
        sections: table.iter().map(section).collect(),
        file_header: 0..size_of::<Elf>(),
        headers: headers..headers.saturating_add(bytes),
    })
}

fn kind(name: &str, of: SectionType, is_run: bool) -> &str {
    if is_run {
        return ".text";
    }
    if matches!(of, SHT_RELA | SHT_REL) {
        return ".rela";
    }
    let is_of =
        |family: &&&str| name.strip_prefix(**family).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
    FAMILIES.iter().find(is_of).unwrap_or(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_what_people_call_sections() {
        let plain = |name| kind(name, object::elf::SHT_PROGBITS, false).to_owned();
        assert_eq!(kind(".init.text", object::elf::SHT_PROGBITS, true), ".text");
        assert_eq!(kind(".rela.init.text", SHT_RELA, false), ".rela");
        let names =
            [".rodata.str1.1", ".data..read_mostly", "__ksymtab_gpl", ".orc_unwind_ip", ".database", ".modinfo"];
        assert_eq!(names.map(plain), [".rodata", ".data", "__ksymtab", ".orc_unwind", ".database", ".modinfo"]);
    }

    #[test]
    fn what_is_no_elf_file_has_no_sections() {
        let sections = Sections::of(b"no module");
        assert!(sections.owners(9).iter().all(|&owner| sections.kind(owner) == PADDING));
    }
}
