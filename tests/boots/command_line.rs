//! The words of the command line beside `root=`, and the defaults that an image brings along.

use anyhow::Result;
use modstrap_qemu::FileSystem::{self, Btrfs, Ext4};
use modstrap_qemu::tree::{MARKER, add_program};
use modstrap_qemu::{Bus, Finished, Recipe, Report};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

/// An init that shows files.
const SHOW: &str = include_str!("show");

boots! {
    a_root_is_read_only_unless_told_otherwise: mounted(Ext4, "", &["ro", "relatime"]);
    rw_and_options_of_the_mount_of_the_file_system_and_of_fstab:
        mounted(Ext4, "rw rootflags=noatime,data=journal,nofail,x-systemd.growfs", &["rw", "noatime", "data=journal"]);
    options_of_btrfs: mounted(Btrfs, "rootflags=compress=zstd:5,noatime", &["ro", "noatime", "compress=zstd:5"]);
    the_first_type_that_mounts_is_taken: mounted(Ext4, "rootfstype=xfs,ext4", &["ro"]);
    a_disk_that_cannot_be_written_is_mounted_read_only: write_protected();
    rootdelay: delayed();
    init_and_its_arguments: init("/etc/show");
    init_behind_links: init("/sbin/link");
    without_an_init_the_shell_is_taken: shell();
    module_parameters: parameters();
    a_blacklisted_driver_is_not_loaded: blacklisted();
    defaults_of_the_image: defaults();
    quiet_hides_what_went_well: quiet();
}

/// The guest of a disk whose tree has the init that shows files, at `/etc/show` and behind absolute and relative links.
pub(crate) fn shown(scratch: &Scratch, image: &Image, kind: FileSystem, words: &str) -> Result<Finished> {
    shown_on(Bus::VirtioBlk, scratch, image, kind, words)
}

/// The same with the disk on another bus.
pub(crate) fn shown_on(bus: Bus, scratch: &Scratch, image: &Image, kind: FileSystem, words: &str) -> Result<Finished> {
    let tree = scratch.tree()?;
    add_program(&tree, "etc/show", SHOW.replace("@MARKER@", MARKER))?;
    std::os::unix::fs::symlink("/bin/relative", tree.join("sbin/link"))?;
    std::os::unix::fs::symlink("../etc/show", tree.join("bin/relative"))?;
    let disk = Recipe::new(kind).from(tree).label("shown");
    image.boot().drive(scratch.drive(&disk, bus)?).append(words).run()
}

/// Boots with these words; /proc/mounts must say these options of the root.
fn mounted(kind: FileSystem, words: &str, options: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.drive(&Recipe::new(kind), Bus::VirtioBlk)?;
    let finished = amd64()?.boot().drive(disk).append(format!("root=/dev/vda {words}")).run()?;
    let report = finished.reached(&format!("/dev/vda ({})", kind.name()));
    has_root_options(&finished, &report, options);
    Ok(())
}

#[track_caller]
fn has_root_options(finished: &Finished, report: &Report, options: &[&str]) {
    let mounts = report.section("mounts").unwrap_or_default();
    let root = mounts.iter().find_map(|line| line.strip_prefix("/dev/vda / ")?.split(' ').nth(1)).unwrap_or_default();
    let found: Vec<_> = root.split(',').collect();
    let has_all = options.iter().all(|option| found.contains(option));
    finished.expect(has_all, format!("the root's options are {found:?} and not {options:?}"));
}

fn write_protected() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?.read_only();
    let finished = amd64()?.boot().drive(disk).append("root=/dev/vda rw").run()?;
    has_root_options(&finished, &finished.reached("/dev/vda (ext4)"), &["ro"]);
    finished.says("/dev/vda cannot be written: mounted read-only");
    Ok(())
}

fn delayed() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?;
    let finished = amd64()?.boot().drive(disk).append("root=/dev/vda rootdelay=4").run()?;
    finished.reached("/dev/vda (ext4)");
    let line = finished.summary.clone().unwrap_or_default();
    let milliseconds = line.split_once(" mounted after ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    finished.expect(milliseconds.is_some_and(|passed: u32| (4000..20_000).contains(&passed)), "no delay of 4 s");
    Ok(())
}

