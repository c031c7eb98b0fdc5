//! A kernel's module tree as a distribution ships it: found, walked, read, and put in order.

mod files;
mod records;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use indicatif::ProgressBar;
use rayon::iter::Either;
use rayon::prelude::*;

use self::files::{File, Files};
pub use self::files::{Unusable, Why};
use self::records::{Records, Stamp};
use crate::aliases::Aliases;
use crate::builtin::{Builtin, read_if_present};
use crate::cache::Cache;
use crate::config::Config;
use crate::module::{Module, normal, read_file};
use crate::search::Search;
use crate::similar::similar;

/// A module tree, read.
#[derive(Debug)]
pub struct Tree {
    /// The directory that holds `modules.order` and `kernel/`.
    pub directory: PathBuf,
    /// One module for each name, in `modules.order`; what is not listed there follows, by path.
    pub modules: Vec<Module>,
    /// What is part of the kernel itself.
    pub builtin: Builtin,
    /// The names that several files had.
    pub duplicates: Vec<Duplicate>,
    /// What is called as modules are and gives none.
    pub unusable: Vec<Unusable>,
    /// What modprobe.d says.
    pub config: Config,
    by_name: HashMap<String, usize>,
    aliases: Aliases<usize>,
    builtin_aliases: Aliases<String>,
    /// Those of modprobe.d, with the name that each stands for.
    configured: Aliases<String>,
}

/// A module name that several files had.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Duplicate {
    /// The module's name.
    pub name: String,
    /// The file that was taken.
    pub taken: PathBuf,
    /// The files that were not.
    pub passed_over: Vec<PathBuf>,
}

/// Who answers to a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Modules of the tree, as indices of [`Tree::modules`].
    pub modules: Vec<usize>,
    /// Parts of the kernel itself.
    pub builtin: Vec<String>,
}

impl Found {
    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.builtin.is_empty()
    }

    /// Both together.
    fn and(mut self, other: Found) -> Found {
        self.modules.extend(other.modules);
        self.builtin.extend(other.builtin);
        self.sorted()
    }

    /// Each once.
    fn sorted(mut self) -> Found {
        self.modules.sort_unstable();
        self.modules.dedup();
        self.builtin.sort_unstable();
        self.builtin.dedup();
        self
    }
}

/// Where a module tree lies.
struct Location {
    directory: PathBuf,
    /// The root directory of the system that it is part of, if the path tells.
    root: Option<PathBuf>,
}

/// The directories that may hold trees, below what a user calls the modules' directory.
const CONTAINERS: [&str; 3] = ["lib/modules", "usr/lib/modules", ""];
/// How the name of a module file may end.
const SUFFIXES: [&str; 4] = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

impl Tree {
    /// Finds the tree of the kernel `release` at or below `directory` and reads it, counting files in `progress`.
    pub fn read(directory: &Path, release: &str, progress: &ProgressBar) -> Result<Tree> {
        Self::cached(directory, release, &Cache::none(), progress)
    }

    /// The same; of files that are what they were, what the cache has of them is taken.
    pub fn cached(directory: &Path, release: &str, cache: &Cache, progress: &ProgressBar) -> Result<Tree> {
        let location = locate(directory, release)?;
        let search = match &location.root {
            Some(root) => Search::of_system(root, release)?,
            None => Search::default(),
        };
        let directory = location.directory;
        let mut files = Files::default();
        files.walk(&directory, Path::new(""), &mut Vec::new())?;
        progress.set_length(files.found.len() as u64);
        let mut records = Records::load(cache, &directory);
        let (mut all, mut new) = (Vec::new(), Vec::new());
        for file in &files.found {
            match records.take(&file.path, &file.stamp) {
                Some(module) => all.push((file.stamp, module)),
                None => new.push(file),
            }
        }
        progress.inc(all.len() as u64);
        let read = |File { path, stamp }: &File| {
            let module = read_file(&directory.join(path)).and_then(|bytes| Module::parse(path, &bytes));
            progress.inc(1);
            let module = module.map_err(|error| Unusable::new(path.clone(), Why::Damaged(format!("{error:#}"))));
            module.map(|module| (*stamp, module))
        };
        let (damaged, new): (Vec<Unusable>, Vec<(Stamp, Module)>) =
            new.par_iter().partition_map(|file| Either::from(read(file)));
        let is_news = !new.is_empty();
        all.extend(new);
        if is_news {
            Records::save(cache, &directory, all.iter().map(|(stamp, module)| (stamp, module)));
        }
        let (mut modules, duplicates) = decide(all.into_iter().map(|(_, module)| module), &search);
        sort(&mut modules, &directory)?;
        let mut unusable = files.others;
        unusable.extend(damaged.into_iter().map(|file| file.beside(&modules, &search)));
        unusable.sort_by(|a, b| a.path.cmp(&b.path));
        let builtin = Builtin::read(&directory)?;
        let empty = modules.is_empty() && builtin.names.is_empty() && unusable.is_empty();
        ensure!(!empty, "{}: neither modules nor modules.builtin are there", directory.display());
        Ok(Tree { duplicates, unusable, ..Tree::index(directory, modules, builtin) })
    }

