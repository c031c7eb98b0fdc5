//! An image's bytes: by part, by module, by kind of section, and by stage of the codec.
//!
//! What stands before the loader's archive is the early part: microcode and the like. The builder's own reader takes the
//! image apart; what a section costs once it is packed, [`cost`] says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use modstrap_initramfs::contents::{Contents, Packed};
use modstrap_initramfs::inspect;
use serde::Serialize;

use crate::Bytes;
use crate::cost::{self, Cost, Kinds};
use crate::elf;

/// The archives before the loader's own, with all their headers and padding.
pub const EARLY: &str = "early";
/// The packed modules.
pub const BLOBS: &str = "blobs";
/// What finds them.
pub const TABLE: &str = "table";
/// The program that the kernel starts.
pub const LOADER: &str = "loader";
/// All other files: firmware, `--file`, the targets of symbolic links.
pub const FILES: &str = "files";
/// Archive headers, names, padding and ends.
pub const HEADERS: &str = "headers";
/// Among kinds of sections: the header of each blob, and what aligns them.
pub const FRAMES: &str = "(blob headers)";

/// The whole report on an image: what `size-report --image IMAGE --json` prints. The field names are kept.
#[derive(Debug, Serialize)]
pub struct ImageReport {
    /// The image's numbers.
    pub image: Image,
}

/// The numbers of one image.
#[derive(Debug, Serialize)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes by part: `early`, `loader`, `table`, `blobs`, `files`, `headers`; they add up to the size.
    pub parts: Bytes,
    /// The modules, the largest in the image first.
    pub modules: Vec<Module>,
    /// What sections of all modules take, by kind. The packed bytes add up to those of the blobs.
    pub kinds: Kinds,
    /// What the codec makes of the modules.
    pub stages: Stages,
}

/// A module of an image.
#[derive(Debug, Serialize)]
pub struct Module {
    /// What `modstrap inspect` tells of it.
    #[serde(flatten)]
    pub whole: inspect::Module,
    /// What its sections take of its bytes, raw and packed, by kind.
    pub kinds: Kinds,
}

/// The bytes of all modules at each stage of the codec, and how many of them it is for.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stages {
    /// As the kernel gets them.
    pub raw: u64,
    /// Taken apart into streams, where that makes them smaller.
    pub filtered: u64,
    /// These deflated, where that makes them smaller.
    pub deflated: u64,
    /// With the header of each blob (its checksum and lengths), and aligned: the blob file.
    pub framed: u64,
    /// How many modules are taken apart.
    pub modules_filtered: u64,
    /// How many are deflated.
    pub modules_deflated: u64,
}

impl Image {
    /// Reads an image. Refuses what is compressed, cut off, damaged, or holds no loader.
    pub fn read(path: &Path) -> Result<Image> {
        let data = elf::read(path)?;
        let image = Image::parse(path, &data);
        image.with_context(|| format!("{} is not an image of modstrap", path.display()))
    }

    fn parse(path: &Path, data: &[u8]) -> Result<Image> {
        let contents = Contents::of(data)?;
        let packed = contents.modules(&contents.table()?)?;
        let mut modules = packed.iter().map(Module::of).collect::<Result<Vec<Module>>>()?;
        let stages = Stages::of(&packed, contents.blobs.len());
        let mut kinds = Kinds::from([(FRAMES.to_owned(), Cost { raw: 0, packed: stages.framed - stages.deflated })]);
        for (kind, cost) in modules.iter().flat_map(|module| &module.kinds) {
            let sum = kinds.entry(kind.clone()).or_default();
            *sum = [*sum, *cost].into_iter().sum();
        }
        modules.sort_by_key(|module| std::cmp::Reverse(module.whole.packed));
        Ok(Image {
            path: path.to_owned(),
            bytes: data.len() as u64,
            parts: parts(&contents, data.len()),
            modules,
            kinds,
            stages,
        })
    }
}

fn parts(contents: &Contents, length: usize) -> Bytes {
    let files = contents.others.iter().map(|entry| entry.content.len()).sum();
    let mut parts = vec![
        (EARLY, contents.start),
        (LOADER, contents.loader.len()),
        (TABLE, contents.table.len()),
        (BLOBS, contents.blobs.len()),
        (FILES, files),
    ];
    parts.push((HEADERS, length - parts.iter().map(|(_, bytes)| bytes).sum::<usize>()));
    parts.into_iter().map(|(part, bytes)| (part.to_owned(), bytes as u64)).collect()
}

impl Module {
    fn of(packed: &Packed) -> Result<Module> {
        let kinds = cost::of(&packed.blob).with_context(|| format!("its module {}", packed.name))?;
        Ok(Module { whole: packed.into(), kinds })
    }
}

impl Stages {
    fn of(modules: &[Packed], framed: usize) -> Stages {
        let mut stages = Stages { framed: framed as u64, ..Stages::default() };
        for Packed { blob, .. } in modules {
            let filtered = cost::inflated_length(blob);
            stages.raw += blob.raw_length() as u64;
            stages.filtered += filtered as u64;
            stages.deflated += blob.packed_length() as u64;
            stages.modules_filtered += u64::from(blob.streams_length() > 0);
            stages.modules_deflated += u64::from(blob.packed_length() < filtered);
        }
        stages
    }
}
