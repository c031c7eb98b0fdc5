//! Tables: section headers, the symbol table, and the checksums of imported symbols.

use super::image::{Field, field};
use super::{Section, Streams, Walk, stream, unzigzag, zigzag};

/// What the value of a field is expected to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// Nothing.
    Zero,
    /// The reference to what follows the string that the last one refers to.
    Behind,
    /// The last one of the same section.
    Near,
    /// Where the last section ends: that of relocations if this has such, and else that of something else.
    Next,
}
use Expected::{Behind, Near, Next, Zero};

/// The fields of records, in the order of their streams.
type Fields = [(Field, Expected)];

/// Section headers: name, type, flags, address, size, link, info, alignment, size of a record, and the offset last; of
/// 32-bit objects and of 64-bit ones.
const HEADER: [[(Field, Expected); 10]; 2] = [
    [
        (field(0, 4), Zero),
        (field(4, 4), Zero),
        (field(8, 4), Zero),
        (field(12, 4), Zero),
        (field(20, 4), Zero),
        (field(24, 4), Zero),
        (field(28, 4), Zero),
        (field(32, 4), Zero),
        (field(36, 4), Zero),
        (field(16, 4), Next),
    ],
    [
        (field(0, 4), Zero),
        (field(4, 4), Zero),
        (field(8, 8), Zero),
        (field(16, 8), Zero),
        (field(32, 8), Zero),
        (field(40, 4), Zero),
        (field(44, 4), Zero),
        (field(48, 8), Zero),
        (field(56, 8), Zero),
        (field(24, 8), Next),
    ],
];
/// The name, among the fields of section headers.
pub const NAME: usize = 0;
/// The type.
pub const TYPE: usize = 1;
/// The flags.
pub const FLAGS: usize = 2;
const SIZE: usize = 4;
const LINK: usize = 5;
const INFO: usize = 6;
const ENTRY: usize = 8;
const OFFSET: usize = 9;

/// The flag of relocations (`SHF_INFO_LINK`).
const INFO_LINK: usize = 0x40;

/// Symbols: name; info, other and section as one; value; size.
const SYMBOL: [[(Field, Expected); 4]; 2] = [
    [(field(0, 4), Behind), (field(12, 4), Zero), (field(4, 4), Near), (field(8, 4), Zero)],
    [(field(0, 4), Behind), (field(4, 4), Zero), (field(8, 8), Near), (field(16, 8), Zero)],
];
/// The section of a symbol.
const HOME: [Field; 2] = [field(14, 2), field(6, 2)];

/// The size of a symbol and of a relocation with an addend in a 64-bit object.
pub const WIDE_ENTRY: usize = 24;

/// How many last values are remembered, by the lowest bits of what they belong to.
pub const LAST: usize = 256;

/// The size of a record of a symbol's checksum: a word, and a name that fills the rest.
pub const VERSION: usize = 64;

