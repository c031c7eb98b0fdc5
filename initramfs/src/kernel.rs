//! What a kernel image says of itself: its release, and the GNU build id that the running kernel shows in
//! /sys/kernel/notes. Formats: Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst,
//! drivers/firmware/efi/libstub/zboot-header.S.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use object::{BinaryFormat, Object};

use crate::compression::Format;

/// A kernel's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// Empty where the image holds none, or more than one that could be meant.
    pub build_id: Vec<u8>,
}

impl Kernel {
    /// Reads a kernel image: bzImage, Image, zImage, vmlinux, EFI zboot, each perhaps compressed.
    pub fn read(path: &Path) -> Result<Kernel> {
        let image = std::fs::read(path).with_context(|| format!("cannot read the kernel {}", path.display()))?;
        Self::parse(&image).with_context(|| {
            format!(
                "{}: no kernel release found; give a kernel image such as vmlinuz, Image or vmlinux",
                path.display()
            )
        })
    }

    fn parse(image: &[u8]) -> Option<Kernel> {
        let mut content = Cow::Borrowed(image);
        for _ in 0..3 {
            let Some(inner) = payload(&content) else { break };
            content = Cow::Owned(inner);
        }
        let release = bzimage_release(image).or_else(|| banner_release(&content))?;
        Some(Kernel { release, build_id: build_id(&content) })
    }
}

/// The next layer of an image: what it holds in compressed form.
fn payload(image: &[u8]) -> Option<Vec<u8>> {
    if let Some(format) = Format::of(image) {
        return format.decompress(image).ok();
    }
    if image.starts_with(b"\x7fELF") {
        return None;
    }
    let range = bzimage_payload(image).or_else(|| zboot_payload(image));
    match range.and_then(|range| image.get(range)) {
        Some(payload) => Format::of(payload)?.decompress(payload).ok(),
        None if banner_release(image).is_some() => None,
        None => embedded(image),
    }
}

/// Tries every place that looks like compressed data, as the kernel's scripts/extract-vmlinux does: for zImage and
/// other self-extracting images without a header that says where their payload is.
fn embedded(image: &[u8]) -> Option<Vec<u8>> {
    Format::ALL.iter().find_map(|(format, magic)| {
        let places = find_all(image, magic).skip_while(|&at| at == 0);
        places.filter_map(|at| format.decompress(&image[at..]).ok()).find(|inner| banner_release(inner).is_some())
    })
}

/// Where the x86 boot protocol's setup header begins to be this one.
const HEADER_MAGIC: Range<usize> = 0x202..0x206;

fn is_bzimage(image: &[u8]) -> bool {
    image.get(HEADER_MAGIC) == Some(b"HdrS")
}

/// `kernel_version`, at 0x20e: where the version text stands, less 0x200.
fn bzimage_release(image: &[u8]) -> Option<String> {
    let at = usize::from(u16_at(image, 0x20e)?);
    let text = image.get(at + 0x200..).filter(|_| is_bzimage(image) && at != 0)?;
    first_word(text)
}

/// `payload_offset` and `payload_length`, since protocol 2.08, behind the `setup_sects` sectors and the boot sector.
fn bzimage_payload(image: &[u8]) -> Option<Range<usize>> {
    let protocol = u16_at(image, 0x206).filter(|_| is_bzimage(image))?;
    let sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (sectors + 1) * 512 + u32_at(image, 0x248).filter(|_| protocol >= 0x208)?;
    Some(start..start.checked_add(u32_at(image, 0x24c)?)?)
}

fn zboot_payload(image: &[u8]) -> Option<Range<usize>> {
    let start = u32_at(image, 8).filter(|_| image.starts_with(b"MZ") && image.get(4..8) == Some(b"zimg"))?;
    Some(start..start.checked_add(u32_at(image, 12)?)?)
}

/// The release in the text that the kernel prints first (`linux_banner`). The same words also stand in front of a
/// format, so a digit must follow.
fn banner_release(image: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let mut texts = find_all(image, BANNER).map(|at| &image[at + BANNER.len()..]);
    texts.find(|text| text.first().is_some_and(u8::is_ascii_digit)).and_then(first_word)
}

fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().position(|byte| !byte.is_ascii_graphic())?;
    std::str::from_utf8(&text[..end]).ok().filter(|word| !word.is_empty()).map(str::to_string)
}

fn build_id(content: &[u8]) -> Vec<u8> {
    match object::File::parse(content) {
        Ok(file) if file.format() == BinaryFormat::Elf => file.build_id().ok().flatten().unwrap_or_default().to_vec(),
        // Also an image that firmware can start, and looks like a PE file for that.
        _ => note_in_raw_image(content),
    }
}

