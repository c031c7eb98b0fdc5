//! Builds the loader, which the builder carries in it.

include!("build/program.rs");

fn main() {
    println!("cargo::rerun-if-changed=build/program.rs");
    embed("modstrap", "init", &[]);
}
