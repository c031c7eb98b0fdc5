//! Packed text: the pieces that are worth a code, and texts written with them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, ensure};
use memchr::memmem;
use modstrap::table::layout::dictionary::{CODE, MAX, SLOT};

/// The longest piece.
const PIECE: usize = SLOT - 1;

/// The pieces of a table, in the order of their codes.
pub(super) struct Dictionary {
    pieces: Vec<Vec<u8>>,
    codes: HashMap<Vec<u8>, u8>,
}

impl Dictionary {
    /// The pieces that save most in these texts, each chosen in the light of those before.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut pieces = Vec::new();
        let mut rests = Rests::default();
        let mut bytes = BTreeSet::new();
        for text in texts {
            bytes.extend(text.iter().copied().filter(|byte| *byte >= CODE));
            *rests.texts.entry(text).or_default() += 1;
        }
        // A byte that looks like a code needs one that stands for it.
        for byte in bytes {
            rests.remove(&[byte]);
            pieces.push(vec![byte]);
        }
        ensure!(pieces.len() <= MAX, "aliases hold more kinds of special characters than a table can");
        rests.count();
        while let Some(piece) = rests.best().filter(|_| pieces.len() < MAX) {
            rests.remove(piece);
            pieces.push(piece.to_vec());
        }
        let codes = pieces.iter().cloned().zip(CODE..=u8::MAX).collect();
        Ok(Dictionary { pieces, codes })
    }

    /// A text in as few bytes as the pieces allow.
    pub(super) fn pack(&self, text: &[u8]) -> Vec<u8> {
        // From the end: for each place how many bytes the rest takes, and the first of them with its length.
        let mut rests: Vec<(usize, u8, usize)> = vec![(0, 0, 0); text.len() + 1];
        for at in (0..text.len()).rev() {
            let coded = (1..=PIECE.min(text.len() - at)).filter_map(|length| {
                let code = self.codes.get(&text[at..at + length])?;
                Some((rests[at + length].0 + 1, *code, length))
            });
            let plain = (text[at] < CODE).then(|| (rests[at + 1].0 + 1, text[at], 1));
            rests[at] = plain.into_iter().chain(coded).min_by_key(|(size, ..)| *size).unwrap_or_default();
        }
        let mut packed = Vec::new();
        let mut at = 0;
        while at < text.len() {
            packed.push(rests[at].1);
            at += rests[at].2;
        }
        packed
    }

    /// The section.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let slot = |piece: &Vec<u8>| {
            let mut slot = [0; SLOT];
            slot[0] = piece.len() as u8;
            slot[1..=piece.len()].copy_from_slice(piece);
            slot
        };
        self.pieces.iter().flat_map(slot).collect()
    }
}

/// What the pieces chosen so far leave of the texts.
#[derive(Default)]
struct Rests<'a> {
    /// Each text, and how often there is one like it.
    texts: HashMap<&'a [u8], i64>,
    /// How often each piece occurs that may be worth a code. Removing one makes the others rarer, never more frequent.
    pieces: HashMap<&'a [u8], i64>,
}

impl<'a> Rests<'a> {
    fn count(&mut self) {
        for (text, count) in &self.texts {
            for piece in pieces(text) {
                *self.pieces.entry(piece).or_default() += count;
            }
        }
        self.pieces.retain(|piece, count| gain(piece, *count) > 0);
    }

    fn best(&self) -> Option<&'a [u8]> {
        let gains = self.pieces.iter().map(|(piece, count)| (gain(piece, *count), Reverse(*piece)));
        gains.max().filter(|(gain, _)| *gain > 0).map(|(_, Reverse(piece))| piece)
    }

    /// Cuts a piece out of all texts.
    fn remove(&mut self, piece: &[u8]) {
        let finder = memmem::Finder::new(piece);
        let with: Vec<&[u8]> = self.texts.keys().copied().filter(|text| finder.find(text).is_some()).collect();
        for text in with {
            let count = self.texts.remove(text).unwrap_or(0);
            self.add(text, -count);
            let mut start = 0;
            for at in finder.find_iter(text).chain([text.len()]) {
                let rest = &text[start..at];
                if !rest.is_empty() {
                    *self.texts.entry(rest).or_default() += count;
                    self.add(rest, count);
                }
                start = at + piece.len();
            }
        }
    }

    fn add(&mut self, text: &'a [u8], count: i64) {
        for piece in pieces(text) {
            if let Some(known) = self.pieces.get_mut(piece) {
                *known += count;
            }
        }
    }
}

/// All pieces of a text, of two bytes or more.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    (2..=PIECE).flat_map(|length| text.windows(length))
}

/// How many bytes a code for a piece that occurs so often saves.
fn gain(piece: &[u8], count: i64) -> i64 {
    count * (piece.len() as i64 - 1) - SLOT as i64
}
