//! Disks that are plugged in seconds after the start.

use std::time::Duration;

use anyhow::Result;
use modstrap_qemu::{Bus, FileSystem, Recipe};
use modstrap_tests::{Scratch, Verdict, boots};

use crate::amd64;

boots! {
    virtio_blk_with_rootwait: late(Bus::VirtioBlk, "root=LABEL=late rootwait", "/dev/vda");
    virtio_scsi_within_the_usual_patience: late(Bus::VirtioScsi, "root=/dev/sda", "/dev/sda");
    nvme_with_rootwait: late(Bus::Nvme, "root=/dev/nvme0n1 rootwait=30", "/dev/nvme0n1");
    usb_within_the_usual_patience: late(Bus::Usb, "root=LABEL=late", "/dev/sda");
}

/// The wait has begun when the disk comes, as the notice shows.
fn late(bus: Bus, words: &str, node: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let drive = scratch.drive(&Recipe::new(FileSystem::Ext4).label("late"), bus)?;
    let boot = amd64()?.boot().drive(drive.hotplug(Duration::from_secs(6)));
    let finished = boot.append(words).run()?;
    finished.reached(&format!("{node} (ext4)"));
    let waits = |line: &&str| line.starts_with("waiting for root=");
    finished.expect(finished.messages().iter().any(waits), "there was no notice of the wait");
    Ok(())
}
