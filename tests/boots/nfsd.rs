//! A root on the kernel's own NFS server, in a second guest: by version 3, by IPv6, and as a DHCP server tells of it.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use modstrap_qemu::Report;
use modstrap_qemu::server::nfsd;
use modstrap_qemu::tree::{self, MARKER, add_program};
use modstrap_tests::verdict::loaded_with;
use modstrap_tests::{Scratch, Verdict, boots};

use crate::neighbour::{self, Neighbour};
use crate::networked;

boots! {
    version_3_where_the_server_has_no_other: only_v3();
    version_3_without_who_tells_the_ports: writable();
    where_a_dhcp_server_says_below_an_overlay: by_dhcp();
    by_ipv6_alone: by_v6();
}

/// What rpc.nfsd is told, so that it has version 3 alone.
const ONLY_V3: &str = "-- -N 4";

/// The guest at the other end of the wire.
const STATIC: &str = "ip=10.9.0.2:::255.255.255.0::eth0:off";

/// Who may have what.
const EXPORTS: &str =
    "/srv 10.9.0.0/24(ro,no_root_squash,no_subtree_check) fd00:9::/64(ro,no_root_squash,no_subtree_check)
/rw 10.9.0.0/24(rw,no_root_squash,no_subtree_check)
";

/// What the server's programs look up. rpcbind gives up root's rights for those of a user of its own.
const FILES: [(&str, &str); 4] = [
    ("etc/exports", EXPORTS),
    ("etc/passwd", "root:x:0:0::/:/bin/sh\n_rpc:x:100:100::/:/bin/sh\n"),
    ("etc/services", "sunrpc 111/tcp portmapper\nsunrpc 111/udp portmapper\nnfs 2049/tcp\n"),
    ("etc/udhcpd.conf", include_str!("udhcpd.conf")),
];

/// The root tree of the guest that serves, with two root trees in it that it serves.
fn serving_tree(scratch: &Scratch) -> Result<PathBuf> {
    let root = scratch.tree()?;
    neighbour::image()?.install(&root)?;
    nfsd::install(&root)?;
    add_program(&root, "sbin/serve", include_bytes!("nfsd.init"))?;
    for (name, content) in FILES {
        fs::write(root.join(name), content)?;
    }
    for served in ["srv", "rw"] {
        tree::write(&root.join(served))?;
        add_program(&root.join(served), "sbin/writer", include_str!("overlay.sh").replace("@MARKER@", MARKER))?;
    }
    Ok(root)
}

/// Boots beside a server with these words, and reaches this root, with these options of its mount.
fn reach(server: &str, words: &str, root: &str, options: &[&str]) -> Result<Report> {
    let scratch = Scratch::new()?;
    let tree = serving_tree(&scratch)?;
    let server = Neighbour { tree: &tree, drives: Vec::new(), words: server };
    let finished = server.serve(&scratch, "nfsd serves", words)?;
    let report = finished.reached(root);
    let mounts = report.section("mounts")?.join("\n");
    for option in options {
        finished.expect(mounts.contains(option), format!("no {option} in {mounts}"));
    }
    Ok(report)
}

fn only_v3() -> Result<()> {
    let words = format!("{STATIC} root=nfs:10.9.0.1:/srv");
    let options = [" ro,", "vers=3,", ",nolock,proto=tcp,", "mountproto=tcp,"];
    let report = reach(ONLY_V3, &words, "10.9.0.1:/srv (nfs)", &options)?;
    loaded_with(networked()?, &report, &["virtio_net", "nfsv3"], &[])
}

/// The real init writes.
fn writable() -> Result<()> {
    let options = "vers=3,proto=tcp,mountport=20048,port=2049,wsize=8192,acregmin=5";
    let words = format!("{STATIC} root=/dev/nfs nfsroot=10.9.0.1:/rw,{options} rw init=/sbin/writer");
    let options = [" rw,", "vers=3,", "port=2049,", "wsize=8192,", "mountport=20048,", "acregmin=5,"];
    let report = reach("rpcbind=gone", &words, "10.9.0.1:/rw (nfs)", &options)?;
    assert_eq!(report.section("after")?, ["written", "changed", "no profile"]);
    Ok(())
}

fn by_dhcp() -> Result<()> {
    let words = "root=dhcp rw modstrap.overlay=tmpfs init=/sbin/writer";
    let below = "10.9.0.1:/srv /run/modstrap/lower nfs4 ro,";
    let report = reach("", words, "overlay (overlay)", &[below, "vers=4.1,"])?;
    assert_eq!(report.section("after")?, ["written", "changed", "no profile"]);
    assert_eq!(report.section("lower")?, ["::sysinit:/etc/rc", "read-only"]);
    Ok(())
}

fn by_v6() -> Result<()> {
    let words = "ip=[fd00:9::2]::[fd00:9::1]:64::eth0:none root=nfs:[fd00:9::1]:/srv";
    let server = "fd00:0009:0000:0000:0000:0000:0000:0001";
    let report = reach(ONLY_V3, words, &format!("[{server}]:/srv (nfs)"), &["vers=3,", "proto=tcp6,"])?;
    assert!(report.section("addresses")?.iter().all(|line| !line.contains("inet 10.")), "an address of IPv4");
    assert!(report.section("modules")?.iter().any(|module| module == "nfsv3"));
    Ok(())
}
