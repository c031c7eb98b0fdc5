//! How a boot's outcome is told, and where it is put.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use modstrap_qemu::{Boot, Finished, Outcome, tree};
use serde::Serialize;

/// How to tell the outcome and where to put it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Outcome")]
pub struct Results {
    /// Seconds until the outcome must be known
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
    /// The text by which the real init is known
    #[arg(long, value_name = "TEXT", default_value = tree::MARKER)]
    marker: String,
    /// Write the outcome as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the console to this file [default: one in a temporary directory]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Show the console while the guest runs
    #[arg(short, long)]
    verbose: bool,
}

/// The content of a `--json` file. Its field names are kept.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    outcome: &'a str,
    message: &'a str,
    seconds: f64,
    modules: Option<u32>,
    release: Option<&'a str>,
    command_line: &'a str,
    image_bytes: u64,
    console: &'a Path,
}

impl Results {
    /// Has a boot watched in this way, its console written to `log`.
    pub fn watch(&self, boot: Boot, log: &Path) -> Boot {
        boot.timeout(Duration::from_secs(self.timeout)).verbose(self.verbose).log(log)
    }

    /// The same, to the real init that is known by its marker.
    pub fn watch_for_init(&self, boot: Boot, log: &Path) -> Boot {
        self.watch(boot, log).marker(&self.marker)
    }

    /// Writes the record that was asked for.
    pub fn write(&self, record: &impl Serialize) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let write = || anyhow::Ok(serde_json::to_writer_pretty(File::create(path)?, record)?);
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

impl<'a> Record<'a> {
    /// What is told of a boot.
    pub fn new(finished: &'a Finished, image_bytes: u64, console: &'a Path) -> Self {
        Self {
            outcome: finished.outcome.name(),
            message: match &finished.outcome {
                Outcome::RealInit => finished.summary.as_deref().unwrap_or_default(),
                other => other.message(),
            },
            seconds: finished.seconds,
            modules: finished.modules,
            release: finished.release(),
            command_line: &finished.command_line,
            image_bytes,
            console,
        }
    }
}
