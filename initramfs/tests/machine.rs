//! Images for one machine: from lists of its devices, and from its record.

mod common;

use common::{RELEASE, System};
use modstrap_initramfs::Request;
use modstrap_initramfs::why::why;

const RECORD: &str = "\
modstrap-hardware 1
kernel release=6.9.0-test machine=x86_64
processor modalias=cpu:type:x86,ven0000fam0006mod0001:feature:,0089,
device path=pci0/1 modalias=pci:v1d1 driver=nvme module=nvme
device path=pci0/2 modalias=pci:v2d2 driver=snd module=snd
device path=pci0/3 modalias=pci:v3d3
device path=pci0/4 modalias=pci:v4d4 driver=proc builtin=proc
device path=plat/bridge modalias=platform:bridge driver=bridge module=bridge
disk name=nvme0n1 path=pci0/1/nvme/nvme0/nvme0n1 number=259:0
disk name=sda path=plat/bridge/host0/sda number=8:0 fs=ext4 root
disk name=sdb path=plat/bridge/host0/sdb number=8:16 fs=swap
";

fn system() -> System {
    let system = System::new();
    system.module("kernel/drivers/nvme/host/nvme.ko", "nvme", &["alias=pci:v1d1*", "depends=nvme_core"]);
    system.module("kernel/drivers/nvme/host/nvme-core.ko", "nvme_core", &[]);
    system.module("kernel/drivers/ata/ahci.ko", "ahci", &["alias=pci:v9d9*"]);
    system.module("kernel/sound/snd.ko", "snd", &["alias=pci:v2d2*"]);
    system.module("kernel/drivers/bridge/bridge.ko", "bridge", &["alias=platform:bridge"]);
    system.module("kernel/arch/x86/kvm/kvm.ko", "kvm", &["alias=cpu:type:x86,ven*fam*mod*:feature:*0089*"]);
    for name in ["ext4", "xfs"] {
        system.module(&format!("kernel/fs/{name}/{name}.ko"), name, &[&format!("alias=fs-{name}")]);
    }
    system
}

fn names(system: &System, record: &str) -> Vec<String> {
    let mut names = system.build(&system.request_for(record)).unwrap().names();
    names.sort();
    names
}

#[test]
fn a_record_gives_an_image_for_its_machine() {
    let system = system();
    let image = system.build(&system.request_for(RECORD)).unwrap();
    let mut names = image.names();
    names.sort();
    assert_eq!(names, ["bridge", "ext4", "nvme", "nvme_core"]);
    let loaded = image.inspect(&system.path("")).unwrap().modules;
    let class = |name: &str| loaded.iter().find(|module| module.name == name).unwrap().class;
    assert_eq!(class("bridge"), "bus", "what a disk hangs on is a candidate, whatever it is");
    assert_eq!(image.summary.unanswered, ["pci:v3d3"]);
    assert!(image.summary.to_string().contains("hardware  modaliases that nothing answers to: 1 (-v"));
    let chain = why(&system.path("image"), "nvme").unwrap().to_string();
    assert!(chain.contains("nvme <- recorded of the machine (pci:v1d1)"), "{chain}");
}

#[test]
fn where_the_roots_file_system_does_not_show_all_are_taken() {
    let system = system();
    let untold = RECORD.replace(" fs=ext4", "");
    assert_eq!(names(&system, &untold), ["bridge", "ext4", "nvme", "nvme_core", "xfs"]);
    let unmarked = RECORD.replace(" root", "").replace("fs=ext4", "fs=xfs");
    assert_eq!(names(&system, &unmarked), ["bridge", "nvme", "nvme_core", "xfs"]);
}

#[test]
fn a_directory_of_the_host_has_its_file_system() {
    let system = system();
    system.module("kernel/net/9p/9pnet_virtio.ko", "9pnet_virtio", &["alias=virtio:d9v*"]);
    system.module("kernel/fs/9p/9p.ko", "9p", &["alias=fs-9p"]);
    let record =
        "modstrap-hardware 1\ndevice path=a/virtio0 modalias=virtio:d9v1 driver=9pnet_virtio module=9pnet_virtio\n";
    assert_eq!(names(&system, record), ["9p", "9pnet_virtio"]);
}

#[test]
fn a_driver_of_a_disk_that_is_not_there_is_told() {
    let system = system();
    let record = RECORD.replace("module=nvme", "module=nvme_of_mine");
    let warnings = system.build(&system.request_for(&record)).unwrap().summary.warnings;
    assert_eq!(warnings, ["no module nvme_of_mine is there, which drives what is above a disk of the record"]);
}

#[test]
fn a_file_system_of_the_record_that_is_damaged_stops_the_build() {
    let system = system();
    system.write(&format!("lib/modules/{RELEASE}/kernel/fs/ext4/ext4.ko"), "");
    let failure = system.failure(&system.request_for(RECORD));
    assert!(failure.contains("module ext4 cannot be taken from kernel/fs/ext4/ext4.ko"), "{failure}");
}

#[test]
fn a_damaged_record_is_named_with_its_line() {
    let system = system();
    let failure = system.failure(&system.request_for("modstrap-hardware 1\ndisc name=a\n"));
    assert!(failure.contains("names: no hardware record: line 2: \"disc\""), "{failure}");
}

#[test]
fn modaliases_of_a_list_that_nothing_answers_to_are_counted() {
    let system = system();
    let list = "ext4\npci:v7d7\npci:v1d1 # a disk\nacpi:X:\n";
    let image = system.build(&system.request_for(list)).unwrap();
    assert_eq!(image.summary.unanswered, ["pci:v7d7", "acpi:X:"]);
    assert!(image.names().contains(&"nvme".to_string()));
    std::fs::remove_file(system.path("image")).unwrap();
    let failure = system.failure(&Request { include: vec!["pci:v7d7".into()], ..system.request() });
    assert!(failure.contains("no module pci:v7d7"), "{failure}");
}
