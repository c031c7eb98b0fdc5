//! Processes of the host that do not outlive whoever started them.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command};

use anyhow::{Context, Result};

use crate::tool::find_program;

/// Kills its child when this process dies without saying good-bye; part of util-linux, left out where it is missing.
const DEATH_WATCH: &str = "setpriv";

/// A command of a program that is killed when this process dies.
pub(crate) fn watched(program: &Path) -> Command {
    let Some(watch) = find_program(DEATH_WATCH) else { return Command::new(program) };
    let mut command = Command::new(watch);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a command of this program.
    pub fn start(command: &mut Command, program: &Path) -> Result<Self> {
        command.spawn().map(Self).with_context(|| format!("cannot start {}", program.display()))
    }
}

impl Deref for Process {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
