//! What is kept of a tree between builds never stands for a file that has changed since.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use common::{RELEASE, System};
use indicatif::ProgressBar;
use modstrap_initramfs::cache::Cache;
use modstrap_initramfs::tree::Tree;

/// The system's tree, with what the cache has of it.
fn read(system: &System, cache: &Cache) -> Tree {
    Tree::cached(&system.path(""), RELEASE, cache, &ProgressBar::hidden()).unwrap()
}

/// The files of records in a cache.
fn records(directory: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory.path()).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Files are recorded when they have not changed for two seconds.
fn settle() {
    sleep(Duration::from_millis(3100));
}

#[test]
fn a_tree_is_the_same_with_records_and_without_whatever_happens_to_them() {
    let system = System::new();
    system.module("kernel/fs/one.ko.xz", "one", &["alias=fs-one", "license=GPL"]);
    system.module("kernel/fs/two.ko", "two", &["depends=one", "softdep=pre: three"]);
    system.write(&format!("lib/modules/{RELEASE}/kernel/fs/damaged.ko"), "no module");
    settle();
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    let same = |what: &str| {
        let (kept, plain) = (read(&system, &cache), system.tree());
        assert_eq!(kept.modules, plain.modules, "{what}");
        assert_eq!(kept.unusable, plain.unusable, "{what}");
        assert_eq!(kept.duplicates, plain.duplicates, "{what}");
        assert_eq!(kept.find("fs-one"), plain.find("fs-one"), "{what}");
    };
    same("nothing was recorded");
    let [file] = &records(&directory)[..] else { panic!("one tree has one file") };
    same("all was recorded");
    let whole = fs::read(file).unwrap();
    for (what, content) in [("cut off", &whole[..whole.len() / 2]), ("empty", &[]), ("of zeros", &[0; 64])] {
        fs::write(file, content).unwrap();
        same(what);
    }
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(file, &changed).unwrap();
    same("damaged");
    assert_eq!(fs::read(file).unwrap(), whole, "they were written anew");
}

#[test]
fn a_file_that_changes_is_read_again() {
    let system = System::new();
    let path = system.module("kernel/fs/one.ko", "one", &["alias=fs-one"]);
    system.module("kernel/fs/two.ko", "two", &[]);
    settle();
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::at(directory.path());
    assert!(!read(&system, &cache).find("fs-one").is_empty());
    // The same length, and the time of the file before.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    system.module("kernel/fs/one.ko", "one", &["alias=fs-uno"]);
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let tree = read(&system, &cache);
    assert!(tree.find("fs-one").is_empty() && !tree.find("fs-uno").is_empty());
    fs::remove_file(&path).unwrap();
    assert!(read(&system, &cache).by_name("one").is_none());
    // What has just changed may change once more without showing it.
    system.module("kernel/fs/one.ko", "one", &["alias=fs-one"]);
    let before = fs::read(&records(&directory)[0]).unwrap();
    read(&system, &cache);
    let after = fs::read(&records(&directory)[0]).unwrap();
    assert!(after.len() <= before.len(), "it was recorded at once");
}
