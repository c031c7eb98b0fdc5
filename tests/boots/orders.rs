//! What a boot loads of all that a plan holds, and what modprobe.d changes in it.

use anyhow::Result;
use modstrap_qemu::FileSystem::Ext4;
use modstrap_qemu::tool::Tool;
use modstrap_qemu::{Bus, Drive, Recipe};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;
use crate::command_line::shown;

const MKFS_BTRFS: Tool = Tool::new("mkfs.btrfs", "btrfs-progs");

boots! {
    a_checksum_that_the_root_needs_is_loaded_when_the_kernel_asks: checksums();
    signatures_are_checked_by_the_cpus_own_digest: digest();
    parameters_and_soft_dependencies_of_modprobe_d: configured();
    a_driver_that_modprobe_d_blacklists_is_not_loaded: blacklisted();
}

/// The digest of signatures gets the CPU's own provider before the first large module, where the CPU has the
/// instructions.
fn digest() -> Result<()> {
    for (cpu, expected) in [("max", Some(true)), ("qemu64", None)] {
        let scratch = Scratch::new()?;
        let boot = amd64()?.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?).append("root=/dev/vda");
        let finished = boot.argument("-cpu").argument(cpu).run()?;
        let report = finished.reached("/dev/vda (ext4)");
        let messages = report.section("kmsg")?;
        let place = |name: &str| messages.iter().position(|line| line.ends_with(&format!("loaded {name}")));
        let order = place("sha256_ssse3").map(|digest| Some(digest) < place("jbd2"));
        finished.expect(order == expected, format!("with the CPU {cpu}: {messages:#?}"));
    }
    Ok(())
}

/// Of the three checksums that btrfs names beside its usual one, the root's alone is loaded.
fn checksums() -> Result<()> {
    let scratch = Scratch::new()?;
    let (tree, disk) = (scratch.tree()?, scratch.path());
    std::fs::File::create(&disk)?.set_len(192 << 20)?;
    MKFS_BTRFS.command()?.args(["-q", "--csum", "xxhash", "--rootdir"]).arg(tree).arg(&disk).run()?;
    let boot = amd64()?.boot().drive(Drive::new(disk, Bus::VirtioBlk)).append("root=/dev/vda");
    let finished = boot.run()?;
    let report = finished.reached("/dev/vda (btrfs)");
    let modules = report.section("modules")?;
    let has = |name: &str| modules.iter().any(|module| module == name);
    finished.expect(has("xxhash_generic"), "the root's checksum is not there");
    finished.expect(!has("blake2b_generic"), format!("loaded needlessly: {modules:?}"));
    Ok(())
}

/// An image for one disk and one file system with this file of modprobe.d.
fn image(scratch: &Scratch, config: &str) -> Result<Image> {
    let (hardware, config) = (scratch.hardware(&["virtio_blk", "ext4", "loop"])?, scratch.file(config)?);
    Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.modprobe_d = vec![config];
    })
}

fn configured() -> Result<()> {
    const PARAMETER: &str = "/sys/module/virtio_blk/parameters/queue_depth";
    let scratch = Scratch::new()?;
    let image = image(&scratch, "options virtio-blk queue_depth=16\nsoftdep virtio_blk post: loop\n")?;
    for (word, depth) in [("", "16"), ("virtio_blk.queue_depth=64", "64")] {
        let words = format!("root=LABEL=shown init=/etc/show {word} -- {PARAMETER} /proc/modules");
        let finished = shown(&scratch, &image, Ext4, &words)?;
        let report = finished.reached("/dev/vda (ext4)");
        let found = report.line(PARAMETER)?;
        finished.expect(found == depth, format!("the queue's depth is {found}, not {depth}"));
        let is_there = report.section("/proc/modules")?.iter().any(|line| line.starts_with("loop "));
        finished.expect(is_there, "what is to be loaded after the driver is not there");
    }
    Ok(())
}

fn blacklisted() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = image(&scratch, "blacklist virtio-blk\n")?;
    let disk = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?;
    let finished = image.boot().drive(disk).append("root=/dev/vda rootwait=1").run()?;
    finished.gave_up("root=/dev/vda did not appear");
    finished.says("virtio_blk is blacklisted, and would drive pci0000:00/0000:00:01.0/virtio0");
    Ok(())
}
