//! The initramfs image of such guests: what QEMU's machine needs to reach the share, and nothing else. It depends on the
//! kernel alone, so the cache keeps it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use modstrap_initramfs::contents::Contents;
use modstrap_initramfs::{Compress, Hardware, Request, Summary};

use crate::kernels::{Kernel, cache};
use crate::share::Protocol;

/// How many images the cache keeps.
const KEPT: usize = 16;

/// What every such guest needs, beside what serves its root: the bus, the overlay, the ports to the host.
const MODULES: [&str; 3] = ["virtio_pci", "overlay", "virtio_console"];

/// The image for guests of this kernel, from the cache where that has it.
pub(super) fn of(kernel: &Kernel, by: Protocol) -> Result<Vec<u8>> {
    let directory = cache()?.join("images");
    let file = directory.join(format!("{:016x}.img", key(kernel, by)?));
    if let Ok(image) = fs::read(&file) {
        return Ok(image);
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    build(kernel, by, &file)?;
    forget_old_ones(&directory);
    fs::read(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// Whether an image has this module, and the kernel not itself.
pub(super) fn has(image: &[u8], module: &str) -> Result<bool> {
    let contents = Contents::of(image)?;
    let table = contents.table()?;
    Ok(table.find(module.as_bytes()).is_some_and(|id| !table.is_builtin(id)))
}

/// Builds it.
pub(super) fn build(kernel: &Kernel, by: Protocol, output: &Path) -> Result<Summary> {
    let own: &[&str] = match by {
        Protocol::NineP => &["9pnet_virtio", "9p"],
        Protocol::VirtioFs => &["virtiofs"],
    };
    let mut names = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    names.write_all([&MODULES, own].concat().join("\n").as_bytes())?;
    let request = Request {
        kernel: kernel.image.clone(),
        modules: kernel.modules.clone(),
        hardware: Hardware::Names(names.path().into()),
        compress: Compress::Fast,
        ..Request::default()
    };
    let built = crate::image::build(&request, output);
    built.with_context(|| {
        format!(
            "a directory by {} is no root for this kernel, which needs these options, built in or as modules: \
             CONFIG_OVERLAY_FS, CONFIG_VIRTIO_PCI, CONFIG_VIRTIO_CONSOLE, {}",
            by.name(),
            match by {
                Protocol::NineP => "CONFIG_9P_FS, CONFIG_NET_9P_VIRTIO",
                Protocol::VirtioFs => "CONFIG_VIRTIO_FS",
            }
        )
    })
}

/// What the image depends on: the kernel and each of its modules, by size and time, and this program.
fn key(kernel: &Kernel, by: Protocol) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    by.name().hash(&mut hasher);
    let program = std::env::current_exe().context("this program does not know its file")?;
    for file in [program, kernel.image.clone()] {
        hash_file(&file, &mut hasher)?;
    }
    let mut modules = Vec::new();
    collect(&kernel.modules, &mut modules)?;
    modules.sort();
    modules.iter().try_for_each(|module| hash_file(module, &mut hasher))?;
    Ok(hasher.finish())
}

fn hash_file(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    (path, about.len(), about.mtime(), about.mtime_nsec(), about.ino()).hash(hasher);
    Ok(())
}

/// Adds the files of a module tree that an image depends on.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else if name.contains(".ko") || name.starts_with("modules.") {
            files.extend(entry.path().exists().then(|| entry.path()));
        }
    }
    Ok(())
}

/// Leaves the newest; what cannot be removed stays.
fn forget_old_ones(directory: &Path) {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        files.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path()))).collect();
    files.sort();
    let old = files.len().saturating_sub(KEPT);
    files.drain(..old).for_each(|(_, path)| drop(fs::remove_file(path)));
}
