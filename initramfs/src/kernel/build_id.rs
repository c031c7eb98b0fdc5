//! The GNU build id of a kernel, which the running kernel shows in /sys/kernel/notes.

use std::ops::Range;

use object::{BinaryFormat, Object};

use super::{find_all, u16_at, u32_at};

/// The build id of an unwrapped kernel; empty where it holds none, or more than one that could be meant.
pub(super) fn build_id(content: &[u8]) -> Vec<u8> {
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
