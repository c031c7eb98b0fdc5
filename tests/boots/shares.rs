//! A directory of the host as the root, by 9p and by virtiofs.

use anyhow::Result;
use modstrap_qemu::Protocol::{NineP, VirtioFs};
use modstrap_qemu::{Bus, FileSystem, Protocol, Recipe, Share};
use modstrap_tests::verdict::loaded_exactly;
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::{amd64, cloud};

boots! {
    a_9p_root_by_its_prefix: reach(amd64()?, NineP, "root=9p:host", &["9pnet_virtio", "9p"]);
    a_9p_root_by_its_type: reach(amd64()?, NineP, "rootfstype=9p root=host rw", &["9pnet_virtio", "9p"]);
    a_9p_share_that_is_not_there_is_named: missing(NineP, "no such file or device (errno 2)");
    // Debian's kernels have virtiofs built in: nothing is left to load.
    a_virtiofs_root_by_its_prefix: reach(amd64()?, VirtioFs, "root=virtiofs:host", &[]);
    a_virtiofs_root_by_its_type: reach(amd64()?, VirtioFs, "rootfstype=virtiofs root=host rw", &[]);
    // Here all of it is a module, the bus below included.
    a_virtiofs_root_by_modules: reach(cloud()?, VirtioFs, "root=virtiofs:host", &["virtio_pci", "virtiofs"]);
    a_virtiofs_share_that_is_not_there_is_named: missing(VirtioFs, "invalid argument (errno 22)");
}

/// A root on a share loads no disk's driver, though there is a disk.
fn reach(image: &Image, by: Protocol, words: &str, modules: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?);
    let finished = boot.share(Share::new("host", scratch.tree()?).by(by)).append(words).run()?;
    loaded_exactly(image, &finished.reached(&format!("host ({})", by.name())), modules)
}

fn missing(by: Protocol, why: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().share(Share::new("host", scratch.tree()?).by(by));
    let root = format!("root={}:guest", by.name());
    boot.append(format!("{root} rootwait=1")).run()?.gave_up(&format!("{root} did not appear: {why}"));
    Ok(())
}
