//! `modstrap-qemu bench --repeat`: one boot many times, and whether all came to the same.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use modstrap_initramfs::{Compress, Request};
use modstrap_qemu::bench::measure::counted;
use modstrap_qemu::bench::repeat::{repeat, table};
use modstrap_qemu::kernels::Kernel;
use modstrap_qemu::{ACCELERATOR, Boot, Bus, Drive, FileSystem, Recipe, image};

use super::bench::Json;

/// The UUID that the root is looked for by.
const UUID: &str = "6d6f6473-7472-6170-8000-000000000003";

#[derive(Args, Debug)]
pub struct Words {
    /// Boot the image for any machine so many times instead, in real time: fails unless all boots come to the same
    #[arg(long = "repeat", value_name = "N", conflicts_with_all = ["memory", "readme", "only", "boots"],
        value_parser = clap::value_parser!(u32).range(1..))]
    pub times: Option<u32>,
    /// Virtual processors of these boots
    #[arg(long, value_name = "N", default_value = "4", requires = "times", value_parser = clap::value_parser!(u32).range(1..256))]
    smp: u32,
    /// QEMU's accelerator for these boots: kvm, or tcg,thread=multi, has the processors run at one time
    #[arg(long, value_name = "ACCEL", default_value = ACCELERATOR, requires = "times")]
    accel: String,
    /// Let the guest's time pass by instructions, a nanosecond for each of any processor, and by waits: much the same whatever
    /// else the host does. What processors do at one time then counts as if they did it in turn
    #[arg(long, requires = "times", conflicts_with = "accel")]
    virtual_time: bool,
    /// Words for the kernel command line of these boots, after `root=UUID=...`
    #[arg(long, value_name = "WORDS", default_value = "", requires = "times")]
    append: String,
    /// Boot as often with these words besides, in turn: for `modstrap.serial`, what workers save
    #[arg(long, value_name = "WORDS", requires = "times")]
    against: Option<String>,
    /// The most that the disk of these boots reads in a second of the host's time, in bytes
    #[arg(long, value_name = "BYTES", requires = "times", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,
}

impl Words {
    /// Boots from a disk on each bus in turn.
    pub fn run(&self, kernel: &Kernel, compress: Compress, buses: &[Bus], json: Option<Json>) -> Result<ExitCode> {
        let work = tempfile::Builder::new().prefix("modstrap-bench-").tempdir()?;
        let (image, disk) = (work.path().join("initramfs.img"), work.path().join("disk.img"));
        let request = Request {
            kernel: kernel.image.clone(),
            modules: kernel.modules.clone(),
            compress,
            progress: true,
            ..Request::default()
        };
        image::build(&request, &image)?;
        Recipe::new(FileSystem::Ext4).uuid(UUID).write(&disk)?;
        let words: Vec<&str> = [""].into_iter().chain(self.against.as_deref()).collect();
        let (mut all, mut is_same) = (Vec::new(), true);
        for bus in buses {
            let mut drive = Drive::new(&disk, *bus);
            if let Some(limit) = self.throttle {
                drive = drive.throttle(limit);
            }
            let boot = Boot::new(&kernel.image, &image);
            let boot = if self.virtual_time { counted(boot).without_self_tests() } else { boot };
            let boot = boot
                .drive(drive)
                .accelerator(&self.accel)
                .processors(self.smp)
                .append(format!("root=UUID={UUID} {}", self.append));
            let runs = repeat(&boot, self.times.unwrap_or_default() as usize, &words, |run| {
                let time = run.to_root.map_or("no root".into(), |time| format!("{time} ms"));
                eprintln!("{}, {} modules, {time} {}", run.found.root, run.found.modules.len(), run.words);
                if let Some(console) = &run.console {
                    eprintln!("another outcome, or none that is good ({}): {:?}", console.display(), run.found.odd);
                }
            })?;
            print!("{}", table(&runs));
            is_same &= runs.iter().all(|run| run.console.is_none());
            all.extend(runs);
        }
        json.map(|json| json.write(&all)).transpose()?;
        Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
