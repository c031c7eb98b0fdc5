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

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = b"license=GPL\0name=test\0";

    /// An ELF file with a table of names and .modinfo behind each other, in either class and byte order.
    fn file(is_wide: bool, is_big: bool) -> Vec<u8> {
        const STRINGS: &[u8] = b"\0.shstrtab\0.modinfo\0";
        let header = if is_wide { 64 } else { 52 };
        let entry = if is_wide { 64 } else { 40 };
        let (strings, info) = (header, header + STRINGS.len());
        let sections = info + INFO.len();
        let mut file = vec![0; sections + 3 * entry];
        file[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(is_wide), 1 + u8::from(is_big)]);
        file[strings..info].copy_from_slice(STRINGS);
        file[info..sections].copy_from_slice(INFO);
        let mut put = |start: usize, [narrow, wide, narrow_size, wide_size]: Field, number: usize| {
            let (at, size) = if is_wide { (wide, wide_size) } else { (narrow, narrow_size) };
            let (at, size) = (start + usize::from(at), usize::from(size));
            let bytes = (number as u64).to_le_bytes();
            let bytes: Vec<u8> =
                if is_big { bytes[..size].iter().rev().copied().collect() } else { bytes[..size].to_vec() };
            file[at..at + size].copy_from_slice(&bytes);
        };
        put(0, SECTIONS, sections);
        put(0, SECTION_SIZE, entry);
        put(0, SECTION_COUNT, 3);
        put(0, NAMES, 1);
        for (number, name, offset, size) in [(1, 1, strings, STRINGS.len()), (2, 11, info, INFO.len())] {
            put(sections + number * entry, NAME, name);
            put(sections + number * entry, OFFSET, offset);
            put(sections + number * entry, SIZE, size);
        }
        file
    }

    fn all_kinds() -> impl Iterator<Item = Vec<u8>> {
        [(false, false), (false, true), (true, false), (true, true)].into_iter().map(|(wide, big)| file(wide, big))
    }

    #[test]
    fn finds_a_section_in_every_class_and_byte_order() {
        for file in all_kinds() {
            assert_eq!(section(&file, b".modinfo\0"), INFO);
            assert_eq!(section(&file, b".modinf\0"), b"");
            assert_eq!(section(&file, b".text\0"), b"");
        }
    }

    #[test]
    fn reads_what_a_compiler_made() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(section(&program, b".shstrtab\0").windows(6).any(|bytes| bytes == b".text\0"));
    }

    #[test]
    fn survives_every_cut() {
        for file in all_kinds() {
            for length in 0..file.len() {
                assert!(section(&file[..length], b".modinfo\0").len() <= length);
            }
        }
    }

    #[test]
    fn survives_every_change() {
        for file in all_kinds() {
            for at in 0..file.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = file.clone();
                    changed[at] = value;
                    section(&changed, b".modinfo\0");
                }
            }
        }
    }

    #[test]
    fn survives_noise_behind_a_header() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for mut file in all_kinds() {
            for _ in 0..100 {
                for byte in file.iter_mut().skip(6) {
                    state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    *byte = (state >> 56) as u8;
                }
                section(&file, b".modinfo\0");
            }
        }
    }
}
