//! An image taken apart: its archives, and in the last of them the loader, the table and the blobs.

use anyhow::{Context, Result, anyhow};
use modstrap::module::Blob;
use modstrap::table::layout::{self, BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Damage, Table};

use crate::archive::{self, Entry};
use crate::image::LOADER_PATH;

/// What an image is made of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The archives that stand before ours, as microcode does.
    pub early: Vec<Vec<Entry<'a>>>,
    /// What our archive holds beside the three below.
    pub others: Vec<Entry<'a>>,
    /// The program that the kernel starts.
    pub loader: &'a [u8],
    /// The module table.
    pub table: &'a [u8],
    /// The blob file.
    pub blobs: &'a [u8],
}

impl<'a> Contents<'a> {
    /// Takes an image apart.
    pub fn of(image: &'a [u8]) -> Result<Contents<'a>> {
        let mut early = archive::read(image)?;
        let mut ours = early.pop().context("it is empty")?;
        let mut take = |path: &str| {
            let place = ours.iter().position(|entry| is_at(entry, path));
            place.map(|place| ours.remove(place).content).with_context(|| format!("its last archive has no {path}"))
        };
        let (table, blobs, loader) = (take(TABLE_PATH)?, take(BLOBS_PATH)?, take(LOADER_PATH)?);
        Ok(Contents { early, others: ours, loader, table, blobs })
    }

    /// The table, checked.
    pub fn table(&self) -> Result<Table<'a>> {
        Table::open(self.table).map_err(|damage| anyhow!("its table: {}", describe(damage)))
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
