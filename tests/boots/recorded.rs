//! A record that is captured in a guest, and the boot that `modstrap plan` makes of it: the same modules in the same order
//! as that guest's loader has just loaded; and the image for the recorded machine, which boots it.

use anyhow::{Context, Result};
use modstrap_initramfs::Hardware;
use modstrap_initramfs::hardware::Record;
use modstrap_initramfs::plan::{Given, Plan, plan};
use modstrap_qemu::tree::add_recorder;
use modstrap_qemu::{Bus, FileSystem, Recipe, Report, Table};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

/// The identifiers of every disk: none of them may stand in a record.
const UUID: &str = "c2ea1eab-6ec9-46b2-aa6f-53221907902a";
const LABEL: &str = "SECRETROOT";
const SERIAL: &str = "SECRETSERIAL";

boots! {
    a_virtio_disk: same(Bus::VirtioBlk, FileSystem::Ext4, "root=/dev/vda1", "/dev/vda1");
    a_scsi_disk_behind_virtio: same(Bus::VirtioScsi, FileSystem::Xfs, "root=LABEL=SECRETROOT", "/dev/sda1");
    an_nvme_disk: same(Bus::Nvme, FileSystem::Btrfs, "root=UUID=c2ea1eab-6ec9-46b2-aa6f-53221907902a", "/dev/nvme0n1p1");
    a_sata_disk: same(Bus::Ahci, FileSystem::Ext4, "root=/dev/sda1", "/dev/sda1");
    a_disk_on_usb: same(Bus::Usb, FileSystem::F2fs, "root=LABEL=SECRETROOT", "/dev/sda1");
    an_sd_card: same(Bus::Sdhci, FileSystem::Ext4, "root=/dev/mmcblk0p1", "/dev/mmcblk0p1");
}

/// Boots from such a disk, captures a record there, and plans the boot anew from it.
fn same(bus: Bus, kind: FileSystem, root: &str, node: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let image = amd64()?;
    let tree = scratch.tree()?;
    add_recorder(&tree)?;
    let recipe = Recipe::new(kind).from(tree).label(LABEL).uuid(UUID).table(Table::Gpt);
    let mut drive = scratch.drive(&recipe, bus)?;
    if matches!(bus, Bus::VirtioBlk | Bus::VirtioScsi | Bus::Nvme | Bus::Ahci | Bus::Usb) {
        drive = drive.property("serial", SERIAL);
    }
    let finished = image.boot().drive(drive.clone()).append(root).run()?;
    let report = finished.reached(&format!("{node} ({})", kind.name()));

    let text = report.section("hardware")?.join("\n");
    for private in [UUID, LABEL, SERIAL] {
        finished.expect(!text.contains(private), format!("{private} stands in the record:\n{text}"));
    }
    let record: Record = text.parse().with_context(|| text.clone())?;
    let marked: Vec<String> = record.disks.iter().filter(|disk| disk.is_root).map(|disk| disk.name.clone()).collect();
    finished.expect(format!("/dev/{}", marked.join(" ")) == node, format!("marked as the root: {marked:?}"));

    let plan = planned(&scratch, image, &text, root)?;
    let planned: Vec<&str> = plan.modules.iter().map(|load| load.module.as_str()).collect();
    let loaded = loaded(&report)?;
    finished.expect(planned == loaded, format!("planned: {planned:?}\nloaded: {loaded:?}\n{text}"));
    let reached = plan.root.with_context(|| format!("the plan does not reach the root: {:?}", plan.failure))?;
    finished.expect(reached.source == node && reached.file_system == kind.name(), format!("{reached:?}"));

    // The image for that machine takes no more than the other, and leaves alone what had no disks.
    let hardware = Hardware::Names(scratch.file(&text)?);
    let own = Image::build(&image.kernel, scratch.path(), |request| request.hardware = hardware)?;
    let finished = own.boot().drive(drive).append(root).run()?;
    let report = finished.reached(&format!("{node} ({})", kind.name()));
    let on_own = self::loaded(&report)?;
    let is_less =
        on_own.iter().all(|name| loaded.contains(name)) && (bus == Bus::Ahci || !on_own.contains(&"ahci".into()));
    finished.expect(is_less, format!("loaded: {on_own:?}\nof {loaded:?}"));
    Ok(())
}

fn planned(scratch: &Scratch, image: &Image, record: &str, words: &str) -> Result<Plan> {
    plan(&image.file, &Given::Record(scratch.file(record)?), words)
}

/// The modules that the loader said it loaded, in order, but for those that the kernel asked for.
fn loaded(report: &Report) -> Result<Vec<String>> {
    let lines = report.section("kmsg")?.iter();
    let names = lines.filter_map(|line| line.split_once("modstrap: loaded ")).map(|(_, name)| name.trim());
    Ok(names.filter(|name| !name.contains(' ')).map(str::to_string).collect())
}
