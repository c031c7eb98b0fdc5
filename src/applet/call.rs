//! A call of a tool: its command line, and what it prints.
//!
//! The command line is taken apart as getopt_long(3) does: short options together or apart, long ones whole or shortened,
//! options and operands in any order, up to `--`. Results go to standard output, complaints in kmod's form to standard
//! error.

use core::ffi::CStr;

use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::{self, Errno};

use crate::module::{Parameters, push_parameter};
use crate::sys::{self, Arguments, console};
use crate::text::{entry, split_once};

/// What makes a tool.
pub struct Tool {
    /// Its options, each with a NUL behind it: a letter, the place of its value among [`Call::values`], and the long
    /// name, shorter ones before those that begin with them. What takes no value has '-' in that place; what has its own
    /// long name as the value of place 3, '3'.
    pub options: &'static [u8],
    /// The complaint if there is no operand; empty if there need not be one.
    pub missing: &'static [u8],
    /// The options with which each operand is worked on; without them it is the first, and the others are its parameters.
    pub each: u64,
    /// Does the work for one operand.
    pub work: fn(&mut Call, &'static CStr),
}

/// A tool's own options, and those of every tool.
macro_rules! options {
    ($own:literal) => {
        concat!($own, "V-version\0h-help\0").as_bytes()
    };
}
pub(super) use options;

/// The bit of an option's letter among [`Call::flags`]: distinct for letters and the digit 0.
pub const fn bit(letter: u8) -> u64 {
    1 << ((letter ^ letter >> 6) & 63)
}

/// The bit of no option, always among the flags.
pub const ALWAYS: u64 = 1 << 63;

/// A call of a tool.
pub struct Call {
    /// The name that it was called by.
    name: &'static [u8],
    tool: &'static Tool,
    /// The options given.
    flags: u64,
    /// The values of options.
    pub values: [&'static [u8]; 4],
    /// The first operand; empty if there is none.
    first: &'static CStr,
    /// The operands behind the first, as parameters of a module.
    pub parameters: Parameters,
    /// What is printed and not written yet.
    buffer: Vec<u8, 2048>,
    /// The rank of complaints.
    pub rank: &'static [u8],
    /// Nothing was complained of.
    succeeds: bool,
    /// Nothing more is to be done.
    pub is_over: bool,
}

impl Call {
    /// Does what a call by this name says; whether it succeeded.
    pub fn run(name: &'static [u8], tool: &'static Tool, arguments: Arguments) -> bool {
        let mut call = Call {
            name,
            tool,
            flags: ALWAYS,
            values: [b""; 4],
            first: c"",
            parameters: Parameters::new(),
            buffer: Vec::new(),
            rank: b"",
            succeeds: true,
            is_over: false,
        };
        call.read(arguments.clone(), false);
        call.rank = b"ERROR: ";
        let first = call.first;
        if call.has(b'V') {
            call.print(b"modstrap version %\n", env!("CARGO_PKG_VERSION").as_bytes());
        } else if call.has(b'h') {
            call.print(b"Usage: % [options] operands\n", name);
        } else if first.is_empty() && !tool.missing.is_empty() && !call.is_over {
            call.complain(tool.missing, b"");
        } else if call.flags & tool.each != 0 {
            // What were taken for parameters are operands.
            call.parameters = Parameters::new();
            call.read(arguments, true);
        } else if !call.is_over {
            (tool.work)(&mut call, first);
        }
        call.write(sys::output());
        call.succeeds
    }

    /// Reads the command line, and works on each operand if that is wanted.
    #[inline(never)]
    fn read(&mut self, mut arguments: Arguments, works: bool) {
        let mut has_ended = false;
        while !self.is_over
            && let Some(argument) = arguments.next()
        {
            match argument.to_bytes() {
                b"--" if !has_ended => has_ended = true,
                [b'-', b'-', long @ ..] if !has_ended => {
                    let mut value = long;
                    let name = take(&mut value, b'=');
                    self.option(0, name, value, &mut arguments);
                }
                [b'-', letters @ ..] if !has_ended && !letters.is_empty() => {
                    let mut letters = letters;
                    while let [letter, rest @ ..] = letters {
                        letters = if self.option(*letter, b"", rest, &mut arguments) { b"" } else { rest };
                    }
                }
                _ if works => (self.tool.work)(self, argument),
                _ if self.first.is_empty() => self.first = argument,
                word => {
                    // A value with spaces needs quotes, where it does not begin with one.
                    match split_once(word, b'=') {
                        Some((key, value @ [first, ..]))
                            if split_once(value, b' ').is_some() && !matches!(first, b'"' | b'\'') =>
                        {
                            push_parameter(&mut self.parameters, &[key, b"=\"", value, b"\""]);
                        }
                        _ => push_parameter(&mut self.parameters, &[word]),
                    }
                }
            }
        }
    }

