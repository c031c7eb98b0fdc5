//! An image taken apart: its archives, and in the last of them the loader, the table and the blobs.

use anyhow::{Context, Result, anyhow, ensure};
use modstrap::table::layout::{self, BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Damage, Table, fold};

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

/// One module's blob, checked.
#[derive(Clone, Copy, Debug)]
pub struct Blob<'a> {
    /// The length of the module, in bytes.
    pub raw: usize,
    /// Its packed form; the module itself where that is as long.
    pub packed: &'a [u8],
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

    /// The blob that begins at `offset` of the blob file.
    pub fn blob(&self, offset: u64) -> Result<Blob<'a>> {
        let blob = usize::try_from(offset).ok().and_then(|offset| self.blobs.get(offset..)).unwrap_or_default();
        let number = |at: usize| {
            blob.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field) as usize)
        };
        let (raw, packed) = (number(layout::blob::RAW), number(layout::blob::PACKED));
        let checked = blob.get(layout::blob::RAW..layout::blob::HEADER + packed).context("its blob is cut off")?;
        let checksum = blob.first_chunk().map(|checksum| u64::from_le_bytes(*checksum));
        ensure!(checksum == Some(fold(checked)), "its blob is damaged: the checksum does not fit");
        Ok(Blob { raw, packed: &checked[layout::blob::HEADER - layout::blob::RAW..] })
    }
}

impl Blob<'_> {
    /// The module, byte for byte as it was packed.
    pub fn unpack(&self) -> Result<Vec<u8>> {
        if self.packed.len() == self.raw {
            return Ok(self.packed.to_vec());
        }
        let unpacked = miniz_oxide::inflate::decompress_to_vec_with_limit(self.packed, self.raw);
        unpacked.ok().filter(|bytes| bytes.len() == self.raw).context("its blob does not unpack")
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
