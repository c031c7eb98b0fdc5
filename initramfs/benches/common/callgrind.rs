//! Counting instructions with valgrind's callgrind.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The instructions that this very program executes when it is called with these arguments.
pub fn instructions(arguments: &[&OsStr]) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    let output = valgrind.args(arguments).output().context("cannot run valgrind; install it")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {text}");
    let count = text.lines().find_map(|line| line.split_once("Collected : "));
    Ok(count.with_context(|| format!("valgrind counted nothing: {text}"))?.1.trim().parse()?)
}
