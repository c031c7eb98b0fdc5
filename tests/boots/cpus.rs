//! Several processors: modules are decoded and inserted beside each other, and the outcome is that of one after the other.
//!
//! Times are the machine's own and are not judged.

use anyhow::Result;
use modstrap_qemu::Bus::{self, *};
use modstrap_qemu::FileSystem::{self, *};
use modstrap_qemu::bench::repeat::{Found, repeat};
use modstrap_qemu::{Boot, Finished, Recipe};
use modstrap_tests::{Scratch, Verdict, boots};

use crate::amd64;

/// What a slow disk reads in a second, in bytes.
const SLOW: u64 = 4 << 20;

/// As many as there may be workers, and the boot itself.
const PROCESSORS: u32 = 4;

boots! {
    four_cpus_load_from_virtio_scsi_what_one_after_the_other_does: same(VirtioScsi, Ext4, "root=LABEL=ROOT");
    four_cpus_load_from_usb_what_one_after_the_other_does: same(Usb, Ext4, "root=LABEL=ROOT");
    four_cpus_load_from_a_slow_nvme_what_one_after_the_other_does: same(Nvme, Btrfs, "root=LABEL=ROOT");
    a_file_system_that_is_known_is_loaded_while_disks_are_looked_for: beside();
    ten_boots_come_to_the_same: ten();
}

/// A guest with several processors and a disk that takes its time.
fn slow(scratch: &Scratch, bus: Bus, kind: FileSystem, words: &str) -> Result<Boot> {
    let drive = scratch.drive(&Recipe::new(kind).label("ROOT"), bus)?.throttle(SLOW);
    Ok(amd64()?.boot().drive(drive).processors(PROCESSORS).append(words))
}

/// Boots with workers and without.
fn same(bus: Bus, kind: FileSystem, root: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = |word: &str| -> Result<(Finished, Found)> {
        let finished = slow(&scratch, bus, kind, &format!("{root} {word}"))?.run()?;
        let found = Found::of(&finished);
        finished.expect(found.is_good(), format!("not a boot that goes well: {found:?}"));
        println!("{bus:?} {word}: {}", finished.summary.as_deref().unwrap_or_default());
        Ok((finished, found))
    };
    let ((parallel, found), (_, serial)) = (boot("")?, boot("modstrap.serial")?);
    parallel.expect(found == serial, format!("with workers {found:?}, one after the other {serial:?}"));
    Ok(())
}

/// The order of the log is that in which modules are said to be there: the controller comes last where a worker probes it.
fn beside() -> Result<()> {
    let scratch = Scratch::new()?;
    for (word, is_beside) in [("", true), ("modstrap.serial", false)] {
        let words = format!("root=/dev/sda rootfstype=ext4 {word}");
        let finished = slow(&scratch, Ahci, Ext4, &words)?.run()?;
        let report = finished.reached("/dev/sda (ext4)");
        let messages = report.section("kmsg")?;
        let place = |name: &str| messages.iter().position(|line| line.ends_with(&format!("loaded {name}")));
        let order = place("ext4").zip(place("ahci")).map(|(ext4, ahci)| ext4 < ahci);
        finished.expect(order == Some(is_beside), format!("{word}: {messages:#?}"));
    }
    Ok(())
}

/// The same image and disk, ten times.
fn ten() -> Result<()> {
    let scratch = Scratch::new()?;
    let runs = repeat(&slow(&scratch, VirtioScsi, Ext4, "root=LABEL=ROOT")?, 10, &[""], |run| println!("{run:?}"))?;
    let odd: Vec<_> = runs.iter().filter(|run| run.console.is_some()).collect();
    assert!(odd.is_empty(), "beside {:?} there are {odd:?}", runs[0]);
    Ok(())
}
