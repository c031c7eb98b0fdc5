//! Inflate (RFC 1951), for this one use: the whole stream at hand, the length of what comes out known, no header.
//!
//! A library's decoder is a machine that can stop after any byte and go on later, in five times the code.
//! Short codes are looked up; the few longer than [`FAST`] bits are read a bit at a time, as the RFC defines them.

/// The stream is not one, or is not that of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Codes up to this many bits are decoded by one look into a table.
const FAST: usize = 10;

/// The longest code, in bits.
const LONGEST: usize = 15;

/// How many literals and lengths the alphabet has; the fixed code defines two that do not occur.
const SYMBOLS: usize = 288;

/// How many distances the alphabet has; here too the last two do not occur.
const DISTANCES: usize = 32;

/// Unpacks a stream; what it holds fills `image`, no more and no less.
#[inline(never)]
pub fn inflate(packed: &[u8], image: &mut [u8]) -> Result<(), Corrupt> {
    let mut bits = Bits { bytes: packed, at: 0, buffer: 0, count: 0 };
    let mut literals = Code::new();
    let mut distances = Code::new();
    let mut filled = 0;
    loop {
        bits.refill_slowly();
        let is_last = bits.take(1) == 1;
        match bits.take(2) {
            0 => filled = stored(&mut bits, image, filled)?,
            form @ (1 | 2) => {
                if form == 1 {
                    fixed_codes(&mut literals, &mut distances)?;
                } else {
                    read_codes(&mut bits, &mut literals, &mut distances)?;
                }
                filled = block(&mut bits, &literals, &distances, image, filled)?;
            }
            _ => return Err(Corrupt),
        }
        if is_last {
            let is_whole = filled == image.len() && !bits.is_past_end();
            return if is_whole { Ok(()) } else { Err(Corrupt) };
        }
        // What lies behind the end reads as zeros: without this a stream cut short could go on for ever.
        if bits.is_past_end() {
            return Err(Corrupt);
        }
    }
}

/// A block of bytes as they are.
fn stored(bits: &mut Bits, image: &mut [u8], filled: usize) -> Result<usize, Corrupt> {
    bits.take(bits.count % 8);
    bits.refill_slowly();
    let (length, complement) = (bits.take(16), bits.take(16));
    if length ^ complement != 0xffff {
        return Err(Corrupt);
    }
    // Whole bytes that were read ahead are given back.
    let at = bits.at.checked_sub(bits.count as usize / 8).ok_or(Corrupt)?;
    let (end, filled_end) = (at + length as usize, filled + length as usize);
    let from = bits.bytes.get(at..end).ok_or(Corrupt)?;
    image.get_mut(filled..filled_end).ok_or(Corrupt)?.copy_from_slice(from);
    *bits = Bits { bytes: bits.bytes, at: end, buffer: 0, count: 0 };
    Ok(filled_end)
}

/// The base of each length code from 257 on and of each distance code, and how many bits are added to it.
const LENGTHS: [(u16, u8); 29] = bases::<29>(3, 8, 4, Some(258));
const DISTANCE_BASES: [(u16, u8); 30] = bases::<30>(1, 4, 2, None);

/// The rule behind both tables (RFC 1951, 3.2.5): the first codes add no bits, then each group one more than the last.
const fn bases<const N: usize>(first: u16, plain: usize, group: usize, last: Option<u16>) -> [(u16, u8); N] {
    let mut table = [(0, 0); N];
    let (mut base, mut code) = (first, 0);
    while code < N {
        let extra = if code < plain { 0 } else { (code - plain) / group + 1 };
        table[code] = (base, extra as u8);
        base = base.wrapping_add(1 << extra);
        code += 1;
    }
    if let Some(last) = last {
        table[N - 1] = (last, 0);
    }
    table
}

