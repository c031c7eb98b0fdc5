//! A boot as QEMU takes it: its command line, and what comes later.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::boot::Boot;
use crate::disk::copy_sparse;
use crate::drive::{self, Bus, Device, Drive, escape};
use crate::entry::enterable;
use crate::platform::Platform;
use crate::server::Server;
use crate::share::{Attachment, Share};
use crate::tool::find_program;

/// QEMU's command line and what comes later.
pub(crate) struct Plan {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// The kernel command line, which is one of the arguments.
    pub command_line: String,
    /// Disks to plug in, each with its delay.
    pub late: Vec<(Duration, Device)>,
    /// The socket of QEMU's monitor, which exists when there is something to plug in.
    pub monitor: PathBuf,
    /// Who must run before QEMU does.
    pub servers: Vec<Server>,
    machine: String,
}

impl Plan {
    /// The plan of a boot whose temporary files go into `scratch`. An error names a file or a program that is missing.
    pub fn new(boot: &Boot, scratch: &Path) -> Result<Self> {
        for file in [&boot.kernel, &boot.image] {
            ensure!(file.is_file(), "there is no file {}", file.display());
        }
        let platform = Platform::of(&boot.kernel)?;
        let mut plan = Self {
            program: match &boot.qemu {
                Some(name) => find_program(name).with_context(|| format!("there is no program {name}"))?,
                None => platform.qemu.find()?,
            },
            arguments: Vec::new(),
            command_line: command_line(platform, boot),
            late: Vec::new(),
            monitor: scratch.join("qmp"),
            servers: Vec::new(),
            machine: boot.machine.clone().unwrap_or_else(|| platform.machine.into()),
        };
        plan.add_machine(boot, scratch)?;
        plan.add_drives(&boot.drives, scratch)?;
        plan.add_shares(boot, scratch)?;
        for (nic, number) in boot.nics.iter().zip(1..) {
            plan.add(nic.arguments(number, &plan.machine));
        }
        if !plan.late.is_empty() {
            plan.add(["-qmp".into(), format!("unix:{},server=on,wait=off", escape(&plan.monitor))]);
        }
        plan.add(&boot.arguments);
        Ok(plan)
    }

    fn add_machine(&mut self, boot: &Boot, scratch: &Path) -> Result<()> {
        let kernel = if boot.as_is { boot.kernel.clone() } else { enterable(&boot.kernel, scratch)? };
        let (machine, command_line) = (self.machine.clone(), self.command_line.clone());
        self.add(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"]);
        self.add(["-machine", &machine, "-accel", &boot.accelerator, "-cpu", "max"]);
        self.add(["-m", &boot.memory.to_string(), "-smp", &boot.processors.to_string()]);
        self.add([Path::new("-kernel"), &kernel, Path::new("-initrd"), &boot.image]);
        self.add(["-append", &command_line]);
        Ok(())
    }

    fn add_drives(&mut self, drives: &[Drive], scratch: &Path) -> Result<()> {
        for (drive, number) in drives.iter().zip(1..) {
            ensure!(drive.file.exists(), "there is no disk image {}", drive.file.display());
            let card = scratch.join(format!("card{number}"));
            let drive = if drive.bus == Bus::Sdhci { &whole_card(drive, card)? } else { drive };
            let drive::Attachment { drive: backend, controllers, disk } = drive.attach(number, &self.machine)?;
            self.add(["-drive", &backend]);
            controllers.iter().for_each(|controller| self.add(["-device", controller]));
            match drive.hotplug {
                Some(after) => self.late.push((after, disk)),
                None => self.add(["-device", &disk.argument()]),
            }
        }
        Ok(())
    }

    fn add_shares(&mut self, boot: &Boot, scratch: &Path) -> Result<()> {
        for (share, number) in boot.shares.iter().zip(1..) {
            let Attachment { arguments, server } = share.attach(number, &self.machine, scratch)?;
            self.add(arguments);
            self.servers.extend(server);
        }
        if shares_memory(boot) {
            let memory = format!("memory-backend-memfd,id=memory,size={}M,share=on", boot.memory);
            self.add(["-object", &memory, "-machine", "memory-backend=memory"]);
        }
        Ok(())
    }

    fn add<S: Into<OsString>>(&mut self, arguments: impl IntoIterator<Item = S>) {
        self.arguments.extend(arguments.into_iter().map(Into::into));
    }
}

/// The whole kernel command line: the console, an end instead of a wait when the kernel panics, what shares need, then the words
/// that were given.
fn command_line(platform: &Platform, boot: &Boot) -> String {
    let is_emulated = boot.accelerator.starts_with("tcg");
    let own = [platform.console, "panic=-1", if is_emulated && shares_memory(boot) { FRESH_PAGES } else { "" }];
    let words = own.into_iter().chain(boot.append.iter().map(String::as_str)).filter(|words| !words.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a server writes to the guest's memory.
fn shares_memory(boot: &Boot) -> bool {
    boot.shares.iter().any(Share::needs_shared_memory)
}

/// Has the guest write to each page before it is used (`init_on_alloc`, mm/page_alloc.c): of what a server writes, QEMU's
/// translator does not hear, and where it keeps the translation of code that was in the page before, the guest would go on with
/// that. Programs then crash, one in a few boots.
const FRESH_PAGES: &str = "init_on_alloc=1";

/// QEMU wants an SD card's size to be a power of two: another image becomes a longer copy at `path`. What the guest
/// writes to that is lost.
fn whole_card(drive: &Drive, path: PathBuf) -> Result<Drive> {
    let mut source = File::open(&drive.file).with_context(|| format!("cannot read {}", drive.file.display()))?;
    let size = source.metadata()?.len();
    if size.is_power_of_two() {
        return Ok(drive.clone());
    }
    let mut card = File::create(&path).context("cannot make a copy of the SD card")?;
    copy_sparse(&mut source, &mut card).context("cannot copy the SD card")?;
    card.set_len(size.next_power_of_two())?;
    Ok(drive.clone().with_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::X86_64;
    use crate::share::Protocol;

    #[test]
    fn the_command_line_begins_with_the_console() {
        let boot = Boot::new("vmlinuz", "image").append("root=/dev/vda ro").append("").append("quiet");
        assert_eq!(command_line(&X86_64, &boot), "console=ttyS0 panic=-1 root=/dev/vda ro quiet");
        let boot = Boot::new("vmlinuz", "image").share(Share::new("root", "/").by(Protocol::VirtioFs)).append("quiet");
        assert_eq!(command_line(&X86_64, &boot), "console=ttyS0 panic=-1 init_on_alloc=1 quiet");
        assert_eq!(command_line(&X86_64, &boot.accelerator("kvm")), "console=ttyS0 panic=-1 quiet");
    }

    #[test]
    fn a_card_grows_to_a_power_of_two() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        File::create(&image).unwrap().set_len(3 << 20).unwrap();
        let card = whole_card(&Drive::new(&image, Bus::Sdhci), directory.path().join("card")).unwrap();
        assert_eq!(card.file.metadata().unwrap().len(), 4 << 20);
        assert_eq!(image.metadata().unwrap().len(), 3 << 20);
    }
}
