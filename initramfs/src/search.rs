//! Which of several files of one module name wins: depmod's rule (depmod.d(5)).
//!
//! A directory's rank is its place in `search`; a directory that is not named there ranks as `built-in`. An `override`
//! names the winner outright. Where depmod leaves it to chance (two files of one rank), the first path in the
//! alphabet wins.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::module::normal;

/// The order in which directories of a module tree are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Best first; `built-in` stands for every directory that is not named.
    directories: Vec<String>,
    /// Module name and directory, the latest first.
    overrides: Vec<(String, String)>,
}

/// The directory that stands for all others.
const BUILT_IN: &str = "built-in";
/// What depmod takes where no configuration says anything, with the two directories named by which distributions that
/// have them configure it.
const DEFAULT: [&str; 4] = ["updates", "extra", BUILT_IN, "weak-updates"];
/// Where configuration is kept below a root, in the order in which files of one name hide each other.
const DIRECTORIES: [&str; 5] = ["etc", "run", "usr/local/lib", "usr/lib", "lib"];

impl Default for Search {
    fn default() -> Self {
        Search { directories: DEFAULT.map(str::to_string).to_vec(), overrides: Vec::new() }
    }
}

impl Search {
    /// Reads the configuration of the system whose root directory is `root`, as `depmod` running there would for the
    /// kernel `release`.
    pub fn of_system(root: &Path, release: &str) -> Result<Search> {
        let mut files: BTreeMap<_, PathBuf> = BTreeMap::new();
        for directory in DIRECTORIES {
            for file in configuration_files(&root.join(directory).join("depmod.d"))? {
                files.entry(file.file_name().map(ToOwned::to_owned)).or_insert(file);
            }
        }
        let mut search = Search { directories: Vec::new(), overrides: Vec::new() };
        for file in files.values() {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            search.read(&text, release).with_context(|| file.display().to_string())?;
        }
        if search.directories.is_empty() {
            search.directories = Search::default().directories;
        }
        Ok(search)
    }

    fn read(&mut self, text: &str, release: &str) -> Result<()> {
        for (index, line) in text.replace("\\\n", " ").lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["search", ref directories @ ..] => self.directories.extend(directories.iter().map(|d| d.to_string())),
                ["override", module, kernel, directory] if kernel_matches(kernel, release) => {
                    self.overrides.insert(0, (normal(module), directory.to_string()));
                }
                ["override", _, _, _] | ["external" | "include" | "make_map_files" | "exclude", ..] => {}
                _ => bail!("line {}: neither search, override nor external: {line}", index + 1),
            }
        }
        Ok(())
    }

    /// What decides between files of one module: the smallest wins. `path` is below the tree's directory.
    pub(crate) fn rank(&self, name: &str, path: &Path) -> impl Ord + use<> {
        let directory = path.parent().unwrap_or(Path::new(""));
        let overridden =
            self.overrides.iter().position(|(module, below)| module == name && directory == Path::new(below));
        let named = self.directories.iter().position(|named| named != BUILT_IN && path.starts_with(named));
        let built_in = || self.directories.iter().position(|named| named == BUILT_IN);
        let place = named.or_else(built_in).unwrap_or(usize::MAX);
        (Reverse(overridden.map(Reverse)), place, path.to_path_buf())
    }
}

/// `*` is any kernel, anything else a regular expression.
fn kernel_matches(pattern: &str, release: &str) -> bool {
    pattern == "*" || regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(release))
}

fn configuration_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(Vec::new()) };
    let paths: Vec<PathBuf> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "conf")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner<'a>(search: &Search, paths: &[&'a str]) -> &'a str {
        paths.iter().min_by_key(|path| search.rank("foo", Path::new(path))).unwrap()
    }

    fn configured(text: &str) -> Search {
        let mut search = Search { directories: Vec::new(), overrides: Vec::new() };
        search.read(text, "6.1.0").unwrap();
        search
    }

    #[test]
    fn updates_win_by_default_and_weak_updates_lose() {
        let search = Search::default();
        assert_eq!(winner(&search, &["kernel/foo.ko", "updates/dkms/foo.ko"]), "updates/dkms/foo.ko");
        assert_eq!(winner(&search, &["weak-updates/foo.ko", "kernel/foo.ko"]), "kernel/foo.ko");
        assert_eq!(winner(&search, &["kernel/foo.ko", "extra/foo.ko"]), "extra/foo.ko");
        assert_eq!(winner(&search, &["updates-not/foo.ko", "kernel/foo.ko"]), "kernel/foo.ko");
    }

    #[test]
    fn search_decides_and_what_is_not_named_is_built_in() {
        let search = configured("# ours\nsearch ubuntu built-in updates\n");
        assert_eq!(winner(&search, &["updates/foo.ko", "kernel/foo.ko", "ubuntu/foo.ko"]), "ubuntu/foo.ko");
        assert_eq!(winner(&search, &["updates/foo.ko", "kernel/foo.ko"]), "kernel/foo.ko");
        assert_eq!(winner(&search, &["other/foo.ko", "updates/foo.ko"]), "other/foo.ko");
    }

    #[test]
    fn the_latest_override_wins() {
        let search = configured("search updates\noverride foo * extra\noverride foo 6.1.0 mine\noverride foo 9.9 no\n");
        assert_eq!(winner(&search, &["updates/foo.ko", "mine/foo.ko", "extra/foo.ko", "no/foo.ko"]), "mine/foo.ko");
        assert_eq!(winner(&search, &["updates/foo.ko", "extra/foo.ko"]), "extra/foo.ko");
        assert_eq!(winner(&search, &["updates/foo.ko", "extra/sub/foo.ko"]), "updates/foo.ko");
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut search = Search::default();
        let error = search.read("search a\noverride foo\n", "6.1.0").unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }
}
