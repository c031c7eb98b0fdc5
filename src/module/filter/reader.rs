//! The streams as the loader reads them: one after the other in the packed bytes, behind their lengths.
//!
//! A number below 0xc0 is a byte; one below 0x30c0 is two bytes, the first from 0xc0 on; any other is a byte from 0xf1
//! to 0xf8, which tells how many bytes follow, and those bytes, the lowest first. Behind all streams is [`PADDING`].

use super::{Streams, stream};

/// The first byte of a number of two bytes is this or more.
pub const TWO: u64 = 0xc0;
/// The first byte of a longer number is this and how many follow.
pub const MORE: u64 = 0xf0;
/// Numbers from here on are longer than two bytes.
pub const LONG: u64 = TWO + ((MORE - TWO) << 8);

/// How many bytes follow the streams, so that numbers can be read by the word.
pub const PADDING: usize = 8;

/// The last stream, whose length is what is left.
const LAST: usize = stream::COUNT - 1;

/// Where each stream is being read. A stream is not kept from running into the next one.
// In this order the compiler reaches most fields with short instructions.
#[repr(C)]
pub struct Reader<'a> {
    packed: &'a [u8],
    is_short: bool,
    at: [usize; stream::COUNT],
}

impl<'a> Reader<'a> {
    /// The streams in these bytes, before it is known where they begin.
    pub fn new(packed: &'a [u8]) -> Self {
        Reader { packed, is_short: false, at: [0; stream::COUNT] }
    }

    /// Finds out where each stream begins.
    pub fn open(&mut self) {
        for stream in 0..LAST {
            self.at[stream] = self.next(LAST) as usize;
        }
        let mut start = self.at[LAST];
        for at in &mut self.at {
            start = start.wrapping_add(core::mem::replace(at, start));
        }
    }

    /// Where in the packed bytes a stream goes on.
    pub fn position(&self, stream: usize) -> usize {
        self.at.get(stream).copied().unwrap_or(0)
    }

    /// The next number of a stream; zero behind the end.
    #[inline(never)]
    fn next(&mut self, stream: usize) -> u64 {
        if let Some(at) = self.at.get_mut(stream)
            && let Some(&first) = self.packed.get(*at)
        {
            let first = u64::from(first);
            *at += 1;
            if first < TWO {
                return first;
            }
            if let Some(rest) = self.packed.get(*at..).and_then(<[u8]>::first_chunk) {
                let rest = u64::from_le_bytes(*rest);
                let count = if first < MORE { 1 } else { first as usize % 16 };
                *at += count;
                let number = rest & !0 >> (64_usize.wrapping_sub(8 * count) & 63);
                return if first < MORE { TWO + ((first - TWO) << 8 | number) } else { number };
            }
        }
        self.is_short = true;
        0
    }
}

impl Streams for Reader<'_> {
    #[inline(always)]
    fn number(&mut self, stream: usize, _plain: impl FnOnce() -> u64) -> u64 {
        self.next(stream)
    }

    #[inline(never)]
    fn bytes(&mut self, stream: usize, place: &mut [u8]) {
        if let Some(at) = self.at.get_mut(stream)
            && let Some(bytes) = self.packed.get(*at..).and_then(|rest| rest.get(..place.len()))
        {
            place.copy_from_slice(bytes);
            *at += bytes.len();
            return;
        }
        self.is_short = true;
    }

    fn method(&self, section: usize) -> u8 {
        self.packed.get(self.at[stream::METHOD].wrapping_add(section)).copied().unwrap_or(0)
    }

    fn is_short(&self) -> bool {
        self.is_short
    }
}
