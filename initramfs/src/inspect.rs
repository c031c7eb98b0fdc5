//! Reading an image back.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::contents::{Contents, Packed};

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
    /// Its size in the image in bytes, without the blob's header.
    pub packed: u64,
}

impl From<&Packed<'_>> for Module {
    fn from(Packed { name, class, blob }: &Packed) -> Module {
        Module {
            name: name.clone(),
            class: class.name(),
            raw: blob.raw_length() as u64,
            packed: blob.packed_length() as u64,
        }
    }
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
        let contents = Contents::of(image)?;
        let table = contents.table()?;
        let early = || contents.early.iter().flatten().filter(|entry| entry.is_file());
        let others = contents.others.iter().filter(|entry| entry.is_file());
        let files = early()
            .chain(others)
            .map(|entry| File { path: format!("/{}", entry.path), bytes: entry.content.len() as u64 });
        Ok(Inspection {
            release: text(table.release()),
            build_id: table.build_id().iter().map(|byte| format!("{byte:02x}")).collect(),
            cmdline: text(table.cmdline()),
            modules: contents.modules(&table)?.iter().map(Module::from).collect(),
            table_bytes: contents.table.len() as u64,
            blobs_bytes: contents.blobs.len() as u64,
            loader_bytes: contents.loader.len() as u64,
            early_bytes: early().map(|entry| entry.content.len() as u64).sum(),
            image_bytes: image.len() as u64,
            files: files.collect(),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
