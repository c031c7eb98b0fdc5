//! One boot in QEMU: what the guest is made of, and the story of its run.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::disk::copy_sparse;
use crate::drive::{Attachment, Bus, Device, Drive, escape, for_machine};
use crate::guest::{Guest, Heard, TICK};
use crate::outcome::{Outcome, Watcher};
use crate::platform::Platform;
use crate::qmp::Monitor;
use crate::report::Report;
use crate::tool::find_program;
use crate::tree::MARKER;

/// Hot-plug clocks begin with the loader's first sign on the console, or after this time when it shows none.
const SILENT_START: Duration = Duration::from_secs(15);

/// How many console lines an error quotes.
const QUOTED_LINES: usize = 30;

/// A guest to boot: a kernel, an image, disks, a command line. [`Boot::run`] boots it.
#[derive(Clone, Debug)]
pub struct Boot {
    kernel: PathBuf,
    image: PathBuf,
    drives: Vec<Drive>,
    shares: Vec<Share>,
    append: Vec<String>,
    machine: Option<String>,
    accelerator: String,
    memory: u32,
    processors: u32,
    timeout: Duration,
    grace: Duration,
    marker: String,
    answers: Vec<(String, String)>,
    log: Option<PathBuf>,
    verbose: bool,
    qemu: Option<String>,
    arguments: Vec<OsString>,
}

