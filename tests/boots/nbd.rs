//! A root on a disk that a server lends by NBD: the servers that everybody has, and some that nobody should.

use anyhow::Result;
use modstrap_qemu::server::{NbdServer, Played, QemuNbd};
use modstrap_qemu::{Boot, Bus, FileSystem, Finished, Model, Nic, Recipe, Table};
use modstrap_tests::verdict::loaded_exactly;
use modstrap_tests::{Scratch, Verdict, boots};

use crate::networked;

const UUID: &str = "6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b";

boots! {
    from_nbd_server: writable();
    from_nbd_server_read_only: read_only();
    from_qemu_nbd: reaches("root=nbd:10.0.2.2:{port}:root:ext4:noatime:timeout=60 rw", "/dev/nbd0 (ext4)", Table::None);
    a_partition_by_its_uuid: reaches("root=UUID={uuid} netroot=nbd:10.0.2.2:{port}:root", "/dev/nbd0p1 (ext4)", Table::Gpt);
    a_partition_of_the_second_server_by_its_name: two_servers();
    a_disk_with_partitions_and_none_named: partitions();
    the_parameters_are_left_for_the_system: left();
    a_connection_that_is_lost_is_made_anew: lost(20_000, false);
    a_connection_that_falls_silent_is_made_anew: lost(NEGOTIATION, true);
    an_export_that_is_not_there: unknown();
    nobody_there: no_server();
    a_silent_server: played(b"", false, "no answer by NBD from the server 10.0.2.2 port {port}: timed out (errno 110)");
    a_server_that_hangs_up:
        played(b"NBDMAGIC", true, "no answer by NBD from the server 10.0.2.2 port {port}: connection reset (errno 104)");
    a_server_of_something_else: played(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", false,
        "nbd:10.0.2.2:{port}:root: that server does not speak NBD, or only its oldstyle negotiation");
    a_server_that_lies: played(b"NBDMAGICIHAVEOPT\0\x03and then something that is no reply", false,
        "nbd:10.0.2.2:{port}:root: the server breaks the protocol of NBD");
    a_disk_without_a_size: played(NO_SIZE, false,
        "nbd:10.0.2.2:{port}:root: what the server has is too small for a disk, or its blocks are too large for the kernel");
    a_form_that_lacks_the_server: form("nbd:server.example.org:10809:root");
}

/// A server that says no more of its export than that it is there.
const NO_SIZE: &[u8] = b"NBDMAGICIHAVEOPT\0\x03\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x07\0\0\0\x01\0\0\0\0";

fn boot(words: &str) -> Result<Boot> {
    Ok(networked()?.boot().nic(Nic::user(Model::VirtioNet)).append(words))
}

/// A root over the network loads no disk's driver, though there is a disk.
fn writable() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = NbdServer::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4))?, false)?;
    let boot = boot(&format!("root=nbd:10.0.2.2:{}:root rw", server.port()))?;
    let finished = boot.drive(scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?).run()?;
    let report = finished.reached("/dev/nbd0 (ext4)");
    let mounts = report.section("mounts")?.join("\n");
    finished.expect(mounts.contains("/dev/nbd0 / ext4 rw,"), format!("the root cannot be written: {mounts}"));
    // The kernel alone keeps the connection.
    let processes = report.section("processes")?.join("\n");
    finished.expect(!processes.contains("/init"), format!("a process is left: {processes}"));
    loaded_exactly(networked()?, &report, &["virtio_net", "nbd", "ext4"])
}

fn read_only() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = NbdServer::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4))?, true)?;
    let finished = boot(&format!("root=nbd:10.0.2.2:{}:root rw", server.port()))?.run()?;
    finished.reached("/dev/nbd0 (ext4)");
    finished.says("/dev/nbd0 cannot be written: mounted read-only");
    Ok(())
}

fn with_qemu_nbd(words: &str, table: Table) -> Result<Finished> {
    let scratch = Scratch::new()?;
    let server = QemuNbd::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4).uuid(UUID).table(table))?)?;
    boot(&words.replace("{port}", &server.port().to_string()).replace("{uuid}", UUID))?.run()
}

