//! Building the loader twice: as it ships, and the same code with symbols.
//!
//! The second build differs in what the linker keeps and in nothing else: `MODSTRAP_SYMBOLS` makes the loader's
//! build.rs leave the section headers in, and the profile leaves the symbols. It has a target directory of its own,
//! so that neither build evicts the other.

use std::env;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand};

/// What builds the loader, alone: with another member of the workspace it would get that one's features.
const BUILD: [&str; 8] = [
    "build",
    "--package",
    "modstrap",
    "--features",
    "bin",
    "--profile",
    "loader",
    "--message-format=json-render-diagnostics",
];
/// The loader's name among the things that cargo builds.
const PROGRAM: &str = "init";

/// The workspace that the current directory is in.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

/// The two files of one loader.
pub struct Built {
    /// The file that ships.
    pub shipped: PathBuf,
    /// The same code with sections and symbols.
    pub symbols: PathBuf,
}

impl Workspace {
    /// Asks cargo which workspace the current directory is in and where its output goes.
    pub fn find() -> Result<Workspace> {
        let metadata: Metadata = MetadataCommand::new()
            .cargo_path(cargo())
            .no_deps()
            .exec()
            .context("run this within modstrap's workspace")?;
        let root: PathBuf = metadata.workspace_root.into();
        ensure!(
            metadata.packages.iter().any(|package| package.name == "modstrap"),
            "the workspace {} has no package `modstrap`",
            root.display()
        );
        Ok(Workspace { root, target: metadata.target_directory.into() })
    }

    /// The budget file of the workspace.
    pub fn budget(&self) -> PathBuf {
        self.root.join("size-report/budget.toml")
    }

    /// Builds the loader with these features alone.
    pub fn build_with(&self, features: &[&str]) -> Result<PathBuf> {
        let features = features.join(",");
        self.build(&self.target.join("size-report/features"), |cargo| {
            cargo.env_remove("MODSTRAP_SYMBOLS").args(["--no-default-features", "--features", &features])
        })
    }

    /// Builds the loader, as it ships and with symbols.
    pub fn build_loader(&self) -> Result<Built> {
        let shipped = self.build(&self.target, |cargo| cargo.env_remove("MODSTRAP_SYMBOLS"))?;
        let symbols = self.build(&self.target.join("size-report"), |cargo| {
            cargo.env("MODSTRAP_SYMBOLS", "1").args(["--config", r#"profile.loader.strip="none""#])
        })?;
        Ok(Built { shipped, symbols })
    }

    fn build(&self, target: &Path, vary: impl FnOnce(&mut Command) -> &mut Command) -> Result<PathBuf> {
        let mut command = Command::new(cargo());
        command.args(BUILD).arg("--target-dir").arg(target).current_dir(&self.root).stdout(Stdio::piped());
        let mut child = vary(&mut command).spawn().context("cannot run cargo")?;
        let output = child.stdout.take().context("cargo has no output")?;
        let executable = executable(BufReader::new(output))?;
        let status = child.wait().context("cannot wait for cargo")?;
        ensure!(status.success(), "the loader does not build: cargo's messages say why");
        executable.with_context(|| format!("cargo built no program `{PROGRAM}` in package `modstrap`"))
    }
}

/// The program that cargo says it has built.
fn executable(output: impl std::io::BufRead) -> Result<Option<PathBuf>> {
    let mut executable = None;
    for message in Message::parse_stream(output) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read cargo's output")?
            && artifact.target.name == PROGRAM
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
