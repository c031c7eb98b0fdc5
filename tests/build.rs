//! Builds the smallest loader there is, to boot it.

include!("../initramfs/build/program.rs");

fn main() {
    println!("cargo::rerun-if-changed=../initramfs/build/program.rs");
    embed("modstrap", "init", &[], "minimal", &[]);
}
