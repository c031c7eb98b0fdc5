//! Every way to fail ends within its limit, in the message that names what is wrong, and as the user chose.

use std::fs;

use anyhow::Result;
use modstrap_initramfs::FileSpec;
use modstrap_qemu::FileSystem::{self, Btrfs, Ext4, Vfat};
use modstrap_qemu::tool::Tool;
use modstrap_qemu::{Bus, Drive, Finished, Outcome, Recipe, Table, tree};
use modstrap_tests::verdict::PANIC;
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::{amd64, cloud};

const MKSWAP: Tool = Tool::new("mkswap", "util-linux");

boots! {
    a_root_that_is_not_there_is_reported_with_what_is: not_there();
    a_device_without_a_driver_is_named: without_driver();
    a_file_system_without_its_module_is_named: without_file_system();
    no_root: words("", "the command line has no root=");
    no_root_and_a_kernel_log_that_is_switched_off: words("printk.devkmsg=off", "the command line has no root=");
    an_unknown_form_of_root: words("root=zfs:pool", "root=zfs:pool is of no form that is known here");
    an_unknown_link_as_root:
        words("root=/dev/disk/by-id/ata-x", "root=/dev/disk/by-id/ata-x is of no form that is known here");
    a_subvolume_that_is_missing:
        disk(Btrfs, "rootflags=subvol=@", "cannot mount /dev/vda as btrfs: no such file or device (errno 2)");
    an_init_that_is_missing:
        disk(Ext4, "init=/sbin/other", "the root has no executable init=/sbin/other: no such file or device (errno 2)");
    an_init_that_is_no_program:
        disk(Ext4, "init=/etc/inittab", "the root has no executable init=/etc/inittab: permission denied (errno 13)");
    a_disk_without_a_file_system:
        disk(FileSystem::None, "", "/dev/vda holds no file system that is known here: give rootfstype=");
    a_root_without_init: without_init();
    swap_as_root: swap();
    an_encrypted_root: luks();
    a_damaged_table: damaged_table();
    a_damaged_module: damaged_module();
    an_image_for_an_older_kernel: foreign(cloud()?, amd64()?);
    an_image_for_a_newer_kernel: foreign(amd64()?, cloud()?);
    another_release_if_the_user_insists: insisted();
    another_build_of_the_same_release: rebuilt();
    another_build_without_symbol_versions: rebuilt_unprotected();
    on_failure_the_machine_is_switched_off: ended("poweroff", "reboot: Power down");
    on_failure_the_machine_starts_again: ended("reboot", "reboot: Restarting system");
    on_failure_the_machine_is_halted: ended("halt", "reboot: System halted");
    on_failure_the_shell_of_the_image_answers: shell();
    on_failure_a_missing_shell_is_reported: without_shell();
}

/// Boots without a disk.
fn words(words: &str, reason: &str) -> Result<()> {
    amd64()?.boot().append(words).run()?.gave_up(reason);
    Ok(())
}

/// Boots from a disk with the tests' root.
fn disk(kind: FileSystem, words: &str, reason: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().drive(scratch.drive(&Recipe::new(kind), Bus::VirtioBlk)?);
    boot.append(format!("root=/dev/vda {words}")).run()?.gave_up(reason);
    Ok(())
}

/// Boots an image from an ext4.
fn boot_ext4(scratch: &Scratch, image: &Image, words: &str) -> Result<Finished> {
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?);
    boot.append(format!("root=/dev/vda {words}")).run()
}

