//! A boot that cannot go on: why, in one sentence; what was seen; and the end that the user chose.
//!
//! Failures carry what their sentences need; the sentences themselves stand here and nowhere else.

use rustix::io::Errno;
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::system::{RebootCommand, reboot};

use crate::cmdline::OnFail;
use crate::device::{disks, undriven};
use crate::module::Modules;
use crate::report::{Level, Line, Log, explain};
use crate::root::search::describe;
use crate::sys::{Program, console, exit};
use crate::table::Damage;
use crate::text::Text;

/// What kind of problem ends a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Not started by the kernel as its first process.
    NotFirst,
    /// A kernel file system could not be mounted.
    KernelMount,
    /// A file of the image cannot be read.
    ImageFile,
    /// The table is not a table.
    NotATable,
    /// The table has another format.
    TableVersion,
    /// The table is damaged.
    TableDamaged,
    /// The table was made for another release.
    OtherRelease,
    /// The table was made for another build.
    OtherBuild,
    /// No `root=`.
    NoRoot,
    /// A `root=` that the loader does not understand.
    RootForm,
    /// The kernel tells of no devices.
    Events,
    /// The root did not appear.
    RootMissing,
    /// The root holds nothing that can be recognised.
    Unrecognised,
    /// The root holds something that no kernel mounts as a root.
    NotAFileSystem,
    /// The module for the root's file system is not there.
    NoFileSystem,
    /// The kernel refused to mount the root.
    RootMount,
    /// The root has no init.
    NoInit,
    /// The `init=` that was asked for is not there.
    NoSuchInit,
    /// The old root is not an initramfs, or the new one is no file system of its own.
    NotAnInitramfs,
    /// A step of the handoff failed.
    HandOff,
}

/// Why a boot cannot go on.
#[derive(Clone)]
pub struct Failure {
    problem: Problem,
    subject: Text<160>,
    detail: Text<160>,
    errno: Option<Errno>,
}

impl Failure {
    /// A failure about something, which the sentence names.
    pub fn new(problem: Problem, subject: &[&[u8]]) -> Failure {
        Failure { problem, subject: Text::of(subject), detail: Text::new(), errno: None }
    }

    /// The failure of a table that is none.
    pub fn from_damage(damage: Damage, path: &str) -> Failure {
        let problem = match damage {
            Damage::NotATable => Problem::NotATable,
            Damage::Version(_) => Problem::TableVersion,
            Damage::Length | Damage::Section | Damage::Checksum => Problem::TableDamaged,
        };
        Failure::new(problem, &[path.as_bytes()])
    }

    /// Adds the second thing that the sentence names.
    pub fn with_detail(mut self, detail: &[&[u8]]) -> Failure {
        self.detail = Text::of(detail);
        self
    }

    /// Adds the kernel's reason.
    pub fn with_errno(mut self, errno: Errno) -> Failure {
        self.errno = Some(errno);
        self
    }

    /// The failure in one sentence: what it is about stands where `%` does, the detail where `&` does.
    pub fn sentence(&self) -> Line {
        let pattern: &[u8] = match self.problem {
            Problem::NotFirst => b"this is the init of an initramfs: the kernel starts it, as process 1",
            Problem::KernelMount => b"cannot mount %",
            Problem::ImageFile => b"the image's % cannot be read",
            Problem::NotATable => b"% is no module table: build the image anew",
            Problem::TableVersion => b"% is a table of another format version: loader and builder do not belong together",
            Problem::TableDamaged => b"% is damaged: build the image anew, and check the memory and the medium it was read from",
            Problem::OtherRelease => b"the image was built for kernel %, but this is kernel &",
            Problem::OtherBuild => b"the image was built for another build of kernel %",
            Problem::NoRoot => b"the command line has no root=",
            Problem::RootForm => b"root=% is of no form that is known here",
            Problem::Events => b"cannot listen to the kernel's events",
            Problem::RootMissing => b"root=% did not appear",
            Problem::Unrecognised => b"% holds no file system that is known here: give rootfstype=",
            Problem::NotAFileSystem => b"% holds &, which cannot be mounted as a root",
            Problem::NoFileSystem => b"% holds &, for which neither the kernel nor the image has a module: build the image with --include &",
            Problem::RootMount => b"cannot mount % as &",
            Problem::NoInit => b"% has no init: tried /sbin/init, /etc/init, /bin/init, /bin/sh",
            Problem::NoSuchInit => b"% has no executable init=&",
            Problem::NotAnInitramfs => b"refusing to leave this root: %",
            Problem::HandOff => b"cannot %",
        };
        let mut line = Line::new();
        for &byte in pattern {
            match byte {
                b'%' => line.push(self.subject.as_bytes()),
                b'&' => line.push(self.detail.as_bytes()),
                byte => line.push(&[byte]),
            }
        }
        if let Some(errno) = self.errno {
            line.push(b": ");
            line.push(explain(errno).as_bytes());
        }
        line
    }
}

