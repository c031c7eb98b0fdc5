//! An older kernel for virtual machines: plain modules, NVMe and ext4 built in, virtio's PCI driver a module.

use anyhow::Result;
use modstrap_qemu::Bus::{self, Nvme, VirtioBlk, VirtioScsi};
use modstrap_qemu::FileSystem::{self, Btrfs, Erofs, Ext4, Squashfs, Xfs};
use modstrap_tests::{Image, Scratch, boots};

use crate::buses::reach_with;
use crate::cloud;

boots! {
    virtio_blk_ext4: reach(VirtioBlk, Ext4, "/dev/vda", "/dev/vda", &["virtio_pci", "virtio_blk"]);
    virtio_blk_erofs: reach(VirtioBlk, Erofs, "/dev/vda", "/dev/vda", &["virtio_pci", "virtio_blk", "erofs"]);
    virtio_scsi_xfs: reach_scsi(Xfs, "LABEL=ROOT", "xfs");
    virtio_scsi_squashfs: reach_scsi(Squashfs, "/dev/sda", "squashfs");
    nvme_btrfs: reach(Nvme, Btrfs, "LABEL=ROOT", "/dev/nvme0n1", &["btrfs"]);
    nvme_ext4_without_any_module: reach(Nvme, Ext4, "/dev/nvme0n1", "/dev/nvme0n1", &[]);
    what_the_tree_lacks_is_refused_by_name: refused();
}

fn reach(bus: Bus, kind: FileSystem, root: &str, node: &str, modules: &[&str]) -> Result<()> {
    reach_with(cloud()?, bus, kind, root, node, modules)
}

fn reach_scsi(kind: FileSystem, root: &str, module: &str) -> Result<()> {
    reach(VirtioScsi, kind, root, "/dev/sda", &["virtio_pci", "virtio_scsi", "sd_mod", module])
}

fn refused() -> Result<()> {
    let scratch = Scratch::new()?;
    for name in ["f2fs", "ahci", "usb-storage"] {
        let build = Image::build(&cloud()?.kernel, scratch.path(), |request| request.include = vec![name.into()]);
        let error = format!("{:#}", build.expect_err(name));
        assert!(error.contains(&format!("has no module {name}, nor is it built into the kernel")), "{error}");
    }
    Ok(())
}
