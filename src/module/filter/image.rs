//! The bytes of an ELF object, and numbers among them in its byte order.

/// Names that are longer are not followed to their end, so that the time to find one is bounded (`KSYM_NAME_LEN`).
const LONGEST: usize = 512;

/// A field of a record: its place, and the logarithm of its width in the lowest two bits.
pub type Field = u8;

/// The field of so many bytes at this place, both below 64.
pub const fn field(place: u8, width: u8) -> Field {
    place << 2 | width.trailing_zeros() as u8
}

/// How many bytes at a time are looked at; the last ones of an image are no numbers, and no end of a string.
pub const REACH: usize = 8;

/// A module, all of it or as much as was put together; see [`Walk`](super::Walk) for `OWN`.
pub struct Image<'a, const OWN: bool> {
    /// The bytes.
    pub bytes: &'a mut [u8],
    /// It says that the most significant byte comes first.
    pub says_big: bool,
}

impl<const OWN: bool> Image<'_, OWN> {
    /// The most significant byte comes first.
    #[inline(always)]
    pub fn big(&self) -> bool {
        if OWN { cfg!(target_endian = "big") } else { self.says_big }
    }

    /// A signed number; zero where there are less than [`REACH`] bytes.
    #[inline(never)]
    pub fn get(&self, record: usize, field: Field) -> i64 {
        let at = record.wrapping_add(usize::from(field >> 2));
        let Some(&bytes) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) else { return 0 };
        let unused = 64 - (8 << (field & 3));
        (if self.big() { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) << unused }) as i64 >> unused
    }

    /// Writes the low 4 or 8 bytes of a number, where the image has room for them.
    #[inline(always)]
    pub fn put(&mut self, record: usize, field: Field, value: i64) {
        let at = record.wrapping_add(usize::from(field >> 2));
        let big = self.big();
        let Some(place) = self.bytes.get_mut(at..) else { return };
        if field & 3 == 3 {
            if let Some(place) = place.first_chunk_mut() {
                *place = if big { value.to_be_bytes() } else { value.to_le_bytes() };
            }
        } else if let Some(place) = place.first_chunk_mut() {
            let value = value as u32;
            *place = if big { value.to_be_bytes() } else { value.to_le_bytes() };
        }
    }

    /// A byte; zero outside the image.
    pub fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// Writes a byte, if the image has it.
    pub fn set_byte(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.bytes.get_mut(at) {
            *place = byte;
        }
    }

    /// How many bytes there are from here to the next zero byte, or at least [`LONGEST`].
    #[inline(never)]
    pub fn string_length(&self, at: usize) -> usize {
        const LOW: u64 = u64::from_ne_bytes([1; 8]);
        let mut length = 0;
        while length < LONGEST
            && let Some(word) = self.bytes.get(at.wrapping_add(length)..).and_then(<[u8]>::first_chunk)
        {
            // The lowest of these bits is that of the first zero byte.
            let word = u64::from_le_bytes(*word);
            let zeros = word.wrapping_sub(LOW) & !word & LOW << 7;
            if zeros != 0 {
                return length + zeros.trailing_zeros() as usize / 8;
            }
            length += 8;
        }
        length
    }

    /// Where behind `strings` a string stands that ends there and fills `start..end` with zeros behind it.
    pub fn find(&self, strings: usize, start: usize, end: usize) -> Option<usize> {
        let place = self.bytes.get(start..end)?;
        let length = place.iter().position(|&byte| byte == 0)?;
        let (name, zeros) = place.split_at(length + 1);
        let is_plain = length > 0 && zeros.iter().all(|&byte| byte == 0);
        let strings = self.bytes.get(strings..).filter(|_| is_plain)?;
        strings.windows(name.len()).position(|window| window == name)
    }
}
