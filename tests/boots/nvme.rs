//! A root on a disk that a server lends by NVMe over TCP. The server is the kernel's own, in a second guest.

use anyhow::Result;
use modstrap_qemu::tree::add_program;
use modstrap_qemu::{Bus, FileSystem, Finished, Model, Nic, Recipe};
use modstrap_tests::verdict::loaded_with;
use modstrap_tests::{Scratch, Verdict, boots};

use crate::neighbour::{self, Neighbour};
use crate::networked;

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

/// Boots a guest beside one that lends the tests' root to whoever is on the wire.
fn boot(words: &str) -> Result<Finished> {
    boot_beside("nvmet_tcp: enabling port", words)
}

/// The same; the other one has shown this sign by the end.
fn boot_beside(sign: &str, words: &str) -> Result<Finished> {
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    neighbour::image()?.install(&tree)?;
    add_program(&tree, "sbin/serve", include_bytes!("nvmet.init"))?;
    let lent = scratch.drive(&Recipe::new(FileSystem::Ext4).uuid(UUID), Bus::VirtioBlk)?;
    let words = format!("ip=10.9.0.2:::255.255.255.0::eth0:off {}", words.replace("{uuid}", UUID));
    Neighbour { tree: &tree, drives: vec![lent], words: "" }.serve(&scratch, sign, &words)
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

/// Whoever refuses need not have come so far as to serve.
fn no_server() -> Result<()> {
    let sign = "modstrap: eth0: 10.9.0.1/24";
    let finished = boot_beside(sign, "root=nvme+tcp://10.9.0.1:4421/nqn.2024-01.org.example:root rootwait=2")?;
    finished.gave_up("no answer by NVMe from the server 10.9.0.1 port 4421: connection refused (errno 111)");
    Ok(())
}
