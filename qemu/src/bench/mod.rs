//! The benchmark: what boots cost, in instructions.
//!
//! QEMU counts them (`-icount`): one is a nanosecond of the guest's time, so the kernel's own log tells them, to a
//! thousand. A REP instruction counts once for each round, one with wide registers or for cryptography once; caches and
//! memory cost nothing. While the processor waits the time goes on as the host's does (`sleep=on`; else it would leap to
//! the next timer, by seconds where the host is slow with a disk): of several boots the one that cost least counts. All
//! boots have the same kernel, disk, command line and init, which is [the floor](FLOOR)'s other half.

mod image;
pub mod measure;
mod peers;
pub mod repeat;
mod size;
mod subject;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use modstrap_initramfs::Compress;
use serde::Serialize;
use tempfile::TempDir;

use crate::drive::Bus;
use crate::kernels::Kernel;
use crate::tree::{self, add_program};
use crate::{FileSystem, Recipe, Table};

pub use measure::{Figures, Split};
pub use size::Size;
use subject::{Case, Images, Subject};

/// The floor, and the init of all roots: qemu/floor.rs.
pub(crate) static FLOOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/floor"));

/// The UUID of the root, for boots that have to look for it.
const UUID: &str = "6d6f6473-7472-6170-8000-000000000002";

/// What is measured.
#[derive(Debug)]
pub struct Bench {
    kernel: Kernel,
    compress: Compress,
    /// How often each boots.
    boots: u32,
    /// Whether to find the least memory of each.
    with_memory: bool,
    work: TempDir,
    disk: PathBuf,
}

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What boots cost.
    pub rows: Vec<Row>,
    /// What images for any machine measure.
    pub sizes: Vec<Size>,
}

impl Report {
    /// The rows without figures.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.failure.is_some())
    }
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
    /// The image's size in bytes, if it could be made.
    pub image_bytes: Option<u64>,
    /// How many modules it holds.
    pub modules: Option<usize>,
    /// What the boot cost, if it reached the real init.
    #[serde(flatten)]
    pub figures: Option<Figures>,
    /// Why there are no figures.
    pub failure: Option<String>,
    /// Where the instructions went, of ours.
    pub split: Option<Split>,
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
    pub fn new(kernel: Kernel, compress: Compress, boots: u32, with_memory: bool) -> Result<Bench> {
        let work = tempfile::Builder::new().prefix("modstrap-bench-").tempdir()?;
        let tree = work.path().join("tree");
        for directory in ["sbin", "dev", "etc", "proc", "sys", "run"] {
            std::fs::create_dir_all(tree.join(directory))?;
        }
        add_program(&tree, "sbin/init", FLOOR)?;
        // systemd in an initramfs leaves for nothing that is without (src/basic/os-util.c, `path_is_os_tree`).
        std::fs::write(tree.join("etc/os-release"), "ID=bench\n")?;
        let disk = work.path().join("disk.img");
        write_disk(&tree, &disk)?;
        Ok(Bench { kernel, compress, boots, with_memory, work, disk })
    }

    /// Measures boots from disks on these buses, and images: those whose name has one of the texts of `only` in it, or
    /// all. What cannot be made or booted is a line that says why.
    pub fn run(&self, buses: &[Bus], only: &[String]) -> Result<Report> {
        let cases = Case::all(buses, only);
        if cases.is_empty() {
            let names: BTreeSet<String> = Case::all(buses, &[]).iter().map(|case| case.subject.name()).collect();
            bail!("no row is called so; there are: {}", names.into_iter().collect::<Vec<_>>().join("; "));
        }
        // What is missing is not to be found out again by each row.
        if cases.iter().any(|case| case.subject.needs_record()) {
            tree::recorder()?;
        }
        let progress = progress(cases.len() as u64);
        let mut images = Images::new(self)?;
        let mut rows = Vec::new();
        for case in cases {
            let mut row = Row::of(case);
            progress.set_message(format!("{}, {}, root={}", row.name, row.bus, row.root));
            if let Err(error) = self.fill(&mut row, case, &mut images) {
                row.failure = Some(format!("{error:#}").lines().next().unwrap_or_default().to_string());
            }
            progress.suspend(|| row.tell());
            rows.push(row);
            progress.inc(1);
        }
        progress.set_message("images with the drivers of others'");
        let sizes = size::compare(self, only)?;
        progress.finish_and_clear();
        Ok(Report { rows, sizes })
    }

    fn fill(&self, row: &mut Row, case: Case, images: &mut Images) -> Result<()> {
        let Case { subject, bus, root } = case;
        let image = images.of(subject, bus)?;
        row.image_bytes = Some(image.bytes()?);
        row.modules = Some(image.modules);
        let figures = self.measure_least(&image.file, bus, root)?;
        if matches!(subject, Subject::Ours(_)) && root == Root::Name {
            row.split = Some(self.split(&image::counting(&image)?.file, bus, &figures)?);
        }
        row.figures = Some(figures);
        if self.with_memory {
            row.least_memory = Some(self.least_memory(&image.file, bus, root)?);
        }
        Ok(())
    }
}

impl Row {
    fn of(case: Case) -> Row {
        Row {
            name: case.subject.name(),
            bus: case.bus.name(),
            root: case.root.title(),
            image_bytes: None,
            modules: None,
            figures: None,
            failure: None,
            split: None,
            least_memory: None,
        }
    }

    /// Whether it is of another program, which may be missing.
    pub fn is_of_peer(&self) -> bool {
        peers::PEERS.iter().any(|peer| peer.name == self.name)
    }

    /// Says on standard error what came out: a whole run takes a while.
    fn tell(&self) {
        let Row { name, bus, root, figures, failure, .. } = self;
        let outcome = match figures {
            Some(figures) => format!("{:.0} million instructions", figures.total),
            None => failure.clone().unwrap_or_default(),
        };
        eprintln!("{name}, {bus}, {root}: {outcome}");
    }
}

/// Makes the disk of a benchmark, with a root of these files.
fn write_disk(tree: &Path, to: &Path) -> Result<()> {
    Recipe::new(FileSystem::Ext4).from(tree).uuid(UUID).table(Table::Gpt).write(to)
}

/// Whether a row of this name is wanted: one of the texts is in it, or there are none.
fn is_selected(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|text| name.contains(text.as_str()))
}

/// On standard error, if that is a terminal.
fn progress(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed} {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
