//! One boot in QEMU: what the guest is made of.
//!
//! `plan` turns it into QEMU's command line, `run` watches the guest to its outcome.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::drive::Drive;
use crate::finished::Finished;
use crate::network::Nic;
use crate::plan::Plan;
use crate::run::Run;
use crate::share::Share;
use crate::tree::MARKER;

/// QEMU's accelerator unless another is given: emulation works everywhere, and with one thread for all processors it is
/// reliable. With a thread for each, QEMU 10.0 at times loses what they write to their interrupt controllers while one of
/// them moves a device in memory, where the host has fewer processors than the guest: one in ten to fifty boots hung without
/// a timer or ended in an assertion of `msix_table_mmio_write`. It was no faster either.
pub const ACCELERATOR: &str = "tcg,thread=single";

/// A guest to boot: a kernel, an image, disks, a command line. [`Boot::run`] boots it.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) kernel: PathBuf,
    pub(crate) as_is: bool,
    pub(crate) image: PathBuf,
    pub(crate) drives: Vec<Drive>,
    pub(crate) shares: Vec<Share>,
    pub(crate) nics: Vec<Nic>,
    pub(crate) append: Vec<String>,
    pub(crate) machine: Option<String>,
    pub(crate) accelerator: String,
    pub(crate) memory: u32,
    pub(crate) processors: u32,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) to_the_end: bool,
    pub(crate) marker: String,
    pub(crate) answers: Vec<(String, String)>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) verbose: bool,
    pub(crate) qemu: Option<String>,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

impl Boot {
    /// A guest without disks: 512 MiB, two processors, two minutes, software emulation.
    pub fn new(kernel: impl Into<PathBuf>, image: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            as_is: false,
            image: image.into(),
            drives: Vec::new(),
            shares: Vec::new(),
            nics: Vec::new(),
            append: Vec::new(),
            machine: None,
            accelerator: ACCELERATOR.into(),
            memory: 512,
            processors: 2,
            timeout: Duration::from_secs(120),
            grace: Duration::from_secs(20),
            to_the_end: false,
            marker: MARKER.into(),
            answers: Vec::new(),
            log: None,
            verbose: false,
            qemu: None,
            arguments: Vec::new(),
            stop: None,
        }
    }

    /// Starts the kernel image as it is: one of x86 then unpacks itself in the guest and chooses where it runs, as on a
    /// machine, where QEMU would else start what is in it.
    #[must_use]
    pub fn as_is(mut self, yes: bool) -> Self {
        self.as_is = yes;
        self
    }

    /// Adds a disk.
    #[must_use]
    pub fn drive(mut self, drive: Drive) -> Self {
        self.drives.push(drive);
        self
    }

    /// Adds a host directory to mount.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.shares.push(share);
        self
    }

    /// Adds a network card.
    #[must_use]
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nics.push(nic);
        self
    }

    /// Spares the kernel the tests of its own cryptography, which take an emulated one an eighth of a boot.
    #[must_use]
    pub fn without_self_tests(self) -> Self {
        self.append("cryptomgr.notests")
    }

    /// Adds words to the kernel command line, after the console's and `panic=-1`.
    #[must_use]
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append.push(words.into());
        self
    }

    /// QEMU's machine instead of the platform's usual one.
    #[must_use]
    pub fn machine(mut self, machine: impl Into<String>) -> Self {
        self.machine = Some(machine.into());
        self
    }

    /// QEMU's accelerator, [`ACCELERATOR`] unless given.
    #[must_use]
    pub fn accelerator(mut self, accelerator: impl Into<String>) -> Self {
        self.accelerator = accelerator.into();
        self
    }

    /// The guest's memory in MiB.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// The number of virtual processors.
    #[must_use]
    pub fn processors(mut self, count: u32) -> Self {
        self.processors = count;
        self
    }

    /// How long the guest may take to an outcome.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// How long the guest may go on after its outcome, for the rest of its console; twenty seconds unless given.
    #[must_use]
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// Lets the guest go on after its outcome until it ends by itself, within the time limit.
    #[must_use]
    pub fn to_the_end(mut self) -> Self {
        self.to_the_end = true;
        self
    }

    /// The text by which the real init is known, [`MARKER`] unless given.
    #[must_use]
    pub fn marker(mut self, text: impl Into<String>) -> Self {
        self.marker = text.into();
        self
    }

    /// Types `reply` when the console shows `prompt`, once; several answers are given in their order.
    #[must_use]
    pub fn answer(mut self, prompt: impl Into<String>, reply: impl Into<String>) -> Self {
        self.answers.push((prompt.into(), reply.into()));
        self
    }

    /// Where the console is written while the guest runs.
    #[must_use]
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// Shows the console on the standard error as well.
    #[must_use]
    pub fn verbose(mut self, yes: bool) -> Self {
        self.verbose = yes;
        self
    }

    /// QEMU's program instead of the platform's.
    #[must_use]
    pub fn qemu(mut self, program: impl Into<String>) -> Self {
        self.qemu = Some(program.into());
        self
    }

    /// One more argument for QEMU.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Boots the guest and watches it to its outcome. An error means that there was no boot to speak of: a file is
    /// missing, QEMU refused its options.
    pub fn run(&self) -> Result<Finished> {
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        Run::start(self, Plan::new(self, scratch.path())?)?.finish()
    }
}

/// A guest that serves another one; it ends when this is dropped.
#[derive(Debug)]
pub struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Finished>>>,
}

impl Background {
    /// Ends the guest; what its console showed.
    pub fn end(mut self) -> Result<Finished> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the guest has ended")?;
        thread.join().map_err(|_| anyhow!("the guest's thread panicked"))?
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Boot {
    /// Boots the guest beside what follows, until its time limit at most.
    pub fn background(mut self) -> Background {
        let stop = Arc::new(AtomicBool::new(false));
        self.stop = Some(stop.clone());
        Background { stop, thread: Some(thread::spawn(move || self.run())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_kernel_is_named() {
        let error = Boot::new("/nowhere/vmlinuz", "/nowhere/image").run().unwrap_err().to_string();
        assert!(error.contains("/nowhere/vmlinuz"), "{error}");
    }
}
