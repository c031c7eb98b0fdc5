//! `modstrap-qemu boot --rootdir DIR [-- COMMAND...]`: a command in a guest whose root is a directory of the host.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use modstrap_qemu::outcome::Milestones;
use modstrap_qemu::rootdir::{End, Ended, RootDir, Streams, Terminal};
use modstrap_qemu::{Outcome, Protocol};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Serialize;

#[derive(Args, Debug)]
#[command(next_help_heading = "A directory as the root")]
pub struct Words {
    /// Boot this directory of the host: read-only, below an overlay that is thrown away. Exits with the command's own
    /// status, with 124 where the time limit passed, with 125 where there was no command to speak of
    #[arg(long, value_name = "DIR")]
    rootdir: Option<PathBuf>,
    /// How the guest reaches it [default: by virtiofs, if virtiofsd is there]
    #[arg(long, value_name = "PROTOCOL", requires = "rootdir")]
    rootdir_by: Option<Protocol>,
    /// The directory in the guest that the command starts in [default: this one where DIR is /, else /]
    #[arg(long, value_name = "DIR", requires = "rootdir")]
    cwd: Option<PathBuf>,
    /// A variable of the command's environment: NAME=VALUE, or NAME for the value that it has here
    #[arg(long, value_name = "NAME[=VALUE]", requires = "rootdir")]
    env: Vec<String>,
    /// The command and its arguments, in place of an init [default: a shell]
    #[arg(last = true, value_name = "COMMAND", requires = "rootdir")]
    command: Vec<OsString>,
}

/// What a shell's login would set.
const ENVIRONMENT: [&str; 5] = [
    "HOME=/root",
    "LOGNAME=root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SHELL=/bin/sh",
    "USER=root",
];

/// What a user runs who names no command, the first that is there.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

/// The content of a `--json` file. Its field names are kept.
#[derive(Debug, Serialize)]
struct Record<'a> {
    outcome: &'a str,
    message: &'a str,
    status: u8,
    seconds: Seconds,
    by: &'a str,
    modules: Option<u32>,
    release: &'a str,
    command_line: &'a str,
    image_bytes: u64,
}

/// Seconds from QEMU's start.
#[derive(Debug, Serialize)]
struct Seconds {
    #[serde(flatten)]
    on_the_way: Milestones,
    command: Option<f64>,
    end: Option<f64>,
}

impl Words {
    /// Whether this is how to boot.
    pub fn is_given(&self) -> bool {
        self.rootdir.is_some()
    }
}

pub fn run(arguments: &super::Arguments) -> Result<ExitCode> {
    match boot(arguments) {
        Ok(status) => Ok(ExitCode::from(status)),
        Err(error) => {
            eprintln!("modstrap-qemu: {error:#}");
            Ok(ExitCode::from(modstrap_qemu::rootdir::NO_COMMAND))
        }
    }
}

fn boot(arguments: &super::Arguments) -> Result<u8> {
    let own = &arguments.rootdir;
    let directory = own.rootdir.as_deref().context("--rootdir is needed")?;
    let kernel = arguments.kernel()?;
    let release = kernel.release.clone();
    let terminal = own.command.is_empty().then(terminal_size).flatten();
    let mut rootdir = RootDir::new(kernel, directory).place(own.place(directory)?);
    for variable in own.environment(terminal.is_some())? {
        rootdir = rootdir.variable(variable);
    }
    rootdir = match &own.command[..] {
        [] => rootdir.command([shell(directory)]),
        command => rootdir.command(command),
    };
    if let Some(protocol) = own.rootdir_by {
        rootdir = rootdir.by(protocol);
    }
    let raw = terminal.map(|_| Raw::enter()).transpose()?;
    if let Some(size) = terminal {
        rootdir = rootdir.terminal(size);
    }
    let work = tempfile::Builder::new().prefix("modstrap-").tempdir().context("cannot make a temporary directory")?;
    let log = arguments.results.log.clone().unwrap_or_else(|| work.path().join("console.log"));
    let ended =
        rootdir.run(Streams::inherited(), |boot| arguments.results.watch(arguments.guest.furnish(boot), &log))?;
    drop(raw);
    arguments.results.write(&Record::new(&ended, &release))?;
    if ended.end.is_none() {
        let kept = arguments.results.log.is_none().then(|| work.keep());
        eprintln!("{}", ended.finished.tail());
        eprintln!("modstrap-qemu: {}", sentence(&ended));
        kept.iter().for_each(|_| eprintln!("modstrap-qemu: console log: {}", log.display()));
    }
    Ok(ended.status())
}

/// Why there is no status of the command.
fn sentence(ended: &Ended) -> String {
    match (ended.started, ended.failure()) {
        (Some(_), Outcome::Timeout(last)) => {
            format!("the time limit passed before the command ended; the last line of the console: {last}")
        }
        (Some(_), Outcome::RealInit) => "the guest ended before the command did".into(),
        (Some(_), other) => format!("the guest ended before the command did: {other}"),
        (None, other) => format!("the command was not started: {other}"),
    }
}

impl Words {
    fn place(&self, directory: &Path) -> Result<PathBuf> {
        match &self.cwd {
            Some(place) => Ok(place.clone()),
            None if directory == Path::new("/") => env::current_dir().context("the current directory is gone"),
            None => Ok("/".into()),
        }
    }

    fn environment(&self, has_terminal: bool) -> Result<Vec<OsString>> {
        let mut variables: Vec<OsString> = ENVIRONMENT.map(Into::into).to_vec();
        let here = |name: &str| {
            let mut variable = OsString::from(format!("{name}="));
            env::var_os(name).map(|value| {
                variable.push(value);
                variable
            })
        };
        variables.extend(has_terminal.then(|| here("TERM")).flatten());
        for text in &self.env {
            // Of several the last counts, since the first is taken out.
            let name = text.split('=').next().unwrap_or_default();
            variables.retain(|variable| !variable.to_string_lossy().starts_with(&format!("{name}=")));
            match text.contains('=') {
                true => variables.push(text.into()),
                false => {
                    variables.push(here(name).with_context(|| format!("--env {name}: there is no such variable here"))?)
                }
            }
        }
        Ok(variables)
    }
}

fn shell(directory: &Path) -> &'static str {
    let is_there = |shell: &&str| directory.join(shell.trim_start_matches('/')).symlink_metadata().is_ok();
    SHELLS.into_iter().find(is_there).unwrap_or(SHELLS[1])
}

/// The size of the terminal, if this process has one on both sides.
fn terminal_size() -> Option<Terminal> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return None;
    }
    let size = tcgetwinsize(io::stdout()).ok()?;
    Some(Terminal { rows: size.ws_row, columns: size.ws_col })
}

/// This process's terminal passes every key on; it is as before when this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("cannot read the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).context("cannot change the terminal's settings")?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

impl<'a> Record<'a> {
    fn new(ended: &'a Ended, release: &'a str) -> Self {
        Self {
            outcome: match ended.end {
                Some(End::Exit(_)) => "exit",
                Some(End::Signal(_)) => "signal",
                None if ended.failure() == &Outcome::RealInit => "exited",
                None => ended.failure().name(),
            },
            message: if ended.end.is_some() { "" } else { ended.failure().message() },
            status: ended.status(),
            seconds: Seconds { on_the_way: ended.finished.milestones, command: ended.started, end: ended.stopped },
            by: ended.by.name(),
            modules: ended.finished.modules,
            release,
            command_line: &ended.finished.command_line,
            image_bytes: ended.image_bytes,
        }
    }
}
