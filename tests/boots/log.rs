//! The loader's lines reach the console: all of them, when they are wanted.

use anyhow::Result;
use modstrap_tests::{Verdict, boots};

use crate::amd64;

/// More than the kernel takes at once from whoever opens its log.
const DISKS: usize = 64;

boots! {
    no_line_of_a_long_report_is_lost_even_under_quiet: long_report();
}

/// Disks that hold nothing, a root that never comes, and a wait long enough for a second notice.
fn long_report() -> Result<()> {
    let controller = ["-device", "virtio-scsi-pci,id=many"].map(String::from).to_vec();
    let arguments = (0..DISKS).flat_map(|number| {
        let backend = format!("if=none,id=empty{number},driver=null-co,size=1048576,read-zeroes=on");
        let device = format!("scsi-hd,bus=many.0,scsi-id={number},drive=empty{number}");
        ["-drive".into(), backend, "-device".into(), device]
    });
    let boot = controller.into_iter().chain(arguments).fold(amd64()?.boot(), |boot, word| boot.argument(word));
    let finished = boot.append("root=LABEL=none quiet rootwait=7").run()?;
    finished.gave_up("root=LABEL=none did not appear");

    for name in disk_names().take(DISKS) {
        finished.says(&format!("seen: /dev/{name}: no file system known here"));
    }
    let waits = finished.messages().into_iter().filter(|line| line.starts_with("waiting for root=LABEL=none"));
    finished.expect(waits.count() == 2, "there were not two notices of the wait");
    let is_info = |line: &&str| line.starts_with("loaded ");
    finished.expect(!finished.messages().iter().any(is_info), "what went well shows under quiet");
    Ok(())
}

/// sda to sdz, sdaa and so on.
fn disk_names() -> impl Iterator<Item = String> {
    let letters = || 'a'..='z';
    let pairs = letters().flat_map(move |first| letters().map(move |second| format!("sd{first}{second}")));
    letters().map(|letter| format!("sd{letter}")).chain(pairs)
}
