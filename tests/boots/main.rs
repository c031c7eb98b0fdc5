//! The boot matrix: real kernels, with their own modules, from real disks to a real init, or to the right message.
//!
//! Every test boots QEMU guests and is therefore ignored unless asked for:
//! `cargo test -p modstrap-tests -- --ignored --test-threads=3`. The kernels are those that `qemu/setup tests` puts
//! into the cache.

mod buses;
mod cloud;
mod command_line;
mod cpus;
mod failures;
mod forms;
mod hotplug;
mod image;
mod inside;
mod log;
mod minimal;
mod nbd;
mod neighbour;
mod network;
mod nfs;
mod nfsd;
mod nvme;
mod orders;
mod overlay;
mod recorded;
mod refusals;
mod requests;
mod rootdir;
mod shares;
mod tools;

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use modstrap_initramfs::Hardware;
use modstrap_qemu::kernels;
use modstrap_tests::Image;

/// Debian's kernel for any PC, nearly all of whose drivers are modules, with an image for any hardware.
fn amd64() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    shared(&IMAGE, "6.12", "amd64")
}

/// The same kernel with what a network root and virtual disks need.
fn networked() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    built_once(&IMAGE, || {
        let kernel = kernels::find("6.12", "amd64")?;
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (file, hardware) = (directory.join("networked.img"), directory.join("networked.hardware"));
        std::fs::write(&hardware, NETWORKED.join("\n"))?;
        Image::build(&kernel, file, |request| request.hardware = Hardware::Names(hardware))
    })
}

/// The network cards that QEMU has, disks, and what may lie behind either.
const NETWORKED: [&str; 20] = [
    "virtio_net",
    "e1000",
    "e1000e",
    "igb",
    "8139cp",
    "8139too",
    "vmxnet3",
    "cdc_ether",
    "xhci_pci",
    "virtio_blk",
    "ext4",
    "nfs",
    "nfsv3",
    "nfsv4",
    "nbd",
    "nvme_tcp",
    "9p",
    "9pnet_fd",
    "8021q",
    "overlay",
];

/// An older kernel for virtual machines, with plain modules, some drivers built in, and virtio's PCI driver a module.
fn cloud() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    shared(&IMAGE, "6.1", "cloud-amd64")
}

/// An image that several tests boot, or why it could not be built.
type Shared = OnceLock<Result<Image, String>>;

fn shared(image: &'static Shared, series: &str, flavour: &str) -> Result<&'static Image> {
    built_once(image, || {
        let kernel = kernels::find(series, flavour)?;
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{series}-{flavour}.img"));
        Image::build(&kernel, file, |_| ())
    })
}

fn built_once(image: &'static Shared, build: impl FnOnce() -> Result<Image>) -> Result<&'static Image> {
    let image = image.get_or_init(|| build().map_err(|error: anyhow::Error| format!("{error:#}")));
    image.as_ref().map_err(|error| anyhow!("{error}"))
}