    /// Takes an option, by its letter or its long name, with its value if it has one: what is attached to it, or the next
    /// argument. Tells whether it has.
    #[inline(never)]
    fn option(&mut self, letter: u8, name: &[u8], attached: &'static [u8], arguments: &mut Arguments) -> bool {
        let mut rest = self.tool.options;
        while let [found, place, behind @ ..] = rest {
            rest = behind;
            let long = take(&mut rest, 0);
            if if letter == 0 { long.starts_with(name) } else { *found == letter } {
                self.flags |= bit(*found);
                let Some(value) = self.values.get_mut(usize::from(place & 15)) else { return false };
                *value = if *place == b'3' {
                    long
                } else if attached.is_empty() {
                    arguments.next().map_or(b"", CStr::to_bytes)
                } else {
                    attached
                };
                return *place != b'3';
            }
        }
        self.is_over = true;
        self.complain(b"unrecognized option '%'", if letter == 0 { name } else { core::slice::from_ref(&letter) });
        true
    }

    /// Whether an option was given.
    pub fn has(&self, letter: u8) -> bool {
        self.flags & bit(letter) != 0
    }

    /// Prints a text, each `%` in it replaced by the part. Whole sentences as data are smaller than what puts them
    /// together from pieces.
    #[inline(never)]
    pub fn print(&mut self, text: &[u8], part: &[u8]) {
        for byte in text {
            for &byte in if *byte == b'%' { part } else { core::slice::from_ref(byte) } {
                if self.buffer.push(byte).is_err() {
                    self.write(sys::output());
                    let _ = self.buffer.push(byte);
                }
            }
        }
    }

    /// Prints what a text of some length lacks to a width in spaces, if it lacks any.
    #[inline(never)]
    pub fn pad(&mut self, width: usize, length: usize) {
        (length..width).for_each(|_| self.print(b" ", b""));
    }

    /// Complains, with a text as [`Call::print`] takes it.
    #[inline(never)]
    pub fn complain(&mut self, text: &[u8], about: &[u8]) {
        self.begin_complaint(text, about);
        self.end_complaint(b"");
    }

    /// Begins a complaint; what is printed is part of it, up to its end.
    #[inline(never)]
    pub fn begin_complaint(&mut self, text: &[u8], about: &[u8]) {
        self.succeeds = false;
        self.write(sys::output());
        self.print(b"%: ", self.name);
        self.print(b"%", self.rank);
        self.print(text, about);
    }

    /// Ends a complaint.
    #[inline(never)]
    pub fn end_complaint(&mut self, detail: &[u8]) {
        self.print(b"%\n", detail);
        if self.has(b'q') {
            self.buffer.clear();
        }
        self.write(console());
    }

    /// Complains of an error; what errors mean to the tool beside what they mean to all, it says itself.
    #[inline(never)]
    pub fn fail(&mut self, errno: Errno, own: &'static [u8], text: &[u8], about: &[u8]) {
        self.begin_complaint(text, about);
        self.end_complaint(meaning(errno, own));
    }

    /// Writes what was printed to whoever listens; to nobody if nobody does.
    #[inline(never)]
    fn write(&mut self, to: BorrowedFd) {
        let mut bytes = self.buffer.as_slice();
        while let Ok(count @ 1..) = io::write(to, bytes) {
            bytes = bytes.get(count..).unwrap_or_default();
        }
        self.buffer.clear();
    }
}

/// Takes what stands before the first such byte, which is left out, or all.
#[inline(never)]
pub fn take<'a>(rest: &mut &'a [u8], separator: u8) -> &'a [u8] {
    let text = *rest;
    let end = text.iter().position(|&byte| byte == separator).unwrap_or(text.len());
    *rest = text.get(end + 1..).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

/// What an error means: by a tool's own list, as [`entry`] takes it, else in the words of the C library, which kmod
/// prints. The numbers are those of all architectures but MIPS and its like (see [`crate::report::push_errno`]).
fn meaning(errno: Errno, own: &'static [u8]) -> &'static [u8] {
    const MEANINGS: &[u8] = b"\
\x01Operation not permitted\0\
\x02No such file or directory\0\
\x05Input/output error\0\
\x06No such device or address\0\
\x08Exec format error\0\
\x0bResource temporarily unavailable\0\
\x0cCannot allocate memory\0\
\x0dPermission denied\0\
\x10Device or resource busy\0\
\x11File exists\0\
\x13No such device\0\
\x16Invalid argument\0\
\x4aDamaged: build the image anew\0\
\x5fOperation not supported\0\
\x7eRequired key not available\0\
\x81Key was rejected by service";
    let number = u8::try_from(errno.raw_os_error()).unwrap_or(u8::MAX);
    entry(own, number).or_else(|| entry(MEANINGS, number)).unwrap_or(b"Unknown error")
}
