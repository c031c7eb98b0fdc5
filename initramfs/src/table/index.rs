//! The index: patterns, sorted and written as differences, in a tree of blocks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use modstrap::table::layout::{Section, block, front, layer};

use super::alias::Pattern;
use super::dictionary::Dictionary;
use super::{Sections, shared};

/// What is no place of a tail.
const NO_TAIL: u16 = u16::MAX;

/// All that stands in the index.
pub(super) struct Index {
    /// Layer and text of each front, by its number less one.
    fronts: Vec<(u8, Vec<u8>)>,
    /// Each once, sorted by key.
    entries: Vec<Entry>,
    /// How many entries have each tail.
    tails: BTreeMap<Vec<u8>, usize>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// The number of the front, then the key.
    key: Vec<u8>,
    tail: Vec<u8>,
    module: u16,
}

impl Index {
    pub(super) fn new(patterns: Vec<Pattern>) -> Self {
        let mut fronts = vec![(layer::NAMES, Vec::new()), (layer::BUILTIN_NAMES, Vec::new())];
        let mut numbers: BTreeMap<_, u8> = fronts.iter().cloned().zip(1..).collect();
        let mut index = Index { fronts: Vec::new(), entries: Vec::new(), tails: BTreeMap::new() };
        for Pattern { layer, front, key, tail, module } in patterns {
            let number = *numbers.entry((layer, front)).or_insert_with_key(|front| {
                fronts.push(front.clone());
                fronts.len() as u8
            });
            *index.tails.entry(tail.clone()).or_default() += 1;
            index.entries.push(Entry { key: [&[number], key.as_slice()].concat(), tail, module });
        }
        index.entries.sort();
        index.fronts = fronts;
        index
    }

    /// The texts that will be packed, but for what blocks repeat.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let before = [&[][..]].into_iter().chain(self.entries.iter().map(|entry| entry.key.as_slice()));
        let added =
            self.entries.iter().zip(before).map(|(entry, before)| &entry.key[shared(&entry.key, before).max(1)..]);
        added.chain(self.tails.keys().map(Vec::as_slice))
    }

    /// Writes the sections of the index and, for each of so many modules, which block holds its name.
    pub(super) fn write(&self, dictionary: &Dictionary, modules: usize, sections: &mut Sections) -> Result<()> {
        sections[Section::Fronts as usize] = self.front_records();
        let mut tails = Vec::new();
        let mut places = BTreeMap::new();
        for tail in self.tails_by_use() {
            let place = u16::try_from(tails.len()).ok().filter(|place| *place != NO_TAIL);
            let place = place.context("the aliases are more different than a table can hold")?;
            places.insert(tail, place);
            tails.extend(dictionary.pack(tail).into_iter().chain([0]));
        }
        sections[Section::Tails as usize] = tails;

        let mut names = vec![0; 2 * modules];
        let mut blocks = Blocks::new(dictionary);
        for entry in &self.entries {
            let number = blocks.add(entry, places[entry.tail.as_slice()]) as u16;
            if entry.key[0] <= front::BUILTIN_NAMES {
                super::put(&mut names, 2 * usize::from(entry.module), &number.to_le_bytes());
            }
        }
        sections[Section::Names as usize] = names;
        sections[Section::Blocks as usize] = blocks.into_tree()?;
        Ok(())
    }

    /// The empty tail, which stands at 0, then the others, those first that most entries have: so few lines of cache are
    /// in use.
    fn tails_by_use(&self) -> impl Iterator<Item = &[u8]> {
        let mut tails: Vec<_> = self.tails.iter().filter(|(tail, _)| !tail.is_empty()).collect();
        tails.sort_by_key(|(_, count)| Reverse(**count));
        [&[][..]].into_iter().chain(tails.into_iter().map(|(tail, _)| tail.as_slice()))
    }

    fn front_records(&self) -> Vec<u8> {
        let used: BTreeSet<u8> = self.entries.iter().map(|entry| entry.key[0]).collect();
        let mut records: Vec<_> = self.fronts.iter().zip(1..).filter(|(_, number)| used.contains(number)).collect();
        records.sort();
        let record =
            |((layer, text), number): (&(u8, Vec<u8>), u8)| [&[number, *layer], text.as_slice(), &[0]].concat();
        records.into_iter().flat_map(record).collect()
    }
}

/// The blocks in the making.
struct Blocks<'a> {
    dictionary: &'a Dictionary,
    bytes: Vec<u8>,
    /// The entry before.
    last: Written<'a>,
    /// The start of each leaf.
    starts: Vec<&'a [u8]>,
    /// The keys before that the last one begins with, and the last one itself; each with the number of its leaf.
    ancestors: Vec<(&'a [u8], usize)>,
}

