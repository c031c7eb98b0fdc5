//! The files of modprobe.d: which count, and their lines.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::Note;

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
    /// From 1; none where the file as a whole is meant.
    line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, ", line {line}"))
    }
}

/// A file that counts.
pub(super) struct File {
    path: PathBuf,
    /// The user named it, so that it must be readable; else it was found in a directory.
    is_named: bool,
}

/// The files of `places`, in the order in which they are read.
pub(super) fn find(places: &[PathBuf]) -> Result<Vec<File>> {
    let mut files: BTreeMap<OsString, File> = BTreeMap::new();
    for place in places {
        let context = || format!("--modprobe-d {}: cannot be read", place.display());
        if !place.metadata().with_context(context)?.is_dir() {
            add(&mut files, File { path: place.clone(), is_named: true });
            continue;
        }
        for entry in std::fs::read_dir(place).with_context(context)? {
            let path = entry.with_context(context)?.path();
            if is_configuration(&path) {
                add(&mut files, File { path, is_named: false });
            }
        }
    }
    Ok(files.into_values().collect())
}

fn add(files: &mut BTreeMap<OsString, File>, file: File) {
    let name = file.path.file_name().unwrap_or_default().to_owned();
    files.entry(name).or_insert(file);
}

fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) && !name.starts_with('.') && !path.is_dir()
}

impl File {
    /// Its lines; where it was found in a directory and cannot be read, why.
    pub(super) fn lines(&self) -> Result<Result<Vec<Line>, Note>> {
        let content = match std::fs::metadata(&self.path) {
            Ok(metadata) if !metadata.is_file() && !self.may_be_special() => Err("it is no regular file".to_string()),
            Ok(_) => std::fs::read(&self.path).map_err(|error| error.to_string()),
            Err(_) if self.path.is_symlink() => Err("it is a link to nothing".to_string()),
            Err(error) => Err(error.to_string()),
        };
        match content {
            Err(reason) if self.is_named => bail!("cannot read {}: {reason}", self.path.display()),
            Err(reason) => {
                let place = Place { file: self.path.as_path().into(), line: None };
                Ok(Err(Note::new(place, format!("passed over: {reason}"))))
            }
            Ok(content) => Ok(Ok(lines(&self.path, &content))),
        }
    }

    /// Whether it is read although it is no regular file, which might never end: what the user named may be a pipe, and a
    /// link to /dev/null is the usual way to hide a file of the same name.
    fn may_be_special(&self) -> bool {
        self.is_named || self.path.canonicalize().is_ok_and(|path| path == Path::new("/dev/null"))
    }
}

/// The lines of a file's content, with kmod's reading of a backslash: at the end of a line it joins the next, elsewhere it
/// is dropped.
fn lines(file: &Path, content: &[u8]) -> Vec<Line> {
    let text = String::from_utf8_lossy(content);
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
            Some('\n') | None if line.is_empty() && characters.as_str().is_empty() => return lines,
            Some('\n') | None => {
                lines.push(Line {
                    place: Place { file: file.clone(), line: Some(begun) },
                    text: std::mem::take(&mut line),
                });
                number += 1;
                begun = number;
            }
            Some(other) => line.push(other),
        }
    }
}
