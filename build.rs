//! How the loader is linked: one static program, without the C library, its start files or anything at run time.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MODSTRAP_SYMBOLS");
    if env::var_os("CARGO_FEATURE_BIN").is_none() {
        return;
    }
    // The precompiled core brings unwind tables and comments that nothing reads: 2.3 KB.
    let script = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("discard.ld");
    fs::write(&script, "SECTIONS { /DISCARD/ : { *(.eh_frame .eh_frame_hdr .comment .note*) } } INSERT AFTER .text;\n")
        .expect("writing the linker script");
    // size-report wants the symbols that the shipped program does not carry.
    let sections = if env::var_os("MODSTRAP_SYMBOLS").is_some() { "" } else { ",-z,nosectionheader" };
    let arguments = [
        "-nostartfiles".into(),
        "-nostdlib".into(),
        "-static".into(),
        "-no-pie".into(),
        format!("-Wl,--build-id=none,-z,norelro,-z,noseparate-code,--no-rosegment,--no-eh-frame-hdr{sections}"),
        format!("-Wl,-T,{}", script.display()),
        // Builds that do not optimise keep a reference to it.
        "-Wl,--defsym=rust_eh_personality=0".into(),
    ];
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
