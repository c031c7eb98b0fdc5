//! The kernel's own requests: to get a module by a name or an alias it starts `/sbin/modprobe -q -- NAME`, which is this
//! program (kernel/module/kmod.c, `call_modprobe`).
//!
//! A request may come from anywhere: from before `/init` runs, with nothing mounted; from a module that is starting
//! just now; from many sides at once. So an answer is quick where there can be none, waits for nobody without limit,
//! and checks no more of the table than it reads. What nobody answers is noted for the boot to tell.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FlockOperation, Mode, OFlags, flock};
use rustix::io;

use crate::file::{self, Path};
use crate::machine::Running;
use crate::module::{Answer, Loading, Modules};
use crate::report::{Level, Line, Log};
use crate::store::{self, Store};
use crate::sys::{Arguments, interrupt_every, now, sleep};
use crate::text::split;

/// The program as the kernel calls it, as far as the image has a say in it.
const MODPROBE: &[u8] = b"/sbin/modprobe";

/// Where the path of that program is kept.
const MODPROBE_SETTING: &core::ffi::CStr = c"/proc/sys/kernel/modprobe";

/// The names that nobody answered to, one in a line. It is locked for as long as a request is worked on, and its bytes,
/// there or not, for as long as the modules of their numbers are loaded.
const UNANSWERED: &core::ffi::CStr = c"/run/modstrap/unanswered";

/// How long, in seconds, one insertion may take.
const DEADLINE: usize = 30;

/// The name that the kernel asks for, if these are the arguments it asks with.
pub fn request(mut arguments: Arguments) -> Option<&'static [u8]> {
    let mut is_next =
        |expected: &[u8]| arguments.next().is_some_and(|argument| argument.to_bytes().ends_with(expected));
    if is_next(b"modprobe") && is_next(b"-q") && is_next(b"--") {
        let name = arguments.next().filter(|_| arguments.next().is_none());
        return name.map(core::ffi::CStr::to_bytes);
    }
    None
}

/// Whether requests can be answered by now. Those from before `/init` runs cannot.
pub fn can_answer() -> bool {
    file::exists(c"/proc/cmdline")
}

/// Answers a request of the kernel; returns the exit status.
pub fn answer(name: &[u8]) -> u8 {
    if !can_answer() {
        return 1;
    }
    let unanswered = open_unanswered();
    interrupt_every(DEADLINE);
    let mut log = Log::begin();
    log.open();
    match load(name, unanswered.as_ref().map(OwnedFd::as_fd), &mut log) {
        Answer::Loaded => 0,
        Answer::Failed => 1,
        Answer::Nobody => {
            log.say(Level::Info, &[b"nobody answers the kernel's request for ", name]);
            if let Some(unanswered) = unanswered {
                let _ = io::write(unanswered, Line::of(&[name, b"\n"]).as_bytes());
            }
            1
        }
    }
}

fn load(name: &[u8], claims: Option<BorrowedFd>, log: &mut Log) -> Answer {
    let mut answer = Answer::Failed;
    let _ = store::open(b"", &mut |Store { table, cmdline, blobs }| {
        let machine = Running::new(blobs, claims);
        answer = Modules::new(table, cmdline, machine, Loading::Request(name)).load_named(name, log);
    });
    answer
}

fn open_unanswered() -> Option<OwnedFd> {
    let _ = fs::mkdir(c"/run/modstrap", Mode::from_raw_mode(0o755));
    let file = file::open_as(UNANSWERED, OFlags::RDWR | OFlags::CREATE | OFlags::APPEND).ok()?;
    let _ = flock(&file, FlockOperation::LockShared);
    Some(file)
}

/// How long, in milliseconds, a boot waits for the end of requests before it leaves the initramfs.
const PATIENCE: u64 = 2000;

/// The time in which the kernel asks this program.
pub struct Requests {
    /// Whom it was to ask before, where that is somebody else.
    before: Option<Path>,
}

impl Requests {
    /// Has the kernel ask this program, if it does not anyway.
    pub fn begin() -> Requests {
        if !cfg!(feature = "requests") {
            return Requests { before: None };
        }
        let mut buffer = [0; 256];
        let before = file::read(MODPROBE_SETTING, &mut buffer).trim_ascii_end();
        if before == MODPROBE {
            return Requests { before: None };
        }
        file::write(MODPROBE_SETTING, MODPROBE);
        Requests { before: Some(Path::of(&[before])) }
    }

    /// Waits for requests that are being answered, tells what nobody answered, and has the kernel ask whom it was to.
    pub fn end(self, log: &mut Log) {
        if !cfg!(feature = "requests") {
            return;
        }
        if let Ok(file) = file::open(UNANSWERED) {
            let end = now() + PATIENCE;
            while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() && now() < end {
                sleep(5);
            }
        }
        tell(Level::Info, log);
        if let Some(mut before) = self.before {
            // An empty setting is written as an empty line.
            before.push(b"\n");
            file::write(MODPROBE_SETTING, before.as_bytes());
        }
    }
}

/// Tells what the kernel asked for in vain, if there was anything.
pub fn tell(level: Level, log: &mut Log) {
    if !cfg!(feature = "requests") {
        return;
    }
    let mut names = [0; 600];
    let names = file::read(UNANSWERED, &mut names);
    let count = names.iter().filter(|byte| **byte == b'\n').count();
    if count == 0 {
        return;
    }
    let mut line = Line::new();
    line.push_number(count as u64);
    line.push(b" requests of the kernel had no answer:");
    for name in split(names, b'\n') {
        line.push(b" ");
        line.push(name);
    }
    log.say(level, &[line.as_bytes()]);
}