fn not_there() -> Result<()> {
    const UUID: &str = "6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b";
    const PARTITION: &str = "a1b2c3d4-0102-4304-8506-0708090a0b0c";
    let scratch = Scratch::new()?;
    let in_partition = Recipe::new(Ext4).uuid(UUID).label("system").table(Table::Gpt);
    let boot = amd64()?
        .boot()
        .drive(scratch.drive(&in_partition.partition_uuid(PARTITION).partition_label("my root"), Bus::VirtioBlk)?)
        .drive(scratch.drive(&Recipe::new(Vfat).uuid("6F8B-5A3C").label("BOOT"), Bus::VirtioBlk)?)
        .drive(scratch.drive(&Recipe::new(FileSystem::None), Bus::Nvme)?)
        .drive(Drive::new(swap_disk(&scratch)?, Bus::VirtioScsi));
    let finished = boot.append("root=UUID=6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2c rootwait=2").run()?;
    finished.gave_up("root=UUID=6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2c did not appear");
    finished.says("seen: /dev/vda: no file system known here");
    let partition = format!("PARTUUID={PARTITION} PARTLABEL=my root");
    finished.says(&format!("seen: /dev/vda1: ext4 LABEL=system UUID={UUID} {partition}"));
    finished.says("seen: /dev/vdb: vfat LABEL=BOOT UUID=6F8B-5A3C");
    finished.says("seen: /dev/nvme0n1: no file system known here");
    finished.says("seen: /dev/sda: swap LABEL=pages UUID=11111111-2222-4333-8444-555555555555");
    Ok(())
}

/// An image for virtio alone, and an NVMe disk.
fn without_driver() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk", "ext4"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| request.hardware = hardware)?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::Nvme)?);
    let finished = boot.append("root=/dev/nvme0n1 rootwait=1").run()?;
    finished.gave_up("root=/dev/nvme0n1 did not appear");
    finished.says("seen: no block device at all");
    // NVMe's class of PCI: mass storage, non-volatile memory, NVM Express.
    let is_named = |line: &&str| line.starts_with("no driver in the image for pci") && line.ends_with("bc01sc08i02)");
    finished.expect(finished.messages().iter().any(is_named), "the NVMe controller is not named");
    Ok(())
}

fn without_file_system() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| request.hardware = hardware)?;
    let reason = "cannot mount /dev/vda: neither the kernel nor the image knows ext4; build with --include ext4";
    boot_ext4(&scratch, &image, "")?.gave_up(reason);
    Ok(())
}

fn without_init() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    fs::remove_dir_all(tree.join("sbin"))?;
    fs::remove_dir_all(tree.join("bin"))?;
    let boot = amd64()?.boot().drive(scratch.drive(&Recipe::new(Ext4).from(tree), Bus::VirtioBlk)?);
    let reason = "the root has no init: neither /sbin/init, /etc/init, /bin/init nor /bin/sh";
    boot.append("root=/dev/vda").run()?.gave_up(reason);
    Ok(())
}

fn swap() -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().drive(Drive::new(swap_disk(&scratch)?, Bus::VirtioBlk)).append("root=LABEL=pages");
    boot.run()?.gave_up("/dev/vda holds swap, which cannot be mounted as a root");
    Ok(())
}

fn swap_disk(scratch: &Scratch) -> Result<std::path::PathBuf> {
    let disk = scratch.disk(&Recipe::new(FileSystem::None))?;
    let uuid = "11111111-2222-4333-8444-555555555555";
    MKSWAP.command()?.args(["--label", "pages", "--uuid", uuid]).arg(&disk).run()?;
    Ok(disk)
}

/// The header of a LUKS2 container, as much of it as tells what it is (the LUKS2 on-disk format specification, 2.1).
fn luks() -> Result<()> {
    const UUID: &str = "6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b";
    let scratch = Scratch::new()?;
    let mut header = vec![0; 1 << 20];
    header[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    header[168..168 + UUID.len()].copy_from_slice(UUID.as_bytes());
    let boot = amd64()?.boot().drive(Drive::new(scratch.file(header)?, Bus::VirtioBlk));
    let finished = boot.append(format!("root=UUID={UUID}")).run()?;
    finished.gave_up("/dev/vda holds crypto_LUKS, which cannot be mounted as a root");
    Ok(())
}

fn damaged_table() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = amd64()?.with_damaged_table(scratch.path())?;
    let reason = "/modstrap/table is damaged: build the image anew, and check memory and medium";
    boot_ext4(&scratch, &image, "")?.gave_up(reason);
    Ok(())
}

