//! Whole trees: what modinfo prints of every module, and every plan of modprobe, with its paths.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Compress, Hardware, Request};
use rayon::prelude::*;

use crate::{Both, Outcome, cache, without_signature};

/// The smallest tree of the cache that has plain modules, which our modinfo reads as files too.
fn smallest() -> (PathBuf, String) {
    let kernels = cache::kernels();
    let names =
        std::fs::read_dir(&kernels).unwrap_or_else(|error| panic!("{}: {error}; run qemu/setup", kernels.display()));
    let mut releases: Vec<String> = names.filter_map(|name| name.ok()?.file_name().into_string().ok()).collect();
    releases.retain(|name| name.starts_with("6.1.") && name.ends_with("-cloud-amd64"));
    releases.sort();
    let release =
        releases.pop().unwrap_or_else(|| panic!("{}: no 6.1 cloud kernel; run qemu/setup", kernels.display()));
    (kernels.join(&release), release)
}

/// Calls `check` with both sets of tools and all modules of that kernel: their names, and their paths.
fn with_tree(check: impl FnOnce(&Both, &[(String, PathBuf)])) {
    let (directory, release) = smallest();
    let tree = Tree::read(&directory, &release, &ProgressBar::hidden()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let modules = root.path().join("lib/modules");
    std::fs::create_dir_all(&modules).unwrap();
    let copied = std::process::Command::new("cp").arg("-r").arg(&tree.directory).arg(modules.join(&release)).status();
    assert!(copied.unwrap().success());
    let names: Vec<&str> = tree.modules.iter().map(|module| module.name.as_str()).collect();
    let list = root.path().join("names");
    std::fs::write(&list, names.join("\n")).unwrap();
    let image = root.path().join("image");
    let request = Request {
        kernel: directory.join("boot").join(format!("vmlinuz-{release}")),
        modules: directory.clone(),
        hardware: Hardware::Names(list),
        with_net: true,
        compress: Compress::Fast,
        ..Request::default()
    };
    modstrap_initramfs::build(&request, &image).unwrap();
    let both = Both::new(root.path(), &release, &std::fs::read(&image).unwrap(), None);
    let path = |path: &Path| modules.join(&release).join(path);
    let all: Vec<_> = tree.modules.iter().map(|module| (module.name.clone(), path(&module.path))).collect();
    check(&both, &all);
}

#[test]
#[ignore = "needs Debian's 6.1 cloud kernel in the cache: run qemu/setup first"]
fn every_module_says_of_itself_what_kmod_prints() {
    with_tree(|both, modules| {
        assert!(modules.len() > 1000, "only {}", modules.len());
        let differences: Vec<String> = modules
            .par_iter()
            .flat_map_iter(|(name, path)| [name.clone(), path.display().to_string()])
            .filter_map(|subject| {
                // By its name, since another module may have it as an alias.
                let kmod = both.kmod("modinfo", &[&subject]);
                let ours = both.ours("modinfo", &[&subject]);
                let expected = without_signature(&kmod.output);
                (ours != Outcome { output: expected, ..kmod }).then(|| format!("{subject}:\n{}", ours.output))
            })
            .collect();
        assert!(differences.is_empty(), "{} differ, first {}", differences.len(), differences[0]);
    });
}

#[test]
#[ignore = "needs Debian's 6.1 cloud kernel in the cache: run qemu/setup first"]
fn every_plan_has_the_lines_that_kmod_prints() {
    with_tree(|both, modules| {
        let differences: Vec<String> = modules
            .par_iter()
            .filter_map(|(name, _)| {
                // What is built in needs no place in a plan; kmod tells of it.
                let lines = |outcome: &Outcome| -> BTreeSet<String> {
                    let lines = outcome.output.lines().filter(|line| !line.starts_with("builtin "));
                    lines.map(str::to_string).collect()
                };
                let (ours, kmod) = (both.ours("modprobe", &["-D", name]), both.kmod("modprobe", &["-D", name]));
                // kmod reads the first of several softdep lines alone.
                let is_more = lines(&ours).is_superset(&lines(&kmod));
                let is_same = lines(&ours) == lines(&kmod);
                let has_several = ["btrfs", "cifs", "ksmbd", "ceph"].contains(&name.as_str());
                let agrees = is_same || is_more && has_several;
                (!agrees || ours.status != kmod.status).then(|| format!("{name}:\n{}\n{}", ours.output, kmod.output))
            })
            .collect();
        assert!(differences.is_empty(), "{} differ, first {}", differences.len(), differences[0]);
    });
}
