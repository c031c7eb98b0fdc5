//! Firmware: the files that chosen modules name (`MODULE_FIRMWARE`), looked for where the kernel will look for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use glob::{MatchOptions, Pattern, glob_with};
use serde::Serialize;

use crate::archive::{Archive, Node};

/// Firmware files, each with the modules that may ask for it. A name may be a pattern.
pub type Wanted<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// A firmware file that an image lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Its name below /lib/firmware; a pattern if nothing matches it.
    pub file: String,
    /// The modules that may ask for it.
    pub modules: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.file, self.modules.join(", "))
    }
}

/// How the files of a directory may be compressed, in the order in which the kernel looks
/// (drivers/base/firmware_loader/main.c, `_request_firmware`). It unpacks them if it was built to
/// (CONFIG_FW_LOADER_COMPRESS); so they go in as they are.
const SUFFIXES: [&str; 3] = ["", ".zst", ".xz"];

/// Where firmware lies in an image.
const HOME: &str = "lib/firmware";

/// A directory of firmware, as /lib/firmware is.
struct Directory<'a> {
    path: &'a Path,
    /// The directories below it in which the kernel looks, the first first (`fw_path`).
    places: [String; 4],
}

/// Puts the firmware that is `wanted` from `directory` into `archive`, below /lib/firmware, for the kernel `release`.
/// What is neither there nor in the archive is returned; without a directory, all that is not in the archive.
pub fn add(archive: &mut Archive, directory: Option<&Path>, release: &str, wanted: &Wanted) -> Result<Vec<Missing>> {
    let directory = directory.map(|path| Directory::new(path, release)).transpose()?;
    let mut missing = Vec::new();
    for (&name, modules) in wanted {
        let files = directory.as_ref().map_or(Ok(BTreeSet::new()), |directory| directory.files(name))?;
        for file in &files {
            let path = format!("{HOME}/{file}");
            // The user's own goes before, and several patterns may match one file.
            if let Some(directory) = directory.as_ref().filter(|_| !archive.reaches(&path)) {
                archive.add(&path, directory.read(file)?)?;
            }
        }
        let there = SUFFIXES.iter().any(|suffix| archive.reaches(&format!("{HOME}/{name}{suffix}")));
        if files.is_empty() && !there {
            let modules = modules.iter().map(|module| module.to_string()).collect();
            missing.push(Missing { file: name.to_string(), modules });
        }
    }
    Ok(missing)
}

impl<'a> Directory<'a> {
    fn new(path: &'a Path, release: &str) -> Result<Self> {
        ensure!(path.is_dir(), "--firmware {}: no such directory", path.display());
        let places = [format!("updates/{release}/"), "updates/".into(), format!("{release}/"), String::new()];
        Ok(Directory { path, places })
    }

    /// The files, below the directory, that the kernel would take for `name`; or for all names that match it.
    fn files(&self, name: &str) -> Result<BTreeSet<String>> {
        if !name.contains(['*', '?', '[']) {
            return Ok(self.file(name).into_iter().collect());
        }
        let mut files = BTreeSet::new();
        for place in &self.places {
            for suffix in SUFFIXES {
                files.extend(self.matching(place, name, suffix)?.iter().filter_map(|name| self.file(name)));
            }
        }
        Ok(files)
    }

    /// The names that match a pattern, of files that lie in `place` and are compressed as `suffix` tells.
    fn matching(&self, place: &str, pattern: &str, suffix: &str) -> Result<Vec<String>> {
        let home = self.path.join(place);
        let whole = format!("{}/{pattern}{suffix}", Pattern::escape(&home.to_string_lossy()).trim_end_matches('/'));
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let paths =
            glob_with(&whole, options).with_context(|| format!("the firmware {pattern} that a module names"))?;
        let name = |path: &Path| path.strip_prefix(&home).ok()?.to_str()?.strip_suffix(suffix).map(str::to_string);
        Ok(paths.filter_map(|path| name(&path.ok()?)).collect())
    }

    /// The file that the kernel would take for this name: one that is not compressed wherever it lies, and so on.
    fn file(&self, name: &str) -> Option<String> {
        let in_places = |suffix| self.places.iter().map(move |place| format!("{place}{name}{suffix}"));
        SUFFIXES.into_iter().flat_map(in_places).find(|file| self.path.join(file).is_file())
    }

    fn read(&self, file: &str) -> Result<Node> {
        let source = self.path.join(file);
        let content = std::fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        Ok(Node::File { mode: 0o644, content })
    }
}
