//! Relocations, and the sections that they apply to.

use super::image::{Field, field};
use super::tables::{LAST, WIDE_ENTRY};
use super::{Section, Streams, Walk, stream, unzigzag, zigzag};

/// The streams of a relocation: how far it is from the last one, the type, the symbol, the addend. Symbols and addends
/// have two streams: calls and data have types that differ in bit 2, on x86-64 and on most others.
const STEP: usize = stream::RELOCATIONS;
const TYPE: usize = STEP + 1;
const SYMBOL: usize = STEP + 2;
const ADDEND: usize = STEP + 4;

/// Of 32-bit objects and of 64-bit ones: offset, symbol and type, addend; and how far above the type the symbol is.
const RELOCATION: [([Field; 3], u32); 2] =
    [([field(0, 4), field(4, 4), field(8, 4)], 8), ([field(0, 8), field(8, 8), field(16, 8)], 32)];

impl<S: Streams, const OWN: bool> Walk<'_, S, OWN> {
    /// Relocations, and the bytes between the fields that they fill.
    #[inline(never)]
    pub(super) fn relocations(&mut self, section: Section, words: usize) {
        let width = words * 4;
        let ([offset, info, addend], shift) = &RELOCATION[usize::from(self.wide())];
        let target = self.section(section.info);
        let mut done = if width == 0 { target.end } else { target.start };
        let (mut place, mut step, mut about) = (target.start as i64, 0, 0);
        // The addends last seen, by symbol.
        let mut last = [0_i64; LAST];
        let entry = if Self::IS_WIDE { WIDE_ENTRY } else { section.entry };
        let mut at = section.start;
        while at < section.end {
            // 0: as far from the last one as that from the one before, and of the same symbol and type. Else how far, and
            // 1, and then symbol and type.
            let code = self.streams.number(STEP, || {
                let next = self.image.get(at, *offset).wrapping_add(target.start as i64).wrapping_sub(place);
                if next == step && about == self.image.get(at, *info) { 0 } else { zigzag(next) + 1 }
            });
            if code != 0 {
                step = unzigzag(code - 1);
                let plain = || self.image.get(at, *info) as u64;
                let kind = self.streams.number(TYPE, || plain() & ((1 << shift) - 1));
                let stream = SYMBOL + (kind as usize >> 2 & 1);
                let symbol = self.streams.number(stream, || plain() >> shift & !0 >> 32);
                about = (symbol << shift | kind) as i64;
            }
            place = place.wrapping_add(step);
            let mut values = [place.wrapping_sub(target.start as i64), about, 0];
            // There is an addend in a record of three words.
            if entry > usize::from(addend >> 2) {
                let last = &mut last[(about >> shift) as usize % LAST];
                let code = self.streams.number(ADDEND + (about as usize >> 2 & 1), || {
                    zigzag(self.image.get(at, *addend).wrapping_sub(*last))
                });
                *last = last.wrapping_add(unzigzag(code));
                values[2] = *last;
            }
            self.put_relocation(at, entry, values);
            let hole = place as usize;
            if (done..target.end).contains(&hole) {
                if done < hole {
                    self.copy(stream::PLAIN + 1, done, hole);
                }
                done = hole + width;
            }
            at = at.wrapping_add(entry);
        }
        self.copy(stream::PLAIN + 1, done, target.end);
    }

    /// Writes a relocation.
    #[inline(always)]
    fn put_relocation(&mut self, at: usize, size: usize, values: [i64; 3]) {
        if Self::IS_WIDE {
            if let Some(place) = self.image.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<WIDE_ENTRY>) {
                let ([first, second, third], _) = place.as_chunks_mut() else { return };
                (*first, *second, *third) = (values[0].to_ne_bytes(), values[1].to_ne_bytes(), values[2].to_ne_bytes());
            }
        } else {
            let (fields, _) = &RELOCATION[usize::from(self.wide())];
            let fields = fields.iter().filter(|field| usize::from(**field >> 2) < size);
            fields.zip(values).for_each(|(field, value)| self.image.put(at, *field, value));
        }
    }
}
