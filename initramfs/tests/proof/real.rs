//! The kernels that set-up keeps: their trees pass, and a real module with one thing changed does not.

use std::path::{Path, PathBuf};

use modstrap_initramfs::kernel::Kernel;
use modstrap_initramfs::kernel::exports::Exports;
use modstrap_initramfs::module::{Module, read_file};
use modstrap_initramfs::proof::check::{Modules, Question};
use modstrap_initramfs::{Compress, Request};

use super::hostile::mutate;
use super::kernels::packed;
use crate::common::link::bzimage;
use crate::{answer, lines};

#[path = "../common/cache.rs"]
mod cache;

/// A kernel of the cache.
struct Cached {
    release: String,
    root: PathBuf,
}

impl Cached {
    fn all() -> Vec<Cached> {
        let cache = cache::kernels();
        let entries = std::fs::read_dir(&cache)
            .unwrap_or_else(|error| panic!("{}: {error}; run qemu/setup", cache.display()))
            .map(|entry| entry.unwrap());
        let mut all: Vec<Cached> = entries
            .map(|entry| Cached { release: entry.file_name().into_string().unwrap(), root: entry.path() })
            .filter(|kernel| kernel.image().exists())
            .collect();
        all.sort_by(|a, b| a.release.cmp(&b.release));
        all
    }

    /// The latest whose release begins so.
    fn of(version: &str) -> Cached {
        let kernel = Self::all().into_iter().rfind(|kernel| kernel.release.starts_with(version));
        kernel.unwrap_or_else(|| panic!("no kernel {version} in the cache; run qemu/setup"))
    }

    fn image(&self) -> PathBuf {
        self.root.join("boot").join(format!("vmlinuz-{}", self.release))
    }

    fn question(&self, modules: Modules) -> Question {
        Question { kernel: self.image(), symbols: None, modules, cmdline: String::new(), strict: true }
    }

    /// A module of its tree, not compressed.
    fn module(&self, path: &str) -> Vec<u8> {
        let file = ["", ".xz"].map(|suffix| {
            self.root.join("lib/modules").join(&self.release).join("kernel").join(format!("{path}{suffix}"))
        });
        read_file(file.iter().find(|file| file.exists()).unwrap_or_else(|| panic!("no {path}"))).unwrap()
    }

    /// What the proof says of a tree of these modules.
    fn findings(&self, modules: &[(&str, Vec<u8>)], cmdline: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join(&self.release);
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("modules.builtin"), "kernel/fs/proc/proc.ko\n").unwrap();
        for (name, bytes) in modules {
            std::fs::write(tree.join(format!("{name}.ko")), bytes).unwrap();
        }
        let question = self.question(Modules::Tree(directory.path().into()));
        lines(&answer(&Question { cmdline: cmdline.into(), ..question }))
    }

    /// ext4 and all that it needs.
    fn ext4(&self) -> Vec<(&'static str, Vec<u8>)> {
        let modules = [
            ("ext4", "fs/ext4/ext4.ko"),
            ("jbd2", "fs/jbd2/jbd2.ko"),
            ("mbcache", "fs/mbcache.ko"),
            ("crc16", "lib/crc16.ko"),
        ];
        modules.map(|(name, path)| (name, self.module(path))).to_vec()
    }
}

/// The place of the version of `symbol` in a module for x86_64.
fn version(bytes: &[u8], symbol: &str) -> usize {
    let name = [b"\0\0\0\0", symbol.as_bytes(), b"\0"].concat();
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, &name).collect();
    let [place] = places[..] else { panic!("{symbol}: {places:?}") };
    place - 4
}

