//! A directory of the host as the root of a guest: read-only below a throw-away overlay, with one command in place of an
//! init, whose streams and exit status are the host's.
//!
//! - [`image`]: an initramfs image of exactly what such a guest needs, kept in the cache.
//! - [`payload`]: what the guest's init is told.
//! - [`streams`]: the command's streams, through ports of a virtio console.
//!
//! No root rights are needed. The guest sees what its user may read.

mod image;
mod payload;
mod streams;

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

pub use payload::Terminal;
pub use streams::{End, Streams};

use crate::boot::Boot;
use crate::finished::Finished;
use crate::kernels::Kernel;
use crate::outcome::Outcome;
use crate::server::find_virtiofsd;
use crate::share::{Protocol, Share};
use streams::Ports;

/// The tag of the root, and that of the kernel's modules.
const ROOT: &str = "root";
const MODULES: &str = "modules";

/// What shows on the console that the command starts.
const MARKER: &str = "modstrap: the command starts";

/// The exit status of `modstrap-qemu` where the time limit passed, as timeout(1) has it, and where there was no command
/// to speak of.
pub const TIMED_OUT: u8 = 124;
/// See [`TIMED_OUT`].
pub const NO_COMMAND: u8 = 125;

/// A guest with a directory of the host as its root.
#[derive(Clone, Debug)]
pub struct RootDir {
    kernel: Kernel,
    directory: PathBuf,
    by: Option<Protocol>,
    command: Vec<OsString>,
    environment: Vec<OsString>,
    place: PathBuf,
    terminal: Option<Terminal>,
}

/// A guest that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The boot; its outcome is [`Outcome::RealInit`] where the command started.
    pub finished: Finished,
    /// How the command ended, if it did.
    pub end: Option<End>,
    /// Seconds from QEMU's start to the start of the command, and to its end.
    pub started: Option<f64>,
    /// See `started`.
    pub stopped: Option<f64>,
    /// How the directory was served.
    pub by: Protocol,
    /// The size of the image, in bytes.
    pub image_bytes: u64,
}

impl RootDir {
    /// This directory, below a guest of this kernel. It is served by virtiofs where the machine has virtiofsd and the kernel
    /// the file system, else by 9p.
    pub fn new(kernel: Kernel, directory: impl Into<PathBuf>) -> Self {
        Self {
            kernel,
            directory: directory.into(),
            by: None,
            command: vec!["/bin/sh".into()],
            environment: Vec::new(),
            place: "/".into(),
            terminal: None,
        }
    }

    /// How the directory is served.
    #[must_use]
    pub fn by(mut self, protocol: Protocol) -> Self {
        self.by = Some(protocol);
        self
    }

    /// The command and its arguments, instead of a shell. It is found as shells find theirs.
    #[must_use]
    pub fn command<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of the command's environment, `NAME=VALUE`; of several with one name the last counts.
    #[must_use]
    pub fn variable(mut self, text: impl Into<OsString>) -> Self {
        self.environment.push(text.into());
        self
    }

    /// The directory in the guest that the command starts in, `/` unless given.
    #[must_use]
    pub fn place(mut self, directory: impl Into<PathBuf>) -> Self {
        self.place = directory.into();
        self
    }

    /// Runs the command on a terminal, whose other end are the streams, without one for errors.
    #[must_use]
    pub fn terminal(mut self, terminal: Terminal) -> Self {
        self.terminal = Some(terminal);
        self
    }

