//! `modstrap-qemu boot`: one boot by hand, or by a script that reads `--json`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use modstrap_initramfs::{Compress, Options};
use modstrap_qemu::image;
use modstrap_qemu::{Boot, Drive, Finished, Outcome, Share, tree};
use serde::Serialize;
use tempfile::TempDir;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The kernel image
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The kernel's module tree; not needed with --image
    #[arg(long, value_name = "DIR", required_unless_present = "image")]
    modules: Option<PathBuf>,
    /// A ready initramfs image [default: one built with the options below]
    #[arg(long, value_name = "FILE", conflicts_with = "modules")]
    image: Option<PathBuf>,
    #[command(flatten, next_help_heading = "Image, where none is given (packed quickly unless told otherwise)")]
    build: Options,
    #[command(flatten)]
    guest: Guest,
    #[command(flatten)]
    results: Results,
}

/// What the guest is made of.
#[derive(Args, Debug)]
#[command(next_help_heading = "Guest")]
struct Guest {
    /// A disk: FILE[,bus=BUS][,hotplug=SECONDS][,readonly][,writable][,format=FORMAT][,PROPERTY=VALUE]...
    /// on the buses virtio-blk, virtio-scsi, nvme, ahci, ide, usb, usb-ehci, uas, sdhci, megasas, pvscsi, lsi;
    /// the image is never changed unless `writable`
    #[arg(long, value_name = "DISK")]
    disk: Vec<Drive>,
    /// A host directory to mount by 9p: TAG=DIR[,writable]
    #[arg(long, value_name = "SHARE")]
    share: Vec<Share>,
    /// Words for the kernel command line, after `console=ttyS0 panic=-1`
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Vec<String>,
    /// QEMU's machine: q35, pc, microvm, ... [default: the architecture's usual one]
    #[arg(long)]
    machine: Option<String>,
    /// QEMU's accelerator
    #[arg(long, default_value = "tcg")]
    accel: String,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u32,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 2)]
    smp: u32,
    /// QEMU's program [default: the architecture's]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<String>,
    /// One more argument for QEMU
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu_arg: Vec<String>,
}

/// How to tell the outcome and where to put it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Outcome")]
struct Results {
    /// Seconds until the outcome must be known
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// The text by which the real init is known
    #[arg(long, value_name = "TEXT", default_value = tree::MARKER)]
    marker: String,
    /// Write the outcome as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the console to this file [default: one in a temporary directory]
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Show the console while the guest runs
    #[arg(short, long)]
    verbose: bool,
}

/// The content of a `--json` file. Its field names are kept.
#[derive(Debug, Serialize)]
struct Record<'a> {
    outcome: &'a str,
    message: &'a str,
    seconds: f64,
    modules: Option<u32>,
    release: Option<&'a str>,
    command_line: &'a str,
    image_bytes: u64,
    console: &'a Path,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let work = tempfile::Builder::new().prefix("modstrap-").tempdir().context("cannot make a temporary directory")?;
    let image = arguments.image(work.path())?;
    let log = arguments.results.log.clone().unwrap_or_else(|| work.path().join("console.log"));
    let finished = arguments.boot(&image).log(&log).run()?;
    let record = Record::new(&finished, fs::metadata(&image)?.len(), &log);
    if let Some(path) = &arguments.results.json {
        record.write(path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} after {:.1} s", finished.outcome, finished.seconds);
    finished.summary.iter().for_each(|line| println!("{line}"));
    println!("console log: {}", log.display());
    let success = finished.outcome == Outcome::RealInit;
    arguments.clear(work, success)?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    /// The image given, or one built in the directory `work`.
    fn image(&self, work: &Path) -> Result<PathBuf> {
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let modules = self.modules.as_ref().context("--modules or --image is needed")?;
        let image = work.join("initramfs.img");
        // An image that is used once is not worth the time of the best packing.
        image::build(&self.build.request(&self.kernel, modules, Compress::Fast), &image)?;
        Ok(image)
    }

    fn boot(&self, image: &Path) -> Boot {
        let Guest { memory, smp, accel, .. } = &self.guest;
        let boot = Boot::new(&self.kernel, image)
            .memory(*memory)
            .processors(*smp)
            .accelerator(accel)
            .timeout(Duration::from_secs(self.results.timeout))
            .marker(&self.results.marker)
            .verbose(self.results.verbose);
        let boot = self.guest.machine.iter().fold(boot, Boot::machine);
        let boot = self.guest.qemu.iter().fold(boot, Boot::qemu);
        let boot = self.guest.disk.iter().cloned().fold(boot, Boot::drive);
        let boot = self.guest.share.iter().cloned().fold(boot, Boot::share);
        let boot = self.guest.append.iter().fold(boot, Boot::append);
        self.guest.qemu_arg.iter().fold(boot, Boot::argument)
    }

    /// Leaves the console log, and after a failure the image as well.
    fn clear(&self, work: TempDir, success: bool) -> Result<()> {
        if success && self.results.log.is_some() {
            return work.close().context("cannot remove the temporary directory");
        }
        let directory = work.keep();
        let image = directory.join("initramfs.img");
        if success && image.exists() {
            fs::remove_file(image)?;
        }
        Ok(())
    }
}

impl<'a> Record<'a> {
    fn new(finished: &'a Finished, image_bytes: u64, console: &'a Path) -> Self {
        Self {
            outcome: finished.outcome.name(),
            message: match &finished.outcome {
                Outcome::RealInit => finished.summary.as_deref().unwrap_or_default(),
                other => other.message(),
            },
            seconds: finished.seconds,
            modules: finished.modules,
            release: finished.release(),
            command_line: &finished.command_line,
            image_bytes,
            console,
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        Ok(serde_json::to_writer_pretty(File::create(path)?, self)?)
    }
}
