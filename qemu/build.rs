//! Builds the programs that the harness carries in it: the floor of the benchmark.

include!("../initramfs/build/program.rs");

fn main() {
    println!("cargo::rerun-if-changed=../initramfs/build/program.rs");
    embed("modstrap", "floor", &["qemu/floor.rs"]);
}