/// A block of literals and of matches with what was unpacked before.
fn block(
    bits: &mut Bits,
    literals: &Code<SYMBOLS>,
    distances: &Code<DISTANCES>,
    image: &mut [u8],
    mut filled: usize,
) -> Result<usize, Corrupt> {
    loop {
        // Enough for a length and a distance with all their bits: 15 + 5 + 15 + 13.
        bits.refill();
        let symbol = literals.decode(bits)?;
        if symbol < 256 {
            *image.get_mut(filled).ok_or(Corrupt)? = symbol as u8;
            filled += 1;
            continue;
        }
        if symbol == 256 {
            return Ok(filled);
        }
        let &(base, extra) = LENGTHS.get(usize::from(symbol) - 257).ok_or(Corrupt)?;
        let length = usize::from(base) + bits.take(u32::from(extra)) as usize;
        let &(base, extra) = DISTANCE_BASES.get(usize::from(distances.decode(bits)?)).ok_or(Corrupt)?;
        let distance = usize::from(base) + bits.take(u32::from(extra)) as usize;
        copy(image, filled, distance, length)?;
        filled += length;
    }
}

/// Repeats what lies `distance` before `to`; the two may overlap, which repeats a pattern.
#[inline(always)]
fn copy(image: &mut [u8], to: usize, distance: usize, length: usize) -> Result<(), Corrupt> {
    let from = to.checked_sub(distance).ok_or(Corrupt)?;
    let end = to + length;
    let (mut from, mut to) = (from, to);
    // By words, as long as one does not reach into the next; up to seven bytes too many, which later ones overwrite.
    if distance >= 8 && end + 8 <= image.len() {
        while to < end {
            let word: [u8; 8] = *image.get(from..).and_then(<[u8]>::first_chunk).ok_or(Corrupt)?;
            *image.get_mut(to..).and_then(<[u8]>::first_chunk_mut).ok_or(Corrupt)? = word;
            (from, to) = (from + 8, to + 8);
        }
        return Ok(());
    }
    if end > image.len() {
        return Err(Corrupt);
    }
    while to < end {
        let byte = *image.get(from).ok_or(Corrupt)?;
        *image.get_mut(to).ok_or(Corrupt)? = byte;
        (from, to) = (from + 1, to + 1);
    }
    Ok(())
}

/// The codes of a block that brings none (RFC 1951, 3.2.6).
fn fixed_codes(literals: &mut Code<SYMBOLS>, distances: &mut Code<DISTANCES>) -> Result<(), Corrupt> {
    let mut lengths = [8; SYMBOLS];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    literals.build(&lengths)?;
    distances.build(&[5; DISTANCES])
}

/// The codes that a block brings: their lengths, which are themselves coded (RFC 1951, 3.2.7).
fn read_codes(bits: &mut Bits, literals: &mut Code<SYMBOLS>, distances: &mut Code<DISTANCES>) -> Result<(), Corrupt> {
    const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let literal_count = bits.take(5) as usize + 257;
    let distance_count = bits.take(5) as usize + 1;
    let order_count = bits.take(4) as usize + 4;
    let mut lengths = [0; SYMBOLS + DISTANCES];
    for &symbol in ORDER.iter().take(order_count) {
        bits.refill_slowly();
        lengths[usize::from(symbol)] = bits.take(3) as u8;
    }
    // The code of the lengths is held for a moment where that of the literals will be.
    literals.build(&lengths[..ORDER.len()])?;
    lengths.fill(0);
    let count = literal_count + distance_count;
    let mut at = 0;
    while at < count {
        bits.refill_slowly();
        let symbol = literals.decode(bits)?;
        let (length, repeat) = match symbol {
            16 => (*lengths.get(at.wrapping_sub(1)).ok_or(Corrupt)?, 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length as u8, 1),
        };
        let end = at + repeat as usize;
        if end > count {
            return Err(Corrupt);
        }
        lengths.get_mut(at..end).ok_or(Corrupt)?.fill(length);
        at = end;
    }
    let (of_literals, rest) = lengths.split_at_checked(literal_count).ok_or(Corrupt)?;
    literals.build(of_literals.get(..SYMBOLS).unwrap_or(of_literals))?;
    distances.build(rest.get(..distance_count).ok_or(Corrupt)?)
}

/// A canonical Huffman code (RFC 1951, 3.2.2).
struct Code<const N: usize> {
    /// By the next [`FAST`] bits: a symbol and, in the lowest four bits, the length of its code; 0 for longer codes.
    fast: [u16; 1 << FAST],
    /// How many codes there are of each length.
    counts: [u16; LONGEST + 1],
    /// The symbols, by the order of their codes.
    symbols: [u16; N],
}

