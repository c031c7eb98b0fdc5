//! A guest that serves another one, on a wire between the two, with what the kernel itself has of servers.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use modstrap_initramfs::Hardware;
use modstrap_qemu::{Background, Bus, Drive, FileSystem, Finished, Model, Nic, Recipe, kernels};
use modstrap_tests::{Image, Scratch, Verdict};

use crate::{Shared, built_once, networked};

/// The image of the guest that serves.
pub fn image() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    built_once(&IMAGE, || {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let hardware = directory.join("neighbour.hardware");
        std::fs::write(&hardware, "virtio_net\nvirtio_blk\next4\nnvmet_tcp\nnfsd\n")?;
        let adjust = |request: &mut modstrap_initramfs::Request| request.hardware = Hardware::Names(hardware);
        Image::build(&kernels::find("6.12", "amd64")?, directory.join("neighbour.img"), adjust)
    })
}

/// The guest that serves: a root tree whose `/sbin/serve` does it at 10.9.0.1, disks behind that root, and more words.
pub struct Neighbour<'a> {
    /// The root.
    pub tree: &'a Path,
    /// More disks.
    pub drives: Vec<Drive>,
    /// More words of its command line.
    pub words: &'a str,
}

impl Neighbour<'_> {
    fn start(self, scratch: &Scratch, wire: &Path) -> Result<Background> {
        let root = scratch.drive(&Recipe::new(FileSystem::Ext4).from(self.tree), Bus::VirtioBlk)?;
        let boot = image()?.boot().nic(Nic::joined(Model::VirtioNet, wire, true)).drive(root);
        let boot = self.drives.into_iter().fold(boot, modstrap_qemu::Boot::drive);
        let boot = boot.append("root=/dev/vda rw init=/sbin/serve rd.neednet=1");
        let boot = boot.append("ip=10.9.0.1:::255.255.255.0::eth0:off").append(self.words);
        Ok(boot.timeout(Duration::from_secs(150)).background())
    }

    /// Boots a guest with these words beside this one, which shows `sign` on its console once it serves.
    pub fn serve(self, scratch: &Scratch, sign: &str, words: &str) -> Result<Finished> {
        let wire = scratch.path();
        let server = self.start(scratch, &wire)?;
        let boot = networked()?.boot().nic(Nic::joined(Model::VirtioNet, &wire, false));
        let finished = boot.append(words).run()?;
        let served = server.end()?;
        finished.expect(served.console.contains(sign), format!("no server:\n{}", served.tail()));
        Ok(finished)
    }
}
