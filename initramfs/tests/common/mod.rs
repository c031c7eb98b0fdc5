//! Hand-made kernels and module trees: real ELF objects from gcc, with just what a module says of itself.

#![allow(dead_code)]

pub mod link;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use indicatif::ProgressBar;
use modstrap::module::Blob;
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Link, Table, glob};
use modstrap_initramfs::inspect::Inspection;
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Compress, Hardware, Request, Summary, archive, pack};
use tempfile::TempDir;

/// The release of every hand-made kernel.
pub const RELEASE: &str = "6.9.0-test";

/// A directory with a kernel image and `lib/modules/RELEASE`.
pub struct System {
    root: TempDir,
}

/// What a build made.
pub struct Image {
    pub bytes: Vec<u8>,
    pub summary: Summary,
}

impl System {
    pub fn new() -> System {
        let system = System { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(system.modules().join("kernel")).unwrap();
        std::fs::write(system.modules().join("modules.builtin"), "kernel/fs/proc/proc.ko\n").unwrap();
        let banner = format!("\0\0Linux version {RELEASE} (gcc) #1 SMP\n\0");
        std::fs::write(system.path("vmlinuz"), banner).unwrap();
        system
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub fn modules(&self) -> PathBuf {
        self.path("lib/modules").join(RELEASE)
    }

    /// Writes a file below the root.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Makes a module for the kernel: `path` is below the tree, and may end in a suffix of compression.
    pub fn module(&self, path: &str, name: &str, info: &[&str]) -> PathBuf {
        self.foreign_module(&format!("lib/modules/{RELEASE}/{path}"), name, RELEASE, info)
    }

    /// Makes a module whose code is this piece of C.
    pub fn coded_module(&self, path: &str, name: &str, info: &[&str], code: &str) -> PathBuf {
        self.write(&format!("lib/modules/{RELEASE}/{path}"), compile_with(name, RELEASE, info, code, &[]))
    }

    /// Makes a module built for `release`; `path` is below the root.
    pub fn foreign_module(&self, path: &str, name: &str, release: &str, info: &[&str]) -> PathBuf {
        let path = self.write(path, compile(name, release, info));
        let packer: &[&str] = match path.extension().unwrap().to_str().unwrap() {
            "gz" => &["gzip", "-c"],
            "xz" => &["xz", "-c", "--check=crc32"],
            "zst" => &["zstd", "-c", "-q"],
            _ => return path,
        };
        let packed = Command::new(packer[0]).args(&packer[1..]).arg(&path).output().expect(packer[0]);
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        std::fs::write(&path, packed.stdout).unwrap();
        path
    }

    /// A request for everything.
    pub fn request(&self) -> Request {
        Request {
            kernel: self.path("vmlinuz"),
            modules: self.root.path().into(),
            compress: Compress::Fast,
            no_cache: true,
            ..Request::default()
        }
    }

    /// A request for these modules alone.
    pub fn request_for(&self, names: &str) -> Request {
        Request { hardware: Hardware::Names(self.write("names", names)), ..self.request() }
    }

    /// The modules as the builder reads them.
    pub fn tree(&self) -> Tree {
        Tree::read(self.root.path(), RELEASE, &ProgressBar::hidden()).unwrap()
    }

    pub fn build(&self, request: &Request) -> anyhow::Result<Image> {
        let output = self.path("image");
        let summary = modstrap_initramfs::build(request, &output)?;
        Ok(Image { bytes: std::fs::read(output).unwrap(), summary })
    }

    /// The sentence with which a build fails.
    pub fn failure(&self, request: &Request) -> String {
        match self.build(request) {
            Ok(_) => panic!("it was built"),
            Err(error) => {
                assert!(!self.path("image").exists(), "a failure leaves no image behind");
                format!("{error:#}")
            }
        }
    }
}

impl Image {
    /// The names of its modules, in the table's order.
    pub fn names(&self) -> Vec<String> {
        self.with_table(|table| table.modules().map(|id| text(table.name(id).as_bytes())).collect())
    }

    /// The load order of a module: soft members in brackets.
    pub fn closure(&self, name: &str) -> String {
        self.with_table(|table| {
            let id = table.modules().find(|id| table.name(*id).as_bytes() == name.as_bytes()).expect(name);
            let mut line = String::new();
            for link in table.closure(id) {
                match link {
                    Link::Module { module, soft: false } => write!(line, " {}", text(table.name(module).as_bytes())),
                    Link::Module { module, soft: true } => write!(line, " [{}]", text(table.name(module).as_bytes())),
                    Link::Choice(alias) => write!(line, " <{}>", text(alias)),
                }
                .unwrap();
            }
            line.trim().to_string()
        })
    }

    /// The parameters of a module.
    pub fn options(&self, name: &str) -> String {
        self.with_table(|table| {
            let id = table.modules().find(|id| table.name(*id).as_bytes() == name.as_bytes()).expect(name);
            text(table.options(id))
        })
    }

    /// Whether no alias loads a module.
    pub fn is_blacklisted(&self, name: &str) -> bool {
        self.with_table(|table| table.module(table.find(name.as_bytes()).expect(name)).blacklisted)
    }

    /// The modules that answer to a name or an alias.
    pub fn lookup(&self, name: &str) -> Vec<String> {
        self.with_table(|table| {
            let mut found = Vec::new();
            let mut name = name.as_bytes().to_vec();
            glob::normalise(&mut name);
            table.lookup(&name, &mut |id| found.push(text(table.name(id).as_bytes())));
            found
        })
    }

    /// The content of a module as the loader would decode it.
    pub fn content(&self, name: &str) -> Vec<u8> {
        let blobs = self.file(BLOBS_PATH).unwrap();
        let at = self.with_table(|table| {
            let id = table.modules().find(|id| table.name(*id).as_bytes() == name.as_bytes()).expect(name);
            table.module(id).blob
        });
        pack::unpack(&Blob::at(&blobs, at).expect("a sound blob")).unwrap()
    }

    /// The content of a file in its last archive.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        let archives = archive::read(&self.bytes).unwrap();
        let entry = archives.last()?.iter().find(|entry| entry.path == path.trim_start_matches('/'))?;
        Some(entry.content.to_vec())
    }

    /// The paths of the files in its last archive that begin so.
    pub fn files_below(&self, path: &str) -> Vec<String> {
        let archives = archive::read(&self.bytes).unwrap();
        let files = archives.last().unwrap().iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000);
        files.map(|entry| entry.path.clone()).filter(|found| found.starts_with(path)).collect()
    }