impl<const N: usize> Code<N> {
    const fn new() -> Self {
        Code { fast: [0; 1 << FAST], counts: [0; LONGEST + 1], symbols: [0; N] }
    }

    /// Makes the code in which each symbol has a code of this length, or none.
    fn build(&mut self, lengths: &[u8]) -> Result<(), Corrupt> {
        build(&mut self.fast, &mut self.counts, &mut self.symbols, lengths)
    }

    /// The next symbol.
    #[inline(always)]
    fn decode(&self, bits: &mut Bits) -> Result<u16, Corrupt> {
        let entry = self.fast[bits.buffer as usize % (1 << FAST)];
        if entry != 0 {
            bits.drop(u32::from(entry & 15));
            return Ok(entry >> 4);
        }
        decode_slowly(&self.counts, &self.symbols, bits)
    }
}

/// See [`Code::build`]; one copy of the code for codes of all sizes.
fn build(
    fast: &mut [u16; 1 << FAST],
    counts: &mut [u16; LONGEST + 1],
    symbols: &mut [u16],
    lengths: &[u8],
) -> Result<(), Corrupt> {
    counts.fill(0);
    fast.fill(0);
    for &length in lengths {
        *counts.get_mut(usize::from(length)).ok_or(Corrupt)? += 1;
    }
    counts[0] = 0;
    // Where the codes of each length begin, and where their symbols do.
    let mut next = [(0_u32, 0_u16); LONGEST + 1];
    let (mut code, mut place) = (0_u32, 0);
    for (length, next) in next.iter_mut().enumerate().skip(1) {
        *next = (code, place);
        code += u32::from(counts[length]);
        place += counts[length];
        // More codes than there is room for. Fewer are allowed: what they leave out decodes to an error.
        if code > 1 << length {
            return Err(Corrupt);
        }
        code <<= 1;
    }
    for (symbol, &length) in lengths.iter().enumerate().filter(|(_, length)| **length != 0) {
        let length = usize::from(length);
        let (code, place) = &mut next[length & LONGEST];
        *symbols.get_mut(usize::from(*place)).ok_or(Corrupt)? = symbol as u16;
        if length <= FAST {
            // Codes come with their highest bit first.
            let mut at = (*code << (32 - length)).reverse_bits() as usize;
            while let Some(entry) = fast.get_mut(at) {
                *entry = (symbol << 4 | length) as u16;
                at += 1 << length;
            }
        }
        *code += 1;
        *place += 1;
    }
    Ok(())
}

/// The symbol of a code that is longer than [`FAST`] bits, or of none: one bit after the other, until the code is one of
/// those of its length.
#[inline(never)]
fn decode_slowly(counts: &[u16; LONGEST + 1], symbols: &[u16], bits: &mut Bits) -> Result<u16, Corrupt> {
    let (mut code, mut first, mut place) = (0_u32, 0_u32, 0_u32);
    for &count in counts.iter().skip(1) {
        let count = u32::from(count);
        code |= bits.take(1);
        if code < first + count {
            return symbols.get((place + code - first) as usize).copied().ok_or(Corrupt);
        }
        place += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    Err(Corrupt)
}

/// The stream, bit by bit from the lowest of each byte.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The first byte that is not in the buffer.
    at: usize,
    /// The next bits, the very next lowest. Above the counted ones may be some of the byte at `at`.
    buffer: u64,
    count: u32,
}

