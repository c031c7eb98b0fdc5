//! An ELF file as this crate reads it: its program headers, its architecture, and through `object` the rest.
//!
//! The file that ships has no section headers, so whatever is said about it is read from the program headers.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use object::elf::{FileHeader32, FileHeader64, PF_W, PF_X, PT_LOAD, ProgramFlags, ProgramType};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Architecture, Endianness, File, FileKind, Object};

/// A parsed ELF file.
pub struct Elf<'data> {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// All its bytes.
    pub data: &'data [u8],
    /// Sections and symbols, as far as it has any.
    pub file: File<'data>,
    /// All program headers, in the file's order.
    pub segments: Vec<Segment>,
    /// Bytes of the ELF header and the program headers.
    pub header_bytes: u64,
}

/// One program header (elf(5), `Elf64_Phdr`). Addresses and sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`
    pub kind: ProgramType,
    /// `p_flags`
    pub flags: ProgramFlags,
    /// `p_offset`
    pub offset: u64,
    /// `p_vaddr`
    pub address: u64,
    /// `p_filesz`
    pub file_bytes: u64,
    /// `p_memsz`
    pub memory_bytes: u64,
}

impl Segment {
    /// Whether the kernel maps it.
    pub fn is_loaded(&self) -> bool {
        self.kind == PT_LOAD
    }

    /// Whether what can be written there can also be executed.
    pub fn is_writable_code(&self) -> bool {
        self.flags.contains(PF_W) && self.flags.contains(PF_X)
    }
}

/// The bytes of a file, for [`Elf::parse`] to borrow.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl<'data> Elf<'data> {
    /// Parses an ELF file of any class and byte order; `path` is for messages.
    pub fn parse(path: &Path, data: &'data [u8]) -> Result<Self> {
        let not_elf = || format!("{} is not an ELF program", path.display());
        let (segments, header_bytes) = match FileKind::parse(data).with_context(not_elf)? {
            FileKind::Elf32 => program_headers::<FileHeader32<Endianness>>(data).with_context(not_elf)?,
            FileKind::Elf64 => program_headers::<FileHeader64<Endianness>>(data).with_context(not_elf)?,
            _ => bail!(not_elf()),
        };
        let file = File::parse(data).with_context(not_elf)?;
        Ok(Elf { path: path.to_owned(), data, file, segments, header_bytes })
    }

    /// The architecture under the name that Rust's targets give it.
    pub fn architecture(&self) -> Result<&'static str> {
        Ok(match self.file.architecture() {
            Architecture::Aarch64 => "aarch64",
            Architecture::Arm => "arm",
            Architecture::I386 => "x86",
            Architecture::Mips => "mips",
            Architecture::Mips64 => "mips64",
            Architecture::PowerPc64 => "powerpc64",
            Architecture::Riscv32 => "riscv32",
            Architecture::Riscv64 => "riscv64",
            Architecture::S390x => "s390x",
            Architecture::X86_64 => "x86_64",
            other => bail!("{} is for {other:?}, an architecture without a name here", self.path.display()),
        })
    }
}

fn program_headers<H: FileHeader<Endian = Endianness>>(data: &[u8]) -> object::Result<(Vec<Segment>, u64)> {
    let header = H::parse(data)?;
    let endian = header.endian()?;
    let headers = header.program_headers(endian, data)?;
    let segments = headers.iter().map(|segment| Segment {
        kind: segment.p_type(endian),
        flags: segment.p_flags(endian),
        offset: segment.p_offset(endian).into(),
        address: segment.p_vaddr(endian).into(),
        file_bytes: segment.p_filesz(endian).into(),
        memory_bytes: segment.p_memsz(endian).into(),
    });
    let bytes = u64::from(header.e_ehsize(endian)) + u64::from(header.e_phentsize(endian)) * headers.len() as u64;
    Ok((segments.collect(), bytes))
}
