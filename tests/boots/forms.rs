//! Every form of `root=` finds the disk that it means, and none that only resembles it.

use std::path::Path;

use anyhow::Result;
use modstrap_qemu::FileSystem::{Ext4, Vfat};
use modstrap_qemu::tool::Tool;
use modstrap_qemu::{Bus, Drive, Recipe, Table};
use modstrap_tests::{Scratch, Verdict, boots};

use crate::amd64;

const FDISK: Tool = Tool::new("fdisk", "fdisk");

const UUID: &str = "6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b";
const PARTITION_UUID: &str = "a1b2c3d4-0102-4304-8506-0708090a0b0c";
/// The UUID that the harness gives to the empty first partition of a GPT.
const FIRST_PARTITION_UUID: &str = "00000000-0000-4000-8000-000000000001";

boots! {
    name: in_gpt("/dev/vdb2");
    uuid: in_gpt("UUID=6f8b5a3c-2d1e-4f70-9b8a-7c6d5e4f3a2b");
    uuid_in_upper_case: in_gpt("UUID=6F8B5A3C-2D1E-4F70-9B8A-7C6D5E4F3A2B");
    label_with_an_escaped_space: in_gpt(r"LABEL=my\x20root");
    label_in_quotes: booted("root=\"LABEL=my root\"", gpt(), "/dev/vdb2");
    word_in_quotes: booted("\"root=LABEL=my root\"", gpt(), "/dev/vdb2");
    partition_uuid: in_gpt(&format!("PARTUUID={PARTITION_UUID}"));
    partition_uuid_in_upper_case: in_gpt(&format!("PARTUUID={}", PARTITION_UUID.to_uppercase()));
    next_after_a_partition_uuid: in_gpt(&format!("PARTUUID={FIRST_PARTITION_UUID}/PARTNROFF=1"));
    partition_label: in_gpt(r"PARTLABEL=the\x20root");
    by_uuid: in_gpt(&format!("/dev/disk/by-uuid/{UUID}"));
    by_label: in_gpt(r"/dev/disk/by-label/my\x20root");
    by_partition_uuid: in_gpt(&format!("/dev/disk/by-partuuid/{PARTITION_UUID}"));
    by_partition_label: in_gpt(r"/dev/disk/by-partlabel/the\x20root");
    the_last_of_several: booted("root=/dev/vda root=PARTLABEL=none root=/dev/vdb2", gpt(), "/dev/vdb2");
    mbr_partition_uuid: booted("root=PARTUUID=deadbeef-02", mbr(2), "/dev/vdb2");
    mbr_partition_uuid_of_a_logical_one: booted("root=PARTUUID=DEADBEEF-06", mbr(6), "/dev/vdb6");
    next_after_an_mbr_partition_uuid: booted("root=PARTUUID=deadbeef-01/PARTNROFF=1", mbr(2), "/dev/vdb2");
    short_uuid_of_vfat_in_lower_case: short_uuid();
    number: numbered("8:2");
    number_in_hexadecimal: numbered("802");
    partition_uuid_with_sectors_of_4096_bytes: large_sectors();
}

/// The disk that is meant: its labels are those that a user would mix up.
fn gpt() -> Recipe {
    Recipe::new(Ext4)
        .label("my root")
        .uuid(UUID)
        .table(Table::Gpt)
        .partition(2)
        .partition_label("the root")
        .partition_uuid(PARTITION_UUID)
}

fn mbr(number: u32) -> Recipe {
    Recipe::new(Ext4).table(Table::Mbr).partition(number).partition_uuid(format!("deadbeef-{number:02x}"))
}

/// Disks to be passed over, before and behind the one that is meant: a short UUID, a label that begins like the right
/// one, and one that is the label of the right partition, but here that of a file system.
fn booted(words: &str, meant: Recipe, node: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let disks = [
        Recipe::new(Vfat).label("MY").uuid("6F8B-5A3C"),
        meant,
        Recipe::new(Ext4).label("the root").table(Table::Gpt).partition_label("my root"),
    ];
    let boot = disks
        .iter()
        .try_fold(amd64()?.boot(), |boot, disk| anyhow::Ok(boot.drive(scratch.drive(disk, Bus::VirtioBlk)?)))?;
    boot.append(words).run()?.reached(&format!("{node} (ext4)"));
    Ok(())
}

fn in_gpt(root: &str) -> Result<()> {
    booted(&format!("root={root}"), gpt(), "/dev/vdb2")
}

/// SCSI disks have numbers that never change.
fn numbered(root: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().drive(scratch.drive(&gpt(), Bus::VirtioScsi)?);
    boot.append(format!("root={root}")).run()?.reached("/dev/sda2 (ext4)");
    Ok(())
}

fn short_uuid() -> Result<()> {
    let scratch = Scratch::new()?;
    let disks = [Recipe::new(Ext4).uuid(UUID), Recipe::new(Vfat).uuid("6F8B-5A3C")];
    let boot = disks
        .iter()
        .try_fold(amd64()?.boot(), |boot, disk| anyhow::Ok(boot.drive(scratch.drive(disk, Bus::VirtioBlk)?)))?;
    boot.append("root=UUID=6f8b-5a3c").run()?.reached("/dev/vdb (vfat)");
    Ok(())
}

fn large_sectors() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = scratch.path();
    write_with_large_sectors(&scratch.disk(&Recipe::new(Ext4).size(FILE_SYSTEM))?, &disk)?;
    let drive =
        Drive::new(disk, Bus::VirtioBlk).property("logical_block_size", "4096").property("physical_block_size", "4096");
    let boot = amd64()?.boot().drive(drive).append(format!("root=PARTUUID={PARTITION_UUID}"));
    boot.run()?.reached("/dev/vda1 (ext4)");
    Ok(())
}

/// From this size on mke2fs makes blocks of 4096 bytes, without which such sectors cannot be used.
const FILE_SYSTEM: u64 = 512 << 20;

/// A disk whose GPT counts in sectors of 4096 bytes, as sfdisk cannot make it, with a file system in its first
/// partition. Both files are sparse.
fn write_with_large_sectors(content: &Path, disk: &Path) -> Result<()> {
    const SECTOR: u64 = 4096;
    const START: u64 = 1 << 20;
    std::fs::File::create(disk)?.set_len(FILE_SYSTEM + 2 * START)?;
    let (first, last) = (START / SECTOR, (START + FILE_SYSTEM) / SECTOR - 1);
    let script = format!("g\nn\n1\n{first}\n{last}\nx\nu\n{PARTITION_UUID}\nr\nw\n");
    FDISK.command()?.args(["-b", &SECTOR.to_string()]).arg(disk).run_with_input(&script)?;
    let copy = Tool::new("dd", "coreutils").command()?;
    let (input, output) = (format!("if={}", content.display()), format!("of={}", disk.display()));
    copy.args([input, output]).args(["bs=1M", "seek=1", "conv=sparse,notrunc", "status=none"]).run()?;
    Ok(())
}
