//! How the loader is linked: one static program, without the C library, its start files or anything at run time.

use std::path::PathBuf;
use std::{env, fs};

/// One segment for all that is only read or run, with the headers in it and no padding: the loader has no variables.
/// Should it get some, they lie in a page of their own that cannot be run. The precompiled core brings unwind tables
/// and comments that nothing reads, 2.3 KB, which are left out.
///
/// What the builder appends to the stub begins at `payload` (src/sys/payload.rs).
const SCRIPT: &str = "
PHDRS {
  fixed PT_LOAD FILEHDR PHDRS FLAGS(5);
  variable PT_LOAD FLAGS(6);
  stack PT_GNU_STACK FLAGS(6);
}
SECTIONS {
  . = beginning + SIZEOF_HEADERS;
  .rodata : { *(.rodata .rodata.*) *(.data.rel.ro .data.rel.ro.*) *(.got .got.*) } :fixed
  .text : { *(.text .text.*) } :fixed
  . = ALIGN(8);
  payload = .;
  . = ALIGN(0x1000) + (. & 0xfff);
  .data : { *(.data .data.*) } :variable
  .bss : { *(.bss .bss.*) } :variable
  /DISCARD/ : { *(.eh_frame .eh_frame_hdr .comment .note* .ARM.exidx* .ARM.extab* .ARM.attributes) }
}
";

/// Where programs begin in memory.
const BEGINNING: &str = "-Wl,--defsym=beginning=0x200000";
/// Where the stub does: it unpacks the loader to where that belongs.
const STUB: &str = "-Wl,--defsym=beginning=0x400000";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MODSTRAP_SYMBOLS");
    if env::var_os("CARGO_FEATURE_BIN").is_none() {
        return;
    }
    let script = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("init.ld");
    fs::write(&script, SCRIPT).expect("writing the linker script");
    // size-report wants the symbols that the shipped program does not carry.
    let sections = if env::var_os("MODSTRAP_SYMBOLS").is_some() { "" } else { ",-z,nosectionheader" };
    let arguments = [
        "-nostartfiles".into(),
        "-nostdlib".into(),
        "-static".into(),
        "-no-pie".into(),
        // Functions of the same code are one: those for texts of different capacities, above all.
        format!("-Wl,--icf=all,--build-id=none,-z,norelro,--no-eh-frame-hdr{sections}"),
        format!("-Wl,-T,{}", script.display()),
        // Builds that do not optimise keep a reference to it.
        "-Wl,--defsym=rust_eh_personality=0".into(),
    ];
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    // Other packages have this script too, and one program each.
    if env::var("CARGO_PKG_NAME").is_ok_and(|name| name != "modstrap") {
        println!("cargo::rustc-link-arg-bins={BEGINNING}");
        return;
    }
    for (program, beginning) in [("init", BEGINNING), ("floor", BEGINNING), ("stub", STUB)] {
        println!("cargo::rustc-link-arg-bin={program}={beginning}");
    }
}
