//! The loader of an image: the one that is part of this program, or the user's; whether it can run there; and packing it,
//! by which it becomes half as large (see [`modstrap::packed`]).

use std::mem::offset_of;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use libdeflater::CompressionLvl;
use modstrap::module::PADDING;
use modstrap::packed::{ALIGNMENT, Header, branches};
use modstrap::table::fold;
use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::archive::Archive;
use crate::files;
use crate::module::Machine;
use crate::pack::deflate;
use crate::tree::Tree;

/// The loader for the machine that the builder runs on, made by build.rs.
static LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
/// The same with all that roots on a network take.
static NETWORK_LOADER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init-network"));
/// What unpacks either.
static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));

/// The largest page that programs are linked for here.
const PAGE: u64 = 4096;

/// A loader to put into an image.
pub struct Loader {
    /// The program, as it was linked.
    bytes: Vec<u8>,
    /// What errors call it.
    name: String,
}

impl Loader {
    /// The user's.
    pub fn read(path: &Path) -> Result<Loader> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read the loader {}", path.display()))?;
        Ok(Loader { bytes, name: format!("the loader {}", path.display()) })
    }

    /// The one in this program, with network or without.
    pub fn built_in(with_network: bool) -> Loader {
        let bytes = if with_network { NETWORK_LOADER } else { LOADER };
        Loader { bytes: bytes.to_vec(), name: "the loader in this program".into() }
    }

    /// Refuses one for another machine than the modules', which could not run, or not load them, and unless `force` is set
    /// one that needs a dynamic linker which is not among the user's files.
    pub fn check(&self, archive: &Archive, tree: &Tree, force: bool) -> Result<()> {
        let name = &self.name;
        let machine = Machine::of(&self.bytes).with_context(|| format!("{name} is no ELF program"))?;
        if let Some(module) = tree.modules.first() {
            ensure!(
                machine == module.machine,
                "{name} is for {machine}, but the modules are for {}; give a loader for that with --loader",
                module.machine
            );
        }
        match files::missing_interpreter(&self.bytes, archive) {
            Some(interpreter) if !force => bail!(
                "{name} cannot start: it is no static program, and the image has no {interpreter} (--file adds it, --force \
                 makes the image all the same)"
            ),
            _ => Ok(()),
        }
    }

    /// The program's file, packed if that is wanted and possible.
    pub fn into_file(self, is_packed: bool) -> Result<Vec<u8>> {
        let packed = if is_packed { packed(&self.bytes)? } else { None };
        Ok(packed.unwrap_or(self.bytes))
    }
}

/// A program that unpacks this one and becomes it; none where this is not one that the stub can unpack.
pub fn packed(program: &[u8]) -> Result<Option<Vec<u8>>> {
    let (Some(segment), Some(stub)) = (Segment::only(program), Segment::only(STUB)) else { return Ok(None) };
    if Machine::of(program) != Machine::of(STUB) || segment.end() > stub.address {
        return Ok(None);
    }
    let image = segment.of(program);
    let mut changed = image.to_vec();
    branches::to_absolute(&mut changed);
    let mut stream = deflate(&changed, CompressionLvl::best()).context("the loader")?;
    stream.extend([0; PADDING]);
    let header =
        Header { address: segment.address, length: segment.length, packed: stream.len() as u64, checksum: fold(image) };
    let mut unpacked = vec![0; image.len()];
    ensure!(header.unpack(&stream, &mut unpacked).is_ok(), "the loader would not unpack to what it was");
    let mut file = stub.of(STUB).to_vec();
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(header.to_bytes());
    file.extend(stream);
    stub.set_length(&mut file);
    Ok(Some(file))
}

/// The one part of a program's file that is mapped: all of it, from the first byte on, to be read and run.
struct Segment {
    address: u64,
    length: u64,
    /// Where its program header is in the file.
    header: usize,
}

impl Segment {
    /// The segment of a program that has just this one.
    fn only(program: &[u8]) -> Option<Segment> {
        let file = FileHeader64::<Endianness>::parse(program).ok()?;
        let endian = file.endian().ok()?;
        let headers = file.program_headers(endian, program).ok()?;
        let is_loaded = |header: &ProgramHeader64<Endianness>| header.p_type(endian) == elf::PT_LOAD;
        let mut loaded =
            headers.iter().enumerate().filter(|(_, header)| is_loaded(header) && header.p_memsz(endian) > 0);
        let (index, header) = loaded.next().filter(|_| loaded.next().is_none())?;
        let segment = Segment {
            address: header.p_vaddr(endian),
            length: header.p_filesz(endian),
            header: file.e_phoff(endian) as usize + index * size_of::<ProgramHeader64<Endianness>>(),
        };
        let is_whole = header.p_offset(endian) == 0
            && header.p_memsz(endian) == segment.length
            && header.p_flags(endian) == elf::PF_R | elf::PF_X
            && segment.address.is_multiple_of(PAGE)
            && segment.length <= program.len() as u64;
        is_whole.then_some(segment)
    }

    /// The address behind its last page.
    fn end(&self) -> u64 {
        self.address.saturating_add(self.length).saturating_add(PAGE)
    }

    /// Its bytes, in the file.
    fn of<'a>(&self, program: &'a [u8]) -> &'a [u8] {
        &program[..self.length as usize]
    }

    /// Makes it as long as the file, in that file.
    fn set_length(&self, file: &mut [u8]) {
        let length = (file.len() as u64).to_ne_bytes();
        for field in
            [offset_of!(ProgramHeader64<Endianness>, p_filesz), offset_of!(ProgramHeader64<Endianness>, p_memsz)]
        {
            file[self.header + field..][..length.len()].copy_from_slice(&length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loaders_are_packed_to_less_than_two_thirds() {
        for loader in [LOADER, NETWORK_LOADER] {
            let packed = packed(loader).unwrap().expect("the loader is of one segment");
            assert!(packed.len() * 3 < loader.len() * 2, "{} of {}", packed.len(), loader.len());
            assert_eq!(Segment::only(&packed).unwrap().length, packed.len() as u64);
        }
    }

    #[test]
    fn a_damaged_stream_is_told_from_the_loader() {
        let packed = packed(LOADER).unwrap().unwrap();
        let begin = Segment::only(STUB).unwrap().length.next_multiple_of(ALIGNMENT as u64) as usize;
        let (header, stream) = packed[begin..].split_first_chunk().unwrap();
        let header = Header::parse(header);
        let mut program = vec![0; header.length as usize];
        assert!(header.unpack(stream, &mut program).is_ok() && program == LOADER[..program.len()]);
        for at in (0..stream.len() - PADDING).step_by(97) {
            let mut damaged = stream.to_vec();
            damaged[at] ^= 0x10;
            assert!(header.unpack(&damaged, &mut program).is_err(), "byte {at}");
            assert!(header.unpack(&damaged[..at], &mut program).is_err(), "cut off at {at}");
        }
    }

    #[test]
    fn what_the_stub_cannot_unpack_stays_as_it_is() {
        assert_eq!(packed(b"#!/bin/sh").unwrap(), None);
        // This one is made for another place, and of several segments.
        assert_eq!(packed(&std::fs::read("/proc/self/exe").unwrap()).unwrap(), None);
        // The stub itself belongs where the stub is.
        assert_eq!(packed(STUB).unwrap(), None);
    }
}
