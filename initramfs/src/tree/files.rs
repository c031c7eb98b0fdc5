//! The module files of a tree, and what is called as one and is none.

use std::collections::HashSet;
use std::fs::{FileType, Metadata};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::records::Stamp;
use super::{is_module, plain_path};
use crate::module::{Module, normal, place};
use crate::proof::{Finding, Kind};
use crate::search::Search;

/// Something in a tree that is called as modules are and gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The name that its module would have, as far as the file's name tells.
    pub module: String,
    /// Below the tree's directory.
    pub path: PathBuf,
    /// Why it gives no module.
    pub why: Why,
}

/// Why there is no module to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is no regular file but this, in words.
    NoFile(&'static str),
    /// No module can be read from the file, for this reason; a better file of its name is there.
    DamagedSpare(String),
    /// No module can be read from the file, for this reason.
    Damaged(String),
}

impl Unusable {
    pub(super) fn new(path: PathBuf, why: Why) -> Unusable {
        let plain = plain_path(&path);
        let file = plain.rsplit('/').next().unwrap_or_default();
        Unusable { module: normal(file.strip_suffix(".ko").unwrap_or(file)), path, why }
    }

    /// The same where these modules could be read: what a better file of its name makes good is a spare.
    pub(super) fn beside(self, modules: &[Module], search: &Search) -> Unusable {
        let Unusable { module, path, why } = self;
        let rank = |path: &Path| search.rank(&module, path);
        let is_better = |other: &Module| other.name == module && rank(&other.path) < rank(&path);
        let why = match why {
            Why::Damaged(reason) if modules.iter().any(is_better) => Why::DamagedSpare(reason),
            why => why,
        };
        Unusable { module, path, why }
    }

    /// Whether a module is missing because of it.
    pub fn is_missed(&self) -> bool {
        matches!(self.why, Why::Damaged(_))
    }

    /// Where its module would lie in the kernel's sources.
    pub fn place(&self) -> Option<String> {
        place(&self.path, &self.module)
    }

    /// What a proof says of it.
    pub fn finding(&self) -> Finding {
        let path = self.path.display().to_string();
        let kind = match &self.why {
            Why::NoFile(what) => Kind::NoFile { path, what },
            Why::DamagedSpare(reason) => Kind::Damaged { path, reason: reason.clone(), spare: true },
            Why::Damaged(reason) => Kind::Damaged { path, reason: reason.clone(), spare: false },
        };
        Finding { module: Some(self.module.clone()), kind }
    }
}

/// A module file.
pub(super) struct File {
    /// Below the tree's directory.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// The module files of a tree.
#[derive(Default)]
pub(super) struct Files {
    /// Sorted; each file once, by whichever path comes first.
    pub(super) found: Vec<File>,
    /// What is no regular file.
    pub(super) others: Vec<Unusable>,
    seen: HashSet<PathBuf>,
}

impl Files {
    /// Collects the modules in `directory`, which is `below` the tree's. `open` are the directories that lead here:
    /// a link back to one of them would never end.
    pub(super) fn walk(&mut self, directory: &Path, below: &Path, open: &mut Vec<PathBuf>) -> Result<()> {
        let canonical = directory.canonicalize().with_context(|| directory.display().to_string())?;
        if open.contains(&canonical) {
            return Ok(());
        }
        open.push(canonical);
        for path in super::entries(directory)? {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            let below = below.join(&name);
            let metadata = path.metadata().ok();
            if is_module(&path) {
                self.add(&path, &below, metadata.as_ref());
            }
            // Links to the kernel's sources, which hold no modules but their own build's.
            let is_source = below == Path::new("build") || below == Path::new("source");
            if metadata.is_some_and(|metadata| metadata.is_dir()) && !is_source {
                self.walk(&path, &below, open)?;
            }
        }
        open.pop();
        Ok(())
    }

    fn add(&mut self, path: &Path, below: &Path, metadata: Option<&Metadata>) {
        let other = match (metadata, path.canonicalize()) {
            (Some(metadata), Ok(canonical)) if metadata.is_file() => {
                if self.seen.insert(canonical) {
                    self.found.push(File { path: below.to_path_buf(), stamp: Stamp::of(metadata) });
                }
                return;
            }
            (Some(metadata), Ok(_)) => kind_of(metadata.file_type()),
            _ => "a link to nothing",
        };
        self.others.push(Unusable::new(below.to_path_buf(), Why::NoFile(other)));
    }
}

/// What something is that is no regular file. To read it might never end.
fn kind_of(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}
