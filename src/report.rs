//! What happened: lines in the kernel log, and the kernel's error numbers in words.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::{self, Errno};

use crate::file;
use crate::sys::{console, now};
use crate::text::{Text, entry};

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
    target: Target,
    lines: u8,
    begun: u64,
    /// Why the boot cannot go on: the sentence of the latest failure.
    pub reason: Line,
}

/// Where the lines of a log go.
enum Target {
    /// To standard error, which is the console.
    Console,
    /// To the kernel.
    Kernel(OwnedFd),
    /// To a file, in the form that the kernel takes.
    File(OwnedFd),
}

/// The kernel lets ten lines pass for each time the log was opened and silently drops more for five seconds
/// (kernel/printk/printk.c, `devkmsg_write`; lib/ratelimit.c): it is opened anew before that.
const LINES_PER_OPENING: u8 = 8;

impl Log {
    /// A log that is not open yet: its lines go to standard error, which is the console.
    pub fn begin() -> Log {
        Log { target: Target::Console, lines: 0, begun: now(), reason: Line::new() }
    }

    /// A log whose lines go to a file, each behind its level in angle brackets.
    pub fn to(file: OwnedFd) -> Log {
        Log { target: Target::File(file), ..Log::begin() }
    }

    /// Opens the kernel log, now that /dev and /proc are there.
    pub fn open(&mut self) {
        let mut buffer = [0; 16];
        // Where the user switched it off, the kernel takes lines and throws them away: the console is left.
        let is_off = file::read(c"/proc/sys/kernel/printk_devkmsg", &mut buffer).starts_with(b"off");
        self.lines = 0;
        self.target = Target::Console;
        if !is_off && let Ok(file) = file::open_as(c"/dev/kmsg", OFlags::WRONLY) {
            self.target = Target::Kernel(file);
        }
    }

    /// How long ago, in milliseconds, the log was begun, and the boot with it.
    pub fn elapsed(&self) -> u64 {
        now().saturating_sub(self.begun)
    }

    /// Writes one line, made of these parts. Labels and the like may hold anything: what could forge a line, or command
    /// a terminal, is written as '?'.
    pub fn say(&mut self, level: Level, parts: &[&[u8]]) {
        if matches!(self.target, Target::Kernel(_)) && self.lines >= LINES_PER_OPENING {
            self.open();
        }
        self.lines = self.lines.saturating_add(1);
        let mut line = Line::new();
        if !matches!(self.target, Target::Console) {
            line.push(&[b'<', b'0' + level as u8, b'>']);
        }
        line.push(b"modstrap: ");
        parts.iter().for_each(|part| line.push(part));
        line.as_bytes_mut().iter_mut().filter(|byte| **byte < b' ' || **byte == 0x7f).for_each(|byte| *byte = b'?');
        // Without its end the kernel would keep the line back, for more to come.
        line.push(b"\n");
        if let Some(last) = line.as_bytes_mut().last_mut() {
            *last = b'\n';
        }
        let to = match &self.target {
            Target::Console => console(),
            Target::Kernel(file) | Target::File(file) => file.as_fd(),
        };
        let _ = io::write(to, line.as_bytes());
    }

    /// The same, with the kernel's reason last.
    pub fn say_errno(&mut self, level: Level, parts: &[&[u8]], errno: Errno) {
        let mut line = Line::of(parts);
        line.push(b": ");
        push_errno(&mut line, b"", errno);
        self.say(level, &[line.as_bytes()]);
    }
}

/// Adds a sentence with `subject` where it has `%`, and `detail` where it has `&`.
#[inline(never)]
pub fn push_sentence(line: &mut Line, sentence: &'static [u8], subject: &[u8], detail: &[u8]) {
    for byte in sentence {
        line.push(match byte {
            b'%' => subject,
            b'&' => detail,
            byte => core::slice::from_ref(byte),
        });
    }
}

/// Adds what an error number means, by the first list that knows it, and the number for those who search for it. The
/// lists are of [`entry`]'s form; the numbers are those of all architectures but MIPS and its like, on which errors from
/// 35 on are numbered otherwise and remain numbers.
pub fn push_errno(line: &mut Line, meanings: &'static [u8], errno: Errno) {
    const COMMON: &[u8] = b"\
\x01operation not permitted\0\
\x02no such file or device\0\
\x05input/output error\0\
\x06no such device or address\0\
\x0cout of memory\0\
\x0dpermission denied\0\
\x0fnot a block device\0\
\x10busy\0\
\x11already there\0\
\x13no such device or file system type\0\
\x14not a directory\0\
\x16invalid argument\0\
\x08not an executable of this machine\0\
\x1eread-only\0\
\x24name too long\0\
\x28too many symbolic links\0\
\x3dempty\0\
\x4acorrupted data\0\
\x5fnot supported by this kernel\0\
\x6etimed out\0\
\x75the file system is damaged or needs checking\0\
\x7bno medium";
    // What only servers and the ways to them bring about.
    const NETWORK: &[u8] = if cfg!(feature = "network") {
        b"\x47protocol error\0\x5dprotocol not supported\0\x65network is unreachable\0\x68connection reset\0\x6fconnection refused\0\x70server is going down\0\x71no route to host"
    } else {
        b""
    };
    let is_known = |number: &u8| *number < 35 || !cfg!(any(target_arch = "mips", target_arch = "mips64"));
    let number = u8::try_from(errno.raw_os_error()).ok().filter(is_known).unwrap_or(u8::MAX);
    line.push(
        entry(meanings, number)
            .or_else(|| entry(COMMON, number))
            .or_else(|| entry(NETWORK, number))
            .unwrap_or(b"error"),
    );
    push_number(line, errno);
}

/// Adds an error number.
pub fn push_number(line: &mut Line, errno: Errno) {
    line.push(b" (errno ");
    line.push_number(errno.raw_os_error().unsigned_abs().into());
    line.push(b")");
}
