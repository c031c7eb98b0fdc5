//! Disk images, made without root rights by the real tools: a [`Recipe`] says what, its `write` does it.
//!
//! `filesystem` makes a file system from a directory, `table` lays it into a partition.

mod filesystem;
mod protofile;
mod sparse;
mod table;

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

pub use filesystem::FileSystem;
pub(crate) use sparse::copy as copy_sparse;

use crate::tree;

const MIB: u64 = 1 << 20;

/// The kinds of partition table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// The file system fills the whole disk.
    #[default]
    None,
    /// A GUID partition table.
    Gpt,
    /// A DOS partition table.
    Mbr,
}

/// How to make one disk image. What is left out is chosen: the root tree of [`crate::tree`], a size that fits,
/// UUIDs by the tools.
#[derive(Clone, Debug)]
pub struct Recipe {
    file_system: FileSystem,
    from: Option<PathBuf>,
    size: Option<u64>,
    label: Option<String>,
    uuid: Option<String>,
    table: Table,
    partition: Partition,
}

/// Which partition holds the file system, and its names. The partitions before it are empty and one MiB long;
/// in a GPT their UUIDs are `00000000-0000-4000-8000-` and the partition's number in twelve digits.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub number: u32,
    pub label: Option<String>,
    pub uuid: Option<String>,
}

impl Recipe {
    /// A disk that is one file system with the root tree of the tests.
    pub fn new(file_system: FileSystem) -> Self {
        Self {
            file_system,
            from: None,
            size: None,
            label: None,
            uuid: None,
            table: Table::None,
            partition: Partition { number: 1, label: None, uuid: None },
        }
    }

    /// The directory to copy instead of the tests' root tree. Run as root the owners are kept, otherwise
    /// everything inside belongs to root.
    #[must_use]
    pub fn from(mut self, directory: impl Into<PathBuf>) -> Self {
        self.from = Some(directory.into());
        self
    }

    /// The file system's size in bytes, rounded up to whole MiB. SquashFS and EROFS are as large as their content.
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// The file system's label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The file system's UUID in the form that blkid prints for its kind.
    #[must_use]
    pub fn uuid(mut self, uuid: impl Into<String>) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// The partition table around the file system.
    #[must_use]
    pub fn table(mut self, table: Table) -> Self {
        self.table = table;
        self
    }

    /// The number of the partition that holds the file system, 1 unless given; from 5 on a logical one in an MBR.
    #[must_use]
    pub fn partition(mut self, number: u32) -> Self {
        self.partition.number = number;
        self
    }

    /// The partition's name; a GPT has such names, an MBR does not.
    #[must_use]
    pub fn partition_label(mut self, label: impl Into<String>) -> Self {
        self.partition.label = Some(label.into());
        self
    }

    /// The partition's UUID: `8-4-4-4-12` in a GPT, `ssssssss-pp` in an MBR (disk signature and partition number).
    #[must_use]
    pub fn partition_uuid(mut self, uuid: impl Into<String>) -> Self {
        self.partition.uuid = Some(uuid.into());
        self
    }

    /// Makes the image in `output`, replacing what was there; a failure leaves that as it was.
    pub fn write(&self, output: impl AsRef<Path>) -> Result<()> {
        let output = output.as_ref();
        self.check()?;
        self.write_beside(output).with_context(|| format!("cannot make the disk {}", output.display()))
    }

    fn write_beside(&self, output: &Path) -> Result<()> {
        let directory = output.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        let unfinished = builder.permissions(Permissions::from_mode(0o644)).tempfile_in(directory)?.into_temp_path();
        self.write_to(&unfinished)?;
        unfinished.persist(output)?;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.table != Table::None || (self.partition.label.is_none() && self.partition.uuid.is_none()),
            "a partition's label or UUID needs a partition table: gpt or mbr"
        );
        ensure!(
            self.table != Table::Mbr || self.partition.label.is_none(),
            "partitions in an MBR have no labels: use a GPT"
        );
        ensure!(self.partition.number >= 1, "partitions are counted from 1");
        Ok(())
    }

    fn write_to(&self, output: &Path) -> Result<()> {
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let file_system = match self.table {
            Table::None => output.to_owned(),
            _ => scratch.path().join("filesystem"),
        };
        let own_tree = scratch.path().join("tree");
        let source = match (&self.from, self.file_system) {
            (_, FileSystem::None) => None,
            (Some(directory), _) => Some(directory.as_path()),
            (None, _) => {
                tree::write(&own_tree)?;
                Some(own_tree.as_path())
            }
        };
        self.write_file_system(source, &file_system)?;
        match self.table {
            Table::None => Ok(()),
            kind => table::wrap(kind, &self.partition, &file_system, output),
        }
    }

    fn write_file_system(&self, source: Option<&Path>, output: &Path) -> Result<()> {
        if let Some(directory) = source {
            ensure!(directory.is_dir(), "{} is not a directory", directory.display());
        }
        let size = match (self.size, source) {
            _ if self.file_system.sizes_itself() => 0,
            (Some(size), _) => size.next_multiple_of(MIB),
            (None, Some(directory)) => self.file_system.comfortable_size(directory)?,
            (None, None) => MIB,
        };
        let image = File::create(output).context("cannot create the file")?;
        image.set_len(size).context("cannot set the file's size")?;
        let Some(directory) = source else { return Ok(()) };
        let names = filesystem::Names { label: self.label.as_deref(), uuid: self.uuid.as_deref() };
        self.file_system.make(directory, &names, output)
    }
}

/// A size in bytes, with an optional K, M or G for powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match &text[digits.len()..] {
            "" => 0,
            "K" | "k" => 10,
            "M" | "m" => 20,
            "G" | "g" => 30,
            unit => bail!("`{unit}` is no unit of size: K, M or G"),
        };
        let number: u64 = digits.parse().with_context(|| format!("`{text}` is no size such as 64M"))?;
        number.checked_mul(1 << shift).map(Self).with_context(|| format!("`{text}` is too large"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!("64M".parse::<Size>().unwrap(), Size(64 << 20));
        assert_eq!("512".parse::<Size>().unwrap(), Size(512));
        for wrong in ["", "M", "64T", "-1", "99999999999G"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_without_a_table_are_refused() {
        let error = Recipe::new(FileSystem::Ext4).partition_label("x").write("/nonexistent").unwrap_err();
        assert!(error.to_string().contains("needs a partition table"), "{error}");
    }

    #[test]
    fn labels_that_would_be_cut_are_refused() {
        let output = tempfile::NamedTempFile::new().unwrap();
        let recipe = |label: &str| Recipe::new(FileSystem::Ext4).label(label).write(output.path());
        recipe("sixteen-bytes-ok").unwrap();
        let error = format!("{:#}", recipe("seventeen-bytes--").unwrap_err());
        assert!(error.contains("longer than the 16 bytes"), "{error}");
    }
}
