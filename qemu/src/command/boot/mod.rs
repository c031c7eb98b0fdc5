//! `modstrap-qemu boot`: one boot by hand, or by a script that reads `--json`.

mod guest;
mod results;
mod rootdir;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use modstrap_initramfs::{Compress, Options};
use modstrap_qemu::kernels::{self, Kernel};
use modstrap_qemu::{Boot, Outcome, image};
use tempfile::TempDir;

use guest::Guest;
use results::{Record, Results};

#[derive(Args, Debug)]
pub struct Arguments {
    /// The kernel: its image, a package (.deb; several of one kernel are given one by one), a directory that a package was
    /// unpacked into, a build tree, or a release such as 6.12 [default: the running one, or the newest that is here]
    #[arg(long, value_name = "KERNEL")]
    kernel: Vec<PathBuf>,
    /// The kernel's module tree [default: the one that belongs to the kernel]
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    /// A ready initramfs image [default: one built with the options below]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["modules", "rootdir"])]
    image: Option<PathBuf>,
    #[command(flatten)]
    rootdir: rootdir::Words,
    #[command(flatten, next_help_heading = "Image, where none is given (packed quickly unless told otherwise)")]
    build: Options,
    #[command(flatten)]
    guest: Guest,
    #[command(flatten)]
    results: Results,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.rootdir.is_given() {
        return rootdir::run(arguments);
    }
    let work = tempfile::Builder::new().prefix("modstrap-").tempdir().context("cannot make a temporary directory")?;
    let (kernel, image) = arguments.kernel_and_image(work.path())?;
    let log = arguments.results.log.clone().unwrap_or_else(|| work.path().join("console.log"));
    let boot = arguments.guest.furnish(Boot::new(&kernel, &image));
    let finished = arguments.results.watch_for_init(boot, &log).run()?;
    arguments.results.write(&Record::new(&finished, fs::metadata(&image)?.len(), &log))?;
    println!("{} after {:.1} s", finished.outcome, finished.seconds);
    finished.summary.iter().for_each(|line| println!("{line}"));
    println!("console log: {}", log.display());
    let success = finished.outcome == Outcome::RealInit;
    arguments.clear(work, success)?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Arguments {
    /// The kernel that is meant, with its modules.
    fn kernel(&self) -> Result<Kernel> {
        match (&self.kernel[..], &self.modules) {
            // An image alone need not have modules anywhere near.
            ([image], Some(modules)) if image.is_file() => {
                let release = modstrap_initramfs::kernel::Kernel::read(image)?.release;
                Ok(Kernel { release, image: image.clone(), modules: modules.clone() })
            }
            (given, modules) => {
                let kernel = kernels::resolve(given)?;
                Ok(Kernel { modules: modules.clone().unwrap_or(kernel.modules), ..kernel })
            }
        }
    }

    /// The kernel's file, and the image given or one built in the directory `work`.
    fn kernel_and_image(&self, work: &Path) -> Result<(PathBuf, PathBuf)> {
        if let (Some(image), [kernel]) = (&self.image, &self.kernel[..])
            && kernel.is_file()
        {
            return Ok((kernel.clone(), image.clone()));
        }
        let kernel = self.kernel()?;
        if let Some(image) = &self.image {
            return Ok((kernel.image, image.clone()));
        }
        let image = work.join("initramfs.img");
        // An image that is used once is not worth the time of the best packing.
        image::build(&self.build.request(&kernel.image, &kernel.modules, Compress::Fast), &image)?;
        Ok((kernel.image, image))
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
