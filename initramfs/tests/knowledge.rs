//! The builder's facts against a real tree: each name in `knowledge.txt` must exist in Debian's 6.12 for amd64, or be
//! marked as belonging elsewhere.

use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::tree::Tree;

#[path = "common/cache.rs"]
mod cache;

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn every_name_exists_in_the_reference_tree_or_is_marked() {
    let cache = cache::kernels();
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