impl<S: Streams, const OWN: bool> Walk<'_, S, OWN> {
    /// The file header, the section headers, and what follows them.
    #[inline(never)]
    pub fn headers(&mut self) {
        // In a 32-bit object this is more than the header.
        self.copy(stream::HEAD, 0, 64);
        if !Self::IS_WIDE {
            let says = |at: usize| self.image.bytes.get(at) == Some(&2);
            (self.says_wide, self.image.says_big) = (says(4), says(5));
        }
        let (offset, count) = if self.wide() { (field(40, 8), field(60, 2)) } else { (field(32, 4), field(48, 2)) };
        self.headers = self.image.get(0, offset) as usize;
        self.count = usize::from(self.image.get(0, count) as u16);
        let end = self.header(self.count);
        self.columns(
            stream::HEAD,
            (self.headers, end, self.header(1).wrapping_sub(self.headers)),
            self.header_fields(),
        );
        // Behind the headers may be a signature.
        self.copy(stream::HEAD, end, self.image.bytes.len());
    }

    /// Where the header of a section is.
    fn header(&self, index: usize) -> usize {
        self.headers.wrapping_add(index.wrapping_mul(if self.wide() { 64 } else { 40 }))
    }

    /// The fields of section headers.
    fn header_fields(&self) -> &'static [(Field, Expected); 10] {
        &HEADER[usize::from(self.wide())]
    }

    /// A field in the header of a section.
    pub fn header_field(&self, index: usize, number: usize) -> i64 {
        self.image.get(self.header(index), self.header_fields()[number].0)
    }

    /// A section, its content cut to what the image has.
    #[inline(never)]
    pub fn section(&self, index: usize) -> Section {
        let [start, size, link, info] =
            [OFFSET, SIZE, LINK, INFO].map(|number| self.header_field(index, number) as usize);
        // A writer walks over no other tables in 64-bit objects.
        let entry = if Self::IS_WIDE { WIDE_ENTRY } else { self.header_field(index, ENTRY) as usize };
        let end = start.saturating_add(size).min(self.image.bytes.len());
        Section { start, end, link, info, entry: entry.max(1) }
    }

    /// The symbol table.
    #[inline(never)]
    pub(super) fn symbols(&mut self, section: Section, _parameter: usize) {
        self.strings = self.section(section.link).start;
        let records = (section.start, section.end, section.entry);
        self.columns(stream::SYMBOLS, records, &SYMBOL[usize::from(self.wide())]);
    }

    /// A table of records, given by where it begins, where it ends, and the size of a record: field by field.
    #[inline(never)]
    fn columns(&mut self, stream: usize, (start, end, entry): (usize, usize, usize), fields: &Fields) {
        for &(field, rule) in fields {
            // Values are told from the last one of the same home.
            let (home, mask) = match rule {
                Near => (HOME[usize::from(self.wide())], LAST - 1),
                Next => (fields[FLAGS].0, INFO_LINK),
                _ => (0, 0),
            };
            let mut last = [0; LAST];
            let mut at = start;
            while at < end {
                let of = if mask == 0 { 0 } else { self.image.get(at, home) as usize & mask };
                let last = &mut last[of & (LAST - 1)];
                let value = self.field(stream, at, field, *last);
                *last = match rule {
                    Zero => 0,
                    Behind if value == 0 => *last,
                    Behind => self.behind(self.strings, value),
                    Near => value,
                    Next => value.wrapping_add(self.image.get(at, fields[SIZE].0)),
                };
                at = at.wrapping_add(entry);
            }
        }
    }

    /// The reference to what follows the string at `reference`.
    #[inline(never)]
    pub(super) fn behind(&self, strings: usize, reference: i64) -> i64 {
        let length = self.image.string_length(strings.wrapping_add(reference as usize));
        reference.wrapping_add(length as i64 + 1)
    }

    /// Checksums of imported symbols, with names that are mostly in the order of the symbol table's.
    #[inline(never)]
    pub(super) fn versions(&mut self, section: Section, _parameter: usize) {
        let word = if self.wide() { 8 } else { 4 };
        let mut next = 0;
        let mut at = section.start;
        while at < section.end {
            let low = if self.image.big() { at + word - 4 } else { at };
            self.copy(stream::VERSIONS, low, low + 4);
            let (start, end) = (at + word, at + VERSION);
            // 0: the name is given. Else 1 and where it is among the names of symbols.
            let code = self.streams.number(stream::HEAD, || {
                self.image.find(self.strings, start, end).map_or(0, |found| 1 + zigzag(found as i64 - next))
            });
            at = end;
            if code == 0 {
                self.copy(stream::STRINGS, start, end);
                continue;
            }
            next = next.wrapping_add(unzigzag(code - 1));
            next = self.repeat(next, start, end);
        }
    }

    /// Repeats the string at a reference to those of symbols. The reference to what follows it.
    #[inline(never)]
    fn repeat(&mut self, mut reference: i64, start: usize, end: usize) -> i64 {
        for to in start..end {
            let byte = self.image.byte(self.strings.wrapping_add(reference as usize));
            reference = reference.wrapping_add(1);
            if byte == 0 {
                break;
            }
            self.image.set_byte(to, byte);
        }
        reference
    }
}
