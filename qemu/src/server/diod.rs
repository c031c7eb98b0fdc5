//! diod, a server of 9p over TCP, on a port of its own.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{await_port, free_port, unpacked};
use crate::process::{Process, watched};
use crate::tool::Tool;

const DIOD: Tool = Tool::new("diod", "diod");

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Diod {
    _child: Process,
    port: u16,
    _files: TempDir,
}

impl Diod {
    /// Starts a server of this directory, which everybody may have.
    pub fn start(directory: &Path) -> Result<Self> {
        let files = tempfile::tempdir().context("cannot make a temporary directory")?;
        let port = free_port()?;
        let (program, libraries) = unpacked("diod", DIOD)?;
        let log = files.path().join("log");
        let configuration = files.path().join("conf");
        fs::write(&configuration, "")?;
        let output = File::create(&log)?;
        let mut command = watched(&program);
        command.env("LD_LIBRARY_PATH", libraries).args(["--foreground", "--no-auth", "--logdest", "stderr"]);
        command.arg("--config-file").arg(configuration).arg("--listen").arg(format!("127.0.0.1:{port}"));
        command.arg("--export").arg(directory).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = Process::start(&mut command, &program)?;
        await_port(&mut child, port, &log)?;
        Ok(Self { _child: child, port, _files: files })
    }

    /// Its port of TCP.
    pub fn port(&self) -> u16 {
        self.port
    }
}
