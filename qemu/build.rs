//! Builds the programs that the harness carries in it: the init of guests that run one command, and the floor of the
//! benchmark.

include!("../initramfs/build/program.rs");

fn main() {
    println!("cargo::rerun-if-changed=../initramfs/build/program.rs");
    embed("modstrap-guest", "guest", &[], "guest", &["qemu/guest"]);
    embed("modstrap", "floor", &[], "floor", &["qemu/floor.rs", "qemu/floor"]);
}
