//! Builds a program of the package `modstrap` for another program to embed: alone and with its own profile, since
//! anything else in this build could turn on features of the crates that both use.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What these programs are made of.
const SOURCES: [&str; 5] = ["src", "qemu/floor.rs", "build.rs", "Cargo.toml", "Cargo.lock"];
/// Settings of the surrounding build that are not meant for them.
const FOREIGN: [&str; 11] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
    "CARGO_PRIMARY_PACKAGE",
    "TARGET",
    "MODSTRAP_SYMBOLS",
];

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Builds the program `name` and puts it into the directory of the build's results, under its own name.
pub fn embed(name: &str) {
    let out = PathBuf::from(variable("OUT_DIR"));
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    // A path that is not there would make cargo run this every time.
    for source in SOURCES.map(|source| root.join(source)).iter().filter(|source| source.exists()) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    let program = build(name, &root, &out.join("loader"));
    std::fs::copy(&program, out.join(name)).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
}

/// Builds the program below `directory`; returns where it is.
fn build(name: &str, root: &Path, directory: &Path) -> PathBuf {
    let (host, target) = (variable("HOST"), variable("TARGET"));
    let mut cargo = Command::new(variable("CARGO"));
    cargo.args(["build", "--package", "modstrap", "--bin", name, "--features", "bin", "--profile", "loader"]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(directory);
    if host != target {
        cargo.args(["--target", &target]);
    }
    FOREIGN.iter().for_each(|name| {
        cargo.env_remove(name);
    });
    let status = cargo.status().unwrap_or_else(|error| panic!("cargo cannot be started: {error}"));
    assert!(status.success(), "the program {name} cannot be built; its errors are above");
    let below = if host == target { PathBuf::new() } else { PathBuf::from(target) };
    directory.join(below).join("loader").join(name)
}
