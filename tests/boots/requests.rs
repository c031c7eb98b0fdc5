//! The kernel's own requests, answered in the initramfs: by whichever program the kernel was told to ask, from many
//! sides at once, and without end to none of them.

use anyhow::Result;
use modstrap_initramfs::FileSpec;
use modstrap_qemu::FileSystem::{Ext4, Xfs};
use modstrap_qemu::tree::{self, add_program};
use modstrap_qemu::{Bus, Recipe};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

/// Asks for each file system many times at once, before the loader becomes process 1, then for what nobody has.
const STORM: &str = "#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
/bin/busybox mount -t sysfs none /sys
/bin/busybox mount -t devtmpfs none /dev
for i in 1 2 3 4 5 6 7 8; do
    for kind in squashfs erofs f2fs xfs overlay btrfs vfat; do
        /bin/busybox mount -t $kind none /root 2>/dev/null &
    done
done
wait
/bin/busybox mount -t nosuchfs none /root 2>/dev/null
/bin/busybox sed 's/^/stormed: /' /proc/modules
/bin/busybox umount /dev
/bin/busybox umount /sys
/bin/busybox umount /proc
exec /init
";

boots! {
    requests_that_storm_in_parallel_are_all_answered: storm();
    the_setting_that_points_elsewhere_is_restored: elsewhere();
    a_module_that_asks_for_itself_does_not_wait_for_ever: asks_for_itself();
}

/// An image of these drivers with a shell and a script to run in place of the loader.
fn image_with_script(scratch: &Scratch, modules: &[&str], script: &str) -> Result<Image> {
    let directory = scratch.path();
    std::fs::create_dir(&directory)?;
    add_program(&directory, "script", script)?;
    let (hardware, busybox) = (scratch.hardware(modules)?, tree::static_busybox()?);
    Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.files = vec![
            FileSpec { source: busybox, dest: Some("/bin/busybox".into()) },
            FileSpec { source: directory.join("script"), dest: Some("/script".into()) },
        ];
    })
}

fn storm() -> Result<()> {
    let kinds = ["squashfs", "erofs", "f2fs", "xfs", "overlay", "btrfs", "vfat"];
    let scratch = Scratch::new()?;
    let image = image_with_script(&scratch, &[&["virtio_blk", "ext4"], &kinds[..]].concat(), STORM)?;
    // The processors at one time, not in turn: each request has its time limit.
    let boot = image
        .boot()
        .accelerator("tcg,thread=multi")
        .processors(2)
        .drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?);
    let finished = boot.append("root=/dev/vda rdinit=/script").run()?;
    finished.reached("/dev/vda (ext4)");
    for kind in kinds {
        let line = format!("stormed: {kind} ");
        finished.expect(finished.console.contains(&line), format!("{kind} is not there"));
    }
    let messages = finished.messages();
    let told = messages.iter().any(|line| line.starts_with("nobody answers the kernel's request for fs-nosuchfs"));
    finished.expect(told, "what nobody answered is not told");
    let failed = messages.iter().find(|line| line.starts_with("module "));
    finished.expect(failed.is_none(), format!("a module failed: {failed:?}"));
    Ok(())
}

fn elsewhere() -> Result<()> {
    let script = "#!/bin/busybox sh
/bin/busybox mount -t proc none /proc
echo /opt/elsewhere > /proc/sys/kernel/modprobe
/bin/busybox umount /proc
exec /init
";
    let scratch = Scratch::new()?;
    let image = image_with_script(&scratch, &["virtio_blk", "ext4"], script)?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?);
    let report = boot.append("root=/dev/vda rdinit=/script").run()?.reached("/dev/vda (ext4)");
    assert_eq!(report.section("modprobe")?, ["/opt/elsewhere"]);
    Ok(())
}

/// libcrc32c asks for crc32c when it starts, and here nobody but itself has that alias.
fn asks_for_itself() -> Result<()> {
    let scratch = Scratch::new()?;
    let config = scratch.file("alias crypto-crc32c libcrc32c\nalias crc32c libcrc32c\n")?;
    let hardware = scratch.hardware(&["virtio_blk", "xfs"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.modprobe_d = vec![config];
    })?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Xfs), Bus::VirtioBlk)?);
    let finished = boot.append("root=/dev/vda").run()?;
    finished.gave_up("cannot mount /dev/vda: the module of xfs did not load (see above)");
    let told = "module libcrc32c: it is just being loaded, and what loads it may wait for this very request";
    finished.expect(finished.messages().contains(&told), format!("no line `{told}`"));
    Ok(())
}
