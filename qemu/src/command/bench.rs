//! `modstrap-qemu bench`: the benchmark, on standard output, as JSON, and in README.md.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use modstrap_initramfs::Compress;
use modstrap_qemu::Bus;
use modstrap_qemu::bench::{Bench, Report, Size};
use modstrap_qemu::kernels::{self, Kernel};

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
    /// Put the table into the README.md of the working directory
    #[arg(long)]
    readme: bool,
    #[command(flatten)]
    repeat: repeat::Words,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let kernel = arguments.kernel()?;
    if arguments.repeat.times.is_some() {
        return arguments.repeat.run(&kernel, arguments.compress, &arguments.bus, arguments.json.as_deref());
    }
    eprintln!("counting boots of {}", kernel.release);
    let bench = Bench::new(kernel, arguments.compress, arguments.boots, arguments.memory)?;
    let report = bench.run(&arguments.bus, &arguments.only)?;
    let text = report.to_string();
    print!("{text}");
    for Size { name, drivers, .. } in &report.sizes {
        println!("\nDrivers of {name} in ours: {}", drivers.join(" "));
    }
    if let Some(path) = &arguments.json {
        write_json(path, &report).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if arguments.readme {
        put_into_readme(Path::new("README.md"), &text)?;
    }
    Ok(ExitCode::SUCCESS)
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

fn write_json(path: &Path, report: &Report) -> Result<()> {
    Ok(serde_json::to_writer_pretty(File::create(path)?, report)?)
}

/// Replaces what stands between the two marks.
fn put_into_readme(path: &Path, table: &str) -> Result<()> {
    let context = || format!("{}: no place for the table", path.display());
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).with_context(context)?;
    let (_, after) = rest.split_once(END).with_context(context)?;
    let new = format!("{before}{BEGIN}{table}{END}{after}");
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}
