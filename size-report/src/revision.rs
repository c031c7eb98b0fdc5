//! The loader of another revision: checked out, built, and measured by the same code as this one's.
//!
//! What this takes lies below `size-report/against` in the target directory: the checkout, a worktree of git, for as long
//! as it takes; and what cargo made of it, so that the next run against the same revision builds nothing. One run at a
//! time works there, and others wait for it.
//!
//! A revision need not be built as this one is. What it has no program, no feature or no symbols for is left out, and
//! told; only a loader that does not build at all is an error.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use crate::budget::Limit;
use crate::delta::Earlier;
use crate::elf::{self, Elf};
use crate::loader::Loader;
use crate::make::Workspace;
use crate::packed::Sizes;

/// How many digits of a commit people are told.
const SHORT: usize = 12;

/// A revision of the repository that a workspace is in.
#[derive(Debug)]
pub struct Revision {
    /// What the user calls it.
    name: String,
    /// The commit's full name.
    commit: String,
}

impl Revision {
    /// The revision of this name. Fails with what git says where it knows none.
    pub fn find(workspace: &Workspace, name: &str) -> Result<Revision> {
        let commit = format!("{name}^{{commit}}");
        let found = git(workspace.root(), &["rev-parse", "--verify", "--end-of-options", &commit])?;
        Ok(Revision { name: name.to_owned(), commit: found.trim().to_owned() })
    }

    /// Builds the revision's loader and measures it, and as images hold it with these features.
    pub fn measure(&self, workspace: &Workspace, limits: &[Limit]) -> Result<Earlier> {
        let place = workspace.output().join("against");
        fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        let _others_wait = lock(&place.join("lock"))?;
        let checkout = Checkout::of(workspace.root(), place.join("tree"), &self.commit)?;
        // What is built depends on these alone.
        let stamp = Stamp { path: place.join("built"), of: format!("{} {limits:?}", self.commit) };
        let time = stamp.time().unwrap_or_else(SystemTime::now);
        checkout.date(time)?;
        stamp.remove();
        let described = || format!("the revision {self}");
        let there = Workspace::at(&checkout.tree, place.join("target")).with_context(described)?;
        let earlier = self.measure_in(&there, limits).with_context(described)?;
        stamp.write(time)?;
        Ok(earlier)
    }

    fn measure_in(&self, there: &Workspace, limits: &[Limit]) -> Result<Earlier> {
        let mut left_out = Vec::new();
        let built = there.build_loader()?;
        let loader = Loader::of(&built).or_else(|error| {
            left_out.push(format!("all but the size of the loader: {error:#}"));
            Loader::without_symbols(&Elf::parse(&built.shipped, &elf::read(&built.shipped)?)?)
        })?;
        let packed = packed_sizes(there, limits, &mut left_out);
        Ok(Earlier { name: self.name.clone(), commit: Some(self.commit.clone()), loader, packed, left_out })
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, short(&self.commit))
    }
}

/// A commit's name as people are told it.
pub fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

/// The loaders with these features as images hold them, by the revision's own stub.
fn packed_sizes(there: &Workspace, limits: &[Limit], left_out: &mut Vec<String>) -> Vec<Sizes> {
    let measure = |limit: &Limit| {
        if let Some(feature) = there.unknown_feature(&limit.features) {
            bail!("it has no feature `{feature}`");
        }
        let stub = there.build_stub()?.context("it has no stub that unpacks loaders")?;
        Sizes::of(there, &limit.name, &limit.features, &elf::read(&stub)?)
    };
    let mut sizes = Vec::new();
    for limit in limits {
        match measure(limit) {
            Ok(size) => sizes.push(size),
            Err(error) => left_out.push(format!("{}, packed: {error:#}", limit.name)),
        }
    }
    sizes
}

/// Waits until no other run works there; then none does until the file is closed.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).and_then(|file| file.lock().map(|()| file));
    file.with_context(|| format!("cannot lock {}", path.display()))
}

/// A file that says of what everything was built that lies beside it; it has the time that the sources had then. Cargo
/// builds nothing anew if they have that time again.
struct Stamp {
    path: PathBuf,
    of: String,
}

impl Stamp {
    /// The time that the sources had, if it was these.
    fn time(&self) -> Option<SystemTime> {
        fs::read_to_string(&self.path).ok().filter(|of| *of == self.of)?;
        fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    fn write(&self, time: SystemTime) -> Result<()> {
        let written = fs::write(&self.path, &self.of).and_then(|()| File::options().append(true).open(&self.path));
        let written = written.and_then(|file| file.set_modified(time));
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// The files of a commit, in a worktree that is removed in the end.
struct Checkout {
    repository: PathBuf,
    tree: PathBuf,
}

impl Checkout {
    fn of(repository: &Path, tree: PathBuf, commit: &str) -> Result<Checkout> {
        let checkout = Checkout { repository: repository.to_owned(), tree };
        checkout.remove(); // what a run that was killed has left
        checkout.worktree(&["add", "--quiet", "--force", "--detach"], &[commit])?;
        Ok(checkout)
    }

    /// Runs `git worktree` on it. Its path is text, as it is cargo's.
    fn worktree(&self, command: &[&str], further: &[&str]) -> Result<String> {
        let tree = self.tree.to_string_lossy();
        git(&self.repository, &[&["worktree"], command, &[&tree], further].concat())
    }

    /// Gives all files this time.
    fn date(&self, time: SystemTime) -> Result<()> {
        for path in git(&self.tree, &["ls-files", "-z"])?.split_terminator('\0') {
            let path = self.tree.join(path);
            // Links need not lead anywhere.
            if path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                let dated = File::options().append(true).open(&path).and_then(|file| file.set_modified(time));
                dated.with_context(|| format!("cannot set the time of {}", path.display()))?;
            }
        }
        Ok(())
    }

    fn remove(&self) {
        if self.tree.exists() && self.worktree(&["remove", "--force"], &[]).is_err() {
            let _ = fs::remove_dir_all(&self.tree);
        }
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Runs git in a directory, whatever a hook that runs us has told it; what it prints.
fn git(directory: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(directory).args(arguments);
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    let output = git.output().context("cannot run git")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {}: {}", arguments[0], words.trim());
    String::from_utf8(output.stdout).context("git prints what is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_revision_has_not_got_is_left_out_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = "[package]\nname = \"modstrap\"\nedition = \"2024\"\n[workspace]\n[features]\nlocal = []\n\
                        [[bin]]\nname = \"init\"\npath = \"main.rs\"\n";
        fs::write(directory.path().join("Cargo.toml"), manifest).unwrap();
        fs::write(directory.path().join("main.rs"), "").unwrap();
        let there = Workspace::at(directory.path(), directory.path().join("target")).unwrap();
        let limits = ["local", "tools"].map(|feature| Limit {
            name: format!("with {feature}"),
            features: vec![feature.into()],
            bytes: 1,
        });
        let mut left_out = Vec::new();
        assert_eq!(packed_sizes(&there, &limits, &mut left_out), []);
        let expected = [
            "with local, packed: it has no stub that unpacks loaders",
            "with tools, packed: it has no feature `tools`",
        ];
        assert_eq!(left_out, expected);
    }

    #[test]
    fn git_says_why_there_is_no_such_revision() {
        let error = git(Path::new(env!("CARGO_MANIFEST_DIR")), &["rev-parse", "--verify", "no-such^{commit}"]);
        assert!(error.unwrap_err().to_string().starts_with("git rev-parse: fatal: "));
    }
}
