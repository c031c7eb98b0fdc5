//! Where set-up keeps kernels: the same rule as in `qemu/setup`.

#![allow(dead_code)]

use std::path::PathBuf;

/// The directory with a tree for each release.
pub fn kernels() -> PathBuf {
    modstrap_initramfs::cache::of_user(|_| true).expect("HOME").join("kernels")
}

/// The releases of the kernels there, in order.
pub fn releases() -> Vec<String> {
    let cache = kernels();
    let names =
        std::fs::read_dir(&cache).unwrap_or_else(|error| panic!("{}: {error}; run qemu/setup", cache.display()));
    let mut releases: Vec<String> = names.filter_map(|name| name.ok()?.file_name().into_string().ok()).collect();
    releases.sort();
    releases
}

/// The release of the kernel that the builder's facts are held against: Debian's 6.12 for amd64.
pub fn reference() -> String {
    let mut releases = releases();
    releases.retain(|name| name.starts_with("6.12.") && name.ends_with("-amd64") && !name.contains("cloud"));
    releases.pop().unwrap_or_else(|| panic!("{}: no 6.12 kernel for amd64; run qemu/setup", kernels().display()))
}
