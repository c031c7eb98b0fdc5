//! `--image`, on images that the builder makes of a hand-made kernel and its modules.

#[path = "../../initramfs/tests/common/mod.rs"]
mod common;

use std::process::{Command, Output};

use common::System;
use modstrap_initramfs::Compress;
use modstrap_initramfs::archive::{Archive, Node};
use serde_json::Value;

fn size_report(image: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_size-report")).args(["--image", image]).args(arguments).output().unwrap()
}

/// A kernel with modules, one of them larger than the others.
fn system() -> System {
    let system = System::new();
    for name in ["one", "two"] {
        system.module(&format!("kernel/drivers/{name}.ko"), name, &["alias=pci:v1*", "license=GPL"]);
    }
    let code = "extern int outside(int); int inside(int n) { return outside(n) + outside(n + 1); }";
    system.coded_module("kernel/drivers/large.ko", "large", &["license=GPL"], code);
    system
}

/// The report on an image of these modules, and its size.
fn report(system: &System, compress: Compress, early: Option<&[u8]>) -> (Value, u64) {
    let early = early.map(|early| system.write("early.cpio", early));
    let mut request = system.request_for("one\ntwo\nlarge\n");
    (request.compress, request.early, request.force) = (compress, early, true);
    let image = system.build(&request).unwrap();
    let (path, drawing) = (system.path("image"), system.path("drawing"));
    let arguments = ["--json", "--svg", drawing.to_str().unwrap()];
    let output = size_report(path.to_str().unwrap(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    (report["image"].take(), image.bytes.len() as u64)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn sum<'a>(values: impl Iterator<Item = &'a Value>) -> u64 {
    values.map(number).sum()
}

#[test]
fn parts_modules_kinds_and_stages_add_up() {
    let system = system();
    for compress in [Compress::Best, Compress::Store, Compress::None] {
        let (image, bytes) = report(&system, compress, None);
        assert_eq!([number(&image["bytes"]), sum(image["parts"].as_object().unwrap().values())], [bytes; 2]);
        let modules = image["modules"].as_array().unwrap();
        let kinds = image["kinds"].as_object().unwrap();
        let stages = &image["stages"];
        assert_eq!(modules.len(), 3);
        assert_eq!(number(&stages["framed"]), number(&image["parts"]["blobs"]));
        assert_eq!(number(&stages["deflated"]), sum(modules.iter().map(|module| &module["packed"])));
        assert_eq!(number(&stages["framed"]), sum(kinds.values().map(|cost| &cost["packed"])));
        for of in [sum(modules.iter().map(|module| &module["raw"])), sum(kinds.values().map(|cost| &cost["raw"]))] {
            assert_eq!(number(&stages["raw"]), of);
        }
        for module in modules {
            let kinds = module["kinds"].as_object().unwrap();
            assert_eq!(number(&module["packed"]), sum(kinds.values().map(|cost| &cost["packed"])));
        }
        let counts = ["modules_filtered", "modules_deflated"].map(|count| number(&stages[count]));
        let expected = match compress {
            Compress::None => [0, 0],
            Compress::Store => [3, 0],
            _ => [3, 3],
        };
        assert_eq!(counts, expected);
    }
}

#[test]
fn every_byte_is_drawn() {
    let system = system();
    let (_, bytes) = report(&system, Compress::Fast, None);
    let drawing = std::fs::read_to_string(system.path("drawing")).unwrap();
    let drawing = roxmltree::Document::parse(&drawing).unwrap();
    let drawn = drawing.descendants().filter_map(|node| node.attribute("data-bytes")?.parse::<u64>().ok());
    assert_eq!(drawn.sum::<u64>(), bytes);
    let of_module =
        |node: roxmltree::Node| node.text().is_some_and(|title| title.starts_with("blobs › large › .symtab: "));
    assert!(drawing.descendants().any(of_module));
}

#[test]
fn what_stands_before_the_loaders_archive_is_early() {
    let system = system();
    let (without, _) = report(&system, Compress::Fast, None);
    let mut early = Archive::default();
    early.add("kernel/x86/microcode/GenuineIntel.bin", Node::File { mode: 0o644, content: vec![7; 555] }).unwrap();
    let mut cpio = Vec::new();
    early.write(&mut cpio, 0).unwrap();
    let (with, _) = report(&system, Compress::Fast, Some(&cpio));
    assert_eq!([number(&without["parts"]["early"]), number(&with["parts"]["early"])], [0, cpio.len() as u64]);
    for part in ["loader", "table", "blobs", "files", "headers"] {
        assert_eq!(without["parts"][part], with["parts"][part], "{part}");
    }
}

#[test]
fn text_names_the_largest_modules_kinds_and_stages() {
    let system = system();
    report(&system, Compress::Store, None);
    let output = size_report(system.path("image").to_str().unwrap(), &["--modules", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["largest modules, 1 of 3", "  large ", "by kind of section", "  .symtab ", "  filtered (3) "] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("  two "), "{text}");
}

#[test]
fn damaged_and_cut_off_images_are_refused() {
    let system = system();
    report(&system, Compress::Fast, None);
    let image = std::fs::read(system.path("image")).unwrap();
    let refused = |bytes: &[u8]| {
        let path = system.write("damaged", bytes);
        let output = size_report(path.to_str().unwrap(), &[]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("is not an image of modstrap"), "{message}");
        message
    };
    // Behind the last name are zeros that nobody misses.
    let trailer = image.windows(8).position(|window| window == b"TRAILER!").unwrap();
    for end in (0..trailer).step_by(trailer / 20) {
        refused(&image[..end]);
    }
    assert!(refused(&image[..trailer]).contains("archive"));
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0];
    assert!(refused(&gzip).contains("no sound cpio archive (newc) at byte 0"));
    assert!(refused(&[&image[..], &gzip].concat()).contains("no sound cpio archive"));
}
