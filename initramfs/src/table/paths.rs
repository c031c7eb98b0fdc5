//! Where the files of modules lie, in runs.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use modstrap::table::layout::path;

use super::dictionary::Dictionary;
use super::{Entry, shared};
use crate::module::normal;

/// The section in the making.
pub(super) struct Paths {
    runs: Vec<Run>,
    suffix: String,
}

/// Modules of one directory whose files are named in the same way.
struct Run {
    first: u16,
    style: u8,
    /// How much of the directory before is dropped.
    dropped: usize,
    /// What is added to it.
    added: Vec<u8>,
}

impl Paths {
    pub(super) fn new(modules: &[Entry]) -> Result<Self> {
        let mut paths = Paths { runs: Vec::new(), suffix: common_suffix(modules) };
        if modules.iter().all(|entry| entry.path.is_empty()) {
            return Ok(paths);
        }
        let mut before = String::new();
        let mut open: Option<Style> = None;
        for (entry, first) in modules.iter().zip(0..) {
            ensure!(
                entry.path.len() <= path::MAX && !entry.path.contains(|byte: char| byte.is_ascii_control()),
                "module {}: its path is longer than {} bytes, or no text: {}",
                entry.name,
                path::MAX,
                entry.path.escape_debug()
            );
            let (directory, style) = match file(entry, &paths.suffix) {
                Some((directory, style)) => (directory, Some(style)),
                None => (entry.path.as_str(), None),
            };
            let continued = open.zip(style).and_then(|(open, style)| open.with(style)).filter(|_| before == directory);
            if continued.is_none() {
                let kept = shared(before.as_bytes(), directory.as_bytes());
                let (dropped, added) = (before.len() - kept, directory.as_bytes()[kept..].to_vec());
                paths.runs.push(Run { first, style: path::SPELLED, dropped, added });
                before = directory.to_string();
            }
            open = continued.or(style);
            if let (Some(run), Some(style)) = (paths.runs.last_mut(), open) {
                run.style = style.dashes;
            }
        }
        Ok(paths)
    }

    /// What the names of most files end in.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The texts that will be packed.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.runs.iter().map(|run| run.added.as_slice())
    }

    /// The section.
    pub(super) fn write(&self, dictionary: &Dictionary) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for run in &self.runs {
            let added = dictionary.pack(&run.added);
            bytes.extend(run.first.to_le_bytes());
            bytes.extend([run.style, run.dropped as u8, added.len() as u8]);
            bytes.extend(added);
        }
        Ok(bytes)
    }
}

/// How file names are made of module names.
#[derive(Clone, Copy)]
struct Style {
    /// The bits of '_' that are a '-' in the file's name.
    dashes: u8,
    /// The bits of the '_' that there are.
    known: u8,
}

impl Style {
    /// The style of a file's name; none where it cannot be written as one.
    fn of(stem: &str) -> Option<Style> {
        let mut style = Style { dashes: 0, known: 0 };
        let separators = stem.bytes().filter(|byte| matches!(byte, b'-' | b'_'));
        let bits = (0..).map(|place| (1_u8).checked_shl(place).unwrap_or(path::LAST).min(path::LAST));
        for (separator, bit) in separators.zip(bits) {
            style = style.with(Style { dashes: if separator == b'-' { bit } else { 0 }, known: bit })?;
        }
        Some(style)
    }

    /// The style that is both.
    fn with(self, other: Style) -> Option<Style> {
        let agree = (self.dashes ^ other.dashes) & self.known & other.known == 0;
        agree.then_some(Style { dashes: self.dashes | other.dashes, known: self.known | other.known })
    }
}

/// The directory of a module's file and the style of its name, where the name is the module's.
fn file<'e>(entry: &'e Entry, suffix: &str) -> Option<(&'e str, Style)> {
    let (directory, file) = entry.path.rsplit_once('/')?;
    let stem = file.strip_suffix(suffix)?;
    (normal(stem) == normal(&entry.name)).then(|| Style::of(stem))?.map(|style| (directory, style))
}

fn common_suffix(modules: &[Entry]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for suffix in modules.iter().filter_map(|entry| entry.path.rfind(".ko").map(|at| &entry.path[at..])) {
        *counts.entry(suffix).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(String::new(), |(suffix, _)| suffix.to_string())
}
