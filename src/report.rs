//! What happened: lines in the kernel log, and the kernel's error numbers in words.

use rustix::fd::OwnedFd;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};

use crate::file;
use crate::sys::console;
use crate::text::Text;

/// A line of the kernel log: the kernel takes no longer record than 1 KiB (kernel/printk/printk.c).
pub type Line = Text<976>;

/// The importance of a line, as the kernel counts it. Under `quiet` only errors show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Failures, and notices of a wait: shown even under `quiet`.
    Error = 3,
    /// Something is odd, and the boot goes on.
    Warning = 4,
    /// What was done.
    Info = 6,
}

/// The kernel log.
pub struct Log {
    kmsg: Option<OwnedFd>,
    lines: u8,
}

/// The kernel lets ten lines pass for each time the log was opened and silently drops more for five seconds
/// (kernel/printk/printk.c, `devkmsg_write`; lib/ratelimit.c): it is opened anew before that.
const LINES_PER_OPENING: u8 = 8;

impl Log {
    /// A log that is not open yet: its lines go to standard error, which is the console.
    pub const fn new() -> Log {
        Log { kmsg: None, lines: 0 }
    }

    /// Opens the kernel log, now that /dev and /proc are there.
    pub fn open(&mut self) {
        let mut buffer = [0; 16];
        // Where the user switched it off, the kernel takes lines and throws them away: the console is left.
        let is_off = file::read(c"/proc/sys/kernel/printk_devkmsg", &mut buffer).is_ok_and(|on| on.starts_with(b"off"));
        self.kmsg = if is_off { None } else { fs::open(c"/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok() };
        self.lines = 0;
    }

    /// Writes one line, made of these parts.
    pub fn say(&mut self, level: Level, parts: &[&[u8]]) {
        if self.kmsg.is_some() && self.lines >= LINES_PER_OPENING {
            self.open();
        }
        self.lines = self.lines.saturating_add(1);
        let mut line = Line::new();
        if self.kmsg.is_some() {
            line.push(&[b'<', b'0' + level as u8, b'>']);
        }
        line.push(b"modstrap: ");
        parts.iter().for_each(|part| line.push(part));
        let _ = match &self.kmsg {
            Some(kmsg) => io::write(kmsg, line.as_bytes()),
            None => {
                line.push(b"\n");
                io::write(console(), line.as_bytes())
            }
        };
    }
}

/// An error number in words, and the number for those who search for it.
pub fn explain(errno: Errno) -> Text<96> {
    let words: &[u8] = match errno {
        Errno::PERM => b"operation not permitted",
        Errno::NOENT => b"no such file or device",
        Errno::IO => b"input/output error",
        Errno::NXIO => b"no such device or address",
        Errno::NOMEM => b"out of memory",
        Errno::ACCESS => b"permission denied",
        Errno::BUSY => b"busy",
        Errno::EXIST => b"already there",
        Errno::NODEV => b"no such device or file system type",
        Errno::NOTDIR => b"not a directory",
        Errno::INVAL => b"invalid argument",
        Errno::NOEXEC => b"not an executable of this machine",
        Errno::ROFS => b"read-only",
        Errno::LOOP => b"too many symbolic links",
        Errno::NOMEDIUM => b"no medium",
        Errno::UCLEAN => b"the file system is damaged or needs checking",
        Errno::NOTBLK => b"not a block device",
        Errno::NAMETOOLONG => b"name too long",
        Errno::TIMEDOUT => b"timed out",
        Errno::NODATA => b"empty",
        Errno::BADMSG => b"corrupted data",
        Errno::OPNOTSUPP => b"not supported by this kernel",
        _ => b"error",
    };
    let mut text = Text::of(&[words, b" (errno "]);
    text.push_number(errno.raw_os_error().unsigned_abs().into());
    text.push(b")");
    text
}
