//! The index: patterns, sorted and written as differences, in blocks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use modstrap::table::layout::{Section, block, front, layer};

use super::alias::Pattern;
use super::dictionary::Dictionary;
use super::{Sections, shared};

/// All that stands in the index.
pub(super) struct Index {
    /// Layer and text of each front, by its number less one.
    fronts: Vec<(u8, Vec<u8>)>,
    /// Each once, sorted by key.
    entries: Vec<Entry>,
    tails: BTreeSet<Vec<u8>>,
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
        let mut index = Index { fronts: Vec::new(), entries: Vec::new(), tails: BTreeSet::new() };
        for Pattern { layer, front, key, tail, module } in patterns {
            let number = *numbers.entry((layer, front)).or_insert_with_key(|front| {
                fronts.push(front.clone());
                fronts.len() as u8
            });
            index.tails.insert(tail.clone());
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
        added.chain(self.tails.iter().map(Vec::as_slice))
    }

    /// Writes the sections of the index and, for each of so many modules, which block holds its name.
    pub(super) fn write(&self, dictionary: &Dictionary, modules: usize, sections: &mut Sections) -> Result<()> {
        sections[Section::Fronts as usize] = self.front_records();
        let mut tails = Vec::new();
        let mut places = BTreeMap::new();
        for tail in &self.tails {
            // The empty tail is the first, at 0.
            let place = u16::try_from(tails.len()).context("the aliases are more different than a table can hold")?;
            places.insert(tail.as_slice(), place);
            tails.extend(dictionary.pack(tail).into_iter().chain([0]));
        }
        sections[Section::Tails as usize] = tails;

        let mut names = vec![0; 2 * modules];
        let mut blocks = Blocks { dictionary, bytes: Vec::new(), last: Last::default(), ancestors: Vec::new() };
        for entry in &self.entries {
            blocks.add(entry, places[entry.tail.as_slice()]);
            let number = u16::try_from(blocks.number()).context("the aliases are more than a table can hold")?;
            if entry.key[0] <= front::BUILTIN_NAMES {
                super::put(&mut names, 2 * usize::from(entry.module), &number.to_le_bytes());
            }
        }
        sections[Section::Names as usize] = names;
        sections[Section::Blocks as usize] = blocks.bytes;
        Ok(())
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
    last: Last<'a>,
    /// The keys before that the last one begins with, and the last one itself; each with the number of its block.
    ancestors: Vec<(&'a [u8], usize)>,
}

/// What an entry is written as the difference from.
#[derive(Clone, Copy, Default)]
struct Last<'a> {
    key: &'a [u8],
    /// How much of the key before stayed in it.
    shared: usize,
    tail: u16,
    module: u16,
}

impl<'a> Blocks<'a> {
    fn add(&mut self, entry: &'a Entry, tail: u16) {
        while self.ancestors.last().is_some_and(|(ancestor, _)| !entry.key.starts_with(ancestor)) {
            self.ancestors.pop();
        }
        let mut next = Last { key: &entry.key, shared: shared(self.last.key, &entry.key), tail, module: entry.module };
        let mut bytes = self.difference(next);
        let used = self.bytes.len() % block::SIZE;
        if used == 0 || used + bytes.len() > block::SIZE {
            self.bytes.resize(self.bytes.len().next_multiple_of(block::SIZE), 0);
            let above = self.ancestors.last().map_or(0, |(_, number)| number + 1);
            self.bytes.extend((above as u16).to_le_bytes());
            self.last = Last::default();
            next.shared = 0;
            bytes = self.difference(next);
        }
        self.bytes.extend(bytes);
        self.last = next;
        self.ancestors.push((&entry.key, self.number()));
    }

    fn number(&self) -> usize {
        self.bytes.len().div_ceil(block::SIZE) - 1
    }

    fn difference(&self, next: Last) -> Vec<u8> {
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

const _: () = assert!(block::HEADER + block::KEY_MAX + 8 < block::SIZE && block::KEY_MAX <= u8::MAX as usize);
