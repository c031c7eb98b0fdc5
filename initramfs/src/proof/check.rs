//! `modstrap check`: the proof for a whole module tree, or for an image that is already made.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::{HumanCount, ProgressBar};
use modstrap::table::Table;
use rayon::prelude::*;
use serde::Serialize;

use super::{Case, Proof, subjects};
use crate::cache::Cache;
use crate::contents::{Contents, Packed};
use crate::kernel::Kernel;
use crate::kernel::exports::Exports;
use crate::module::Module;
use crate::pack;
use crate::tree::{Tree, Unusable};

/// What to check.
#[derive(Clone, Debug)]
pub struct Question {
    /// The kernel image.
    pub kernel: PathBuf,
    /// Module.symvers or System.map, to take the kernel's symbols from instead.
    pub symbols: Option<PathBuf>,
    /// The modules.
    pub modules: Modules,
    /// The words that the kernel will be started with, beside those in an image.
    pub cmdline: String,
    /// Warnings count too.
    pub strict: bool,
}

/// Where the modules are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Modules {
    /// In a tree: all of them.
    Tree(PathBuf),
    /// In an image: in its load orders.
    Image(PathBuf),
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The release of the kernel.
    pub release: String,
    /// How many symbols it is known to export.
    pub symbols: usize,
    /// How many modules were looked at.
    pub modules: usize,
    /// Whether the kernel will load all of them.
    pub holds: bool,
    /// What was found.
    pub findings: Proof,
}

impl Question {
    /// Answers it; modules that are read are counted in `progress`.
    pub fn answer(&self, progress: &ProgressBar) -> Result<Answer> {
        let kernel = Kernel::read(&self.kernel)?.with_symbols(self.symbols.as_deref())?;
        let (modules, proof) = match &self.modules {
            Modules::Tree(directory) => self.of_tree(&kernel, directory, progress)?,
            Modules::Image(image) => self.of_image(&kernel, image, progress)?,
        };
        Ok(Answer {
            symbols: kernel.exports.as_ref().map_or(0, Exports::len),
            release: kernel.release,
            modules,
            holds: proof.holds(self.strict),
            findings: proof,
        })
    }

    fn of_tree(&self, kernel: &Kernel, directory: &Path, progress: &ProgressBar) -> Result<(usize, Proof)> {
        let tree = Tree::cached(directory, &kernel.release, &Cache::of_user(), progress)?;
        let (subjects, builtin) = (subjects::of_tree(&tree), &tree.builtin.names);
        let case = Case { kernel, cmdline: &self.cmdline, subjects, others: Vec::new(), builtin };
        let damaged = tree.unusable.iter().filter(|file| file.is_missed()).count();
        Ok((tree.modules.len() + damaged, Proof::of(&case).and(tree.unusable.iter().map(Unusable::finding))))
    }

    fn of_image(&self, kernel: &Kernel, path: &Path, progress: &ProgressBar) -> Result<(usize, Proof)> {
        let image = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let context = || format!("{}: not a sound image", path.display());
        let contents = Contents::of(&image).with_context(context)?;
        let table = contents.table().with_context(context)?;
        let modules = unpack(&contents, &table, progress).with_context(context)?;
        let builtin: BTreeSet<String> = table.builtin().map(|id| text(table.name(id).as_bytes())).collect();
        // The machine's own words come last.
        let cmdline = format!("{} {}", text(table.cmdline()), self.cmdline);
        let subjects = subjects::of_image(&table, &modules);
        let case = Case { kernel, cmdline: &cmdline, subjects, others: Vec::new(), builtin: &builtin };
        Ok((modules.len(), Proof::of(&case)))
    }
}

/// The modules of an image, in the table's order.
fn unpack(contents: &Contents, table: &Table, progress: &ProgressBar) -> Result<Vec<Module>> {
    let modules = contents.modules(table)?;
    progress.set_length(modules.len() as u64);
    let unpack = |Packed { name, blob, .. }: &Packed| {
        let module = pack::unpack(blob).and_then(|content| Module::parse(Path::new(name), &content));
        progress.inc(1);
        module.with_context(|| format!("its module {name}"))
    };
    modules.par_iter().map(unpack).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer { release, symbols, modules, holds, findings } = self;
        write!(f, "{findings}")?;
        let verdict = if *holds { "will load" } else { "would not load" };
        let what = if *holds { "all" } else { "all of" };
        let (modules, symbols) = (HumanCount(*modules as u64), HumanCount(*symbols as u64));
        write!(f, "the kernel {release} (symbols: {symbols}) {verdict} {what} these modules: {modules}")
    }
}
