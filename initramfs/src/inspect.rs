//! Reading an image back.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::{HumanBytes, HumanCount};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Damage, Table, fold, layout};
use serde::Serialize;

use crate::archive::{self, Entry};
use crate::image::LOADER_PATH;

/// What an image holds.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// The release of the kernel it is for.
    pub release: String,
    /// The kernel's GNU build id in hexadecimal; empty where the builder found none.
    pub build_id: String,
    /// The command-line words it brings along.
    pub cmdline: String,
    /// The modules, in the table's order.
    pub modules: Vec<Module>,
    /// The size of the table in bytes.
    pub table_bytes: u64,
    /// The size of the blob file in bytes.
    pub blobs_bytes: u64,
    /// The size of the loader in bytes.
    pub loader_bytes: u64,
    /// The size of the archives that stand before ours, in bytes of their files.
    pub early_bytes: u64,
    /// The size of the whole image in bytes.
    pub image_bytes: u64,
    /// The files beside loader, table and blobs: those of early archives too.
    pub files: Vec<File>,
}

/// A module in an image.
#[derive(Debug, Serialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// What it is to a boot.
    pub class: &'static str,
    /// Its size in bytes.
    pub raw: u64,
    /// Its size in the image in bytes.
    pub packed: u64,
}

/// Another file in an image.
#[derive(Debug, Serialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Inspection {
    /// Reads the image at `path`.
    pub fn read(path: &Path) -> Result<Inspection> {
        let image = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&image).with_context(|| format!("{}: not a sound image", path.display()))
    }

    fn parse(image: &[u8]) -> Result<Inspection> {
        let archives = archive::read(image)?;
        let (ours, early) = archives.split_last().context("it is empty")?;
        let file = |path: &str| {
            let found = ours.iter().find(|entry| is_at(entry, path));
            found.map(|entry| entry.content).with_context(|| format!("its last archive has no {path}"))
        };
        let (bytes, blobs) = (file(TABLE_PATH)?, file(BLOBS_PATH)?);
        let table = Table::open(bytes).map_err(|damage| anyhow!("its table: {}", describe(damage)))?;
        let modules = table.modules().map(|id| {
            let module = table.module(id);
            let name = text(table.name(id).as_bytes());
            let (raw, packed) = blob(blobs, module.blob).with_context(|| format!("its module {name}"))?;
            Ok(Module { name, class: module.class.name(), raw, packed })
        });
        let known = [LOADER_PATH, TABLE_PATH, BLOBS_PATH];
        let others = ours.iter().filter(|entry| entry.is_file() && !known.iter().any(|path| is_at(entry, path)));
        let early = || early.iter().flatten().filter(|entry| entry.is_file());
        let files = early()
            .chain(others)
            .map(|entry| File { path: format!("/{}", entry.path), bytes: entry.content.len() as u64 });
        Ok(Inspection {
            release: text(table.release()),
            build_id: table.build_id().iter().map(|byte| format!("{byte:02x}")).collect(),
            cmdline: text(table.cmdline()),
            modules: modules.collect::<Result<_>>()?,
            table_bytes: bytes.len() as u64,
            blobs_bytes: blobs.len() as u64,
            loader_bytes: file(LOADER_PATH)?.len() as u64,
            early_bytes: early().map(|entry| entry.content.len() as u64).sum(),
            image_bytes: image.len() as u64,
            files: files.collect(),
        })
    }
}

fn is_at(entry: &Entry, path: &str) -> bool {
    entry.is_file() && entry.path.trim_start_matches("./") == path.trim_start_matches('/')
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The sizes of the blob at `offset`, unpacked and packed, if its checksum fits.
fn blob(blobs: &[u8], offset: u64) -> Result<(u64, u64)> {
    let blob = usize::try_from(offset).ok().and_then(|offset| blobs.get(offset..)).unwrap_or_default();
    let number =
        |at: usize| blob.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |field| u32::from_le_bytes(*field));
    let (raw, packed) = (number(layout::blob::RAW), number(layout::blob::PACKED));
    let checked = blob.get(layout::blob::RAW..layout::blob::HEADER + packed as usize).context("its blob is cut off")?;
    let checksum = blob.first_chunk().map(|checksum| u64::from_le_bytes(*checksum));
    ensure!(checksum == Some(fold(checked)), "its blob is damaged: the checksum does not fit");
    Ok((u64::from(raw), u64::from(packed)))
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

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel    {} {}", self.release, self.build_id)?;
        if !self.cmdline.is_empty() {
            writeln!(f, "cmdline   {}", self.cmdline)?;
        }
        for Module { name, class, raw, packed } in &self.modules {
            writeln!(
                f,
                "module    {name:32} {class:8} {:>12} {:>12}",
                HumanCount(*raw).to_string(),
                HumanCount(*packed).to_string()
            )?;
        }
        for File { path, bytes } in &self.files {
            writeln!(f, "file      {path} {}", HumanCount(*bytes))?;
        }
        let raw = self.modules.iter().map(|module| module.raw).sum();
        writeln!(
            f,
            "modules   {}, {} raw, {} packed",
            self.modules.len(),
            HumanBytes(raw),
            HumanBytes(self.blobs_bytes)
        )?;
        write!(
            f,
            "image     {} bytes (loader {}, table {}, modules {}, early {})",
            HumanCount(self.image_bytes),
            HumanCount(self.loader_bytes),
            HumanCount(self.table_bytes),
            HumanCount(self.blobs_bytes),
            HumanCount(self.early_bytes)
        )
    }
}
