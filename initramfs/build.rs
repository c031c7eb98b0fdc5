//! Builds the loader, which the builder carries in it: one for images that reach for a network, and a smaller one; and what
//! unpacks either.

use std::hash::{Hash, Hasher};

include!("build/program.rs");

fn main() {
    // Tells what one build of this program has noted of a module from what another would.
    let mut sources = std::collections::BTreeSet::new();
    collect(Path::new("src"), &mut sources);
    // Names are read by the loader's own code, and files by libraries.
    collect(Path::new("../src"), &mut sources);
    sources.insert(PathBuf::from("../Cargo.lock"));
    let mut hasher = std::hash::DefaultHasher::new();
    for source in sources {
        std::fs::read(source).expect("a source can be read").hash(&mut hasher);
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rustc-env=MODSTRAP_SOURCES={:016x}", hasher.finish());
    println!("cargo::rerun-if-changed=build/program.rs");
    embed("modstrap", "stub", &[], "stub", &[]);
    embed("modstrap", "init", &["local", "tools"], "init", &[]);
    embed("modstrap", "init", &["tools", "network"], "init-network", &[]);
}

/// Adds the files below a directory.
fn collect(directory: &Path, files: &mut std::collections::BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("the sources can be listed") {
        let path = entry.expect("a source can be listed").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.extend([path]),
        }
    }
}