impl Boot {
    /// A guest without disks: 512 MiB, two processors, two minutes, software emulation.
    pub fn new(kernel: impl Into<PathBuf>, image: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            image: image.into(),
            drives: Vec::new(),
            shares: Vec::new(),
            append: Vec::new(),
            machine: None,
            accelerator: "tcg".into(),
            memory: 512,
            processors: 2,
            timeout: Duration::from_secs(120),
            grace: Duration::from_secs(5),
            marker: MARKER.into(),
            answers: Vec::new(),
            log: None,
            verbose: false,
            qemu: None,
            arguments: Vec::new(),
        }
    }

    /// Adds a disk.
    #[must_use]
    pub fn drive(mut self, drive: Drive) -> Self {
        self.drives.push(drive);
        self
    }

    /// Adds a host directory to mount by 9p.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.shares.push(share);
        self
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

    /// QEMU's accelerator, `tcg` unless given: it works everywhere.
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

    /// How long the guest may go on after its outcome, for the rest of its console; five seconds unless given.
    #[must_use]
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
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

    /// The whole kernel command line: the console, an end instead of a wait when the kernel panics, then the
    /// words that were given.
    fn command_line(&self, platform: &Platform) -> String {
        let own = [platform.console, "panic=-1"].into_iter();
        let words = own.chain(self.append.iter().map(String::as_str)).filter(|words| !words.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Boots the guest and watches it to its outcome. An error means that there was no boot to speak of: a file is
    /// missing, QEMU refused its options.
    pub fn run(&self) -> Result<Finished> {
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let plan = self.plan(&scratch)?;
        let log = self
            .log
            .as_ref()
            .map(|path| File::create(path).with_context(|| format!("cannot write the console log {}", path.display())));
        let guest = Guest::start(&plan.program, &plan.arguments)?;
        Run {
            boot: self,
            watcher: Watcher::new(&self.marker),
            guest,
            log: log.transpose()?,
            started: Instant::now(),
            loader_since: None,
            command_line: plan.command_line,
            late: plan.late,
            answered: 0,
            searched: 0,
        }
        .finish(&plan.monitor)
    }

    fn plan(&self, scratch: &TempDir) -> Result<Plan> {
        for file in [&self.kernel, &self.image] {
            ensure!(file.is_file(), "there is no file {}", file.display());
        }
        let platform = Platform::of(&self.kernel)?;
        let mut plan = Plan {
            program: match &self.qemu {
                Some(name) => find_program(name).with_context(|| format!("there is no program {name}"))?,
                None => platform.qemu.find()?,
            },
            machine: self.machine.clone().unwrap_or_else(|| platform.machine.into()),
            command_line: self.command_line(platform),
            arguments: Vec::new(),
            late: Vec::new(),
            monitor: scratch.path().join("qmp"),
        };
        plan.add(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        plan.add(["-machine", &plan.machine.clone(), "-accel", &self.accelerator, "-cpu", "max"]);
        plan.add(["-m", &self.memory.to_string(), "-smp", &self.processors.to_string()]);
        plan.add([Path::new("-kernel"), &self.kernel, Path::new("-initrd"), &self.image]);
        plan.add(["-append", &plan.command_line.clone()]);
        for (index, drive) in self.drives.iter().enumerate() {
            self.plan_drive(&mut plan, drive, index + 1, scratch)?;
        }
        for (index, share) in self.shares.iter().enumerate() {
            self.plan_share(&mut plan, share, index + 1)?;
        }
        if !plan.late.is_empty() {
            plan.add(["-qmp".into(), format!("unix:{},server=on,wait=off", escape(&plan.monitor))]);
        }
        plan.add(&self.arguments);
        Ok(plan)
    }

    fn plan_drive(&self, plan: &mut Plan, drive: &Drive, number: usize, scratch: &TempDir) -> Result<()> {
        ensure!(drive.file.exists(), "there is no disk image {}", drive.file.display());
        let drive = match drive.bus {
            Bus::Sdhci => &drive.clone().with_file(whole_card(&drive.file, scratch, number)?),
            _ => drive,
        };
        let Attachment { drive: backend, controllers, disk } = drive.attach(number, &plan.machine)?;
        plan.add(["-drive", &backend]);
        controllers.iter().for_each(|controller| plan.add(["-device", controller]));
        match drive.hotplug {
            Some(after) => plan.late.push((after, disk)),
            None => plan.add(["-device", &disk.argument()]),
        }
        Ok(())
    }

    fn plan_share(&self, plan: &mut Plan, share: &Share, number: usize) -> Result<()> {
        let Share { tag, directory, writable } = share;
        ensure!(directory.is_dir(), "the share {tag} is no directory: {}", directory.display());
        let read_only = if *writable { "off" } else { "on" };
        let path = escape(directory);
        plan.add([
            "-fsdev".into(),
            format!("local,id=share{number},path={path},security_model=none,readonly={read_only}"),
        ]);
        let device = for_machine("virtio-9p-pci", &plan.machine);
        plan.add(["-device".into(), format!("{device},fsdev=share{number},mount_tag={tag}")]);
        Ok(())
    }
}

/// An SD card's size is a power of two: a copy of the image, made longer where it must be. What the guest writes
/// to it is lost, as with every other disk.
fn whole_card(image: &Path, scratch: &TempDir, number: usize) -> Result<PathBuf> {
    let mut source = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    let size = source.metadata()?.len();
    if size.is_power_of_two() {
        return Ok(image.to_owned());
    }
    let path = scratch.path().join(format!("card{number}.img"));
    let mut card = File::create(&path).context("cannot make a copy of the SD card")?;
    copy_sparse(&mut source, &mut card).context("cannot copy the SD card")?;
    card.set_len(size.next_power_of_two())?;
    Ok(path)
}

/// QEMU's command line and what comes later.
struct Plan {
    program: PathBuf,
    machine: String,
    command_line: String,
    arguments: Vec<OsString>,
    /// Disks to plug in, each with its delay.
    late: Vec<(Duration, Device)>,
    /// The socket of QEMU's monitor, which exists when there is something to plug in.
    monitor: PathBuf,
}

impl Plan {
    fn add<S: Into<OsString>>(&mut self, arguments: impl IntoIterator<Item = S>) {
        self.arguments.extend(arguments.into_iter().map(Into::into));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_begins_with_the_console() {
        let boot = Boot::new("k", "i").append("root=/dev/vda ro").append("").append("quiet");
        let line = boot.command_line(&crate::platform::X86_64);
        assert_eq!(line, "console=ttyS0 panic=-1 root=/dev/vda ro quiet");
    }

    #[test]
    fn a_missing_kernel_is_named() {
        let error = Boot::new("/nowhere/vmlinuz", "/nowhere/image").run().unwrap_err().to_string();
        assert!(error.contains("/nowhere/vmlinuz"), "{error}");
    }
}
