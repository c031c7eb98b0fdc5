//! The builder's facts against a real tree: each name in `knowledge.txt` must exist in Debian's 6.12 for amd64, or be
//! marked as belonging elsewhere.

use std::path::PathBuf;

use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::tree::Tree;

/// Where set-up keeps kernels.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || variable("HOME").expect("HOME").join(".cache");
    let base = variable("MODSTRAP_CACHE");
    base.unwrap_or_else(|| variable("XDG_CACHE_HOME").unwrap_or_else(home).join("modstrap")).join("kernels")
}

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn every_name_exists_in_the_reference_tree_or_is_marked() {
    let cache = cache();
    let names =
        std::fs::read_dir(&cache).unwrap_or_else(|error| panic!("{}: {error}; run qemu/setup", cache.display()));
    let mut releases: Vec<String> = names.filter_map(|name| name.ok()?.file_name().into_string().ok()).collect();
    releases.retain(|name| name.starts_with("6.12.") && name.ends_with("-amd64") && !name.contains("cloud"));
    releases.sort();
    let release =
        releases.pop().unwrap_or_else(|| panic!("{}: no 6.12 kernel for amd64; run qemu/setup", cache.display()));
    let tree = Tree::read(&cache.join(&release), &release, &indicatif::ProgressBar::hidden()).unwrap();
    let doubtful = Knowledge::built_in().unwrap().doubtful(&tree);
    assert!(doubtful.is_empty(), "in {release}: {doubtful:#?}");
}
