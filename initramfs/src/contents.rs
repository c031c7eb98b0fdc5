//! An image taken apart: its archives, and in the last of them the loader, the table and the blobs.

use anyhow::{Context, Result, anyhow};
use modstrap::module::Blob;
use modstrap::table::layout::{self, BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Class, Damage, Table};

use crate::archive::{self, Entry, Found};
use crate::image::LOADER_PATH;

/// What an image is made of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The archives that stand before ours, as microcode does.
    pub early: Vec<Vec<Entry<'a>>>,
    /// Where ours begins, in bytes of the image.
    pub start: usize,
    /// What our archive holds beside the three below.
    pub others: Vec<Entry<'a>>,
    /// The program that the kernel starts.
    pub loader: &'a [u8],
    /// The module table.
    pub table: &'a [u8],
    /// The blob file.
    pub blobs: &'a [u8],
}

/// A module as an image holds it.
pub struct Packed<'a> {
    /// Its name.
    pub name: String,
    /// What it is to a boot.
    pub class: Class,
    /// Its blob, checked.
    pub blob: Blob<'a>,
}

impl<'a> Contents<'a> {
    /// Takes an image apart.
    pub fn of(image: &'a [u8]) -> Result<Contents<'a>> {
        let mut archives = archive::find(image)?;
        let Found { start, entries: mut ours } = archives.pop().context("it is empty")?;
        let mut take = |path: &str| {
            let place = ours.iter().position(|entry| is_at(entry, path));
            place.map(|place| ours.remove(place).content).with_context(|| format!("its last archive has no {path}"))
        };
        let (table, blobs, loader) = (take(TABLE_PATH)?, take(BLOBS_PATH)?, take(LOADER_PATH)?);
        let early = archives.into_iter().map(|archive| archive.entries).collect();
        Ok(Contents { early, start, others: ours, loader, table, blobs })
    }

    /// The table, checked.
    pub fn table(&self) -> Result<Table<'a>> {
        Table::open(self.table).map_err(|damage| anyhow!("its table: {}", describe(damage)))
    }

    /// The modules of its table, in that order.
    pub fn modules(&self, table: &Table) -> Result<Vec<Packed<'a>>> {
        let packed = |id| {
            let module = table.module(id);
            let name = String::from_utf8_lossy(table.name(id).as_bytes()).into_owned();
            let blob = self.blob(module.blob).with_context(|| format!("its module {name}"))?;
            Ok(Packed { name, class: module.class, blob })
        };
        table.modules().map(packed).collect()
    }

    /// The blob that begins at `offset` of the blob file, checked.
    pub fn blob(&self, offset: u64) -> Result<Blob<'a>> {
        Blob::at(self.blobs, offset).context("its blob is damaged or cut off: the checksum does not fit")
    }
}

fn is_at(entry: &Entry, path: &str) -> bool {
    entry.is_file() && entry.path.trim_start_matches("./") == path.trim_start_matches('/')
}

fn describe(damage: Damage) -> String {
    match damage {
        Damage::NotATable => "it does not begin as one".into(),
        Damage::Version(version) => {
            format!("of format {version}, where this program knows {}", layout::VERSION_VALUE)
        }
        Damage::Length => "longer or shorter than it says".into(),
        Damage::Section => "one of its sections lies outside it".into(),
        Damage::Checksum => "damaged: the checksum does not fit".into(),
    }
}
