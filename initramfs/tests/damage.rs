//! Trees with files in them that are called as modules and are none: a build goes on without those that it does not need,
//! and a check judges all the others.

mod common;

use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use common::link::{KERNEL, Plan, Pointers, vmlinux};
use common::{RELEASE, System};
use modstrap_initramfs::Request;
use rustix::fs::{CWD, FileType, mknodat};

const EMPTY: &str = "kernel/drivers/net/virtio_net.ko.xz";

/// A system whose kernel exports symbols, with one file system, and an empty file for a network driver.
fn system() -> System {
    let system = System::new();
    std::fs::write(system.path("vmlinuz"), vmlinux(&system.path(""), &KERNEL, Pointers::Relative)).unwrap();
    add(&system, "kernel/fs/foo.ko", Plan::new("foo", &[("_printk", 0x1111)]).bytes());
    add(&system, EMPTY, Vec::new());
    system
}

fn add(system: &System, path: &str, content: Vec<u8>) {
    system.write(&format!("lib/modules/{RELEASE}/{path}"), content);
}

fn check(system: &System, further: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modstrap"));
    command.arg("check").arg("--kernel").arg(system.path("vmlinuz")).arg("--modules").arg(system.path(""));
    command.args(further).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn warns(text: &str, sentence: &str) {
    assert!(text.contains(&format!("warning   {sentence}")), "`{sentence}` is missing in: {text}");
}

#[test]
fn a_build_that_does_not_need_a_damaged_file_goes_on_with_a_warning() {
    let system = system();
    let image = system.build(&Request { strict: true, ..system.request() }).unwrap();
    assert_eq!(image.names(), ["foo"]);
    warns(&image.summary.to_string(), &format!("module virtio_net cannot be taken from {EMPTY}: it is no ELF file"));
}

#[test]
fn a_damaged_file_that_is_to_be_in_the_image_stops_the_build_unless_forced() {
    let system = system();
    let sentence = format!("module virtio_net cannot be taken from {EMPTY}: it is no ELF file");
    let with_net = Request { with_net: true, ..system.request() };
    let listed = system.request_for("foo\nvirtio_net\n");
    let included = Request { include: vec!["virtio_net".into()], ..system.request() };
    for request in [with_net, listed, included] {
        let failure = system.failure(&request);
        assert!(failure.contains(&sentence) && failure.contains("--force"), "{failure}");
        let image = system.build(&Request { force: true, ..request }).unwrap();
        assert_eq!(image.names(), ["foo"]);
        assert!(image.summary.to_string().contains(&format!("refused   {sentence}")), "{}", image.summary);
        std::fs::remove_file(system.path("image")).unwrap();
    }
}

#[test]
fn what_depends_on_a_damaged_file_says_so_and_is_left_out_when_forced() {
    let system = system();
    add(&system, "kernel/fs/user.ko", Plan::new("user", &[]).saying(&["license=GPL", "depends=virtio_net"]).bytes());
    let sentence = format!("user.ko) depends on virtio_net, but module virtio_net cannot be taken from {EMPTY}");
    let failure = system.failure(&system.request());
    assert!(failure.contains(&sentence) && failure.contains("--force leaves user out"), "{failure}");
    let image = system.build(&Request { force: true, ..system.request() }).unwrap();
    assert_eq!(image.names(), ["foo"]);
    warns(&image.summary.to_string(), "user is left out: module user");
    let findings = text(&check(&system, &[]));
    let refused = format!("refused   module user depends on virtio_net, which cannot be taken from {EMPTY}");
    assert!(findings.contains(&refused), "{findings}");
}

#[test]
fn a_soft_dependency_on_a_damaged_file_counts_too() {
    let system = system();
    let soft = Plan::new("soft", &[]).saying(&["license=GPL", "softdep=pre: virtio_net"]);
    add(&system, "kernel/fs/soft.ko", soft.bytes());
    assert!(system.failure(&system.request()).contains(EMPTY));
}

#[test]
fn of_two_files_of_one_name_the_better_one_must_be_sound() {
    let system = system();
    add(&system, "updates/foo.ko", b"\x7fELF".to_vec());
    let failure = system.failure(&system.request());
    assert!(failure.contains("module foo cannot be taken from updates/foo.ko"), "{failure}");
    // One that would not be taken anyway does not matter.
    std::fs::rename(system.modules().join("updates"), system.modules().join("weak-updates")).unwrap();
    let image = system.build(&system.request()).unwrap();
    warns(&image.summary.to_string(), "module foo is taken from another file than weak-updates/foo.ko");
}

#[test]
fn a_check_judges_every_module_whatever_is_damaged() {
    let system = system();
    add(&system, "kernel/fs/bad.ko", Plan::new("bad", &[("nowhere", 1)]).bytes());
    add(&system, "kernel/fs/cut.ko", Plan::new("cut", &[]).bytes()[..300].to_vec());
    let answer = check(&system, &[]);
    let findings = text(&answer);
    assert!(!answer.status.success());
    for sentence in [
        "refused   module bad needs the symbol nowhere",
        "refused   module cut cannot be taken from kernel/fs/cut.ko: ",
        &format!("refused   module virtio_net cannot be taken from {EMPTY}: it is no ELF file"),
        "would not load all of these modules: 4",
    ] {
        assert!(findings.contains(sentence), "`{sentence}` is missing in: {findings}");
    }
    let json: serde_json::Value = serde_json::from_slice(&check(&system, &["--json"]).stdout).unwrap();
    let damaged =
        json["findings"].as_array().unwrap().iter().find(|finding| finding["module"] == "virtio_net").unwrap();
    assert_eq!((&damaged["kind"], &damaged["severity"]), (&"damaged".into(), &"refused".into()));
    assert_eq!(damaged["path"], EMPTY);
}

#[test]
fn what_is_no_regular_file_is_told_and_never_read() {
    let system = System::new();
    std::fs::write(system.path("vmlinuz"), vmlinux(&system.path(""), &KERNEL, Pointers::Relative)).unwrap();
    add(&system, "kernel/fs/foo.ko", Plan::new("foo", &[("_printk", 0x1111)]).bytes());
    let path = |name: &str| system.modules().join("kernel/fs").join(name);
    mknodat(CWD, path("fifo.ko"), FileType::Fifo, 0o600.into(), 0).unwrap();
    symlink("/dev/zero", path("zero.ko")).unwrap();
    symlink("nowhere.ko", path("gone.ko.xz")).unwrap();
    std::fs::create_dir(path("directory.ko")).unwrap();
    let expected = [
        ("directory", "directory.ko, which is a directory"),
        ("fifo", "fifo.ko, which is a FIFO"),
        ("gone", "gone.ko.xz, which is a link to nothing"),
        ("zero", "zero.ko, which is a device"),
    ];
    let answer = check(&system, &[]);
    let summary = system.build(&Request { strict: true, ..system.request() }).unwrap().summary.to_string();
    for (module, what) in expected {
        for told in [&text(&answer), &summary] {
            warns(told, &format!("module {module} cannot be taken from kernel/fs/{what}"));
        }
    }
    assert!(answer.status.success() && !check(&system, &["--strict"]).status.success());
    let json: serde_json::Value = serde_json::from_slice(&check(&system, &["--json"]).stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    assert!(findings.len() == 4 && findings.iter().all(|finding| finding["kind"] == "no-file"), "{json}");
    std::fs::remove_file(system.path("image")).unwrap();
    let failure = system.failure(&system.request_for("fifo\n"));
    assert!(failure.contains("has no module fifo") && failure.contains("which is a FIFO"), "{failure}");
}

#[test]
fn the_usage_of_check_says_that_its_operands_exclude_each_other() {
    let output = Command::new(env!("CARGO_BIN_EXE_modstrap")).arg("check").output().unwrap();
    let usage = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(usage.contains("modstrap check [OPTIONS] --kernel <VMLINUZ> <--modules <DIR>|IMAGE>"), "{usage}");
}
