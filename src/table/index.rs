//! The index of names and aliases: which modules answer to a name.
//!
//! A pattern is a front, a literal key and a tail (see [`layout::front`](super::layout::front)). A name is cut where a
//! front may end in it, and the keys that the rest begins with are searched for, all of them: none need be the longest.
//! Their tails are then matched. So the cost grows with the length of the name and the logarithm of the index, and only
//! patterns with the same key are tried one by one.

use core::cmp::Ordering;

use heapless::Vec;

use super::layout::{Section, block, front};
use super::packed::Dictionary;
use super::{ModuleId, Name, Table, glob, texts, u16_at};
use crate::text::split_once;

/// The index of a table.
pub(super) struct Index<'a> {
    blocks: &'a [[u8; block::SIZE]],
    tails: &'a [u8],
    dictionary: Dictionary<'a>,
}

impl<'a> Index<'a> {
    pub(super) fn new(table: &Table<'a>) -> Self {
        Index {
            blocks: table.section(Section::Blocks).as_chunks().0,
            tails: table.section(Section::Tails),
            dictionary: Dictionary(table.section(Section::Dictionary)),
        }
    }

    /// See [`Table::lookup`].
    pub(super) fn lookup(&self, fronts: &[u8], name: &[u8], found: &mut dyn FnMut(ModuleId)) {
        let mut answered = None;
        for record in texts(fronts) {
            let [number, layer, front @ ..] = record else { continue };
            if answered.is_some_and(|answered| answered != *layer) {
                break;
            }
            if *number <= front::BUILTIN_NAMES && split_once(name, front::NO_NAME).is_some() {
                continue;
            }
            each_rest(front, name, &mut |rest| {
                if self.search(&Target { front: *number, rest }, found) {
                    answered = Some(*layer);
                }
            });
        }
    }

    /// The name of a module, from the block that holds it.
    pub(super) fn name(&self, number: usize, module: ModuleId) -> Name {
        let Some(block) = self.blocks.get(number) else { return Name::new() };
        let mut entries = Entries::of(block);
        // What does not fit is of keys that are no names.
        let mut key: Vec<u8, 64> = Vec::new();
        while entries.next() {
            key.truncate(entries.shared.into());
            self.dictionary.unpack(entries.added, key.as_mut_view());
            match key.split_first() {
                Some((&front, name)) if front <= front::BUILTIN_NAMES && entries.module == module.0 => {
                    return Name::of(&[name]);
                }
                _ => {}
            }
        }
        Name::new()
    }

    /// Finds all entries with which the target begins; whether there are any.
    ///
    /// From the root, which is the last block, the way goes down to the last leaf that such an entry may stand in, and
    /// from there to the leaves that this one says to hold shorter ones. Every step goes to a block before.
    #[inline(never)]
    fn search(&self, target: &Target, found: &mut dyn FnMut(ModuleId)) -> bool {
        let mut blocks = self.blocks;
        // How much the target shares with the start of the block and then with the key before.
        let mut shared = 0;
        let mut any = false;
        while let Some((block, before)) = blocks.split_last() {
            let (link, start) = (u16_at(block, block::LINK), shared);
            let (mut behind, mut fits) = (usize::from(link & !block::INNER), false);
            let mut entries = Entries::of(block);
            while entries.next() {
                let own = usize::from(entries.shared);
                let (order, common) = match own.cmp(&shared) {
                    order if own == 0 || order.is_eq() => self.compare(entries.added, target, own),
                    // What shares more with the key before than the target does comes before the target too, and what
                    // shares less comes after it.
                    order => (order.reverse(), shared),
                };
                match order {
                    Ordering::Greater => break,
                    _ if link & block::INNER != 0 => behind += 1,
                    Ordering::Less => fits = false,
                    Ordering::Equal if entries.repeats => {}
                    Ordering::Equal => fits = self.tail_fits(entries.tail, target, common),
                }
                shared = common;
                any |= fits;
                if fits && entries.module != block::NOBODY {
                    found(ModuleId(entries.module));
                }
            }
            if link & block::INNER == 0 {
                shared = start.min(block[block::KEPT].into());
            }
            blocks = before.get(..behind).unwrap_or_default();
        }
        any
    }