    fn index(directory: PathBuf, modules: Vec<Module>, builtin: Builtin) -> Tree {
        let mut tree = Tree {
            by_name: HashMap::new(),
            aliases: Aliases::default(),
            builtin_aliases: builtin.aliases.iter().cloned().collect(),
            configured: Aliases::default(),
            config: Config::default(),
            directory,
            modules,
            builtin,
            duplicates: Vec::new(),
            unusable: Vec::new(),
        };
        tree.number();
        tree
    }

    /// A tree of these modules alone.
    #[cfg(test)]
    pub(crate) fn of(modules: Vec<Module>) -> Tree {
        Self::index(PathBuf::new(), modules, Builtin::default())
    }

    /// Notes where each module stands.
    fn number(&mut self) {
        let modules = || self.modules.iter().enumerate();
        self.by_name = modules().map(|(index, module)| (module.name.clone(), index)).collect();
        self.aliases =
            modules().flat_map(|(index, module)| module.aliases.iter().map(move |alias| (alias, index))).collect();
    }

    /// Lets the providers of cryptographic algorithms change places among themselves, so that those of least `rank` are
    /// first: of several for one algorithm a boot takes the first that it can.
    pub fn put_best_first(&mut self, rank: impl Fn(&Module) -> usize) {
        let provides = |module: &Module| module.aliases.iter().any(|alias| alias.starts_with("crypto-"));
        let places: Vec<usize> = (0..self.modules.len()).filter(|&index| provides(&self.modules[index])).collect();
        let mut providers: Vec<Module> = places.iter().map(|&place| self.modules[place].clone()).collect();
        providers.sort_by_cached_key(rank);
        for (place, provider) in places.into_iter().zip(providers) {
            self.modules[place] = provider;
        }
        self.number();
    }

    /// Merges what modprobe.d says into what the modules say of themselves.
    pub fn configure(&mut self, mut config: Config) {
        for module in &mut self.modules {
            module.add_soft(&config.soft(&module.name));
        }
        self.configured = config.aliases.iter().map(|alias| (alias.pattern.clone(), alias.module.clone())).collect();
        config.note_lost_options(|name| match name {
            name if self.by_name(name).is_some() => None,
            name if self.is_builtin(name) => {
                Some("it is built into the kernel; give NAME.PARAMETER= on the command line")
            }
            name => {
                (!self.find(name).is_empty()).then_some("an alias has no parameters of its own here; name the module")
            }
        });
        config.note_lost_aliases(|name| match name {
            name if !self.named(name).is_empty() => None,
            "off" => Some("`off` is no module, so nothing is loaded for it"),
            name => {
                self.answers(name).then_some("that is itself an alias, which kmod does not follow; name the module")
            }
        });
        self.config = config;
    }

    /// Whether an alias has this name.
    fn answers(&self, name: &str) -> bool {
        self.configured.matching(name).next().is_some() || !self.find(name).is_empty()
    }

    /// The module of this name.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        self.by_name.get(&normal(name)).copied()
    }

    /// Whether a module of this name is part of the kernel itself.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.names.contains(&normal(name))
    }

    /// Whether the kernel itself has something of this name or alias, whatever modules there are for it.
    pub fn is_in_kernel(&self, name: &str) -> bool {
        self.is_builtin(name) || self.builtin_aliases.matching(&normal(name)).next().is_some()
    }

    /// What is called as the module of this name would be, and gives none.
    pub fn unusable(&self, name: &str) -> Option<&Unusable> {
        let name = normal(name);
        self.unusable.iter().find(|file| file.module == name)
    }

    /// The damaged files of which a module of this name is missed: indices of [`Tree::unusable`].
    pub fn missed(&self, name: &str) -> impl Iterator<Item = usize> {
        let name = normal(name);
        let files = self.unusable.iter().enumerate().filter(|(_, file)| file.is_missed());
        files.filter(move |(_, file)| file.module == name).map(|(index, _)| index)
    }

    /// Who answers to `name`, in the order in which kmod asks, the first who does: aliases of modprobe.d, the module of
    /// that name, the modules' aliases, what is built in by name, what is built in by alias. An alias of modprobe.d that
    /// stands for nothing (`off`) is an answer too, and an empty one.
    pub fn find(&self, name: &str) -> Found {
        let name = normal(name);
        let mut configured = self.configured.matching(&name).peekable();
        if configured.peek().is_some() {
            return configured.map(|target| self.named(target)).fold(Found::default(), Found::and);
        }
        let by_name = self.by_name(&name).map(|index| vec![index]);
        let modules = by_name.unwrap_or_else(|| self.aliases.matching(&name).copied().collect());
        if !modules.is_empty() {
            return Found { modules, builtin: Vec::new() }.sorted();
        }
        match self.named(&name) {
            found if found.is_empty() => {
                let builtin = self.builtin_aliases.matching(&name).cloned().collect();
                Found { modules: Vec::new(), builtin }.sorted()
            }
            found => found,
        }
    }

    /// Who is called `name`.
    fn named(&self, name: &str) -> Found {
        match self.by_name(name) {
            Some(index) => Found { modules: vec![index], builtin: Vec::new() },
            None if self.is_builtin(name) => Found { modules: Vec::new(), builtin: vec![name.to_string()] },
            None => Found::default(),
        }
    }

    /// Names of the tree or the kernel that look like `name`, the likest first.
    pub fn similar(&self, name: &str) -> Vec<&str> {
        let name = normal(name);
        let names =
            self.modules.iter().map(|module| module.name.as_str()).chain(self.builtin.names.iter().map(String::as_str));
        similar(&name, names)
    }

    /// The content of a module's file, not compressed.
    pub fn content(&self, index: usize) -> Result<Vec<u8>> {
        let path = self.directory.join(&self.modules[index].path);
        read_file(&path).with_context(|| path.display().to_string())
    }
}

