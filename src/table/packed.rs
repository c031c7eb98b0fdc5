//! Packed text: what stands in a table by the thousand, with the commonest pairs of bytes written as one byte each, and
//! pairs of those, too.

use heapless::VecView;

use super::layout::dictionary::{CODE, DEPTH, PAIR};

/// The pairs that codes stand for.
#[derive(Clone, Copy)]
pub(super) struct Dictionary<'a>(pub(super) &'a [u8]);

impl<'a> Dictionary<'a> {
    /// The bytes that packed ones stand for. A damaged dictionary may make them many, or endless.
    pub(super) fn text(&self, packed: &'a [u8]) -> Unpacked<'a> {
        Unpacked { pairs: self.0.as_chunks().0, packed, behind: 0 }
    }

    /// Adds the text to `to`, as far as there is room.
    #[inline(never)]
    pub(super) fn unpack(&self, packed: &'a [u8], to: &mut VecView<u8>) {
        for byte in self.text(packed) {
            if to.push(byte).is_err() {
                break;
            }
        }
    }
}

/// See [`Dictionary::text`].
pub(super) struct Unpacked<'a> {
    pairs: &'a [[u8; PAIR]],
    packed: &'a [u8],
    /// What follows before the rest of the packed bytes: the next in the lowest eight bits, and so on up to a 0.
    behind: u64,
}

const _: () = assert!(DEPTH * u8::BITS as usize <= u64::BITS as usize);

impl Iterator for Unpacked<'_> {
    type Item = u8;

    #[inline(never)]
    fn next(&mut self) -> Option<u8> {
        let mut byte = self.behind as u8;
        self.behind >>= u8::BITS;
        if byte == 0 {
            byte = *self.packed.split_off_first()?;
        }
        // A damaged dictionary may be deeper.
        for _ in 0..DEPTH {
            let Some(code) = byte.checked_sub(CODE) else { break };
            let [first, second] = self.pairs.get(usize::from(code)).copied().unwrap_or_default();
            if first == 0 {
                return Some(second);
            }
            self.behind = self.behind << u8::BITS | u64::from(second);
            byte = first;
        }
        Some(byte)
    }
}
