//! What is part of the kernel itself: the names in modules.builtin, and what modules.builtin.modinfo says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::module::{normal, place};
use crate::pattern::Part;

/// The built-in modules of a kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builtin {
    /// Their names, with '_' for '-'.
    pub names: BTreeSet<String>,
    /// The places of those in the kernel's sources that have one.
    pub places: BTreeMap<String, String>,
    /// What they answer to, each with its module's name.
    pub aliases: Vec<(String, String)>,
}

impl Builtin {
    /// Reads both files of a tree; either may be absent.
    pub fn read(directory: &Path) -> Result<Builtin> {
        let mut builtin = Builtin::default();
        if let Some(text) = read_if_present(&directory.join("modules.builtin"))? {
            let text = String::from_utf8_lossy(&text).into_owned();
            for path in text.lines().map(str::trim) {
                let Some(name) = name_of_path(path) else { continue };
                builtin.places.extend(place(Path::new(path), &name).map(|place| (name.clone(), place)));
                builtin.names.insert(name);
            }
        }
        let path = directory.join("modules.builtin.modinfo");
        if let Some(text) = read_if_present(&path)? {
            builtin.read_info(&text).with_context(|| path.display().to_string())?;
        }
        Ok(builtin)
    }

    /// Them all.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.names.iter().map(|name| self.part(name))
    }

    /// The one of this name.
    pub fn part<'a>(&'a self, name: &'a str) -> Part<'a> {
        Part { name, place: self.places.get(name).map(String::as_str) }
    }

    /// Each module, also one that only the second file names, with all its aliases.
    pub fn modules(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        let mut modules: BTreeMap<&String, Vec<String>> = self.names.iter().map(|name| (name, Vec::new())).collect();
        for (alias, module) in &self.aliases {
            modules.entry(module).or_default().push(alias.clone());
        }
        modules.into_iter().map(|(name, aliases)| (name.clone(), aliases)).collect::<Vec<_>>().into_iter()
    }

    /// `module.key=value`, each ended by a NUL (Documentation/kbuild/kbuild.rst).
    fn read_info(&mut self, text: &[u8]) -> Result<()> {
        for line in text.split(|&byte| byte == 0).filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let field = line.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
            let Some(((module, key), value)) = field else { bail!("not of the form module.key=value: {line}") };
            if key == "alias" {
                self.aliases.push((value.to_string(), normal(module)));
            }
        }
        Ok(())
    }
}

/// The module name that a path such as `kernel/fs/fuse/fuse.ko` stands for.
fn name_of_path(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let name = file.strip_suffix(".ko").unwrap_or(file);
    (!name.is_empty()).then(|| normal(name))
}

/// The content of a file that need not be there.
pub(crate) fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_aliases() {
        assert_eq!(name_of_path("kernel/fs/nls/nls_iso8859-1.ko"), Some("nls_iso8859_1".into()));
        let mut builtin = Builtin::default();
        builtin.read_info(b"fuse.alias=fs-fuse\0fuse.license=GPL\0a.b.c=d=e\0").unwrap();
        assert_eq!(builtin.aliases, [("fs-fuse".to_string(), "fuse".to_string())]);
    }

    #[test]
    fn a_damaged_file_is_an_error() {
        assert!(Builtin::default().read_info(b"nonsense\0").is_err());
    }
}
