//! Every bus and every file system at least once, each with no more modules than it takes.

use anyhow::Result;
use modstrap_qemu::Bus::{self, *};
use modstrap_qemu::FileSystem::{self, *};
use modstrap_qemu::{Recipe, Report};
use modstrap_tests::verdict::loaded_exactly;
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

/// The label of every root that can have one.
const LABEL: &str = "ROOT";

boots! {
    virtio_blk_ext4: reach(VirtioBlk, Ext4, "/dev/vda", "/dev/vda", &["virtio_blk", "ext4"]);
    virtio_blk_erofs: reach(VirtioBlk, Erofs, "/dev/vda", "/dev/vda", &["virtio_blk", "erofs"]);
    virtio_scsi_squashfs: reach(VirtioScsi, Squashfs, "/dev/sda", "/dev/sda", &["virtio_scsi", "sd_mod", "squashfs"]);
    virtio_scsi_ext2: reach(VirtioScsi, Ext2, "LABEL=ROOT", "/dev/sda", &["virtio_scsi", "sd_mod", "ext4"]);
    nvme_btrfs: reach(Nvme, Btrfs, "LABEL=ROOT", "/dev/nvme0n1", &["nvme", "btrfs"]);
    nvme_xfs: reach(Nvme, Xfs, "/dev/nvme0n1", "/dev/nvme0n1", &["nvme", "xfs"]);
    ahci_xfs: reach(Ahci, Xfs, "LABEL=ROOT", "/dev/sda", &["ahci", "sd_mod", "xfs"]);
    ahci_ext3: reach(Ahci, Ext3, "/dev/sda", "/dev/sda", &["ahci", "sd_mod", "ext4"]);
    sd_card_ext4: reach(Sdhci, Ext4, "/dev/mmcblk0", "/dev/mmcblk0", &["sdhci_pci", "mmc_block", "ext4"]);
    pvscsi_f2fs: reach(Pvscsi, F2fs, "LABEL=ROOT", "/dev/sda", &["vmw_pvscsi", "sd_mod", "f2fs"]);
    megasas_erofs: reach_scsi(Megasas, Erofs, "/dev/sda", &["megaraid_sas", "erofs"]);
    lsi_ext3: reach_scsi(Lsi, Ext3, "LABEL=ROOT", &["sym53c8xx", "ext4"]);
    ide_ext4: reach(Ide, Ext4, "LABEL=ROOT", "/dev/sda", &["ata_piix", "sd_mod", "ext4"]);
    usb_f2fs: reach_usb(Usb, F2fs, "LABEL=ROOT", &["xhci_pci", "f2fs"]);
    usb_vfat: reach_usb(Usb, Vfat, "/dev/sda", &["xhci_pci", "vfat"]);
    usb_ehci_squashfs: reach_usb(UsbEhci, Squashfs, "/dev/sda", &["ehci_pci", "squashfs"]);
    usb_attached_scsi_btrfs: reach_usb(Uas, Btrfs, "LABEL=ROOT", &["xhci_pci", "btrfs"]);
    a_local_root_loads_no_network_driver: beside_other_devices();
}

/// Boots from a disk on a controller that is tried with the machine's own for AHCI, which has no disk, or after it.
fn reach_scsi(bus: Bus, kind: FileSystem, root: &str, modules: &[&str]) -> Result<()> {
    reach(bus, kind, root, "/dev/sda", &[&["ahci", "sd_mod"], modules].concat())
}

/// The same on USB. Both drivers of USB storage say that they are for such disks.
fn reach_usb(bus: Bus, kind: FileSystem, root: &str, modules: &[&str]) -> Result<()> {
    reach_scsi(bus, kind, root, &[&["usb_storage", "uas"], modules].concat())
}

/// Boots from a disk that is one file system, found by `root`, as `node`; no more than the closure of `modules` is
/// loaded on the way.
fn reach(bus: Bus, kind: FileSystem, root: &str, node: &str, modules: &[&str]) -> Result<()> {
    reach_with(amd64()?, bus, kind, root, node, modules)
}

/// The same with another image.
pub fn reach_with(image: &Image, bus: Bus, kind: FileSystem, root: &str, node: &str, modules: &[&str]) -> Result<()> {
    loaded_exactly(image, &boot(image, bus, kind, root, node)?, modules)
}

fn boot(image: &Image, bus: Bus, kind: FileSystem, root: &str, node: &str) -> Result<Report> {
    let scratch = Scratch::new()?;
    let recipe = match kind {
        // The tools of these know of no labels.
        Squashfs | Erofs => Recipe::new(kind),
        _ => Recipe::new(kind).label(LABEL),
    };
    let finished = image.boot().drive(scratch.drive(&recipe, bus)?).append(format!("root={root}")).run()?;
    Ok(finished.reached(&format!("{node} ({})", kind.name())))
}

/// A guest with network devices of two kinds and a USB controller, whose image has drivers for all of them.
fn beside_other_devices() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk", "ext4"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.with_net = true;
    })?;
    image.closure(&["virtio_net", "e1000e"]).expect("the image has network drivers");
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4), VirtioBlk)?).append("root=/dev/vda");
    let devices = ["virtio-net-pci", "e1000e", "qemu-xhci"];
    let finished = devices.into_iter().fold(boot, |boot, device| boot.argument("-device").argument(device)).run()?;
    loaded_exactly(&image, &finished.reached("/dev/vda (ext4)"), &["virtio_blk", "ext4"])
}
