//! A boot that has ended, and the questions a test asks of it.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::outcome::{Milestones, Outcome};
use crate::report::Report;

/// How many console lines an error quotes.
const QUOTED_LINES: usize = 30;

/// A boot that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// How it went on, where that was not to its own end: only told of a boot that was to go on so long.
    pub rest: Option<Outcome>,
    /// When QEMU was started.
    pub started: Instant,
    /// When the console showed what happened on the way.
    pub milestones: Milestones,
    /// Everything that the console showed, with lines ended by `\n` alone.
    pub console: String,
    /// Wall-clock seconds from QEMU's start to the outcome.
    pub seconds: f64,
    /// How many modules the loader said it had loaded; not known when its messages did not reach the console.
    pub modules: Option<u32>,
    /// The loader's line about the root that it mounted.
    pub summary: Option<String>,
    /// The kernel command line.
    pub command_line: String,
    /// What the processes beside QEMU said, each behind its name.
    pub servers: Vec<String>,
}

impl Finished {
    /// What the real init found. An error if it did not speak: how the boot ended, and the end of its console.
    pub fn real_init(&self) -> Result<Report> {
        match &self.outcome {
            Outcome::RealInit => Report::parse(&self.console),
            other => bail!("{other}\n{}", self.tail()),
        }
    }

    /// The loader's reason for giving up. An error if it did not: how the boot ended, and the end of its console.
    pub fn failure(&self) -> Result<&str> {
        match &self.outcome {
            Outcome::LoaderFailure(reason) => Ok(reason),
            other => bail!("{other}\n{}", self.tail()),
        }
    }

    /// The last lines of the console, and what the processes beside QEMU said.
    pub fn tail(&self) -> String {
        tail(&self.console, &self.servers)
    }

    /// The kernel's release, from its first line on the console.
    pub fn release(&self) -> Option<&str> {
        let (_, rest) = self.console.split_once("Linux version ")?;
        rest.split_whitespace().next()
    }
}

/// The last lines of a console, and what the processes beside QEMU said.
pub(crate) fn tail(console: &str, servers: &[String]) -> String {
    let lines: Vec<&str> = console.lines().collect();
    let last = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
    last.iter().copied().chain(servers.iter().map(String::as_str)).collect::<Vec<_>>().join("\n")
}
