//! The size of a table of a whole tree, next to kmod's indexes of the same modules.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use indicatif::ProgressBar;
use modstrap::table::layout::Section;
use modstrap_initramfs::closure::Graph;
use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::table::{Entry, Input, write};
use modstrap_initramfs::tree::Tree;

use crate::{lookup, section, trees};

/// The files of kmod that say what a table says.
const INDEXES: [&str; 6] = [
    "modules.dep.bin",
    "modules.alias.bin",
    "modules.symbols.bin",
    "modules.softdep",
    "modules.builtin.bin",
    "modules.builtin.alias.bin",
];

#[test]
#[ignore = "needs a kernel tree in the cache: run qemu/setup first"]
fn a_table_is_at_most_a_tenth_of_the_indexes_of_kmod() {
    let mut compared = 0;
    for (directory, release) in trees() {
        let tree = Tree::read(&directory, &release, &ProgressBar::hidden()).unwrap();
        let bytes = write(&whole(&tree)).unwrap();
        let indexes = kmod_indexes(&tree.directory, &release);
        let total: u64 = indexes.iter().map(|(_, size)| size).sum();
        println!("{release}: {} modules", tree.modules.len());
        for section_of in Section::ALL {
            println!("  {:10} {:>9}", format!("{section_of:?}"), section(&bytes, section_of).len());
        }
        println!("  {:10} {:>9}", "table", bytes.len());
        indexes.iter().for_each(|(file, size)| println!("  {file:26} {size:>9}"));
        println!("  {:26} {total:>9}", "kmod");
        assert!(bytes.len() as u64 * 10 <= total, "{release}: {} of {total} bytes", bytes.len());
        compared += 1;
    }
    assert!(compared > 0, "no kernel tree in the cache; run qemu/setup");
}

/// All that a table can say of a tree.
fn whole(tree: &Tree) -> Input {
    let knowledge = Knowledge::built_in().unwrap();
    let graph = Graph::new(tree, &knowledge);
    let mut input = lookup::input_of(tree);
    for (number, entry) in input.modules.iter_mut().enumerate() {
        *entry = Entry {
            path: tree.modules[number].path.display().to_string(),
            plan: graph.plan(number).unwrap(),
            closure: graph.closure(number).unwrap(),
            blob: number as u64 * 8192,
            ..std::mem::replace(entry, crate::entry("", &[]))
        };
    }
    input
}

/// The sizes of the indexes that depmod makes of a tree.
fn kmod_indexes(tree: &Path, release: &str) -> Vec<(&'static str, u64)> {
    let scratch = tempfile::tempdir().unwrap();
    let modules = scratch.path().join("lib/modules").join(release);
    fs::create_dir_all(&modules).unwrap();
    symlink(tree.join("kernel"), modules.join("kernel")).unwrap();
    for file in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(tree.join(file), modules.join(file)).unwrap();
    }
    let depmod = Command::new("depmod").arg("-b").arg(scratch.path()).arg(release).status().expect("install kmod");
    assert!(depmod.success());
    INDEXES.map(|file| (file, fs::metadata(modules.join(file)).unwrap().len())).to_vec()
}
