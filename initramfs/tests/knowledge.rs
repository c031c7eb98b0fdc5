//! The builder's facts against a real tree: each name in `knowledge.txt` must exist in Debian's 6.12 for amd64, or be
//! marked as belonging elsewhere.

use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::tree::Tree;

#[path = "common/cache.rs"]
mod cache;

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn every_name_exists_in_the_reference_tree_or_is_marked() {
    let release = cache::reference();
    let tree = Tree::read(&cache::kernels().join(&release), &release, &indicatif::ProgressBar::hidden()).unwrap();
    let doubtful = Knowledge::built_in().unwrap().doubtful(&tree);
    assert!(doubtful.is_empty(), "in {release}: {doubtful:#?}");
}