/// Finds the directory of the kernel `release`: one of that name where trees are kept below `given`, or that itself.
fn locate(given: &Path, release: &str) -> Result<Location> {
    ensure!(given.is_dir(), "{}: no such directory of kernel modules", given.display());
    let mut others = Vec::new();
    for container in CONTAINERS {
        let container = given.join(container);
        let directory = container.join(release);
        if directory.is_dir() {
            let root = container.canonicalize().ok().and_then(|container| root_above(&container));
            return Ok(Location { directory, root });
        }
        others.extend(trees_in(&container));
    }
    if is_tree(given) {
        let canonical = given.canonicalize()?;
        let root = canonical.parent().and_then(root_above);
        return Ok(Location { root, directory: given.to_path_buf() });
    }
    let found =
        if others.is_empty() { "no modules at all".into() } else { format!("only those of {}", others.join(", ")) };
    bail!("{}: no modules of the kernel {release}, {found}", given.display())
}

/// Whether this is the directory of one kernel's modules.
fn is_tree(directory: &Path) -> bool {
    let listed = ["modules.order", "modules.builtin", "kernel"].iter().any(|name| directory.join(name).exists());
    listed || entries(directory).is_ok_and(|entries| entries.iter().any(|path| is_module(path)))
}

fn trees_in(container: &Path) -> Vec<String> {
    let directories = entries(container).unwrap_or_default().into_iter().filter(|path| is_tree(path));
    directories.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
}

/// The root directory of the system whose modules are kept in `container`.
fn root_above(container: &Path) -> Option<PathBuf> {
    let lib = container.parent().filter(|lib| container.ends_with("lib/modules") && lib.ends_with("lib"))?;
    let root = lib.parent()?;
    Some(if root.ends_with("usr") { root.parent()? } else { root }.to_path_buf())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot read the directory {}", directory.display());
    let entries = std::fs::read_dir(directory).with_context(context)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().with_context(context)?;
    paths.sort();
    Ok(paths)
}

fn is_module(path: &Path) -> bool {
    path.file_name().is_some_and(|name| SUFFIXES.iter().any(|suffix| name.to_string_lossy().ends_with(suffix)))
}

/// Keeps one module of each name.
fn decide(all: impl Iterator<Item = Module>, search: &Search) -> (Vec<Module>, Vec<Duplicate>) {
    let mut by_name: BTreeMap<String, Vec<Module>> = BTreeMap::new();
    for module in all {
        by_name.entry(module.name.clone()).or_default().push(module);
    }
    let mut duplicates = Vec::new();
    let mut kept = Vec::new();
    for (name, mut modules) in by_name {
        modules.sort_by_cached_key(|module| search.rank(&name, &module.path));
        let mut modules = modules.into_iter();
        let Some(mut first) = modules.next() else { continue };
        let others: Vec<Module> = modules.collect();
        // A replacement is for the same thing, so the place of what it replaces tells what it is.
        first.place = first.place.or_else(|| others.iter().find_map(|other| other.place.clone()));
        let passed_over: Vec<PathBuf> = others.into_iter().map(|module| module.path).collect();
        if !passed_over.is_empty() {
            duplicates.push(Duplicate { name, taken: first.path.clone(), passed_over });
        }
        kept.push(first);
    }
    (kept, duplicates)
}

/// Puts modules in the order of `modules.order`, the order in which the kernel links what is built in.
fn sort(modules: &mut [Module], directory: &Path) -> Result<()> {
    let text = read_if_present(&directory.join("modules.order"))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let place: HashMap<&str, usize> = text.lines().enumerate().map(|(place, path)| (path, place)).collect();
    modules.sort_by_cached_key(|module| {
        let path = plain_path(&module.path);
        (place.get(path.as_str()).copied().unwrap_or(usize::MAX), path)
    });
    Ok(())
}

/// A module's path without the suffix of its compression.
fn plain_path(path: &Path) -> String {
    let path = path.to_string_lossy();
    SUFFIXES.iter().find_map(|suffix| path.strip_suffix(suffix)).map_or(path.to_string(), |stem| format!("{stem}.ko"))
}
