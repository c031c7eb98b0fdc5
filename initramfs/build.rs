//! Builds the loader, which the builder carries in it: one for images that reach for a network, and a smaller one; and what
//! unpacks either.

include!("build/program.rs");

fn main() {
    println!("cargo::rerun-if-changed=build/program.rs");
    embed("modstrap", "stub", &[], "stub", &[]);
    embed("modstrap", "init", &["local", "tools"], "init", &[]);
    embed("modstrap", "init", &["tools", "network"], "init-network", &[]);
}