impl Bits<'_> {
    /// Reads ahead: at least 56 bits are at hand. Behind the end of the stream are zeros.
    #[inline(always)]
    fn refill(&mut self) {
        let word = match self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last_word(),
        };
        self.buffer |= word << self.count;
        self.at += (63 - self.count as usize) >> 3;
        self.count |= 56;
    }

    /// The same, for where it need not be fast: one copy of the code.
    #[inline(never)]
    fn refill_slowly(&mut self) {
        self.refill();
    }

    #[inline(never)]
    fn last_word(&self) -> u64 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
    }

    /// Takes up to 16 of the bits at hand.
    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        let taken = self.buffer as u32 & ((1 << count) - 1);
        self.drop(count);
        taken
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.buffer >>= count;
        self.count = self.count.wrapping_sub(count);
    }

    /// Whether bits were taken that the stream does not have.
    fn is_past_end(&self) -> bool {
        self.at - self.count as usize / 8 > self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::DeflateEncoder;
    use std::io::Write;

    fn deflate(raw: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(raw).expect("writing to memory");
        encoder.finish().expect("writing to memory")
    }

    fn unpack(packed: &[u8], length: usize) -> Result<Vec<u8>, Corrupt> {
        let mut image = vec![0; length];
        inflate(packed, &mut image).map(|()| image)
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 as usize % limit
        }
    }

    /// Texts that need every kind of block, long codes and short, near matches and far.
    fn samples() -> Vec<Vec<u8>> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut samples = vec![vec![], vec![7], vec![0; 100_000], b"abcabcabcabcabcabcabcabc".repeat(2000)];
        samples.push((0..70_000).map(|_| random.below(256) as u8).collect());
        // Symbols of very different frequency have codes of up to 15 bits.
        samples.push((0..300_000).map(|_| (random.below(1 << 20) + 1).leading_zeros() as u8).collect());
        samples.push(
            std::fs::read(std::env::current_exe().expect("a running test")).expect("its file")[..2_000_000].to_vec(),
        );
        for period in 1..20 {
            samples.push((0..1000).map(|at| (at % period) as u8).collect());
        }
        samples
    }

    #[test]
    fn unpacks_what_a_deflater_packs() {
        for raw in samples() {
            for level in [0, 1, 6, 9] {
                assert_eq!(unpack(&deflate(&raw, level), raw.len()).as_deref(), Ok(&raw[..]), "level {level}");
            }
        }
    }

    #[test]
    fn refuses_another_length() {
        for raw in samples().iter().filter(|raw| !raw.is_empty()) {
            let packed = deflate(raw, 6);
            assert_eq!(unpack(&packed, raw.len() + 1), Err(Corrupt));
            assert_eq!(unpack(&packed, raw.len() - 1), Err(Corrupt));
        }
    }

    #[test]
    fn refuses_every_cut_stream() {
        let raw = b"the quick brown fox jumps over the lazy dog, the quick brown fox jumps again".repeat(3);
        for level in [0, 1, 9] {
            let packed = deflate(&raw, level);
            for length in 0..packed.len() {
                assert_eq!(unpack(&packed[..length], raw.len()), Err(Corrupt), "level {level}, {length} bytes");
            }
        }
    }

    #[test]
    fn agrees_with_a_library_on_damaged_streams() {
        let mut random = Random(0x1234_5678_9abc_def1);
        let raw: Vec<u8> = samples()[6][..5000].to_vec();
        for level in [0, 1, 6, 9] {
            let packed = deflate(&raw, level);
            for _ in 0..20_000 {
                let mut damaged = packed.clone();
                for _ in 0..=random.below(3) {
                    let at = random.below(damaged.len());
                    damaged[at] ^= 1 << random.below(8);
                }
                let mut expected = vec![0; raw.len()];
                let mut state = miniz_oxide::inflate::core::DecompressorOxide::new();
                let flags = miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
                let (status, _, length) =
                    miniz_oxide::inflate::core::decompress(&mut state, &damaged, &mut expected, 0, flags);
                let is_sound = status == miniz_oxide::inflate::TINFLStatus::Done && length == raw.len();
                let ours = unpack(&damaged, raw.len());
                // Incomplete codes are refused by the library at once, here when a bit pattern without a symbol comes.
                if is_sound {
                    assert_eq!(ours.as_deref(), Ok(&expected[..]));
                }
            }
        }
    }

    #[test]
    fn survives_noise() {
        let mut random = Random(0xfeed_beef_0bad_cafe);
        for _ in 0..50_000 {
            let noise: Vec<u8> = (0..random.below(64)).map(|_| random.below(256) as u8).collect();
            let _ = unpack(&noise, random.below(300));
        }
    }
}
