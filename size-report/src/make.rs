//! Building the loader twice: as it ships, and the same code with symbols.
//!
//! The second build differs in what the linker keeps and in nothing else: `MODSTRAP_SYMBOLS` makes the loader's
//! build.rs leave the section headers in, and the profile leaves the symbols. It has a target directory of its own,
//! so that neither build evicts the other.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, MetadataCommand, Package};

/// What builds the loader, alone: with another member of the workspace it would get that one's features.
const BUILD: [&str; 8] = [
    "build",
    "--package",
    PACKAGE,
    "--features",
    "bin",
    "--profile",
    "loader",
    "--message-format=json-render-diagnostics",
];
/// The loader's package.
const PACKAGE: &str = "modstrap";
/// The loader among its programs.
const LOADER: &str = "init";
/// What unpacks the loader in an image.
const STUB: &str = "stub";
/// The feature that cargo turns on where none is asked for.
const DEFAULT: &str = "default";

/// A workspace that the loader is part of.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// The features of the loader's package, each with what it turns on.
    features: BTreeMap<String, Vec<String>>,
    /// The programs of the loader's package.
    programs: BTreeSet<String>,
}

/// The two files of one loader.
#[derive(Debug, Clone)]
pub struct Built {
    /// The file that ships.
    pub shipped: PathBuf,
    /// The same code with sections and symbols.
    pub symbols: PathBuf,
}

impl Workspace {
    /// Asks cargo which workspace the current directory is in and where its output goes.
    pub fn find() -> Result<Workspace> {
        Workspace::of(&mut MetadataCommand::new()).context("run this within modstrap's workspace")
    }

    /// The workspace in a directory, with its output below `target`.
    pub fn at(root: &Path, target: PathBuf) -> Result<Workspace> {
        Ok(Workspace { target, ..Workspace::of(MetadataCommand::new().current_dir(root))? })
    }

    fn of(command: &mut MetadataCommand) -> Result<Workspace> {
        let metadata = command.cargo_path(cargo()).no_deps().exec()?;
        let root: PathBuf = metadata.workspace_root.into();
        let package = metadata.packages.into_iter().find(|package| package.name == PACKAGE);
        let Package { features, targets, .. } =
            package.with_context(|| format!("the workspace {} has no package `{PACKAGE}`", root.display()))?;
        let programs = targets.into_iter().filter(|target| target.is_bin()).map(|target| target.name);
        Ok(Workspace { root, target: metadata.target_directory.into(), features, programs: programs.collect() })
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where this program keeps what it makes.
    pub fn output(&self) -> PathBuf {
        self.target.join("size-report")
    }

    /// The budget file of the workspace.
    pub fn budget(&self) -> PathBuf {
        self.root.join("size-report/budget.toml")
    }

    /// The first of these features that the loader does not have.
    pub fn unknown_feature<'a>(&self, features: &'a [String]) -> Option<&'a str> {
        features.iter().map(String::as_str).find(|&feature| !self.features.contains_key(feature))
    }

    /// Builds the loader, as it ships and with symbols.
    pub fn build_loader(&self) -> Result<Built> {
        let shipped = self.build(LOADER, &self.target, |cargo| cargo)?;
        let symbols = self.build(LOADER, &self.output(), |cargo| {
            cargo.env("MODSTRAP_SYMBOLS", "1").args(["--config", r#"profile.loader.strip="none""#])
        })?;
        Ok(Built { shipped, symbols })
    }

    /// Builds the loader with these features alone. Where these are all that it ships with, it is that build.
    pub fn build_with(&self, features: &[String]) -> Result<PathBuf> {
        if self.all_of(features) == self.all_of(&[DEFAULT.to_owned()]) {
            return self.build(LOADER, &self.target, |cargo| cargo);
        }
        let features = features.join(",");
        self.build(LOADER, &self.output().join("features"), |cargo| {
            cargo.args(["--no-default-features", "--features", &features])
        })
    }

    /// Builds what unpacks the loader; none where the loader is not unpacked.
    pub fn build_stub(&self) -> Result<Option<PathBuf>> {
        let has_stub = self.programs.contains(STUB);
        has_stub.then(|| self.build(STUB, &self.target, |cargo| cargo)).transpose()
    }

    /// These features and all that they turn on, but for the one that only stands for others.
    fn all_of(&self, features: &[String]) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut rest = features.to_vec();
        while let Some(feature) = rest.pop() {
            if all.insert(feature.clone()) {
                rest.extend(self.features.get(&feature).into_iter().flatten().cloned());
            }
        }
        all.remove(DEFAULT);
        all
    }

    fn build(&self, program: &str, target: &Path, vary: impl FnOnce(&mut Command) -> &mut Command) -> Result<PathBuf> {
        let mut command = Command::new(cargo());
        command.args(BUILD).args(["--bin", program]).arg("--target-dir").arg(target);
        command.current_dir(&self.root).env_remove("MODSTRAP_SYMBOLS").stdout(Stdio::piped());
        let mut child = vary(&mut command).spawn().context("cannot run cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        let executable = executable(program, BufReader::new(output))?;
        let status = child.wait().context("cannot wait for cargo")?;
        ensure!(status.success(), "the loader does not build: cargo's messages say why");
        executable.with_context(|| format!("cargo built no program `{program}` in package `{PACKAGE}`"))
    }
}

/// The file of a program that cargo says it has built.
fn executable(program: &str, output: impl std::io::BufRead) -> Result<Option<PathBuf>> {
    let mut executable = None;
    for message in Message::parse_stream(output) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read cargo's output")?
            && artifact.target.name == program
        {
            executable = artifact.executable.map(PathBuf::from);
        }
    }
    Ok(executable)
}

/// The cargo that runs us, or the one in the path.
fn cargo() -> PathBuf {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
}