/// What is written as the difference from the one before.
#[derive(Clone, Copy, Default)]
struct Written<'a> {
    key: &'a [u8],
    /// How much of the key before stays in it.
    shared: usize,
    tail: u16,
    module: u16,
}

impl<'a> Blocks<'a> {
    fn new(dictionary: &'a Dictionary) -> Self {
        let (bytes, last) = (vec![0; block::HEADER], Written::default());
        Blocks { dictionary, bytes, last, starts: vec![&[]], ancestors: Vec::new() }
    }

    /// Adds an entry to the leaves; the number of its leaf.
    fn add(&mut self, entry: &'a Entry, tail: u16) -> usize {
        while self.ancestors.last().is_some_and(|(ancestor, _)| !entry.key.starts_with(ancestor)) {
            self.ancestors.pop();
        }
        let key = entry.key.as_slice();
        if !self.fit(key, tail, entry.module) {
            let start = &key[..key.len().min(shared(self.last.key, key) + 1)];
            let (link, kept) = self.link();
            self.starts.push(start);
            self.begin(link, kept, if key[0] <= front::BUILTIN_NAMES { &[] } else { start });
            if self.last.key == key {
                // It repeats what another leaf holds, and yet has to say its tail.
                self.last.tail = NO_TAIL;
            }
            assert!(self.fit(key, tail, entry.module), "a block holds any entry");
        }
        let number = self.starts.len() - 1;
        self.ancestors.push((key, number));
        number
    }

    /// What a leaf holds in its header that begins here.
    fn link(&self) -> (u16, u8) {
        let Some(&(ancestor, number)) = self.ancestors.last() else { return (0, 0) };
        (number as u16 + 1, shared(ancestor, self.starts[number]) as u8)
    }

    /// Puts blocks above the leaves, level by level, until it is one.
    fn into_tree(mut self) -> Result<Vec<u8>> {
        let mut below = std::mem::take(&mut self.starts);
        let mut number = 0_usize;
        while below.len() > 1 {
            let mut starts = Vec::new();
            for start in below {
                number += 1;
                if starts.is_empty() || !self.fit(start, 0, 0) {
                    self.begin(number as u16 | block::INNER, 0, start);
                    starts.push(start);
                }
            }
            below = starts;
        }
        ensure!(
            self.bytes.len() < block::SIZE * usize::from(block::INNER),
            "the aliases are more than a table can hold"
        );
        self.fill();
        Ok(self.bytes)
    }

    /// Fills the last block.
    fn fill(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(block::SIZE), 0);
    }

    fn begin(&mut self, link: u16, kept: u8, start: &'a [u8]) {
        self.fill();
        self.bytes.extend(link.to_le_bytes());
        self.bytes.push(kept);
        self.last = Written { key: start, ..Written::default() };
    }

    /// Adds an entry to the last block if it has room; whether it has.
    fn fit(&mut self, key: &'a [u8], tail: u16, module: u16) -> bool {
        let next = Written { key, shared: shared(self.last.key, key), tail, module };
        let bytes = self.difference(next);
        let fits = self.bytes.len() + bytes.len() <= self.bytes.len().next_multiple_of(block::SIZE);
        if fits {
            self.bytes.extend(bytes);
            self.last = next;
        }
        fits
    }

    fn difference(&self, next: Written) -> Vec<u8> {
        let shared = next.shared;
        // The number of a front is no text: it is below the codes and stands for itself.
        let (number, text) = next.key[shared..].split_at(usize::from(shared == 0));
        let added = [number, &self.dictionary.pack(text)].concat();
        let step = (shared + usize::from(block::SAME)).wrapping_sub(self.last.shared);
        let (mut bytes, mut header) = (vec![0], 0);
        for (short, long, shift) in
            [(step, shared, block::SHARED_SHIFT), (added.len(), added.len(), block::ADDED_SHIFT)]
        {
            header |= (short.min(block::LONG.into()) as u8) << shift;
            if short >= block::LONG.into() {
                bytes.push(long as u8);
            }
        }
        bytes.extend(added);
        if next.tail != self.last.tail {
            header |= block::TAIL;
            bytes.extend(next.tail.to_le_bytes());
        }
        if next.module != self.last.module {
            header |= block::MODULE;
            bytes.extend(next.module.to_le_bytes());
        }
        bytes[0] = header;
        bytes
    }
}

// A size that stands in a byte of its own, beside that of the entry, and no more.
const _: () = assert!(block::HEADER + 2 + block::KEY_MAX + 2 + 2 <= block::SIZE);
// A name has no tail.
const _: () = assert!(block::HEADER + 2 + 1 + block::NAME_MAX + 2 <= block::SIZE);
