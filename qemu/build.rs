//! Builds the floor of the benchmark, which the harness carries.

#[path = "../initramfs/build/loader.rs"]
mod loader;

fn main() {
    loader::embed("floor");
}