/// Words behind `--` are init's; the script's own name stands before them.
fn init(path: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let words = format!("root=LABEL=shown init={path} -- /proc/1/cmdline");
    let finished = shown(&scratch, amd64()?, Ext4, &words)?;
    let report = finished.reached("/dev/vda (ext4)");
    let found = report.section("/proc/1/cmdline")?;
    finished.expect(found == ["/bin/busybox", "sh", path, "/proc/1/cmdline"], format!("arguments: {found:?}"));
    Ok(())
}

/// The last of the kernel's own list: /bin/sh, here on a tree that has no other.
fn shell() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    std::fs::remove_file(tree.join("sbin/init"))?;
    let disk = scratch.drive(&Recipe::new(Ext4).from(tree), Bus::VirtioBlk)?;
    let boot = amd64()?.boot().drive(disk).append("root=/dev/vda").marker("process 1 of 2");
    let finished = boot.answer(" # ", "echo process $$ of $((1 + 1)); /bin/busybox poweroff -f\n").run()?;
    finished.expect(finished.outcome == modstrap_qemu::Outcome::RealInit, &finished.outcome);
    Ok(())
}

/// Dashes and underscores are one in a module's name, the last of equal words counts, and a value may hold spaces.
fn parameters() -> Result<()> {
    const PARAMETER: &str = "/sys/module/virtio_blk/parameters/queue_depth";
    let scratch = Scratch::new()?;
    let words = format!(
        "root=LABEL=shown init=/etc/show virtio_blk.queue_depth=32 virtio-blk.queue_depth=64 \
         virtio_blk.dyndbg=\"file virtio_blk.c +p\" -- {PARAMETER}"
    );
    let finished = shown(&scratch, amd64()?, Ext4, &words)?;
    let report = finished.reached("/dev/vda (ext4)");
    finished.expect(report.line(PARAMETER)? == "64", "the parameter is not 64");
    Ok(())
}

fn blacklisted() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?;
    let words = "root=/dev/vda rootwait=1 modprobe.blacklist=floppy,virtio-blk";
    let finished = amd64()?.boot().drive(disk).append(words).run()?;
    finished.gave_up("root=/dev/vda did not appear");
    finished.expect(!finished.messages().contains(&"loaded virtio_blk"), "the driver was loaded");
    // A user who forgot the word must be able to see that it is to blame.
    finished.says("virtio_blk is blacklisted, and would drive pci0000:00/0000:00:01.0/virtio0");
    Ok(())
}

/// One image, three boots: its words stand where the machine's say nothing; else the machine's count. Without a `root=`
/// from the kernel, the initramfs is a tmpfs: that, too, must be left empty.
fn defaults() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk", "ext4"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.cmdline = "root=LABEL=shown rw rootwait=1 virtio_blk.queue_depth=32".into();
    })?;
    let finished = shown(&scratch, &image, Ext4, "init=/etc/show -- /proc/meminfo")?;
    let report = finished.reached("/dev/vda (ext4)");
    has_root_options(&finished, &report, &["rw"]);
    let memory = report.section("/proc/meminfo")?;
    for kind in ["Shmem:", "Unevictable:"] {
        let line = memory.iter().find_map(|line| line.strip_prefix(kind)).unwrap_or_default();
        let kilobytes: Option<u64> = line.trim().trim_end_matches(" kB").parse().ok();
        finished.expect(kilobytes.is_some_and(|size| size < 256), format!("{kind} {line}: the initramfs is in memory"));
    }

    let words = "ro init=/etc/show virtio_blk.queue_depth=64 -- /sys/module/virtio_blk/parameters/queue_depth";
    let finished = shown(&scratch, &image, Ext4, words)?;
    let report = finished.reached("/dev/vda (ext4)");
    has_root_options(&finished, &report, &["ro"]);
    finished.expect(report.line("/sys/module/virtio_blk/parameters/queue_depth")? == "64", "the image's word counted");

    shown(&scratch, &image, Ext4, "root=LABEL=other")?.gave_up("root=LABEL=other did not appear");
    Ok(())
}

/// What the console does not show is in the kernel log all the same.
fn quiet() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?;
    let finished = amd64()?.boot().drive(disk).append("root=/dev/vda quiet").run()?;
    let report = finished.reached("/dev/vda (ext4)");
    let (before, _) = finished.console.split_once(MARKER).unwrap_or_default();
    finished.expect(!before.contains("modstrap: "), "the console is not quiet");
    let kept = report.section("kmsg")?.iter().any(|line| line.ends_with("modstrap: loaded virtio_blk"));
    finished.expect(kept, "the kernel log has no line about virtio_blk");
    Ok(())
}
