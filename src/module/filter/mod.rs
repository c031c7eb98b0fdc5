//! The filter between a module and DEFLATE: an ELF object taken apart into streams of like things, losslessly.
//!
//! One walk goes over a module's parts and moves them between the module's image and the streams. The loader walks with
//! a [`Reader`], which takes from the streams and fills the image; the builder walks over the full image with a writer
//! of its own. So there is one description of the format, this one, and no second that could differ from it.
//!
//! What the walk knows makes the streams small: where the next section, string or address is expected to be, and which
//! fields are zero because a relocation fills them. What it expects need not be so: a stream tells the difference. The
//! builder chooses a [`Method`] for each section, and copies one that is not what another method expects, so every file
//! comes back byte for byte.
//!
//! No bytes are trusted. What lies outside the image reads as zero and is not written. Each step takes something from a
//! stream, and the walk ends at the first section that finds one used up, so its time is bounded by the two lengths.

pub mod image;
pub mod reader;
mod relocations;
pub mod tables;

use super::inflate::Corrupt;
use image::{Field, Image};
use reader::Reader;

/// The streams, in the order in which they are packed: like beside like, since DEFLATE looks back 32 KiB.
pub mod stream {
    /// File and section headers, and what has no better place.
    pub const HEAD: usize = 0;
    /// The [`Method`](super::Method) of each section, a byte.
    pub const METHOD: usize = 1;
    /// Sections that are copied: this stream and the next one.
    pub const PLAIN: usize = 2;
    /// Names that versions do not share with symbols.
    pub const STRINGS: usize = 4;
    /// The symbol table, field by field.
    pub const SYMBOLS: usize = 5;
    /// Checksums of imported symbols.
    pub const VERSIONS: usize = 6;
    /// Relocations, six streams.
    pub const RELOCATIONS: usize = 7;
    /// How many streams there are.
    pub const COUNT: usize = RELOCATIONS + 6;
}

/// How the content of a section is coded. A method byte is one of these and, above its lowest three bits, a parameter.
/// Sections are walked method after method, since later ones lean on what earlier ones bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// There is no content, or it comes along with the relocations.
    Nothing = 0,
    /// As it is, in the plain stream of that number.
    Copy = 1,
    /// Relocations, and what they apply to. The parameter is how many words of 4 bytes each of them fills, which are zero
    /// here; 0 if what they apply to is walked by itself.
    Relocations = 2,
    /// The symbol table.
    Symbols = 3,
    /// The checksums of imported symbols.
    Versions = 4,
}

impl Method {
    /// The method byte.
    pub const fn with(self, parameter: u8) -> u8 {
        self as u8 | parameter << 3
    }
}

/// Where streams come from, or go to.
pub trait Streams {
    /// The next number of a stream: taken from it, or asked from `plain` and put there.
    fn number(&mut self, stream: usize, plain: impl FnOnce() -> u64) -> u64;

    /// The next bytes of a stream: taken from it into `place`, or put there from `place`.
    fn bytes(&mut self, stream: usize, place: &mut [u8]);

    /// The method byte of a section.
    fn method(&self, section: usize) -> u8;

    /// Whether something was to be taken from a stream that has ended.
    fn is_short(&self) -> bool;
}

/// Puts a module together from its streams; it fills `image`, which is zero.
/// See [`Walk`] for `OWN`.
#[inline(never)]
pub fn unfilter<const OWN: bool>(packed: &[u8], image: &mut [u8]) -> Result<(), Corrupt> {
    let mut streams = Reader::new(packed);
    streams.open();
    Walk::<_, OWN>::new(image, &mut streams).object();
    if streams.is_short() { Err(Corrupt) } else { Ok(()) }
}

/// A walk over a module; with `OWN` over one that a kernel can load which runs this program: it has the byte order of the
/// program, and 64 bits if the program has. What cannot be is then not compiled in.
// In this order the compiler reaches most fields with short instructions.
#[repr(C)]
pub struct Walk<'a, S, const OWN: bool> {
    /// The module's image.
    pub image: Image<'a, OWN>,
    /// It says that it is a 64-bit object.
    says_wide: bool,
    /// Where its section headers are.
    headers: usize,
    /// How many there are.
    pub count: usize,
    /// Where the names of symbols are.
    strings: usize,
    /// The streams.
    pub streams: &'a mut S,
}

/// A section: its content, and what else of its header matters.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Where the content begins.
    pub start: usize,
    /// Where it ends, within the image.
    pub end: usize,
    /// The section it refers to.
    pub link: usize,
    /// The section that its relocations apply to.
    pub info: usize,
    /// The size of its records, at least 1.
    pub entry: usize,
}

impl<'a, S: Streams, const OWN: bool> Walk<'a, S, OWN> {
    /// A walk that has not begun.
    pub fn new(image: &'a mut [u8], streams: &'a mut S) -> Self {
        let image = Image { bytes: image, says_big: false };
        Walk { image, streams, says_wide: false, headers: 0, count: 0, strings: 0 }
    }

    /// It is a 64-bit object.
    #[inline(always)]
    pub fn wide(&self) -> bool {
        Self::IS_WIDE || self.says_wide
    }

    /// It is known to be one.
    const IS_WIDE: bool = OWN && cfg!(target_pointer_width = "64");

    /// How the content of a section is walked, by [`Method`].
    const CONTENT: [fn(&mut Self, Section, usize); 4] = [Self::plain, Self::relocations, Self::symbols, Self::versions];

    /// The whole object.
    #[inline(never)]
    pub fn object(&mut self) {
        self.headers();
        for (number, content) in Self::CONTENT.iter().enumerate() {
            for index in 0..self.count {
                let byte = self.streams.method(index);
                if usize::from(byte & 7) == number + Method::Copy as usize && !self.streams.is_short() {
                    content(self, self.section(index), usize::from(byte >> 3));
                }
            }
        }
    }

    /// A section as it is.
    fn plain(&mut self, section: Section, parameter: usize) {
        self.copy(stream::PLAIN + parameter, section.start, section.end);
    }

    /// Bytes as they are.
    #[inline(never)]
    fn copy(&mut self, stream: usize, start: usize, end: usize) {
        if let Some(place) = self.image.bytes.get_mut(start..end) {
            self.streams.bytes(stream, place);
        }
    }

    /// A number of the image, as its difference from what is expected.
    #[inline(never)]
    fn field(&mut self, stream: usize, record: usize, field: Field, expected: i64) -> i64 {
        let code = self.streams.number(stream, || zigzag(self.image.get(record, field).wrapping_sub(expected)));
        let value = expected.wrapping_add(unzigzag(code));
        self.image.put(record, field, value);
        value
    }
}

/// Signed numbers as small unsigned ones: 0, -1, 1, -2, ...
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(code: u64) -> i64 {
    (code >> 1) as i64 ^ -((code & 1) as i64)
}