/// Lists what a user needs to see why there is no root: block devices and what is on them, devices that no module of
/// the image drives, and modules that did not load.
pub fn survey(modules: &Modules, log: &mut Log) {
    let mut any = false;
    disks(&mut |disk| {
        any = true;
        log.say(Level::Error, &[b"seen: ", describe(disk).as_bytes()]);
        true
    });
    if !any {
        log.say(Level::Error, &[b"seen: no block device at all"]);
    }
    let mut left = UNDRIVEN;
    undriven(modules, &mut |device, modalias| {
        if left > 0 && may_lead_to_a_disk(modalias) {
            left -= 1;
            log.say(Level::Error, &[b"no driver in the image for ", device, b" (", modalias, b")"]);
        }
    });
    for &failed in modules.failed() {
        modules.say_failed(failed, Level::Error, log);
    }
}

/// How many devices without a driver a report lists.
const UNDRIVEN: usize = 16;

/// Whether a device is of a bus that disks hang on; a PCI device must say that it is mass storage, a serial bus
/// controller (USB and the like), or of no class that could be told.
fn may_lead_to_a_disk(modalias: &[u8]) -> bool {
    const BUSES: [&[u8]; 9] =
        [b"virtio:", b"usb:", b"scsi:", b"nvme", b"mmc:", b"vmbus:", b"xen:", b"sdio:", b"of:"];
    const PCI_CLASSES: [&[u8]; 4] = [b"bc00", b"bc01", b"bc0C03", b"bc0805"];
    let has = |part: &&[u8]| modalias.windows(part.len()).any(|window| window == *part);
    BUSES.iter().any(|bus| modalias.starts_with(bus))
        || modalias.starts_with(b"pci:") && PCI_CLASSES.iter().any(has)
}

/// Says why, as the last line, and ends.
pub fn end(failure: &Failure, on_fail: OnFail, program: &mut Program, log: &mut Log) -> ! {
    let sentence = failure.sentence();
    if on_fail == OnFail::Shell {
        log.say(Level::Error, &[b"cannot boot: ", sentence.as_bytes(), b"; starting a shell"]);
        start_shell(program, log);
    }
    log.say(Level::Error, &[b"cannot boot: ", sentence.as_bytes()]);
    let command = match on_fail {
        OnFail::Reboot => RebootCommand::Restart,
        OnFail::PowerOff => RebootCommand::PowerOff,
        OnFail::Halt => RebootCommand::Halt,
        // The kernel panics when process 1 ends.
        OnFail::Panic | OnFail::Shell => exit(1),
    };
    rustix::fs::sync();
    let _ = reboot(command);
    exit(1)
}

/// Becomes the shell of the image, if it has one.
fn start_shell(program: &mut Program, log: &mut Log) {
    // Job control needs a session with a terminal of its own; without one the shell says so and works all the same.
    let _ = setsid();
    let _ = ioctl_tiocsctty(console());
    for shell in [c"/bin/sh", c"/usr/bin/sh", c"/bin/bash", c"/sbin/sh"] {
        program.become_other(shell);
    }
    log.say(Level::Error, &[b"the image has no shell: build it with --file SHELL:/bin/sh"]);
}
