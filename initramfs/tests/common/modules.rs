//! The modules of a tree as they lie there, whatever they are compressed with.

#![allow(dead_code)]

use std::path::{Path, PathBuf};

use modstrap_initramfs::compression::Format;

/// The paths of the modules below a directory, in order.
pub fn paths(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(directory, &mut found);
    found.sort();
    found
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries.map(|entry| entry.unwrap()) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            walk(&path, found);
        } else if name(&path).is_some() {
            found.push(path);
        }
    }
}

/// The name of the module in this file, as the kernel writes it; none if it is no module's.
pub fn name(path: &Path) -> Option<String> {
    let (stem, ending) = path.file_name()?.to_str()?.split_once(".ko")?;
    (ending.is_empty() || ending.starts_with('.')).then(|| stem.replace('-', "_"))
}

/// The module in a file.
pub fn read(path: &Path) -> Vec<u8> {
    let file = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match Format::of(&file) {
        Some(format) => format.decompress(&file).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        None => file,
    }
}