fn reaches(words: &str, root: &str, table: Table) -> Result<()> {
    with_qemu_nbd(words, table)?.reached(root);
    Ok(())
}

fn two_servers() -> Result<()> {
    let scratch = Scratch::new()?;
    let first = QemuNbd::start("first", &scratch.disk(&Recipe::new(FileSystem::None))?)?;
    let second = QemuNbd::start("second", &scratch.disk(&Recipe::new(FileSystem::Ext4).table(Table::Mbr))?)?;
    let disks = format!("netroot=nbd:10.0.2.2:{}:first netroot=nbd:10.0.2.2:{}:second", first.port(), second.port());
    boot(&format!("root=/dev/nbd1p1 {disks}"))?.run()?.reached("/dev/nbd1p1 (ext4)");
    Ok(())
}

fn partitions() -> Result<()> {
    let finished = with_qemu_nbd("root=nbd:10.0.2.2:{port}:root", Table::Gpt)?;
    finished.gave_up("/dev/nbd0 holds no file system that is known here: give rootfstype=");
    let is_seen = |line: &&str| line.starts_with(&format!("seen: /dev/nbd0p1: ext4 UUID={UUID}"));
    finished.expect(finished.messages().iter().any(is_seen), "the partition is not told of");
    Ok(())
}

fn left() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = QemuNbd::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4))?)?;
    let port = server.port();
    let finished = boot(&format!("root=nbd:10.0.2.2:{port}:root:::timeout=60"))?.run()?;
    let expected = format!("nbd0 10.0.2.2 root port={port},timeout=60");
    let nbdtab = finished.reached("/dev/nbd0 (ext4)").section("nbdtab")?.join("\n");
    finished.expect(nbdtab == expected, format!("nbdtab: {nbdtab}"));
    Ok(())
}

/// What qemu-nbd says before the first reply to a request: greeting, export, sizes of blocks, end. Silence in the middle
/// of a reply the kernel bears for ever (drivers/block/nbd.c holds the request's lock while it receives).
const NEGOTIATION: usize = 18 + 32 + 34 + 20;

/// The first connection breaks off after so many bytes.
fn lost(after: usize, silently: bool) -> Result<()> {
    let scratch = Scratch::new()?;
    let server = QemuNbd::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4))?)?;
    let relay = Played::breaks_off(server.port(), after, silently)?;
    let finished = boot(&format!("root=nbd:10.0.2.2:{}:root", relay.port()))?.run()?;
    finished.reached("/dev/nbd0 (ext4)");
    finished.says("nbd0: the connection to the server is lost");
    finished.says("nbd0: connected again");
    Ok(())
}

fn unknown() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = NbdServer::start("root", &scratch.disk(&Recipe::new(FileSystem::Ext4))?, true)?;
    let root = format!("nbd:10.0.2.2:{}:other", server.port());
    let finished = boot(&format!("root={root}"))?.run()?;
    finished.gave_up(&format!("{root}: the server has no such export"));
    Ok(())
}

fn no_server() -> Result<()> {
    let finished = boot("root=nbd:10.0.2.2:1:root rootwait=2")?.run()?;
    finished.gave_up("no answer by NBD from the server 10.0.2.2 port 1: connection refused (errno 111)");
    finished.says("waiting for the server 10.0.2.2 port 1: connection refused (errno 111)");
    Ok(())
}

fn played(says: &[u8], and_hangs_up: bool, reason: &str) -> Result<()> {
    let server = Played::says(says.to_vec(), and_hangs_up)?;
    let port = server.port().to_string();
    let finished = boot(&format!("root=nbd:10.0.2.2:{port}:root rootwait=2"))?.run()?;
    finished.gave_up(&reason.replace("{port}", &port));
    Ok(())
}

fn form(root: &str) -> Result<()> {
    let reason = "is of another form than nbd:ADDRESS:PORT[:NAME] and nvme+tcp://ADDRESS[:PORT]/NQN";
    boot(&format!("root={root}"))?.run()?.gave_up(&format!("{root} {reason}"));
    Ok(())
}
