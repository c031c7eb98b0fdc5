//! Plans of boots: hand-made images on hand-made records, each a machine that somebody has.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::System;
use modstrap::table::layout::BLOBS_PATH;
use modstrap_initramfs::plan::{Given, Plan, plan};
use modstrap_initramfs::{Hardware, archive};

/// A server's disks: one behind virtio, one behind virtio's SCSI adapter, one on NVMe.
const SERVER: &str = "\
modstrap-hardware 1
kernel release=6.9.0-test machine=x86_64
processor modalias=cpu:type:x86,ven0000fam0006mod0001:feature:,0010,0020
device path=pci0/1 modalias=pci:v1d1 driver=virtio-pci builtin=virtio_pci
device path=pci0/1/virtio0 modalias=virtio:d00000002v00001AF4 driver=virtio_blk module=virtio_blk
device path=pci0/2 modalias=pci:v1d2 driver=virtio-pci builtin=virtio_pci
device path=pci0/2/virtio1 modalias=virtio:d00000008v00001AF4 driver=virtio_scsi module=virtio_scsi
device path=pci0/2/virtio1/host0/target0:0:0/0:0:0:0 modalias=scsi:t-0x00 driver=sd
device path=pci0/3 modalias=pci:v2d1 driver=nvme module=nvme
device path=pci0/4 modalias=pci:v3d1 driver=snd module=snd
device path=pci0/5 modalias=virtio:d00000009v00001AF4 driver=9pnet_virtio module=9pnet_virtio
device path=pci0/6 modalias=pci:v4d1 driver=e1000 module=e1000
disk name=vda path=pci0/1/virtio0/block/vda number=254:0 fs=ext4
disk name=sda path=pci0/2/virtio1/host0/target0:0:0/0:0:0:0/block/sda number=8:0
disk name=sda1 path=pci0/2/virtio1/host0/target0:0:0/0:0:0:0/block/sda/sda1 number=8:1 fs=ext3 root
disk name=nvme0n1 path=pci0/3/nvme/nvme0/nvme0n1 number=259:0 fs=xfs
";

/// A tree with the drivers of that server and others.
fn system() -> System {
    let system = System::new();
    let modules: [(&str, &str, &[&str]); 12] = [
        ("drivers/block", "virtio_blk", &["alias=virtio:d00000002v*"]),
        ("drivers/scsi", "virtio_scsi", &["alias=virtio:d00000008v*"]),
        ("drivers/scsi", "sd_mod", &["alias=scsi:t-0x00*"]),
        ("drivers/nvme/host", "nvme", &["alias=pci:v2d1", "depends=nvme_core"]),
        ("drivers/nvme/host", "nvme_core", &[]),
        ("fs/ext4", "ext4", &["alias=fs-ext4", "alias=fs-ext3", "depends=jbd2", "softdep=pre: crc32c"]),
        ("fs/jbd2", "jbd2", &[]),
        ("fs/xfs", "xfs", &["alias=fs-xfs"]),
        (
            "arch/x86/crypto",
            "crc32c_intel",
            &["alias=crypto-crc32c", "alias=crc32c", "alias=cpu:type:x86,*feature:*,0094*"],
        ),
        ("crypto", "crc32c_generic", &["alias=crypto-crc32c", "alias=crc32c"]),
        ("drivers/net/ethernet", "e1000", &["alias=pci:v4d1"]),
        ("net/9p", "9pnet_virtio", &["alias=virtio:d00000009v*"]),
    ];
    for (directory, name, info) in modules {
        system.module(&format!("kernel/{directory}/{name}.ko"), name, info);
    }
    system.module("kernel/fs/9p/9p.ko", "9p", &["alias=fs-9p", "depends=9pnet_virtio"]);
    system.module("kernel/fs/nfs/nfs.ko", "nfs", &["alias=fs-nfs", "alias=fs-nfs4"]);
    system.module("kernel/fs/nfs/nfsv4.ko", "nfsv4", &["depends=nfs"]);
    system.write("lib/modules/6.9.0-test/modules.builtin", "kernel/drivers/virtio/virtio_pci.ko\n");
    system
}

/// The image of everything but the sound.
fn image(system: &System) -> PathBuf {
    let request = modstrap_initramfs::Request { with_net: true, ..system.request() };
    system.build(&request).unwrap();
    system.path("image")
}

fn on_record(image: &Path, system: &System, record: &str, words: &str) -> anyhow::Result<Plan> {
    plan(image, &Given::Record(system.write("record", record)), words)
}

fn on_server(words: &str) -> Plan {
    let system = system();
    on_record(&image(&system), &system, SERVER, words).unwrap()
}

