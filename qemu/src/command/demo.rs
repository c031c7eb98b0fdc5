//! `modstrap-qemu demo`: a stock kernel, a disk, a real init, and one line that sums it up.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use indicatif::HumanCount;
use modstrap_initramfs::{Request, Summary};
use modstrap_qemu::kernels::{self, Kernel};
use modstrap_qemu::tree::BRIEF;
use modstrap_qemu::{Boot, Bus, Drive, FileSystem, Finished, Outcome, Recipe, Table, image};

/// The UUID of the demo's root; its first half spells the project's name.
const ROOT_UUID: &str = "6d6f6473-7472-6170-8000-000000000001";

/// Debian's systemd starts many programs, and emulation is slow.
const DEBIAN_TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Args, Debug)]
pub struct Arguments {
    /// Boot Debian with systemd to its login prompt; its root is made by `qemu/setup debian`
    #[arg(long)]
    debian: bool,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let work = tempfile::tempdir()?;
    let kernel = kernels::distribution()?;
    let image = work.path().join("initramfs.img");
    let summary = build(&kernel, &image)?;
    eprintln!("{summary}");
    let boot = Boot::new(&kernel.image, &image).verbose(true);
    let boot = if arguments.debian { debian(boot)? } else { busybox(boot, work.path())? };
    let finished = boot.run()?;
    eprintln!();
    println!("{}", conclusion(&finished, &summary));
    Ok(if finished.outcome == Outcome::RealInit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(kernel: &Kernel, image: &Path) -> Result<Summary> {
    eprintln!("building an image for {}", kernel.release);
    let request =
        Request { kernel: kernel.image.clone(), modules: kernel.modules.clone(), progress: true, ..Request::default() };
    image::build(&request, image)
}

fn busybox(boot: Boot, work: &Path) -> Result<Boot> {
    let disk = work.join("disk.img");
    Recipe::new(FileSystem::Ext4).uuid(ROOT_UUID).table(Table::Gpt).write(&disk)?;
    Ok(boot.drive(Drive::new(disk, Bus::VirtioBlk)).append(format!("root=UUID={ROOT_UUID} {BRIEF}")))
}

fn debian(boot: Boot) -> Result<Boot> {
    let disk = kernels::cache()?.join("debian.img");
    ensure!(disk.is_file(), "there is no {}: run `qemu/setup debian`", disk.display());
    Ok(boot
        .drive(Drive::new(disk, Bus::VirtioBlk))
        .append("root=LABEL=debian rw")
        .memory(1024)
        .timeout(DEBIAN_TIMEOUT)
        .marker("login: ")
        // It would go on for ever.
        .grace(Duration::ZERO))
}

fn conclusion(finished: &Finished, summary: &Summary) -> String {
    let sizes =
        format!("image {} bytes, loader {} bytes", HumanCount(summary.image_bytes), HumanCount(summary.loader_bytes));
    let modules = finished.modules.map_or_else(String::new, |count| format!(" with {count} modules"));
    match &finished.outcome {
        Outcome::RealInit => format!("{} in {:.1} s{modules}; {sizes}", finished.outcome, finished.seconds),
        failure => format!("{failure} (after {:.1} s; {sizes})", finished.seconds),
    }
}
