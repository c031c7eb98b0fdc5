//! A throw-away overlay: the real init may write, nothing of it lasts, and the root below stays as it is, byte by byte.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use modstrap_qemu::FileSystem::{Ext4, Squashfs, Vfat};
use modstrap_qemu::tree::{MARKER, add_program};
use modstrap_qemu::{Boot, Bus, Drive, FileSystem, Protocol, Recipe, Share};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::{amd64, cloud};

/// An init that writes.
const INIT: &str = include_str!("overlay.sh");

/// What a kernel command line says for a tmpfs of 8 MiB.
const OVERLAY: &str = "modstrap.overlay=tmpfs,size=8m";

boots! {
    over_ext4: over_disk(amd64()?, Ext4, "ro");
    over_ext4_that_rw_is_said_of: over_disk(amd64()?, Ext4, "rw rootflags=rw,noatime");
    over_squashfs: over_disk(amd64()?, Squashfs, "");
    over_ext4_with_an_older_kernel: over_disk(cloud()?, Ext4, "rw");
    over_9p: over_share(Protocol::NineP);
    over_virtiofs: over_share(Protocol::VirtioFs);
    a_root_that_lacks_directories_gets_them: bare();
    an_overlay_of_no_known_kind_ends_the_boot: refused("device", "cannot mount modstrap.overlay=device: invalid argument (errno 22)");
    options_that_tmpfs_refuses_end_the_boot: refused("tmpfs,size=x", "cannot mount modstrap.overlay=tmpfs,size=x: invalid argument (errno 22)");
    an_image_without_overlay_says_so: without_module();
    a_file_system_that_no_overlay_takes_is_named: over_vfat();
}

/// A root tree whose init writes.
fn tree(scratch: &Scratch) -> Result<PathBuf> {
    let tree = scratch.tree()?;
    add_program(&tree, "sbin/writer", INIT.replace("@MARKER@", MARKER))?;
    Ok(tree)
}

/// Boots, and looks at what the init reports.
fn check(boot: Boot, root: &str) -> Result<()> {
    let finished = boot.append(OVERLAY).append("init=/sbin/writer").run()?;
    let report = finished.reached("overlay (overlay)");
    let is = |section: &str, lines: &[&str]| {
        let found = report.section(section).unwrap_or_default();
        finished.expect(found == lines, format!("{section}: {found:?} is not {lines:?}"));
    };
    is("before", &["::sysinit:/etc/rc"]);
    is("after", &["written", "changed", "no profile"]);
    is("lower", &["::sysinit:/etc/rc", "read-only"]);
    is("memory", &["8192"]);
    let (source, kind) = root.split_once(' ').unwrap_or_default();
    let below = format!("{source} /run/modstrap/lower {kind} ro,");
    let mounts = report.section("mounts")?;
    finished.expect(mounts.iter().any(|line| line.starts_with(&below)), format!("no `{below}` among {mounts:#?}"));
    Ok(())
}

/// Twice from one disk that the guest could change: the second boot finds nothing of the first.
fn over_disk(image: &Image, kind: FileSystem, words: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.disk(&Recipe::new(kind).from(tree(&scratch)?))?;
    let before = fs::read(&disk)?;
    for _ in 0..2 {
        let boot =
            image.boot().drive(Drive::new(&disk, Bus::VirtioBlk).writable()).append(format!("root=/dev/vda {words}"));
        check(boot, &format!("/dev/vda {}", format!("{kind:?}").to_lowercase()))?;
    }
    assert!(fs::read(&disk)? == before, "the disk has changed");
    Ok(())
}

/// From a directory that the guest could change.
fn over_share(by: Protocol) -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = tree(&scratch)?;
    let boot = amd64()?.boot().share(Share::new("host", &tree).writable().by(by));
    check(boot.append(format!("root={}:host rw", by.name())), &format!("host {}", by.name()))?;
    assert!(!tree.join("written").exists() && tree.join("etc/profile").exists(), "the directory has changed");
    assert!(fs::read_to_string(tree.join("etc/inittab"))?.starts_with("::sysinit"), "a file has changed");
    Ok(())
}

/// The kernel's file systems are mounted on directories that the root does not have.
fn bare() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = tree(&scratch)?;
    for name in ["dev", "proc", "sys", "run"] {
        fs::remove_dir(tree.join(name))?;
    }
    let disk = scratch.drive(&Recipe::new(Ext4).from(tree), Bus::VirtioBlk)?;
    check(amd64()?.boot().drive(disk).append("root=/dev/vda"), "/dev/vda ext4")
}

fn refused(overlay: &str, why: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?);
    boot.append(format!("root=/dev/vda rw modstrap.overlay={overlay}")).run()?.gave_up(why);
    Ok(())
}

fn without_module() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk", "ext4"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| request.hardware = hardware)?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?);
    let why = "cannot mount overlay: neither the kernel nor the image knows overlay; build with --include overlay";
    boot.append("root=/dev/vda modstrap.overlay=tmpfs").run()?.gave_up(why);
    Ok(())
}

/// Names that differ in case alone are one to vfat, which overlays do not take for a layer.
fn over_vfat() -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().drive(scratch.drive(&Recipe::new(Vfat), Bus::VirtioBlk)?);
    let boot = boot.append("root=/dev/vda modstrap.overlay=tmpfs");
    boot.run()?.gave_up("cannot mount overlay as overlay: invalid argument (errno 22)");
    Ok(())
}