    pub fn inspect(&self, directory: &Path) -> anyhow::Result<Inspection> {
        let path = directory.join("inspected");
        std::fs::write(&path, &self.bytes).unwrap();
        Inspection::read(&path)
    }

    fn with_table<T>(&self, ask: impl FnOnce(&Table) -> T) -> T {
        let bytes = self.file(TABLE_PATH).unwrap();
        ask(&Table::open(&bytes).unwrap())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A relocatable object that says what a module says of itself.
pub fn compile(name: &str, release: &str, info: &[&str]) -> Vec<u8> {
    compile_with(name, release, info, "", &[])
}

/// The same with code in it, compiled with these further flags.
pub fn compile_with(name: &str, release: &str, info: &[&str], code: &str, flags: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (source, object) = (directory.path().join("module.c"), directory.path().join("module.ko"));
    let lines = info.iter().map(|line| format!("\"{line}\\0\"")).collect::<Vec<_>>().join(" ");
    let program = format!(
        "__attribute__((section(\".modinfo\"), used)) static const char info[] = \
         {lines} \"vermagic={release} SMP preempt mod_unload modversions \\0\";\n\
         __attribute__((section(\".gnu.linkonce.this_module\"), used)) static struct {{\n\
         int state; void *next, *previous; char name[56]; char rest[512]; }} this_module = {{ .name = \"{name}\" }};\n{code}\n"
    );
    std::fs::write(&source, program).unwrap();
    let gcc = Command::new("gcc")
        .args(["-O2", "-c"])
        .args(flags)
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .output()
        .expect("gcc; install it");
    assert!(gcc.status.success(), "{}", String::from_utf8_lossy(&gcc.stderr));
    std::fs::read(object).unwrap()
}
