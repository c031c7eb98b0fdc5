//! As much of ELF (elf(5)) as leads to one section: of either class, in either byte order.
//!
//! Nothing here can fail: what lies outside the file reads as 0, as an empty text.

/// A number in an ELF file: where it is in the narrow class and the wide one, and its size in both.
type Field = [u8; 4];

const SECTIONS: Field = [0x20, 0x28, 4, 8];
const SECTION_SIZE: Field = [0x2e, 0x3a, 2, 2];
const SECTION_COUNT: Field = [0x30, 0x3c, 2, 2];
const NAMES: Field = [0x32, 0x3e, 2, 2];

/// The numbers in the header of a section.
const NAME: Field = [0, 0, 4, 4];
const OFFSET: Field = [0x10, 0x18, 4, 8];
const SIZE: Field = [0x14, 0x20, 4, 8];

/// The content of the first section of this name, which ends in a NUL; empty where there is none, or the file is no ELF
/// file.
#[inline(never)]
pub fn section<'a>(file: &'a [u8], name: &[u8]) -> &'a [u8] {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = file else { return &[] };
    let elf = Elf { file, is_wide: *class == 2, is_big: *order == 2 };
    let [first, size, count, names] = [SECTIONS, SECTION_SIZE, SECTION_COUNT, NAMES].map(|field| elf.number(0, field));
    let header = |index: usize| first.wrapping_add(index * size);
    let names = elf.content(header(names));
    for index in 0..count {
        let found = names.get(elf.number(header(index), NAME)..).unwrap_or_default();
        if found.starts_with(name) {
            return elf.content(header(index));
        }
    }
    &[]
}

struct Elf<'a> {
    file: &'a [u8],
    is_wide: bool,
    is_big: bool,
}

impl<'a> Elf<'a> {
    /// A number of the record that begins at `start`.
    #[inline(never)]
    fn number(&self, start: usize, [narrow, wide, narrow_size, wide_size]: Field) -> usize {
        let (at, size) = if self.is_wide { (wide, wide_size) } else { (narrow, narrow_size) };
        let bytes = self.range(start.wrapping_add(usize::from(at)), usize::from(size));
        let number = bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        // Of a large number, only that it leads nowhere matters.
        (if self.is_big { number.swap_bytes() >> (64 - 8 * u32::from(size)) } else { number }) as usize
    }

    /// What the section has whose header begins at `start`.
    fn content(&self, start: usize) -> &'a [u8] {
        self.range(self.number(start, OFFSET), self.number(start, SIZE))
    }

    #[inline(never)]
    fn range(&self, start: usize, length: usize) -> &'a [u8] {
        self.file.get(start..).and_then(|rest| rest.get(..length)).unwrap_or_default()
    }
}
