//! Counting instructions, and the lines of memory that they touch, with valgrind's callgrind.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The instructions that this very program executes when it is called with these arguments.
pub fn instructions(arguments: &[&OsStr]) -> Result<u64> {
    let counts = counts(&[], arguments)?;
    counts.first().copied().context("valgrind counted nothing")
}

/// The lines of memory, of 64 bytes, that it then reads or writes.
#[allow(dead_code, reason = "not every benchmark asks")]
pub fn lines(arguments: &[&OsStr]) -> Result<u64> {
    // In so large a cache each is missed once.
    let counts = counts(&["--cache-sim=yes", "--D1=67108864,16,64"], arguments)?;
    // Ir Dr Dw I1mr D1mr D1mw ...
    let &[_, _, _, _, reads, writes, ..] = &counts[..] else { bail!("valgrind simulated no cache") };
    Ok(reads + writes)
}

/// What callgrind collects, in its order.
fn counts(options: &[&str], arguments: &[&OsStr]) -> Result<Vec<u64>> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).args(options);
    let output = valgrind.arg(std::env::current_exe()?).args(arguments).output();
    let output = output.context("cannot run valgrind; install it")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {text}");
    let line = text.lines().find_map(|line| line.split_once("Collected : "));
    let (_, counts) = line.with_context(|| format!("valgrind counted nothing: {text}"))?;
    Ok(counts.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}