    /// Boots, runs the command with these streams, and switches off. `adjust` may add to the guest: disks, memory, a time
    /// limit for all of it. An error means that there was no boot to speak of.
    pub fn run(&self, streams: Streams, adjust: impl FnOnce(Boot) -> Boot) -> Result<Ended> {
        self.check()?;
        let scratch =
            tempfile::Builder::new().prefix("modstrap-").tempdir().context("cannot make a temporary directory")?;
        let (by, image) = self.image()?;
        let initrd = scratch.path().join("initrd");
        let mut file = File::create(&initrd).context("cannot write the initramfs")?;
        file.write_all(&image)?;
        file.write_all(&self.payload(by)?)?;
        let image_bytes = file.metadata()?.len();
        drop(file);

        let ports = Ports::listen(scratch.path(), self.terminal.is_some())?;
        let boot = adjust(Boot::new(&self.kernel.image, &initrd)).share(Share::new(ROOT, &self.directory).by(by));
        let boot = self.own_modules().into_iter().fold(boot, |boot, tree| boot.share(Share::new(MODULES, tree).by(by)));
        let boot = ports.arguments().into_iter().fold(boot, Boot::argument);
        let boot = boot.append(words(by, &image)?).marker(MARKER).to_the_end();
        let carried = ports.carry(streams);
        let finished = boot.run()?;
        let report = carried.finish();
        let since = |moment: std::time::Instant| moment.saturating_duration_since(finished.started).as_secs_f64();
        let (started, stopped) = (report.started.map(since), report.stopped.map(since));
        Ok(Ended { end: report.end, started, stopped, by, finished, image_bytes })
    }

    fn check(&self) -> Result<()> {
        ensure!(self.directory.is_dir(), "{} is no directory", self.directory.display());
        let readable = std::fs::read_dir(&self.directory);
        readable.with_context(|| format!("{} cannot be read, so that no guest can", self.directory.display()))?;
        ensure!(self.command.first().is_some_and(|name| !name.is_empty()), "the command is empty");
        Ok(())
    }

    /// How the directory is served, and the image for that.
    fn image(&self) -> Result<(Protocol, Vec<u8>)> {
        let image = |by| image::of(&self.kernel, by).map(|image| (by, image));
        match self.by {
            Some(by) => image(by),
            None if find_virtiofsd().is_some() => image(Protocol::VirtioFs).or_else(|_| image(Protocol::NineP)),
            None => image(Protocol::NineP),
        }
    }

    /// The kernel's modules where the root has none of that release and the guest's modprobe could read them.
    fn own_modules(&self) -> Option<&PathBuf> {
        let inside = self.directory.join("lib/modules").join(&self.kernel.release);
        let modules = &self.kernel.modules;
        (!inside.exists() && modules.join("modules.dep").exists()).then_some(modules)
    }

    fn payload(&self, by: Protocol) -> Result<Vec<u8>> {
        let modules = self.own_modules().map(|_| format!("{} {MODULES} {}", by.name(), self.kernel.release));
        payload::archive(&payload::Payload {
            place: &self.place,
            terminal: self.terminal,
            modules: &modules.unwrap_or_default(),
            command: &self.command,
            environment: &self.environment,
        })
    }
}

/// The words of the kernel command line for a root that is served so, with an image.
fn words(by: Protocol, image: &[u8]) -> Result<String> {
    // No device on the way to the root asks for the console, which may also be built in.
    let load = if image::has(image, "virtio_console")? { " modstrap.load=virtio_console" } else { "" };
    let (by, init) = (by.name(), payload::PATH);
    Ok(format!("rootfstype={by} root={ROOT} modstrap.overlay=tmpfs{load} modstrap.init={init}"))
}

impl Ended {
    /// What `modstrap-qemu` exits with: the command's own status, 128 and its number for a signal, or what went wrong.
    pub fn status(&self) -> u8 {
        match (self.end, self.failure()) {
            (Some(End::Exit(status)), _) => status,
            (Some(End::Signal(number)), _) => 128_u8.saturating_add(number),
            (None, Outcome::Timeout(_)) => TIMED_OUT,
            (None, _) => NO_COMMAND,
        }
    }

    /// How the boot ended; only of interest where the command did not.
    pub fn failure(&self) -> &Outcome {
        self.finished.rest.as_ref().unwrap_or(&self.finished.outcome)
    }
}

impl Streams {
    /// Those of this process.
    pub fn inherited() -> Self {
        Self::new(std::io::stdin(), std::io::stdout(), std::io::stderr())
    }

    /// These three.
    pub fn new(
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        errors: impl Write + Send + 'static,
    ) -> Self {
        Self { input: Box::new(input), output: Box::new(output), errors: Box::new(errors) }
    }
}
