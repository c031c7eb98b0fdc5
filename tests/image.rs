//! Initramfs images built from the cached kernels, whole, or damaged on purpose.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use modstrap::table::layout::{BLOBS_PATH, CHECKSUM, TABLE_PATH, blob};
use modstrap::table::{Link, Table, fold};
use modstrap_initramfs::image::LOADER_PATH;
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Compress, Request, archive};
use modstrap_qemu::Boot;
use modstrap_qemu::kernels::Kernel;
use modstrap_qemu::tree::add_program;

/// An image and the kernel that it is booted with.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel.
    pub kernel: Kernel,
    /// The image's file.
    pub file: PathBuf,
}

impl Image {
    /// Builds an image of every block, file system and bus driver of the kernel, or of what `adjust` makes of that
    /// request. It is packed quickly.
    pub fn build(kernel: &Kernel, file: PathBuf, adjust: impl FnOnce(&mut Request)) -> Result<Self> {
        let mut request = Request {
            kernel: kernel.image.clone(),
            modules: kernel.modules.clone(),
            compress: Compress::Fast,
            ..Request::default()
        };
        adjust(&mut request);
        modstrap_initramfs::build(&request, &file)?;
        Ok(Self { kernel: kernel.clone(), file })
    }

    /// A guest with this image and its kernel, and with one processor: where many tests share few processors, QEMU's
    /// emulation of several loses timer interrupts once in a hundred boots, long before the loader starts.
    pub fn boot(&self) -> Boot {
        Boot::new(&self.kernel.image, &self.file).processors(1).without_self_tests()
    }

    /// The names of these modules of the image and of all that may be loaded with them.
    pub fn closure(&self, modules: &[&str]) -> Result<BTreeSet<String>> {
        let bytes = self.read()?;
        let table = table(&bytes)?;
        let mut names = BTreeSet::new();
        for module in modules {
            let id = table.find(module.as_bytes()).with_context(|| format!("the image has no module {module}"))?;
            let mut add = |module| {
                names.insert(String::from_utf8_lossy(table.name(module).as_bytes()).into_owned());
            };
            for link in table.plan(id).chain(table.closure(id)) {
                match link {
                    Link::Module { module, .. } => add(module),
                    Link::Choice(alias) => table.lookup(alias, &mut add),
                }
            }
        }
        Ok(names)
    }

    /// Whether the kernel's module tree has somebody who answers to a name.
    pub fn tree_has(&self, name: &str) -> Result<bool> {
        let tree = Tree::read(&self.kernel.modules, &self.kernel.release, &ProgressBar::hidden())?;
        Ok(!tree.find(name).is_empty())
    }

    /// The image with one byte of its table changed.
    pub fn with_damaged_table(&self, file: PathBuf) -> Result<Self> {
        self.changed(file, |bytes| {
            let table = place(bytes, TABLE_PATH)?;
            bytes[table.start + table.len() / 2] ^= 1;
            Ok(())
        })
    }

    /// The image with one byte of its loader changed, near the end.
    pub fn with_damaged_loader(&self, file: PathBuf) -> Result<Self> {
        self.changed(file, |bytes| {
            let loader = place(bytes, LOADER_PATH)?;
            bytes[loader.end - 1000] ^= 1;
            Ok(())
        })
    }

    /// The image with one byte of a module's packed bytes changed.
    pub fn with_damaged_module(&self, file: PathBuf, module: &str) -> Result<Self> {
        self.changed(file, |bytes| {
            let table = table(bytes)?;
            let id = table.find(module.as_bytes()).with_context(|| format!("the image has no module {module}"))?;
            let start = place(bytes, BLOBS_PATH)?.start + usize::try_from(table.module(id).blob)?;
            bytes[start + blob::HEADER + 1] ^= 1;
            Ok(())
        })
    }

    /// The image with the bytes of a module changed, and its blob's checksum made to fit: what a builder would have made
    /// of another module. The image must have been built with [`Compress::None`].
    pub fn with_changed_module(&self, file: PathBuf, module: &str, change: impl FnOnce(&mut [u8])) -> Result<Self> {
        self.changed(file, |bytes| {
            let table = table(bytes)?;
            let id = table.find(module.as_bytes()).with_context(|| format!("the image has no module {module}"))?;
            let start = place(bytes, BLOBS_PATH)?.start + usize::try_from(table.module(id).blob)?;
            let head = *bytes[start..].first_chunk::<{ blob::HEADER }>().context("the blob is cut off")?;
            let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            ensure!(length(blob::RAW) == length(blob::PACKED), "the module {module} is compressed");
            let blob = &mut bytes[start..][..blob::HEADER + usize::try_from(length(blob::RAW))?];
            change(&mut blob[blob::HEADER..]);
            let checksum = fold(&blob[blob::RAW..]);
            blob[blob::CHECKSUM..blob::RAW].copy_from_slice(&checksum.to_le_bytes());
            Ok(())
        })
    }

    /// The image with the first occurrence of some bytes in its table replaced by as many others, and the table's
    /// checksum made to fit: what a builder would have written for another kernel.
    pub fn with_table_saying(&self, file: PathBuf, new: &[u8], instead_of: &[u8]) -> Result<Self> {
        ensure!(new.len() == instead_of.len(), "the table has no room for another length");
        self.changed(file, |bytes| {
            let place = place(bytes, TABLE_PATH)?;
            let table = &mut bytes[place];
            let found = table.windows(new.len()).position(|window| window == instead_of);
            let start = found.with_context(|| format!("the table says nowhere {}", instead_of.escape_ascii()))?;
            table[start..start + new.len()].copy_from_slice(new);
            let checksum = fold(&table[CHECKSUM.end..]);
            table[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
            Ok(())
        })
    }

    /// Puts the image's modules into a root tree, with the loader as its `modprobe`.
    pub fn install(&self, tree: &Path) -> Result<()> {
        let image = self.read()?;
        fs::create_dir_all(tree.join("modstrap"))?;
        for path in [TABLE_PATH, BLOBS_PATH] {
            fs::write(tree.join(path.trim_start_matches('/')), &image[place(&image, path)?])?;
        }
        add_program(tree, "sbin/modprobe", &image[place(&image, "/init")?])
    }

    /// The GNU build id of the kernel that the image was built for.
    pub fn build_id(&self) -> Result<Vec<u8>> {
        Ok(table(&self.read()?)?.build_id().to_vec())
    }

    fn changed(&self, file: PathBuf, change: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Self> {
        let mut bytes = self.read()?;
        change(&mut bytes)?;
        fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { kernel: self.kernel.clone(), file })
    }

    fn read(&self) -> Result<Vec<u8>> {
        fs::read(&self.file).with_context(|| format!("cannot read {}", self.file.display()))
    }
}

fn table(image: &[u8]) -> Result<Table<'_>> {
    Table::open(&image[place(image, TABLE_PATH)?]).map_err(|damage| anyhow!("the image's table: {damage:?}"))
}

/// Where a file lies among the bytes of an image.
fn place(image: &[u8], path: &str) -> Result<Range<usize>> {
    let entries = archive::read(image)?;
    let mut entries = entries.iter().flatten();
    let entry = entries.find(|entry| entry.path.trim_start_matches('/') == path.trim_start_matches('/'));
    let content = entry.with_context(|| format!("the image has no {path}"))?.content;
    let start = content.as_ptr().addr() - image.as_ptr().addr();
    Ok(start..start + content.len())
}