/// Searches a raw image for the note itself. The images of the vDSO, ELF files with notes of their own, are passed
/// over; where two notes are left, neither is taken.
fn note_in_raw_image(image: &[u8]) -> Vec<u8> {
    let inner: Vec<Range<usize>> = find_all(image, b"\x7fELF").filter_map(|at| elf_extent(image, at)).collect();
    let notes = find_all(image, b"\x03\0\0\0GNU\0").filter_map(|at| {
        let header = at.checked_sub(8)?;
        let length = u32_at(image, at - 4).filter(|length| (8..=64).contains(length))?;
        let outside = !inner.iter().any(|range| range.contains(&header));
        (outside && u32_at(image, header) == Some(4)).then(|| image.get(at + 8..at + 8 + length)).flatten()
    });
    let mut found: Vec<&[u8]> = notes.collect();
    found.dedup();
    if let [one] = found[..] { one.to_vec() } else { Vec::new() }
}

/// From where to where an ELF file within an image reaches: its section headers are the last of it.
fn elf_extent(image: &[u8], at: usize) -> Option<Range<usize>> {
    let field = |offset: usize, wide: bool| match wide {
        true => u32_at(image, at + offset),
        false => u16_at(image, at + offset).map(usize::from),
    };
    let (offset, size, count) = match image.get(at + 4)? {
        1 => (field(0x20, true)?, field(0x2e, false)?, field(0x30, false)?),
        2 => (field(0x28, true)?, field(0x3a, false)?, field(0x3c, false)?),
        _ => return None,
    };
    let end = at.checked_add(offset)?.checked_add(size * count)?;
    (end <= image.len()).then_some(at..end)
}

fn find_all<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(bytes, wanted)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const BANNER: &[u8] = b"Linux version %s (%s)\0Linux version 6.9.1-board (cc) #1\n\0";

    fn note(id: &[u8]) -> Vec<u8> {
        [&4_u32.to_le_bytes(), &(id.len() as u32).to_le_bytes(), b"\x03\0\0\0GNU\0".as_slice(), id].concat()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }

    fn expect(image: &[u8], build_id: &[u8]) {
        let kernel = Kernel::parse(image).expect("a release");
        assert_eq!((kernel.release.as_str(), kernel.build_id.as_slice()), ("6.9.1-board", build_id));
    }

    #[test]
    fn reads_a_raw_image_and_its_compressed_forms() {
        let image = [&[0x4d; 64], BANNER, &[0; 30], &note(&[7; 20])].concat();
        expect(&image, &[7; 20]);
        expect(&gzip(&image), &[7; 20]);
        let packed = gzip(&image);
        let zboot = [b"MZ\0\0zimg", &64_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &[0; 48], &packed];
        expect(&zboot.concat(), &[7; 20]);
        let self_extracting = [&[0x90; 1000], packed.as_slice(), &[1, 2, 3, 4]].concat();
        expect(&self_extracting, &[7; 20]);
    }

    #[test]
    fn reads_a_bzimage() {
        let payload = gzip(&[BANNER, &note(&[7; 20])].concat());
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&64_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image[0x300..0x313].copy_from_slice(b"6.9.1-board (cc) #1");
        image.extend([0; 64]);
        image.extend(&payload);
        expect(&image, &[7; 20]);
        // The release stands in the header even where the payload cannot be read.
        let cut = image.len() - payload.len() / 2;
        expect(&image[..cut], &[]);
    }

    #[test]
    fn passes_over_the_notes_of_embedded_elf_files() {
        let mut vdso = vec![0; 256];
        vdso[..6].copy_from_slice(b"\x7fELF\x02\x01");
        vdso[0x28..0x2c].copy_from_slice(&(192_u32).to_le_bytes());
        vdso[0x3a] = 64;
        vdso[0x3c] = 1;
        vdso[100..136].copy_from_slice(&note(&[9; 20]));
        let image = [BANNER, &vdso, &note(&[7; 20])].concat();
        expect(&image, &[7; 20]);
    }

    #[test]
    fn two_build_ids_are_none() {
        expect(&[BANNER, &note(&[1; 20]), &note(&[2; 20])].concat(), &[]);
    }

    #[test]
    fn something_else_is_no_kernel() {
        assert_eq!(Kernel::parse(b"#!/bin/sh\n"), None);
        assert_eq!(Kernel::parse(&[0; 4096]), None);
        assert_eq!(Kernel::parse(&gzip(b"text")), None);
    }
}
