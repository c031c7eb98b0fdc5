//! A root on an NFS server, by every network card.

use anyhow::Result;
use modstrap_qemu::server::{Export, Ganesha};
use modstrap_qemu::{Boot, Bus, FileSystem, Model, Nic, Recipe, Report};
use modstrap_tests::verdict::loaded_with;
use modstrap_tests::{Scratch, Verdict, boots};

use crate::networked;

boots! {
    by_virtio: by(Model::VirtioNet, "virtio_net");
    by_e1000: by(Model::E1000, "e1000");
    by_e1000e: by(Model::E1000e, "e1000e");
    by_igb: by(Model::Igb, "igb");
    by_rtl8139: by(Model::Rtl8139, "8139cp");
    by_vmxnet3: by(Model::Vmxnet3, "vmxnet3");
    by_usb: by(Model::Usb, "cdc_ether");
    by_the_kernels_words: reaches("root=/dev/nfs nfsroot=10.0.2.2:/srv,{port} ip=dhcp");
    by_nfsroot_alone: reaches("nfsroot=/srv,{port} ip=::::box:eth0:any");
    with_a_static_address: reaches("root=/dev/nfs nfsroot=/srv,{port} ip=10.0.2.77:10.0.2.2:10.0.2.2:255.255.255.0:box:eth0:off");
    by_its_type: reaches("root=10.0.2.2:/srv rootfstype=nfs4 rootflags={port}");
    by_version_4_0: reaches("root=nfs4:10.0.2.2:/srv:{port},vers=4.0");
    a_writable_root: writable();
    a_directory_that_is_not_there: fails("root=nfs:10.0.2.2:/other:{port}", "cannot mount 10.0.2.2:/other: the server has no such directory, or hides it from this machine");
    a_directory_for_others: fails(
        "root=nfs:10.0.2.2:/closed:{port}",
        "cannot mount 10.0.2.2:/closed: the server has no such directory, or hides it from this machine",
    );
    a_directory_for_those_with_tickets: fails(
        "root=nfs:10.0.2.2:/tickets:{port}",
        "cannot mount 10.0.2.2:/tickets: the server does not export it to this machine",
    );
    a_server_without_nfs: fails("root=nfs:10.0.2.2:/srv:port=1 rootwait=2", "no answer by NFS from the server 10.0.2.2 port 1: connection refused (errno 111)");
    a_server_by_its_name: fails("root=nfs:server.example.org:/srv", "server.example.org:/srv: the server must be given by its address");
    no_server: fails("root=nfs:/srv ip=10.0.2.77::::::off", "no server is known for root=/srv: neither nfsroot=, ip= nor DHCP gives one");
}

/// A server with an export for everybody, one to write, and one for others.
fn server(scratch: &Scratch) -> Result<Ganesha> {
    let closed = Export { clients: "192.0.2.1".into(), ..Export::new(scratch.tree()?, "/closed") };
    let writable = Export { writable: true, ..Export::new(scratch.tree()?, "/rw") };
    let tickets = Export { security: "krb5".into(), ..Export::new(scratch.tree()?, "/tickets") };
    Ganesha::start(&[Export::new(scratch.tree()?, "/srv"), writable, closed, tickets])
}

/// A guest with a card on QEMU's own network, and these words, in which `{port}` is the server's.
fn guest(server: &Ganesha, model: Model, words: &str) -> Result<Boot> {
    let boot = networked()?.boot().nic(Nic::user(model));
    Ok(boot.append(words.replace("{port}", &format!("port={}", server.port()))))
}

/// A root over the network loads no disk's driver, though there is a disk.
fn by(model: Model, driver: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let server = server(&scratch)?;
    let boot = guest(&server, model, "root=nfs:10.0.2.2:/srv:{port}")?;
    let finished = boot.drive(scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?).run()?;
    let report = finished.reached("10.0.2.2:/srv (nfs4)");
    // rtl8139 is asked for by two drivers, the second of which finds that the card is not its own.
    let tried: &[&str] = match model {
        Model::Rtl8139 => &["8139too"],
        Model::Usb => &["xhci_pci"],
        _ => &[],
    };
    loaded_with(networked()?, &report, &[driver, "nfsv4"], tried)
}

fn reaches(words: &str) -> Result<()> {
    reach(words).map(drop)
}

fn reach(words: &str) -> Result<Report> {
    let scratch = Scratch::new()?;
    let server = server(&scratch)?;
    Ok(guest(&server, Model::VirtioNet, words)?.run()?.reached("10.0.2.2:/srv (nfs4)"))
}

fn writable() -> Result<()> {
    let scratch = Scratch::new()?;
    let server = server(&scratch)?;
    let boot = guest(&server, Model::VirtioNet, "root=nfs:10.0.2.2:/rw:{port},rsize=65536 rw rootflags=noatime")?;
    let finished = boot.run()?;
    let mounts = finished.reached("10.0.2.2:/rw (nfs4)").section("mounts")?.join("\n");
    for option in [" rw,noatime", "rsize=65536", "vers=4.1"] {
        finished.expect(mounts.contains(option), format!("no {option} in {mounts}"));
    }
    Ok(())
}

fn fails(words: &str, reason: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let server = server(&scratch)?;
    guest(&server, Model::VirtioNet, words)?.run()?.gave_up(reason);
    Ok(())
}
