//! A directory of the host as the root, by 9p and by virtiofs; and by 9p over TCP.

use anyhow::Result;
use modstrap_qemu::Protocol::{NineP, VirtioFs};
use modstrap_qemu::server::Diod;
use modstrap_qemu::{Bus, FileSystem, Model, Nic, Protocol, Recipe, Share};
use modstrap_tests::verdict::{loaded_exactly, loaded_with};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::{amd64, cloud, networked};

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
    a_9p_root_over_tcp: reach_by_tcp();
    a_9p_server_that_has_no_such_directory: fails_by_tcp("aname=/nowhere", "cannot mount 10.0.2.2 as 9p: operation not permitted (errno 1)");
    a_9p_server_that_is_not_there: fails_by_tcp("port=1", "no answer by 9p from the server 10.0.2.2 port 1: connection refused (errno 111)");
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

/// Loads the drivers of networks and no others, though there is a disk.
fn reach_by_tcp() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    let server = Diod::start(&tree)?;
    let boot = networked()?.boot().drive(scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?);
    let flags = format!("rootflags=trans=tcp,port={},aname={},uname=root", server.port(), tree.display());
    let finished =
        boot.nic(Nic::user(Model::VirtioNet)).append(format!("root=10.0.2.2 rootfstype=9p {flags}")).run()?;
    let report = finished.reached("10.0.2.2 (9p)");
    let mounts = report.section("mounts")?.join("\n");
    finished.expect(mounts.contains("trans=tcp"), mounts);
    loaded_with(networked()?, &report, &["virtio_net", "9p", "9pnet_fd"], &[])
}

/// The last of several options counts.
fn fails_by_tcp(option: &str, reason: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let server = Diod::start(&scratch.tree()?)?;
    let words = format!("root=9p:10.0.2.2 rootflags=trans=tcp,port={},{option} rootwait=2", server.port());
    networked()?.boot().nic(Nic::user(Model::VirtioNet)).append(words).run()?.gave_up(reason);
    Ok(())
}
