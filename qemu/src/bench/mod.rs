//! The benchmark: what boots cost, in instructions.
//!
//! QEMU counts them (`-icount`): one is a nanosecond of the guest's time, so the kernel's own log tells them, to a
//! thousand, and the same boot comes to the same figures within some thousandths whatever the host is doing. A REP
//! instruction counts once for each round, one with wide registers or for cryptography once; caches and memory cost
//! nothing. All boots have the same kernel, disk, command line and init, which is [the floor](FLOOR)'s other half.

mod image;
mod measure;
pub mod repeat;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use modstrap_initramfs::{Compress, Hardware};
use serde::Serialize;
use tempfile::TempDir;

use crate::drive::Bus;
use crate::kernels::Kernel;
use crate::{FileSystem, Recipe, Table};

pub use measure::Figures;
pub use table::table;

/// The floor, and the init of all roots: qemu/floor.rs.
pub(crate) static FLOOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floor"));

/// The UUID of the root, for boots that have to look for it.
const UUID: &str = "6d6f6473-7472-6170-8000-000000000002";

/// What is measured.
#[derive(Debug)]
pub struct Bench {
    kernel: Kernel,
    compress: Compress,
    /// Whether to find the least memory of each.
    with_memory: bool,
    work: TempDir,
    disk: PathBuf,
}

/// One line of the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What booted.
    pub name: String,
    /// Where the disk was.
    pub bus: String,
    /// How `root=` named it.
    pub root: &'static str,
    /// The image's size in bytes.
    pub image_bytes: u64,
    /// How many modules it holds.
    pub modules: usize,
    /// What the boot cost.
    #[serde(flatten)]
    pub figures: Figures,
    /// The least memory with which it boots, in MiB, where that was asked for.
    pub least_memory: Option<u32>,
}

/// How `root=` names the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Name,
    Uuid,
}

impl Root {
    fn title(self) -> &'static str {
        match self {
            Root::Name => "name",
            Root::Uuid => "UUID",
        }
    }
}

impl Bench {
    /// A benchmark of boots with this kernel from an ext4 file system in a GPT partition.
    pub fn new(kernel: Kernel, compress: Compress, with_memory: bool) -> Result<Bench> {
        let work = tempfile::Builder::new().prefix("modstrap-bench-").tempdir()?;
        let tree = work.path().join("tree");
        for directory in ["sbin", "dev", "proc", "sys", "run"] {
            std::fs::create_dir_all(tree.join(directory))?;
        }
        image::write_program(&tree.join("sbin/init"), FLOOR)?;
        let disk = work.path().join("disk.img");
        Recipe::new(FileSystem::Ext4).from(tree).uuid(UUID).table(Table::Gpt).write(&disk)?;
        Ok(Bench { kernel, compress, with_memory, work, disk })
    }

    /// Measures boots from a disk on this bus: both floors, and ours with the drivers of this machine alone, of every
    /// machine, and with every module there is. `tell` hears of each line as it is there.
    pub fn run(&self, bus: Bus, mut tell: impl FnMut(&Row)) -> Result<Vec<Row>> {
        let mut measure = |name: &str, image: &image::Image, root| {
            let row = self.row(name, image, bus, root)?;
            tell(&row);
            Ok::<Row, anyhow::Error>(row)
        };
        let mut ours = |name: &str, image: &image::Image| {
            let name = format!("modstrap, {name}");
            Ok::<_, anyhow::Error>([measure(&name, image, Root::Name)?, measure(&name, image, Root::Uuid)?])
        };
        // What has to be loaded is what ours loads of all that there is to choose from.
        let generic = ours("generic", &image::ours(self, "generic", Hardware::Generic)?)?;
        let loaded = &generic[0].figures.loaded;
        ensure!(!loaded.is_empty(), "nothing was loaded: the kernel has all drivers built in");
        let list = self.work.path().join(format!("{}.modules", image::title(bus)));
        std::fs::write(&list, loaded.join("\n")).context("cannot write the list of modules")?;
        let machine = ours("this machine", &image::ours(self, "machine", Hardware::Names(list))?)?;
        let all = ours("every module", &image::ours(self, "all", Hardware::All)?)?;
        let (smart, naive) = image::floors(self, loaded)?;
        let mut rows = vec![measure("floor, naive", &naive, Root::Name)?];
        rows.extend(smart.map(|smart| measure("floor, smart", &smart, Root::Name)).transpose()?);
        rows.extend([machine, generic, all].into_iter().flatten());
        Ok(rows)
    }

    fn row(&self, name: &str, image: &image::Image, bus: Bus, root: Root) -> Result<Row> {
        let figures = self.measure(&image.file, bus, root).with_context(|| name.to_string())?;
        let least_memory = if self.with_memory { Some(self.least_memory(&image.file, bus, root)?) } else { None };
        Ok(Row {
            name: name.to_string(),
            bus: image::title(bus),
            root: root.title(),
            image_bytes: std::fs::metadata(&image.file)?.len(),
            modules: image.modules,
            figures,
            least_memory,
        })
    }
}
