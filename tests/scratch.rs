//! The files of one test, deleted when it ends.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use modstrap_initramfs::Hardware;
use modstrap_qemu::{Boot, Bus, Drive, Recipe, tree};
use tempfile::TempDir;

/// A directory for the files of one test.
#[derive(Debug)]
pub struct Scratch {
    directory: TempDir,
    count: Cell<usize>,
}

impl Scratch {
    /// An empty directory.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("modstrap-test-").tempdir();
        Ok(Self { directory: directory.context("cannot make a temporary directory")?, count: Cell::new(0) })
    }

    /// A path that nothing has yet.
    pub fn path(&self) -> PathBuf {
        self.count.set(self.count.get() + 1);
        self.directory.path().join(self.count.get().to_string())
    }

    /// A new file with this content.
    pub fn file(&self, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path();
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// A disk made by a recipe.
    pub fn disk(&self, recipe: &Recipe) -> Result<PathBuf> {
        let path = self.path();
        recipe.write(&path)?;
        Ok(path)
    }

    /// A disk made by a recipe, on a bus.
    pub fn drive(&self, recipe: &Recipe, bus: Bus) -> Result<Drive> {
        Ok(Drive::new(self.disk(recipe)?, bus))
    }

    /// Puts several disks on one kind of bus, in their order.
    pub fn attach(&self, boot: Boot, bus: Bus, recipes: &[Recipe]) -> Result<Boot> {
        recipes.iter().try_fold(boot, |boot, recipe| Ok(boot.drive(self.drive(recipe, bus)?)))
    }

    /// A root tree like that of every disk, to be changed.
    pub fn tree(&self) -> Result<PathBuf> {
        let path = self.path();
        tree::write(&path)?;
        Ok(path)
    }

    /// The hardware that these modules drive.
    pub fn hardware(&self, modules: &[&str]) -> Result<Hardware> {
        Ok(Hardware::Names(self.file(modules.join("\n"))?))
    }
}
