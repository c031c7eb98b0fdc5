//! Each file system's own tool: its options, its smallest sizes, how it takes a directory.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tempfile::NamedTempFile;

use super::{MIB, protofile};
use crate::tool::{Invocation, Tool};

const MKE2FS: Tool = Tool::new("mke2fs", "e2fsprogs");
const MKFS_XFS: Tool = Tool::new("mkfs.xfs", "xfsprogs");
const MKFS_BTRFS: Tool = Tool::new("mkfs.btrfs", "btrfs-progs");
const MKFS_F2FS: Tool = Tool::new("mkfs.f2fs", "f2fs-tools");
const SLOAD_F2FS: Tool = Tool::new("sload.f2fs", "f2fs-tools");
const MKSQUASHFS: Tool = Tool::new("mksquashfs", "squashfs-tools");
const MKFS_EROFS: Tool = Tool::new("mkfs.erofs", "erofs-utils");
const MKFS_VFAT: Tool = Tool::new("mkfs.vfat", "dosfstools");
const MCOPY: Tool = Tool::new("mcopy", "mtools");

/// The file systems that the harness can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum FileSystem {
    /// ext2, without a journal.
    Ext2,
    /// ext3: a journal, no extents.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS; no smaller than 300 MiB, as its tool demands. Sticky bits are lost.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// F2FS.
    F2fs,
    /// SquashFS; it has neither label nor UUID.
    Squashfs,
    /// EROFS.
    Erofs,
    /// FAT with long names; symbolic links become copies, owners and modes are lost.
    Vfat,
    /// Nothing: an empty disk or partition.
    None,
}

/// What a file system is called by.
pub(super) struct Names<'a> {
    pub label: Option<&'a str>,
    pub uuid: Option<&'a str>,
}

/// The room for a label in the superblock of ext2, ext3 and ext4.
const EXT_LABEL: usize = 16;

impl FileSystem {
    /// The kernel's name of the file system, as in `rootfstype=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::F2fs => "f2fs",
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
            Self::Vfat => "vfat",
            Self::None => "none",
        }
    }

    /// Whether the tool makes the file as large as the content.
    pub(super) fn sizes_itself(self) -> bool {
        matches!(self, Self::Squashfs | Self::Erofs)
    }

    /// A size in bytes that holds the directory's content with room to spare, and pleases the tool.
    pub(super) fn comfortable_size(self, directory: &Path) -> Result<u64> {
        let least = match self {
            Self::Xfs => 320,
            Self::Btrfs => 192,
            Self::F2fs => 128,
            _ => 48,
        };
        let content = tree_size(directory)?;
        Ok((content + content / 2 + 16 * MIB).next_multiple_of(MIB).max(least * MIB))
    }

    /// Makes the file system with the content of `directory` in the file `output`, which has its size.
    pub(super) fn make(self, directory: &Path, names: &Names, output: &Path) -> Result<()> {
        match self {
            Self::Ext2 | Self::Ext3 | Self::Ext4 => self.make_ext(directory, names, output),
            Self::Xfs => make_xfs(directory, names, output),
            Self::Btrfs => make_btrfs(directory, names, output),
            Self::F2fs => make_f2fs(directory, names, output),
            Self::Squashfs => make_squashfs(directory, names, output),
            Self::Erofs => make_erofs(directory, names, output),
            Self::Vfat => make_vfat(directory, names, output),
            Self::None => Ok(()),
        }
    }

    fn make_ext(self, directory: &Path, names: &Names, output: &Path) -> Result<()> {
        // mke2fs would cut it, and only say so.
        if let Some(label) = names.label.filter(|label| label.len() > EXT_LABEL) {
            bail!("the label {label:?} is longer than the {EXT_LABEL} bytes that {} has for it", self.name());
        }
        MKE2FS
            .copying_command()?
            .args(["-q", "-F", "-t", self.name(), "-E", "root_owner=0:0"])
            .labelled("-L", "-U", names)
            .arg("-d")
            .args([directory, output])
            .run()
            .map(drop)
    }
}

fn make_xfs(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    let prototype = NamedTempFile::new().context("cannot make a temporary file")?;
    fs::write(&prototype, protofile::describe(directory)?).context("cannot write the protofile")?;
    let uuid = names.uuid.map(|uuid| format!("uuid={uuid}"));
    MKFS_XFS
        .command()?
        .args(["-q", "-f"])
        .option("-L", names.label)
        .option("-m", uuid)
        .arg("-p")
        .args([prototype.path(), output])
        .run()
        .map(drop)
}

fn make_btrfs(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    MKFS_BTRFS
        .copying_command()?
        .args(["-q", "-f"])
        .labelled("-L", "-U", names)
        .arg("--rootdir")
        .args([directory, output])
        .run()
        .map(drop)
}

fn make_f2fs(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    MKFS_F2FS.command()?.args(["-q", "-f"]).labelled("-l", "-U", names).arg(output).run()?;
    SLOAD_F2FS.copying_command()?.args(["-P", "-f"]).args([directory, output]).run().map(drop)
}

fn make_squashfs(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    if names.label.is_some() || names.uuid.is_some() {
        bail!("a SquashFS has neither label nor UUID: name its partition instead");
    }
    MKSQUASHFS
        .copying_command()?
        .args([directory, output])
        .args(["-noappend", "-no-progress", "-quiet"])
        .run()
        .map(drop)
}

fn make_erofs(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    MKFS_EROFS.copying_command()?.arg("--quiet").labelled("-L", "-U", names).args([output, directory]).run().map(drop)
}

fn make_vfat(directory: &Path, names: &Names, output: &Path) -> Result<()> {
    let serial = names.uuid.map(|uuid| uuid.replace('-', ""));
    MKFS_VFAT.command()?.option("-n", names.label).option("-i", serial).arg(output).run()?;
    let content = children(directory)?;
    if content.is_empty() {
        return Ok(());
    }
    MCOPY.command()?.args(["-s", "-Q", "-i"]).arg(output).args(content).arg("::/").run().map(drop)
}

impl Invocation {
    fn labelled(self, label: &str, uuid: &str, names: &Names) -> Self {
        self.option(label, names.label).option(uuid, names.uuid)
    }
}

/// The entries of a directory, sorted by name.
pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The bytes of all files below a directory, each counted as whole blocks of 4 KiB and one more for its inode.
fn tree_size(directory: &Path) -> Result<u64> {
    const BLOCK: u64 = 4096;
    children(directory)?.iter().try_fold(0, |sum, path| {
        let meta = path.symlink_metadata().with_context(|| format!("cannot read {}", path.display()))?;
        let below = if meta.is_dir() { tree_size(path)? } else { 0 };
        Ok(sum + below + meta.len().next_multiple_of(BLOCK) + BLOCK)
    })
}
