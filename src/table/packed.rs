//! Packed text: what stands in a table by the thousand, with the commonest pieces written as one byte each.

use heapless::VecView;

use super::layout::dictionary::{CODE, SLOT};

/// The pieces that codes stand for.
#[derive(Clone, Copy)]
pub(super) struct Dictionary<'a>(pub(super) &'a [u8]);

impl<'a> Dictionary<'a> {
    /// What a byte of packed text stands for.
    #[inline(never)]
    pub(super) fn piece(&self, byte: &'a u8) -> &'a [u8] {
        let Some(code) = byte.checked_sub(CODE) else { return core::slice::from_ref(byte) };
        let slots = self.0.as_chunks::<SLOT>().0;
        slots.get(usize::from(code)).and_then(|[length, piece @ ..]| piece.get(..(*length).into())).unwrap_or_default()
    }

    /// Adds the text to `to`, but for pieces that do not fit.
    #[inline(never)]
    pub(super) fn unpack(&self, packed: &'a [u8], to: &mut VecView<u8>) {
        // A slot is short: this ends soon, whatever the dictionary says.
        for byte in packed {
            let _ = to.extend_from_slice(self.piece(byte));
        }
    }
}