    /// Whether a tail matches what the key leaves of the target.
    #[inline(never)]
    fn tail_fits(&self, tail: u16, target: &Target, key: usize) -> bool {
        let rest = key.checked_sub(1).and_then(|key| target.rest.get(key..)).unwrap_or_default();
        let packed = texts(self.tails.get(tail.into()..).unwrap_or_default()).next().unwrap_or_default();
        let mut tails: Vec<u8, { block::TAIL_MAX }> = Vec::new();
        self.dictionary.unpack(packed, tails.as_mut_view());
        tails.split(|&byte| byte == block::ALTERNATIVE).any(|tail| glob::matches(tail, rest))
    }

    /// Compares a key with the target, of which it shares `at` bytes and goes on with `added`: the order of the key,
    /// which is equal where the target begins with all of it, and how many bytes the two share.
    #[inline(never)]
    fn compare(&self, added: &'a [u8], target: &Target, mut at: usize) -> (Ordering, usize) {
        for byte in self.dictionary.text(added) {
            let wanted = match at.checked_sub(1) {
                None => Some(&target.front),
                Some(at) => target.rest.get(at),
            };
            match wanted {
                Some(wanted) if *wanted == byte => at += 1,
                Some(wanted) if *wanted > byte => return (Ordering::Less, at),
                _ => return (Ordering::Greater, at),
            }
        }
        (Ordering::Equal, at)
    }
}

/// What the keys of a front are compared with.
struct Target<'n> {
    front: u8,
    rest: &'n [u8],
}

/// The entries of a block, in order; the fields are those of the latest.
struct Entries<'a> {
    bytes: &'a [u8],
    /// How many bytes its key shares with the one before.
    shared: u8,
    /// The rest of the key, packed.
    added: &'a [u8],
    tail: u16,
    module: u16,
    /// Whether key and tail are those of the entry before.
    repeats: bool,
}

impl<'a> Entries<'a> {
    #[inline(never)]
    fn of(block: &'a [u8; block::SIZE]) -> Self {
        Entries { bytes: &block[block::HEADER..], shared: 0, added: &[], tail: 0, module: 0, repeats: false }
    }

    /// Goes on to the next entry; whether there is one.
    #[inline(never)]
    fn next(&mut self) -> bool {
        let header = self.byte();
        let shared = match header >> block::SHARED_SHIFT {
            block::LONG => self.byte(),
            step => self.shared.wrapping_add(step).wrapping_sub(block::SAME),
        };
        let added = match header >> block::ADDED_SHIFT & block::LONG {
            block::LONG => self.byte(),
            short => short,
        };
        self.shared = shared;
        (self.added, self.bytes) = self.bytes.split_at_checked(added.into()).unwrap_or_default();
        if header & block::TAIL != 0 {
            self.tail = self.u16();
        }
        if header & block::MODULE != 0 {
            self.module = self.u16();
        }
        self.repeats = added == 0 && header & block::TAIL == 0;
        header != 0
    }

    #[inline(always)]
    fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        byte
    }

    fn u16(&mut self) -> u16 {
        let Some((&number, rest)) = self.bytes.split_first_chunk() else { return 0 };
        self.bytes = rest;
        u16::from_le_bytes(number)
    }
}

/// Calls `visit` with what each place where the front may end leaves of the name.
///
/// Whatever precedes the last star is found as early as can be, which leaves the most to what follows. So only the end
/// of a front has several places, as many as its last word has, whatever the name.
#[inline(never)]
fn each_rest(mut front: &[u8], mut name: &[u8], visit: &mut dyn FnMut(&[u8])) {
    let mut is_behind_star = false;
    loop {
        let star = front.iter().position(|&byte| byte == b'*');
        let (word, more) = front.split_at_checked(star.unwrap_or(front.len())).unwrap_or_default();
        loop {
            match name.strip_prefix(word) {
                Some(rest) if star.is_some() => {
                    name = rest;
                    break;
                }
                Some(rest) => visit(rest),
                None => {}
            }
            match name {
                [_, rest @ ..] if is_behind_star => name = rest,
                _ => return,
            }
        }
        front = more.get(1..).unwrap_or_default();
        is_behind_star = true;
    }
}
