//! Kernel images as boot loaders take them: one layer of packing after the other taken off, and what their headers say.
//! Formats: Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst,
//! drivers/firmware/efi/libstub/zboot-header.S.

use std::borrow::Cow;
use std::ops::Range;

use super::{find_all, u16_at, u32_at};
use crate::compression::Format;

/// As many layers as an image may have: a compressed file around a self-extracting image around a compressed kernel.
const LAYERS: usize = 3;

/// The kernel proper: an ELF file, or the bytes as they lie in memory; the image itself where it is not packed, or by nothing
/// that can be undone.
pub fn unwrapped(image: &[u8]) -> Cow<'_, [u8]> {
    let mut content = Cow::Borrowed(image);
    for _ in 0..LAYERS {
        let Some(inner) = payload(&content) else { break };
        content = Cow::Owned(inner);
    }
    content
}

/// The release that the image states: in its header, else in the text that the kernel prints first.
pub(super) fn release(image: &[u8], content: &[u8]) -> Option<String> {
    bzimage_release(image).or_else(|| banner_release(content))
}

/// How many bytes an image lacks at its end, by what its header says of the packed kernel in it.
pub(super) fn lacking(image: &[u8]) -> Option<usize> {
    let payload = header_payload(image)?;
    payload.end.checked_sub(image.len()).filter(|&lacking| lacking > 0)
}

/// Where an image's header says that its packed kernel is.
fn header_payload(image: &[u8]) -> Option<Range<usize>> {
    bzimage_payload(image).or_else(|| zboot_payload(image))
}

/// The next layer of an image: what it holds in compressed form.
fn payload(image: &[u8]) -> Option<Vec<u8>> {
    if let Some(format) = Format::of(image) {
        return format.decompress(image).ok();
    }
    match header_payload(image).and_then(|range| image.get(range)) {
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