fn damaged_module() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = amd64()?.with_damaged_module(scratch.path(), "virtio_blk")?;
    let finished = boot_ext4(&scratch, &image, "rootwait=1")?;
    finished.gave_up("root=/dev/vda did not appear");
    let damaged = "module virtio_blk: its packed bytes are damaged: build the image anew";
    finished.expect(finished.messages().contains(&damaged), format!("no line `{damaged}`"));

    let image = amd64()?.with_damaged_module(scratch.path(), "ext4")?;
    let finished = boot_ext4(&scratch, &image, "")?;
    finished.says("module ext4: its packed bytes are damaged: build the image anew");
    // The module is in the image: to put it in would not help.
    finished.gave_up("cannot mount /dev/vda: the module of ext4 did not load (see above)");
    Ok(())
}

/// An image that was built for one kernel, with another.
fn foreign(image: &Image, other: &Image) -> Result<()> {
    let boot = Image { kernel: other.kernel.clone(), ..image.clone() }.boot().append("root=/dev/vda");
    let (expected, running) = (&image.kernel.release, &other.kernel.release);
    boot.run()?.gave_up(&format!("the image was built for kernel {expected}, but this is kernel {running}"));
    Ok(())
}

fn insisted() -> Result<()> {
    let scratch = Scratch::new()?;
    let release = &amd64()?.kernel.release;
    let other = release.replacen('.', "+", 1);
    let image = amd64()?.with_table_saying(scratch.path(), other.as_bytes(), release.as_bytes())?;
    let sentence = format!("the image was built for kernel {other}, but this is kernel {release}");
    boot_ext4(&scratch, &image, "")?.gave_up(&sentence);
    let finished = boot_ext4(&scratch, &image, "modstrap.anykernel")?;
    finished.reached("/dev/vda (ext4)");
    finished.says(&format!("{sentence}: going on"));
    Ok(())
}

/// The image with the build id of another build.
fn of_another_build(scratch: &Scratch) -> Result<Image> {
    let id = amd64()?.build_id()?;
    let other: Vec<u8> = id.iter().map(|byte| !byte).collect();
    amd64()?.with_table_saying(scratch.path(), &other, &id)
}

fn rebuilt() -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot_ext4(&scratch, &of_another_build(&scratch)?, "")?;
    finished.reached("/dev/vda (ext4)");
    let release = &amd64()?.kernel.release;
    finished.says(&format!("the image was built for another build of kernel {release}: going on"));
    Ok(())
}

fn rebuilt_unprotected() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = of_another_build(&scratch)?.with_table_saying(scratch.path(), b"mod_unload ", b"modversions")?;
    let release = &amd64()?.kernel.release;
    boot_ext4(&scratch, &image, "")?.gave_up(&format!("the image was built for another build of kernel {release}"));
    Ok(())
}

/// How the kernel ends, as its last words tell, when the user has chosen an end.
fn ended(choice: &str, last_words: &str) -> Result<()> {
    let finished = amd64()?.boot().append(format!("modstrap.onfail={choice}")).run()?;
    let expected = Outcome::LoaderFailure("the command line has no root=".into());
    finished.expect(finished.outcome == expected, format!("expected: {expected}"));
    let (_, rest) = finished.console.split_once("the command line has no root=").unwrap_or_default();
    finished.expect(rest.contains(last_words), format!("the kernel does not say `{last_words}`"));
    finished.expect(!rest.contains(PANIC), "the kernel panicked");
    Ok(())
}

fn shell() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&["virtio_blk"])?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        let dest = Some("/bin/sh".into());
        request.files = vec![FileSpec { source: tree::static_busybox().expect("a static busybox"), dest }];
    })?;
    let boot = image.boot().append("modstrap.onfail=shell").answer(" # ", "echo process $$ of $((1 + 1))\n");
    let finished = boot.run()?;
    finished.says("cannot boot: the command line has no root=; starting a shell");
    finished.expect(finished.console.contains("process 1 of 2"), "the shell does not answer as process 1");
    finished.expect(!finished.console.contains("can't access tty"), "the shell has no terminal");
    Ok(())
}

fn without_shell() -> Result<()> {
    let finished = amd64()?.boot().append("modstrap.onfail=shell").run()?;
    finished.says("the image has no shell: build it with --file SHELL:/bin/sh");
    finished.expect(finished.console.contains(PANIC), "the kernel did not panic");
    Ok(())
}
