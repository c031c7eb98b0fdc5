//! The loader of an image: the one that is part of this program, or the user's; whether it can run there; and packing it,
//! by which it loses two fifths of its size (see [`modstrap::packed`]).

use std::mem::offset_of;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use libdeflater::CompressionLvl;
use memchr::memmem;
use modstrap::module::PADDING;
use modstrap::packed::{ALIGNMENT, COMPLAINT, Header, branches};
use modstrap::table::fold;
use object::elf::{self, FileHeader32, FileHeader64, ProgramHeader32, ProgramHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

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
pub static STUB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/stub"));

/// What programs of one segment are aligned to.
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

    /// The program's file, packed if that is wanted and possible: by the user's stub, or the one in this program.
    pub fn into_file(self, is_packed: bool, stub: Option<&Path>) -> Result<Vec<u8>> {
        let packed = match stub {
            _ if !is_packed => None,
            None => packed(&self.bytes, STUB)?,
            Some(path) => {
                let stub = std::fs::read(path).with_context(|| format!("cannot read the stub {}", path.display()))?;
                let refusal = || format!("{} is no stub for {}: build both for one machine", path.display(), self.name);
                Some(packed(&self.bytes, &stub)?.with_context(refusal)?)
            }
        };
        Ok(packed.unwrap_or(self.bytes))
    }
}

/// A program that unpacks this one and becomes it; none where this is not one that the stub can unpack.
pub fn packed(program: &[u8], stub: &[u8]) -> Result<Option<Vec<u8>>> {
    let (Some(segment), Some(own)) = (Segment::only(program), Segment::only(stub)) else { return Ok(None) };
    let is_stub = memmem::find(stub, COMPLAINT).is_some();
    if !is_stub || Machine::of(program) != Machine::of(stub) || segment.end() > own.address {
        return Ok(None);
    }
    let image = segment.of(program);
    let mut changed = image.to_vec();
    if segment.is_x86 {
        branches::to_absolute(&mut changed);
    }
    let mut stream = deflate(&changed, CompressionLvl::best()).context("the loader")?;
    stream.extend([0; PADDING]);
    let header =
        Header { address: segment.address, length: segment.length, packed: stream.len() as u64, checksum: fold(image) };
    let mut unpacked = vec![0; image.len()];
    let is_sound = header.unpack(&stream, &mut unpacked, segment.is_x86).is_ok();
    ensure!(is_sound, "the loader would not unpack to what it was");
    let mut file = own.of(stub).to_vec();
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(header.to_bytes());
    file.extend(stream);
    own.set_length(&mut file);
    Ok(Some(file))
}

/// The one part of a program's file that is mapped: all of it, from the first byte on, to be read and run.
struct Segment {
    address: u64,
    length: u64,
    is_x86: bool,
    /// Where in the file its program header has its length, there and in memory, and in how many bytes.
    lengths: [usize; 2],
    width: usize,
}

impl Segment {
    /// The segment of a program that has just this one.
    fn only(program: &[u8]) -> Option<Segment> {
        match FileKind::parse(program).ok()? {
            FileKind::Elf32 => {
                type Header = ProgramHeader32<Endianness>;
                Self::read::<FileHeader32<Endianness>>(
                    program,
                    [offset_of!(Header, p_filesz), offset_of!(Header, p_memsz)],
                )
            }
            FileKind::Elf64 => {
                type Header = ProgramHeader64<Endianness>;
                Self::read::<FileHeader64<Endianness>>(
                    program,
                    [offset_of!(Header, p_filesz), offset_of!(Header, p_memsz)],
                )
            }
            _ => None,
        }
    }

    fn read<Elf: FileHeader<Endian = Endianness>>(program: &[u8], lengths: [usize; 2]) -> Option<Segment> {
        let file = Elf::parse(program).ok()?;
        // Numbers in the packed form are those of this machine.
        let endian = file.endian().ok().filter(|endian| *endian == Endianness::default())?;
        let headers = file.program_headers(endian, program).ok()?;
        let is_mapped =
            |header: &Elf::ProgramHeader| header.p_type(endian) == elf::PT_LOAD && header.p_memsz(endian).into() > 0;
        let mut mapped = headers.iter().enumerate().filter(|(_, header)| is_mapped(header));
        let (index, header) = mapped.next().filter(|_| mapped.next().is_none())?;
        let place = usize::try_from(file.e_phoff(endian).into()).ok()? + index * size_of::<Elf::ProgramHeader>();
        let segment = Segment {
            address: header.p_vaddr(endian).into(),
            length: header.p_filesz(endian).into(),
            is_x86: file.e_machine(endian) == elf::EM_X86_64,
            lengths: lengths.map(|field| place + field),
            width: size_of::<Elf::Word>(),
        };
        let is_whole = header.p_offset(endian).into() == 0
            && header.p_memsz(endian).into() == segment.length
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
        let length = file.len() as u64;
        for place in self.lengths {
            match self.width {
                4 => file[place..][..4].copy_from_slice(&(length as u32).to_ne_bytes()),
                _ => file[place..][..8].copy_from_slice(&length.to_ne_bytes()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_loaders_are_packed_to_less_than_two_thirds() {
        for loader in [LOADER, NETWORK_LOADER] {
            let packed = packed(loader, STUB).unwrap().expect("the loader is of one segment");
            assert!(packed.len() * 3 < loader.len() * 2, "{} of {}", packed.len(), loader.len());
            assert_eq!(Segment::only(&packed).unwrap().length, packed.len() as u64);
        }
    }

    #[test]
    fn a_damaged_stream_is_told_from_the_loader() {
        let packed = packed(LOADER, STUB).unwrap().unwrap();
        let begin = Segment::only(STUB).unwrap().length.next_multiple_of(ALIGNMENT as u64) as usize;
        let (header, stream) = packed[begin..].split_first_chunk().unwrap();
        let header = Header::parse(header);
        let mut program = vec![0; header.length as usize];
        assert!(header.unpack(stream, &mut program, true).is_ok() && program == LOADER[..program.len()]);
        for at in (0..stream.len() - PADDING).step_by(97) {
            let mut damaged = stream.to_vec();
            damaged[at] ^= 0x10;
            // Another way to say the same is no damage.
            let is_refused = header.unpack(&damaged, &mut program, true).is_err();
            assert!(is_refused || program == LOADER[..program.len()], "byte {at}");
            assert!(header.unpack(&damaged[..at], &mut program, true).is_err(), "cut off at {at}");
        }
    }

    #[test]
    fn what_the_stub_cannot_unpack_stays_as_it_is() {
        assert_eq!(packed(b"#!/bin/sh", STUB).unwrap(), None);
        // This one is made for another place, and of several segments.
        assert_eq!(packed(&std::fs::read("/proc/self/exe").unwrap(), STUB).unwrap(), None);
        assert_eq!(packed(LOADER, LOADER).unwrap(), None);
        // The stub itself belongs where the stub is.
        assert_eq!(packed(STUB, STUB).unwrap(), None);
    }
}
