//! A running QEMU: its console as a stream of bytes, its complaints, and its end.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::process::{Process, watched};

/// A QEMU process; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    child: Process,
    input: Option<ChildStdin>,
    console: Receiver<Vec<u8>>,
    complaints: Option<JoinHandle<String>>,
}

/// What came from the console.
pub(crate) enum Heard {
    Bytes(Vec<u8>),
    Silence,
    End,
}

impl Guest {
    /// Starts QEMU with its console on its standard streams.
    pub fn start(qemu: &Path, arguments: &[OsString]) -> Result<Self> {
        let mut command = watched(qemu);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Process::start(&mut command, qemu)?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("QEMU has no standard output")?;
        let mut errors = child.stderr.take().context("QEMU has no standard error")?;
        let (sender, console) = mpsc::channel();
        thread::spawn(move || forward(output, |bytes| sender.send(bytes).is_ok()));
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            // What arrived before an error is all there is to tell.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        Ok(Self { child, input, console, complaints: Some(complaints) })
    }

    /// Waits for console output, at most until `deadline`.
    pub fn listen(&self, deadline: Instant) -> Heard {
        match self.console.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => Heard::Bytes(bytes),
            Err(mpsc::RecvTimeoutError::Timeout) => Heard::Silence,
            Err(mpsc::RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// Types on the console.
    pub fn type_in(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("the console takes no input")?;
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).context("cannot type on the console")
    }

    /// The exit status of a QEMU that has closed its console, and what it complained about.
    pub fn wait(&mut self) -> Result<(ExitStatus, String)> {
        let status = self.child.wait().context("cannot wait for QEMU")?;
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Ok((status, complaints))
    }
}

fn forward(mut source: impl Read, mut take: impl FnMut(Vec<u8>) -> bool) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = source.read(&mut buffer) {
        if !take(buffer[..length].to_vec()) {
            return;
        }
    }
}