#[test]
#[ignore = "needs kernels in the cache: run qemu/setup first"]
fn whole_trees_pass() {
    for kernel in Cached::all() {
        let answer = answer(&kernel.question(Modules::Tree(kernel.root.clone())));
        assert!(answer.holds && answer.symbols > 9000 && answer.modules > 1000, "{answer}");
        let signature = |module: &Module| format!("{:?}", module.linkage.signature);
        let module = Module::parse(Path::new("crc16.ko"), &kernel.module("lib/crc-itu-t.ko")).unwrap();
        assert_eq!(signature(&module), "Sound(\"sha256\")");
    }
}

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn one_thing_wrong_in_a_real_tree() {
    let kernel = Cached::of("6.12.");
    let sound = kernel.ext4();
    assert_eq!(kernel.findings(&sound, "module.sig_enforce"), [""; 0]);

    let mut changed = sound.clone();
    let at = version(&changed[0].1, "jbd2_journal_start_reserved");
    changed[0].1[at] ^= 1;
    let findings = kernel.findings(&changed, "");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0]
            .starts_with("module ext4 was built with another version of the symbol jbd2_journal_start_reserved: 0x")
    );
    assert!(findings[0].contains(", where jbd2 has 0x"));

    let without: Vec<_> = sound.iter().filter(|(name, _)| *name != "mbcache").cloned().collect();
    let findings = kernel.findings(&without, "");
    assert_eq!(findings[0], "module ext4 depends on mbcache, which is neither there nor built into the kernel");
    let needs = |line: &String| line.starts_with("module ext4 needs the symbol ") && line.contains("mb_cache_");
    assert!(findings.len() > 5 && findings[1..].iter().all(needs), "{findings:?}");

    let mut stripped = sound.clone();
    let end = stripped[3].1.len() - b"~Module signature appended~\n".len();
    stripped[3].1.truncate(end);
    let findings = kernel.findings(&stripped, "lockdown=integrity");
    assert_eq!(findings, ["module crc16 is not signed, and the kernel demands it (lockdown=integrity)"]);

    let mut cut = sound.clone();
    let message = cut[3].1.len() - 300;
    cut[3].1.drain(message..message + 40);
    assert_eq!(
        kernel.findings(&cut, ""),
        ["module crc16 has a broken signature: its PKCS#7 message is damaged or cut off"]
    );

    // A licence of the same length as the one it has.
    let mut closed = sound;
    let at = memchr::memmem::find(&closed[1].1, b"license=GPL\0").expect("a licence");
    closed[1].1[at..at + 11].copy_from_slice(b"license=BSD");
    let findings = kernel.findings(&closed, "");
    assert!(
        findings.iter().any(|line| line.starts_with("module jbd2 may not use the symbol ")
            && line.ends_with("which the kernel exports for the GPL only: its licence is \"BSD\"")),
        "{findings:?}"
    );
}

#[test]
#[ignore = "needs two of Debian's kernels in the cache: run qemu/setup first"]
fn a_module_of_another_kernel() {
    let (kernel, other) = (Cached::of("6.12."), Cached::of("6.1."));
    let mut modules = kernel.ext4();
    modules[3].1 = other.module("lib/crc-itu-t.ko");
    let findings = kernel.findings(&modules, "");
    let release = &other.release;
    assert!(
        findings.iter().any(|line| line.starts_with(&format!("module crc_itu_t was built for {release}"))),
        "{findings:?}"
    );
    let layout = "module crc_itu_t was built with another version of the symbol module_layout: 0x";
    assert!(findings.iter().any(|line| line.starts_with(layout)), "{findings:?}");
}

#[test]
#[ignore = "needs kernels in the cache: run qemu/setup first"]
fn an_image_passes_by_its_own_load_orders() {
    for kernel in Cached::all() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("image");
        let request = Request {
            kernel: kernel.image(),
            modules: kernel.root.clone(),
            with_net: true,
            compress: Compress::Store,
            strict: true,
            ..Request::default()
        };
        let summary = modstrap_initramfs::build(&request, &output).unwrap();
        let answer = answer(&kernel.question(Modules::Image(output)));
        assert!(answer.holds && answer.modules == summary.modules, "{answer}");
    }
}

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn a_real_kernel_packed_in_each_way() {
    let kernel = Cached::of("6.12.");
    let image = std::fs::read(kernel.image()).unwrap();
    let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) as usize;
    let start = (usize::from(image[0x1f1]) + 1) * 512 + number(0x248);
    let payload = &image[start..start + number(0x24c) - 4];
    let format = modstrap_initramfs::compression::Format::of(payload).expect("a packed kernel");
    let elf = format.decompress(payload).unwrap();
    let expected = Kernel::read(&kernel.image()).unwrap().exports.map(|exports| exports.len());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinuz");
    let count = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Kernel::read(&path).unwrap().exports.as_ref().map(Exports::len)
    };
    assert_eq!(count(&elf), expected);
    for (form, packed) in packed(&elf) {
        assert_eq!(count(&bzimage(&packed)), expected, "{form}");
    }
}

#[test]
#[ignore = "needs kernels in the cache: run qemu/setup first"]
fn damaged_real_modules_and_kernels() {
    let kernel = Cached::of("6.12.");
    for (name, bytes) in kernel.ext4() {
        mutate(&bytes, 300, |damaged| drop(Module::parse(Path::new(name), damaged)));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinuz");
    let image = std::fs::read(kernel.image()).unwrap();
    mutate(&image, 20, |damaged| {
        std::fs::write(&path, damaged).unwrap();
        drop(Kernel::read(&path));
    });
}
