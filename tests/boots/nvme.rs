//! A root on a disk that a server lends by NVMe over TCP. The server is the kernel's own, in a second guest.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use modstrap_initramfs::Hardware;
use modstrap_qemu::kernels;
use modstrap_qemu::{Background, Bus, FileSystem, Finished, Model, Nic, Recipe};
use modstrap_tests::scratch::add_program;
use modstrap_tests::verdict::loaded_with;
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::{Shared, built_once, networked};

const UUID: &str = "6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b";

boots! {
    a_namespace: reaches_a_namespace();
    a_namespace_by_its_number: reaches("root=nvme+tcp://10.9.0.1:4420/nqn.2024-01.org.example:root/1");
    a_file_system_by_its_uuid:
        reaches("root=UUID={uuid} netroot=nvme+tcp://10.9.0.1/nqn.2024-01.org.example:root?nr_io_queues=1 rw");
    a_subsystem_that_is_not_there: fails("10.9.0.1/nqn.2024-01.org.example:other", "no connection to the subsystem \
        (nvme nvme0: Connect Invalid Data Parameter, subsysnqn \"nqn.2024-01.org.example:other\"): input/output error \
        (errno 5)");
    a_namespace_that_is_not_there:
        fails("10.9.0.1/nqn.2024-01.org.example:root/7", "the subsystem has no such namespace");
    an_option_that_the_kernel_does_not_know: unknown_option();
    nobody_there: no_server();
}

/// The image of the guest that serves.
fn target() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    built_once(&IMAGE, || {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let hardware = directory.join("nvmet.hardware");
        std::fs::write(&hardware, "virtio_net\nvirtio_blk\next4\nnvmet_tcp\n")?;
        let adjust = |request: &mut modstrap_initramfs::Request| request.hardware = Hardware::Names(hardware);
        Image::build(&kernels::find("6.12", "amd64")?, directory.join("nvmet.img"), adjust)
    })
}

/// Serves the tests' root to whoever is on the wire.
fn serve(scratch: &Scratch, wire: &Path) -> Result<Background> {
    let tree = scratch.tree()?;
    target()?.install(&tree)?;
    add_program(&tree, "sbin/serve", include_bytes!("nvmet.init"))?;
    let boot = target()?
        .boot()
        .nic(Nic::joined(Model::VirtioNet, wire, true))
        .drive(scratch.drive(&Recipe::new(FileSystem::Ext4).from(&tree), Bus::VirtioBlk)?)
        .drive(scratch.drive(&Recipe::new(FileSystem::Ext4).uuid(UUID), Bus::VirtioBlk)?)
        .append("root=/dev/vda init=/sbin/serve rd.neednet=1 ip=10.9.0.1:::255.255.255.0::eth0:off cryptomgr.notests");
    Ok(boot.timeout(Duration::from_secs(150)).background())
}

/// Boots a guest beside one that serves.
fn boot(words: &str) -> Result<Finished> {
    let scratch = Scratch::new()?;
    let wire = scratch.path();
    let server = serve(&scratch, &wire)?;
    let boot = networked()?.boot().nic(Nic::joined(Model::VirtioNet, &wire, false));
    let finished = boot.append("ip=10.9.0.2:::255.255.255.0::eth0:off").append(words.replace("{uuid}", UUID)).run()?;
    let served = server.end()?;
    finished.expect(served.console.contains("nvmet_tcp: enabling port"), format!("no server:\n{}", served.tail()));
    Ok(finished)
}

fn reaches(words: &str) -> Result<()> {
    boot(words)?.reached("/dev/nvme0n1 (ext4)");
    Ok(())
}

/// Digests need their algorithm, for which the kernel asks; no disk's driver is loaded.
fn reaches_a_namespace() -> Result<()> {
    let finished = boot("root=nvme+tcp://10.9.0.1/nqn.2024-01.org.example:root?hdr_digest&data_digest")?;
    loaded_with(networked()?, &finished.reached("/dev/nvme0n1 (ext4)"), &["virtio_net", "nvme_tcp", "ext4"], &[])
}

fn fails(place: &str, reason: &str) -> Result<()> {
    let finished = boot(&format!("root=nvme+tcp://{place}"))?;
    finished.gave_up(&format!("nvme+tcp://{place}: {reason}"));
    Ok(())
}

/// The kernel looks at the options before it looks for the server.
fn unknown_option() -> Result<()> {
    let root = "nvme+tcp://10.0.2.2/nqn.2024-01.org.example:root?no_such_option";
    let finished = networked()?.boot().nic(Nic::user(Model::VirtioNet)).append(format!("root={root}")).run()?;
    let said = "nvme_fabrics: unknown parameter or missing value 'no_such_option' in ctrl creation request";
    finished.gave_up(&format!("{root}: no connection to the subsystem ({said}): invalid argument (errno 22)"));
    Ok(())
}

fn no_server() -> Result<()> {
    let finished = boot("root=nvme+tcp://10.9.0.1:4421/nqn.2024-01.org.example:root rootwait=2")?;
    finished.gave_up("no answer by NVMe from the server 10.9.0.1 port 4421: connection refused (errno 111)");
    Ok(())
}
