//! Packed text: the pairs that are worth a code, and texts written with them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, ensure};
use modstrap::table::layout::dictionary::{CODE, DEPTH, MAX, PAIR};

/// The pairs of a table, in the order of their codes, and what they stand for.
pub(super) struct Dictionary {
    pairs: Vec<[u8; PAIR]>,
    codes: HashMap<Vec<u8>, u8>,
    /// The length of the longest text that has a code.
    longest: usize,
}

impl Dictionary {
    /// Again and again the commonest pair in these texts, which is then one byte of them.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Self> {
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        texts.for_each(|text| *known.entry(text).or_default() += 1);
        // A byte that looks like a code needs one that stands for it.
        let special: BTreeSet<u8> = known.keys().copied().flatten().copied().filter(|byte| *byte >= CODE).collect();
        ensure!(special.len() <= MAX, "aliases hold more kinds of special characters than a table can");
        let mut grammar = Grammar::default();
        let codes: HashMap<u8, u8> = special.iter().map(|&byte| (byte, grammar.add([0, byte]))).collect();
        let coded = |text: &[u8]| text.iter().map(|byte| *codes.get(byte).unwrap_or(byte)).collect();
        let mut texts: Vec<(Vec<u8>, u32)> = known.into_iter().map(|(text, count)| (coded(text), count)).collect();
        while grammar.pairs.len() < MAX {
            let Some(pair) = grammar.best(&texts) else { break };
            let code = grammar.add(pair);
            texts.iter_mut().for_each(|(text, _)| replace(text, pair, code));
        }
        let longest = grammar.texts.iter().map(Vec::len).max().unwrap_or(0);
        Ok(Dictionary { pairs: grammar.pairs, codes: grammar.texts.into_iter().zip(CODE..=u8::MAX).collect(), longest })
    }

    /// A text in as few bytes as the pairs allow.
    pub(super) fn pack(&self, text: &[u8]) -> Vec<u8> {
        // From the end: for each place how many bytes the rest takes, and the first of them with its length.
        let mut rests: Vec<(usize, u8, usize)> = vec![(0, 0, 0); text.len() + 1];
        for at in (0..text.len()).rev() {
            let coded = (1..=self.longest.min(text.len() - at)).filter_map(|length| {
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
        self.pairs.concat()
    }
}

/// The pairs found so far.
#[derive(Default)]
struct Grammar {
    pairs: Vec<[u8; PAIR]>,
    /// What each stands for.
    texts: Vec<Vec<u8>>,
    depths: Vec<usize>,
}

impl Grammar {
    /// Gives a pair a code.
    fn add(&mut self, pair: [u8; PAIR]) -> u8 {
        let code = CODE + self.pairs.len() as u8;
        let text = match pair {
            [0, byte] => vec![byte],
            [first, second] => [self.text(first), self.text(second)].concat(),
        };
        self.depths.push(self.depth(pair));
        self.texts.push(text);
        self.pairs.push(pair);
        code
    }

    fn text(&self, byte: u8) -> Vec<u8> {
        byte.checked_sub(CODE).map_or(vec![byte], |code| self.texts[usize::from(code)].clone())
    }

    /// How deep a pair is, codes in it included.
    fn depth(&self, [first, second]: [u8; PAIR]) -> usize {
        let depth = |byte: u8| byte.checked_sub(CODE).map_or(0, |code| self.depths[usize::from(code)]);
        1 + if first == 0 { 0 } else { depth(first).max(depth(second)) }
    }

    /// The pair that is commonest, if a code for it saves anything.
    fn best(&self, texts: &[(Vec<u8>, u32)]) -> Option<[u8; PAIR]> {
        let mut counts = vec![0; 1 << 16];
        for (text, count) in texts {
            for (first, second) in text.iter().zip(text.iter().skip(1)) {
                counts[usize::from(u16::from_be_bytes([*first, *second]))] += count;
            }
        }
        let pairs = (0..=u16::MAX).map(u16::to_be_bytes).zip(counts).filter(|(_, count)| *count > PAIR as u32);
        let shallow = pairs.filter(|(pair, _)| self.depth(*pair) <= DEPTH);
        shallow.max_by_key(|(pair, count)| (*count, Reverse(*pair))).map(|(pair, _)| pair)
    }
}

/// Puts a code where a pair stood.
fn replace(text: &mut Vec<u8>, pair: [u8; PAIR], code: u8) {
    let (mut from, mut to) = (0, 0);
    while from < text.len() {
        let is_pair = text[from..].starts_with(&pair);
        text[to] = if is_pair { code } else { text[from] };
        from += if is_pair { PAIR } else { 1 };
        to += 1;
    }
    text.truncate(to);
}
