//! The programs of the host that the harness uses: where they are, how they are run, what a failure says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, io::Write};

use anyhow::{Context, Result, bail};

/// A program of the host and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// The program's file name.
    pub program: &'static str,
    /// The Debian (and Ubuntu) package to install when it is missing.
    pub package: &'static str,
}

/// A file tree copied by an ordinary user belongs to root inside the image: fakeroot shows it so to the mkfs tools.
const FAKEROOT: Tool = Tool::new("fakeroot", "fakeroot");

/// Administrators' directories, which an ordinary user's `PATH` leaves out.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

impl Tool {
    /// A tool by its program's name and its package.
    pub const fn new(program: &'static str, package: &'static str) -> Self {
        Self { program, package }
    }

    /// The program's path; an error names the package to install.
    pub fn find(self) -> Result<PathBuf> {
        find_program(self.program).with_context(|| {
            format!("{} is not installed: on Debian or Ubuntu `apt-get install {}`", self.program, self.package)
        })
    }

    /// A command of this tool, ready for arguments.
    pub fn command(self) -> Result<Invocation> {
        Ok(Invocation { tool: self, command: Command::new(self.find()?) })
    }

    /// The same for a tool that copies a directory tree with its owners. Root's trees keep theirs; to the tool
    /// of an ordinary user everything seems to belong to root.
    pub fn copying_command(self) -> Result<Invocation> {
        if rustix::process::geteuid().is_root() {
            return self.command();
        }
        let mut command = Command::new(FAKEROOT.find()?);
        command.arg("--").arg(self.find()?);
        Ok(Invocation { tool: self, command })
    }
}

/// A tool with its arguments. Unlike a plain [`Command`], its failure is told with the tool's own words.
#[derive(Debug)]
pub struct Invocation {
    tool: Tool,
    command: Command,
}

impl Invocation {
    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds `option` and its value where there is one.
    #[must_use]
    pub fn option(self, option: &str, value: Option<impl AsRef<OsStr>>) -> Self {
        match value {
            Some(value) => self.arg(option).arg(value),
            None => self,
        }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs the tool to its end; what it printed on its standard output.
    pub fn run(self) -> Result<String> {
        self.run_with_input("")
    }

    /// The same with a text on its standard input.
    pub fn run_with_input(mut self, input: &str) -> Result<String> {
        let output = self.output(input).with_context(|| format!("cannot run {}", self.tool.program))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr });
            bail!(
                "{} (package {}) failed with {}: {}",
                self.tool.program,
                self.tool.package,
                output.status,
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn output(&mut self, input: &str) -> std::io::Result<Output> {
        let mut child = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that ends without reading its input says why on its standard error, which is the better message.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output()
    }
}

/// Searches `PATH`, then the administrators' directories.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_names_its_package() {
        let error = Tool::new("mkfs.of-no-kind", "no-kind-progs").find().unwrap_err().to_string();
        assert!(error.contains("mkfs.of-no-kind") && error.contains("apt-get install no-kind-progs"), "{error}");
    }

    #[test]
    fn a_failure_carries_the_tools_own_words() {
        let error = Tool::new("sh", "dash").command().unwrap().args(["-c", "echo broken >&2; exit 3"]).run();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("sh (package dash) failed") && error.contains("broken"), "{error}");
    }
}