fn failure(result: anyhow::Result<Plan>) -> String {
    format!("{:#}", result.unwrap_err())
}

/// The modules that are loaded, in order.
fn loaded(plan: &Plan) -> Vec<&str> {
    plan.modules.iter().filter(|load| load.loaded).map(|load| load.module.as_str()).collect()
}

#[test]
fn a_disk_appears_when_all_above_it_have_their_drivers() {
    let text = on_server("root=UUID=whatever").to_string();
    // Which provider of a checksum is loaded, and how, has a test of its own.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("crc32c")).collect();
    let expected = [
        "kernel    6.9.0-test",
        "load      virtio_blk               for pci0/1/virtio0 (virtio:d00000002v00001AF4)",
        "load      virtio_scsi              for pci0/2/virtio1 (virtio:d00000008v00001AF4)",
        "load      sd_mod                   for pci0/2/virtio1/host0/target0:0:0/0:0:0:0 (scsi:t-0x00)",
        "load      jbd2                     dependency of ext4",
        "load      ext4                     file system of the root (fs-ext3)",
        "root      /dev/sda1 (ext3), with 6 modules loaded",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_disks_ask_for_follows_their_driver_unless_it_is_forbidden() {
    let system = system();
    system.module("kernel/drivers/usb/storage/usb-storage.ko", "usb_storage", &["alias=usb:v1p1"]);
    let image = image(&system);
    // It takes its time, and there is no disk yet that would ask for the driver.
    let stick = "\
modstrap-hardware 1
kernel release=6.9.0-test machine=x86_64
device path=pci0/7/usb1/1-1/1-1:1.0 modalias=usb:v1p1 driver=usb-storage module=usb_storage
";
    let loaded_on_stick = |words: &str| {
        let plan = on_record(&image, &system, stick, words).unwrap();
        loaded(&plan).join(" ")
    };
    assert_eq!(loaded_on_stick("root=/dev/sda1"), "usb_storage sd_mod");
    assert_eq!(loaded_on_stick("root=/dev/sda1 modprobe.blacklist=sd-mod"), "usb_storage");
    let blacklist = system.write("no-disks.conf", "blacklist sd_mod\n");
    system.build(&modstrap_initramfs::Request { modprobe_d: vec![blacklist], ..system.request() }).unwrap();
    assert_eq!(loaded_on_stick("root=/dev/sda1"), "usb_storage");
}

#[test]
fn the_file_system_of_a_recorded_root_is_loaded_while_disks_are_looked_for() {
    let system = system();
    let build = |record: &str, cmdline: &str| {
        let hardware = Hardware::Names(system.write("machine", record));
        system.build(&modstrap_initramfs::Request { hardware, cmdline: cmdline.into(), ..system.request() }).unwrap();
        system.path("image")
    };
    // The disk is not there by now.
    let diskless =
        SERVER.lines().filter(|line| !line.starts_with("disk ")).map(|line| format!("{line}\n")).collect::<String>();
    let loads = |image: &Path, words: &str| {
        let plan = on_record(image, &system, &diskless, &format!("root=/dev/sda1 {words}")).unwrap();
        ["ext4", "xfs"].map(|kind| plan.modules.iter().any(|load| load.module == kind))
    };
    assert_eq!(loads(&build(SERVER, ""), ""), [true, false]);
    assert_eq!(loads(&build(SERVER, ""), "rootfstype=xfs"), [false, true]);
    assert_eq!(loads(&build(SERVER, "quiet modstrap.expect=xfs"), ""), [false, true]);
    // What the root is, is not known where it is on a disk that cannot be mounted, or on two that differ.
    assert_eq!(loads(&build(&SERVER.replace("fs=ext3", "fs=LVM2_member"), ""), ""), [false, false]);
    assert_eq!(loads(&build(&SERVER.replace("fs=xfs", "fs=xfs root"), ""), ""), [false, false]);
    // It is no more than an expectation.
    let plan = on_record(&build(SERVER, ""), &system, SERVER, "root=/dev/nvme0n1").unwrap();
    assert_eq!(plan.root.unwrap().file_system, "xfs");
}

#[test]
fn a_controller_that_had_no_disks_is_tried_last() {
    let system = system();
    let machine = SERVER.replace("disk name=vda path=pci0/1/virtio0/block/vda number=254:0 fs=ext4\n", "");
    let hardware = Hardware::Names(system.write("machine", &machine));
    system.build(&modstrap_initramfs::Request { hardware, ..system.request() }).unwrap();
    let image = system.path("image");
    let plan = |record: &str, root: &str| on_record(&image, &system, record, root).unwrap();
    assert_eq!(loaded(&plan(&machine, "root=UUID=whatever"))[..2], ["virtio_scsi", "sd_mod"]);
    // It may have got one since.
    assert_eq!(plan(SERVER, "root=/dev/vda").root.unwrap().source, "/dev/vda");
}

#[test]
fn a_root_by_name_asks_no_drivers_of_other_disks() {
    let plan = on_server("root=/dev/sda1");
    assert_eq!(loaded(&plan)[..2], ["virtio_scsi", "sd_mod"]);
    let plan = on_server("root=259:0");
    assert_eq!(plan.root.unwrap().source, "/dev/nvme0n1");
}

#[test]
fn the_processor_chooses_among_providers() {
    let system = system();
    let image = image(&system);
    let crc32c = |record: &str| {
        let plan = on_record(&image, &system, record, "root=/dev/vda").unwrap();
        loaded(&plan).into_iter().filter(|name| name.starts_with("crc32c")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(crc32c(SERVER), "crc32c_generic");
    assert!(crc32c(&SERVER.replace(",0020", ",0020,0094")).starts_with("crc32c_intel"));
}

#[test]
fn the_words_of_the_command_line_count() {
    let plan = on_server("root=/dev/vda virtio_blk.num=4 rootfstype=xfs");
    assert_eq!(plan.modules[0].parameters, "num=4");
    assert_eq!(plan.failure.unwrap(), "cannot mount /dev/vda as xfs: invalid argument (errno 22)");

    let plan = on_server("root=/dev/vda modprobe.blacklist=virtio_blk");
    assert_eq!(plan.failure.as_deref(), Some("root=/dev/vda did not appear"));
    assert_eq!(plan.messages.last().unwrap(), "virtio_blk is blacklisted, and would drive pci0/1/virtio0");
    assert_eq!(plan.missing.len(), 1);
    assert!(plan.to_string().contains(
        "missing   pci0/1/virtio0 (virtio:d00000002v00001AF4) is on the way to the root and needs virtio_blk, which the \
         image has, but did not load\n"
    ));
    assert_eq!(on_server("").failure.as_deref(), Some("the command line has no root="));
    assert_eq!(on_server("root=zfs:a").failure.as_deref(), Some("root=zfs:a is of no form that is known here"));
    assert_eq!(on_server("root=/dev/vdz").failure.as_deref(), Some("root=/dev/vdz did not appear"));
}

#[test]
fn a_module_that_is_masked_is_missed_in_the_loaders_words() {
    let plan = on_server("root=/dev/nvme0n1 modstrap.mask=nvme_core");
    assert_eq!(plan.failure.as_deref(), Some("root=/dev/nvme0n1 did not appear"));
    let said =
        ["module nvme_core: modstrap.mask= masks it", "module nvme: it needs nvme_core, which modstrap.mask= masks"];
    assert_eq!(plan.messages.iter().filter(|message| message.contains("mask")).collect::<Vec<_>>(), said);
    let plan = on_server("root=/dev/nvme0n1 modstrap.mask=xfs");
    assert_eq!(plan.failure.as_deref(), Some("cannot mount /dev/nvme0n1: the module of xfs did not load (see above)"));
}

#[test]
fn the_words_of_the_image_come_first() {
    let system = system();
    let request = modstrap_initramfs::Request { cmdline: "root=/dev/vda nvme.x=1".into(), ..system.request() };
    system.build(&request).unwrap();
    let image = system.path("image");
    assert_eq!(on_record(&image, &system, SERVER, "").unwrap().root.unwrap().source, "/dev/vda");
    let plan = on_record(&image, &system, SERVER, "root=/dev/nvme0n1").unwrap();
    let nvme = plan.modules.iter().find(|load| load.module == "nvme").unwrap();
    assert_eq!((plan.root.as_ref().unwrap().source.as_str(), nvme.parameters.as_str()), ("/dev/nvme0n1", "x=1"));
}

#[test]
fn a_directory_of_the_host_comes_with_its_device() {
    let plan = on_server("root=9p:tag");
    assert_eq!(loaded(&plan), ["9pnet_virtio", "9p"]);
    assert_eq!(plan.root.unwrap().source, "tag");
    let plan = on_server("root=virtiofs:tag");
    assert_eq!(
        plan.failure.as_deref(),
        Some("root=virtiofs:tag did not appear: no such device or file system type (errno 19)")
    );
}

#[test]
fn an_overlay_and_what_is_wanted_are_loaded_too() {
    let system = system();
    system.module("kernel/fs/overlayfs/overlay.ko", "overlay", &["alias=fs-overlay"]);
    system.module("kernel/drivers/block/loop.ko", "loop", &[]);
    let words = "root=/dev/nvme0n1 modstrap.overlay=tmpfs modstrap.load=loop,no_such";
    let plan = on_record(&image(&system), &system, SERVER, words).unwrap();
    let expected = [
        "kernel    6.9.0-test",
        "load      loop                     as modstrap.load= asks",
        "load      nvme_core                dependency of nvme",
        "load      nvme                     for pci0/3 (pci:v2d1)",
        "load      xfs                      file system of the root (fs-xfs)",
        "load      overlay                  file system of the root (fs-overlay)",
        "root      /dev/nvme0n1 (xfs), with 5 modules loaded",
    ];
    assert_eq!(plan.to_string().lines().collect::<Vec<_>>(), expected);
    let bare = on_server("root=/dev/nvme0n1 modstrap.overlay=tmpfs");
    let why = "cannot mount overlay: neither the kernel nor the image knows overlay; build with --include overlay";
    assert_eq!(bare.failure.as_deref(), Some(why));
}

#[test]
fn a_root_on_a_network_comes_with_its_link() {
    let text = on_server("root=nfs:192.0.2.1:/srv ip=dhcp").to_string();
    let expected = "\
kernel    6.9.0-test
load      e1000                    for pci0/6 (pci:v4d1)
load      nfs                      file system of the root (fs-nfs)
load      nfsv4                    file system of the root (nfsv4)
root      192.0.2.1:/srv (nfs4), with 3 modules loaded";
    assert_eq!(text, expected);
    let plan = on_server("root=/dev/nfs nfsroot=/srv rw");
    assert_eq!(plan.root.unwrap().source, "10.0.2.2:/srv");
}

#[test]
fn a_root_on_a_network_without_a_link_is_none() {
    let system = system();
    let without = SERVER.replace("device path=pci0/6 modalias=pci:v4d1 driver=e1000 module=e1000\n", "");
    let plan = on_record(&image(&system), &system, &without, "root=nfs:192.0.2.1:/srv").unwrap();
    let failure = "no network link came that could be tried: is its driver in the image (--with net)?";
    assert_eq!((plan.root.is_some(), plan.failure.as_deref()), (false, Some(failure)));
    assert!(plan.modules.is_empty(), "{:?}", plan.modules);
}

#[test]
fn what_the_image_lacks_is_named() {
    let system = system();
    let hardware = Hardware::Names(system.write("names", "ext4\nvirtio_scsi\n"));
    system.build(&modstrap_initramfs::Request { hardware, ..system.request() }).unwrap();
    let plan = on_record(&system.path("image"), &system, SERVER, "root=/dev/nvme0n1").unwrap();
    let expected = [
        "kernel    6.9.0-test",
        "load      virtio_scsi              for pci0/2/virtio1 (virtio:d00000008v00001AF4)",
        "load      sd_mod                   for pci0/2/virtio1/host0/target0:0:0/0:0:0:0 (scsi:t-0x00)",
        "loader    seen: /dev/sda: what is on it is not recorded",
        "loader    seen: /dev/sda1: ext3",
        "loader    no driver in the image for pci0/1/virtio0 (virtio:d00000002v00001AF4)",
        "loader    no driver in the image for pci0/5 (virtio:d00000009v00001AF4)",
        "missing   pci0/3 (pci:v2d1) is on the way to the root and needs nvme, which the image does not have",
        "no root   root=/dev/nvme0n1 did not appear",
    ];
    assert_eq!(plan.to_string().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_file_system_that_is_not_recorded_is_asked_for() {
    let plan = on_server("root=/dev/sda");
    assert_eq!(plan.notes, ["the record does not say what is on sda: capture it as root, or give rootfstype="]);
    assert!(plan.failure.unwrap().ends_with("holds no file system that is known here: give rootfstype="));
    assert_eq!(on_server("root=/dev/sda rootfstype=ext4").root.unwrap().file_system, "ext4");
}

#[test]
fn a_record_of_another_kernel_is_understood_and_remarked_on() {
    let system = system();
    let image = image(&system);
    // What was built in there is a module here.
    let record = SERVER.replace("release=6.9.0-test", "release=5.5").replace("module=virtio_blk", "builtin=virtio_blk");
    let plan = on_record(&image, &system, &record, "root=/dev/vda").unwrap();
    assert_eq!(loaded(&plan)[0], "virtio_blk");
    assert!(
        plan.notes[0].starts_with("captured under kernel 5.5, but the image is for 6.9.0-test"),
        "{:?}",
        plan.notes
    );

    let record = SERVER.replace("machine=x86_64", "machine=aarch64");
    let error = failure(on_record(&image, &system, &record, "root=/dev/vda"));
    assert!(
        error.ends_with(
            "record: a record of a machine that is aarch64, but the image is for x86_64, 64 bits, little-endian"
        ),
        "{error}"
    );
}

#[test]
fn a_root_that_the_record_cannot_tell_is_an_error() {
    let system = system();
    let record = SERVER.replace(" root\n", "\n");
    let error = failure(on_record(&image(&system), &system, &record, "root=LABEL=x"));
    let expected =
        "it marks no disk as the root, and holds no UUIDs and labels to compare root=LABEL=x with: give root=/dev/NAME";
    assert!(error.ends_with(&format!("record: {expected}")), "{error}");
}

#[test]
fn damaged_input_is_named() {
    let system = system();
    let path = image(&system);
    let error = failure(on_record(&path, &system, "virtio_blk\n", ""));
    assert!(error.ends_with("record: no hardware record: line 1 is not `modstrap-hardware 1`"), "{error}");
    let error = failure(on_record(&path, &system, "modstrap-hardware 1\n\ndevice path=a modalias\n", ""));
    assert!(error.ends_with("no hardware record: line 3: `modalias=` has no value"), "{error}");
    let error = failure(plan(&path, &Given::Record(system.path("nowhere")), ""));
    assert!(error.contains("cannot read") && error.contains("nowhere"), "{error}");

    let mut bytes = std::fs::read(&path).unwrap();
    let given = || Given::Record(system.write("record", SERVER));
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = failure(plan(&path, &given(), "root=/dev/vda"));
    assert!(error.contains("image: not a sound image: "), "{error}");
    let blobs = archive::read(&bytes).unwrap().pop().unwrap();
    let blobs = blobs.iter().find(|entry| format!("/{}", entry.path) == BLOBS_PATH).unwrap().content;
    let at = blobs.as_ptr().addr() - bytes.as_ptr().addr() + 64;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = failure(plan(&path, &given(), "root=/dev/vda"));
    assert!(error.contains("not a sound image: its module ") && error.contains("its blob is damaged"), "{error}");
}

#[test]
fn modaliases_alone_tell_what_devices_would_load() {
    let system = system();
    let image = image(&system);
    let modaliases = |names: &[&str]| Given::Modaliases(names.iter().map(|name| name.to_string()).collect());
    let given = modaliases(&["pci:v2d1", "pci:v4d1", "pci:v9d9", "virtio:d00000002v00001AF4"]);
    let plan_of = |words| plan(&image, &given, words).unwrap();
    assert_eq!(loaded(&plan_of("")), ["nvme_core", "nvme", "virtio_blk"]);
    // Nothing makes such a disk: while one is waited for, its file system is loaded, and then what makes others.
    let with_root = plan_of("root=/dev/sda rootfstype=xfs");
    assert_eq!(loaded(&with_root), ["xfs", "nvme_core", "nvme", "virtio_blk"]);
    assert_eq!((with_root.root.is_none(), with_root.failure), (true, None));
    let notes = [
        "pci:v9d9: the image has no module for it",
        "pci:v4d1: e1000 (class net) is nothing that a boot from such a root loads",
    ];
    assert_eq!(with_root.notes, notes);
    let failure = plan_of("rootfstype=zfs").failure.unwrap();
    assert!(failure.contains("neither the kernel nor the image knows zfs"), "{failure}");
    assert_eq!(plan_of("modprobe.blacklist=nvme").notes[0], "pci:v2d1: nvme is blacklisted");
}

#[test]
fn the_program_tells_success_by_its_exit() {
    let system = system();
    let (image, record) = (image(&system), system.write("record", SERVER));
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_modstrap"));
        let output = command.arg("plan").arg(&image).args(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let record = record.to_str().unwrap();
    let (status, text, _) = run(&["--hardware", record, "--cmdline", "root=/dev/vda"]);
    assert!(status == Some(0) && text.contains("\nroot      /dev/vda (ext4), with "), "{text}");
    let (status, text, _) = run(&["--hardware", record, "--cmdline", "root=/dev/vdz"]);
    assert!(status == Some(1) && text.ends_with("\nno root   root=/dev/vdz did not appear\n"), "{text}");
    let (status, text, _) = run(&["--json", "--modalias", "pci:v2d1"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &json["modules"][0]["reason"]["kind"]), (Some(0), &"dependency".into()));
    let (status, _, error) = run(&[]);
    assert!(status == Some(2) && error.contains("--hardware <FILE>"), "{error}");
}
