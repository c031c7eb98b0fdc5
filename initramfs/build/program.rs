// Builds a freestanding program for this one to embed: alone and with its own profile, since anything else in this build
// could turn on features of the crates that both use. Shared by the build scripts that embed one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What every such program is made of, below the workspace's root.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];
/// Settings of the surrounding build that are not meant for it.
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

/// How far cargo's output of one build script, `<profile>/build/<package>/out`, lies below its target directory.
const BELOW_TARGET: usize = 4;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Builds the binary `name` of a package, with these features beside `bin`, and leaves it in `OUT_DIR` under the name `to`.
/// `further` are sources beside those of every such program.
fn embed(package: &str, name: &str, features: &[&str], to: &str, further: &[&str]) {
    let out = PathBuf::from(variable("OUT_DIR"));
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    let sources = SOURCES.iter().chain(further).map(|source| root.join(source));
    // A path that is not there would make cargo run this every time.
    for source in sources.filter(|source| source.exists()) {
        println!("cargo::rerun-if-changed={}", source.display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    // One directory for all that embed a program, in whatever profile: each is then built once.
    let shared = out.ancestors().nth(BELOW_TARGET).expect("OUT_DIR lies below the target directory").join("embedded");
    let _turn = take_turn(&shared).unwrap_or_else(|error| panic!("{}: {error}", shared.display()));
    let program = build(&root, &shared, package, name, features);
    std::fs::copy(&program, out.join(to)).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
}

/// Waits until nobody else builds there: programs of one name replace each other.
fn take_turn(directory: &Path) -> std::io::Result<std::fs::File> {
    std::fs::create_dir_all(directory)?;
    let turn = std::fs::File::create(directory.join("turn"))?;
    turn.lock()?;
    Ok(turn)
}

/// Builds it below `directory`; returns where it is.
fn build(root: &Path, directory: &Path, package: &str, name: &str, features: &[&str]) -> PathBuf {
    let (host, target) = (variable("HOST"), variable("TARGET"));
    let mut cargo = Command::new(variable("CARGO"));
    let features = [&["bin"], features].concat().join(",");
    cargo.args(["build", "--package", package, "--bin", name, "--no-default-features", "--features", &features]);
    cargo.args(["--profile", "loader"]);
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
