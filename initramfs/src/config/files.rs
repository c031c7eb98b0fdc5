//! The files of modprobe.d: which count, and their lines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

/// How the names of files end that count; the manual page names the first alone.
const SUFFIXES: [&str; 2] = [".conf", ".alias"];

/// A line, joined with those that continue it.
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) text: String,
}

/// Where a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    file: Arc<Path>,
    /// From 1.
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file.display(), self.line)
    }
}

/// The files of `places`, in the order in which they are read.
pub(super) fn find(places: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for place in places {
        let context = || format!("--modprobe-d {}: cannot be read", place.display());
        if !place.metadata().with_context(context)?.is_dir() {
            add(&mut files, place.clone());
            continue;
        }
        for entry in std::fs::read_dir(place).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if is_configuration(&path) {
                add(&mut files, path);
            }
        }
    }
    Ok(files.into_values().collect())
}

fn add(files: &mut BTreeMap<OsString, PathBuf>, path: PathBuf) {
    let name = path.file_name().unwrap_or_default().to_owned();
    files.entry(name).or_insert(path);
}

fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) && !name.starts_with('.') && !path.is_dir()
}

/// The lines of a file, with kmod's reading of a backslash: at the end of a line it joins the next, elsewhere it is
/// dropped.
pub(super) fn lines(file: &Path) -> Result<Vec<Line>> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let file: Arc<Path> = file.into();
    let mut lines = Vec::new();
    let (mut number, mut begun, mut line) = (1, 1, String::new());
    let mut characters = text.chars();
    loop {
        match characters.next() {
            Some('\\') => match characters.next() {
                Some('\n') => number += 1,
                other => line.extend(other),
            },
            Some('\n') | None if line.is_empty() && characters.as_str().is_empty() => return Ok(lines),
            Some('\n') | None => {
                lines.push(Line { place: Place { file: file.clone(), line: begun }, text: std::mem::take(&mut line) });
                number += 1;
                begun = number;
            }
            Some(other) => line.push(other),
        }
    }
}
