//! Finding the modules whose aliases match a name.
//!
//! Most aliases are rows of numbers (`pci:v00008086d00001234sv*sd*bc*sc*i*`): the builder keeps one template for each
//! such form and, sorted, the numbers alone. A name is taken apart by the template and searched for by halves. Plain
//! names are sorted too; what remains, patterns that begin with a wildcard, is tried one by one within its bus.

use heapless::Vec;

use super::layout::{Section, bus, group};
use super::{ModuleId, Table, glob, u16_at, u32_at};

/// The size of the module number behind an entry's key.
const MODULE: usize = 2;

/// See [`Table::lookup`].
pub(super) fn lookup(table: &Table, name: &[u8], found: &mut dyn FnMut(ModuleId)) {
    for record in table.section(Section::Buses).chunks_exact(bus::SIZE) {
        if name.starts_with(table.string(u32_at(record, bus::PREFIX))) {
            let first = usize::from(u16_at(record, bus::GROUP));
            let count = usize::from(u16_at(record, bus::GROUP_COUNT));
            let groups = table.section(Section::Groups).chunks_exact(group::SIZE);
            groups.skip(first).take(count).for_each(|record| Group::new(table, record).lookup(name, found));
        }
    }
}

/// Aliases of one form.
struct Group<'t, 'a> {
    table: &'t Table<'a>,
    template: &'a [u8],
    form: u8,
    key: usize,
    entries: &'a [u8],
}

impl<'t, 'a> Group<'t, 'a> {
    fn new(table: &'t Table<'a>, record: &[u8]) -> Self {
        let byte = |at: usize| record.get(at).copied().unwrap_or(u8::MAX);
        let key = usize::from(byte(group::KEY));
        let length = (u32_at(record, group::COUNT) as usize).saturating_mul(key + MODULE);
        let entries = table.section(Section::Aliases).get(u32_at(record, group::ENTRIES) as usize..);
        Group {
            table,
            template: table.string(u32_at(record, group::TEMPLATE)),
            form: byte(group::FORM),
            key,
            entries: entries.and_then(|entries| entries.get(..length)).unwrap_or_default(),
        }
    }

    fn lookup(&self, name: &[u8], found: &mut dyn FnMut(ModuleId)) {
        match self.form {
            group::FIELDS => {
                if let Some(key) = fields(self.template, name) {
                    self.search(&key, found);
                }
            }
            group::LITERAL => self.search(name, found),
            group::GLOB => {
                let entries = self.entries.chunks_exact(self.key + MODULE);
                let matching = entries.filter(|entry| glob::matches(self.table.string(u32_at(entry, 0)), name));
                matching.for_each(|entry| found(ModuleId(u16_at(entry, self.key))));
            }
            _ => {}
        }
    }

    /// Finds all entries of sorted ones whose key, or the text it refers to, is `wanted`.
    fn search(&self, wanted: &[u8], found: &mut dyn FnMut(ModuleId)) {
        let size = self.key + MODULE;
        let entry = |index: usize| self.entries.get(index * size..).unwrap_or_default();
        let key_of = |index: usize| match self.form {
            group::FIELDS => entry(index).get(..self.key).unwrap_or_default(),
            _ => self.table.string(u32_at(entry(index), 0)),
        };
        let count = self.entries.len() / size;
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low.midpoint(high);
            if key_of(middle) < wanted { low = middle + 1 } else { high = middle }
        }
        while low < count && key_of(low) == wanted {
            found(ModuleId(u16_at(entry(low), self.key)));
            low += 1;
        }
    }
}

/// Takes `name` apart by `template`: the bytes of its fields, if all of it fits.
fn fields(template: &[u8], mut name: &[u8]) -> Option<Vec<u8, { group::KEY_MAX }>> {
    let mut key = Vec::new();
    let fields_end = template.iter().rposition(|&byte| is_field(byte))? + 1;
    let (front, pattern) = template.split_at_checked(fields_end)?;
    for &byte in front {
        if is_field(byte) {
            for _ in 0..byte {
                let (digits, rest) = name.split_first_chunk::<2>()?;
                key.push(hex(digits[0])? << 4 | hex(digits[1])?).ok()?;
                name = rest;
            }
        } else {
            let (&first, rest) = name.split_first()?;
            if first != byte {
                return None;
            }
            name = rest;
        }
    }
    glob::matches(pattern, name).then_some(key)
}

fn is_field(byte: u8) -> bool {
    (1..=group::FIELD_MAX).contains(&byte)
}

/// An upper-case hexadecimal digit's value: the only form that the kernel writes into a modalias.
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
