//! `modstrap-qemu bench`: the benchmark, on standard output, as JSON, and in README.md.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use modstrap_initramfs::Compress;
use modstrap_qemu::Bus;
use modstrap_qemu::bench::{Bench, Row, Size};
use modstrap_qemu::kernels::{self, Kernel};
use serde::Serialize;

use super::repeat;

/// What stands before and behind the table in README.md.
const BEGIN: &str = "<!-- modstrap-qemu bench --readme -->\n";
const END: &str = "<!-- end of the benchmark -->";

#[derive(Args, Debug)]
pub struct Arguments {
    /// The kernel's release, of those in the cache [default: the distribution's]
    #[arg(long, value_name = "RELEASE")]
    kernel: Option<String>,
    /// Where the disk is; from the first all boot, from others the floors and two of ours
    #[arg(long, value_name = "BUS", value_delimiter = ',', default_value = "virtio-blk,nvme,ahci,usb")]
    bus: Vec<Bus>,
    /// Only the rows whose name contains this; repeatable
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How modules are packed
    #[arg(long, value_name = "HOW", value_enum, default_value = "best")]
    compress: Compress,
    /// How often each boots: what it costs is the least of these
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(1..))]
    boots: u32,
    /// Find the least memory of each, too: seven more boots for each line
    #[arg(long)]
    memory: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into the README.md of the working directory, where all rows have figures
    #[arg(long, conflicts_with = "only")]
    readme: bool,
    #[command(flatten)]
    repeat: repeat::Words,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kernel = arguments.kernel()?;
    // What cannot be written in the end is not to be measured first.
    let json = arguments.json.as_deref().map(Json::open).transpose()?;
    if arguments.repeat.times.is_some() {
        return arguments.repeat.run(&kernel, arguments.compress, &arguments.bus, json);
    }
    let readme = arguments.readme.then(|| Readme::read(Path::new("README.md"))).transpose()?;
    eprintln!("counting boots of {}", kernel.release);
    let bench = Bench::new(kernel, arguments.compress, arguments.boots, arguments.memory)?;
    let report = bench.run(&arguments.bus, &arguments.only)?;
    let text = report.to_string();
    print!("{text}");
    for Size { name, drivers, .. } in &report.sizes {
        println!("\nDrivers of {name} in ours: {}", drivers.join(" "));
    }
    json.map(|json| json.write(&report)).transpose()?;
    if let Some(readme) = readme {
        ensure!(report.failed().next().is_none(), "README.md stays as it is: not every row has its figures");
        readme.write(&text)?;
    }
    // Other programs are measured where they can be installed.
    let is_ours = |row: &Row| !row.is_of_peer();
    Ok(if report.failed().any(is_ours) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn kernel(&self) -> Result<Kernel> {
        match &self.kernel {
            None => kernels::distribution(),
            Some(release) => kernels::all()?
                .into_iter()
                .find(|kernel| kernel.release == *release)
                .with_context(|| format!("the cache has no kernel {release}: run qemu/setup tests")),
        }
    }
}

/// A file for figures.
pub struct Json<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Json<'a> {
    /// Opens it; what it holds stays until there are others.
    fn open(path: &'a Path) -> Result<Json<'a>> {
        let file = File::options().append(true).create(true).open(path);
        Ok(Json { path, file: file.with_context(|| format!("cannot write {}", path.display()))? })
    }

    /// Writes them.
    pub fn write(self, figures: &impl Serialize) -> Result<()> {
        // What is no regular file has no length.
        let _ = self.file.set_len(0);
        serde_json::to_writer_pretty(self.file, figures)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A text with a place for the tables.
struct Readme<'a> {
    path: &'a Path,
    before: String,
    after: String,
}

impl<'a> Readme<'a> {
    fn read(path: &'a Path) -> Result<Readme<'a>> {
        let context = || format!("{}: no place for the table", path.display());
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let (before, rest) = text.split_once(BEGIN).with_context(context)?;
        let (_, after) = rest.split_once(END).with_context(context)?;
        Ok(Readme { path, before: before.into(), after: after.into() })
    }

    /// Replaces what stands between the two marks.
    fn write(self, tables: &str) -> Result<()> {
        let Readme { path, before, after } = self;
        let text = format!("{before}{BEGIN}{tables}{END}{after}");
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}
