//! The ports that lead to the host, by the names that QEMU gives them.

use core::ffi::CStr;

use modstrap::file::{self, Path};
use modstrap::sys::{now, sleep};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::io;

/// Where the guest tells how the command fares: `start`, `exit STATUS`, `signal NUMBER`, each in a line.
pub const CONTROL: &[u8] = b"modstrap.control";
/// The command's standard input.
pub const INPUT: &[u8] = b"modstrap.input";
/// Its standard output.
pub const OUTPUT: &[u8] = b"modstrap.output";
/// Its standard error.
pub const ERRORS: &[u8] = b"modstrap.errors";

/// The terminal, where the command has one.
const TERMINAL: &CStr = c"/dev/hvc0";

/// How long, in milliseconds, a port may take to appear once its driver is there.
const PATIENCE: u64 = 5000;

/// Opens a port.
pub fn open(name: &[u8]) -> io::Result<OwnedFd> {
    try_often(&mut || open_as(node(name).as_c_str()))
}

/// Opens the terminal.
pub fn open_terminal() -> io::Result<OwnedFd> {
    try_often(&mut || open_as(TERMINAL))
}

/// The device node of a port (drivers/char/virtio_console.c); none if it is not there.
fn node(name: &[u8]) -> Path {
    let mut node = Path::new();
    file::list(c"/sys/class/virtio-ports", &mut |port| {
        let file = Path::of(&[b"/sys/class/virtio-ports/", port, b"/name"]);
        if file::read(file.as_c_str(), &mut [0; 64]).trim_ascii_end() == name {
            node = Path::of(&[b"/dev/", port]);
        }
        node.as_bytes().is_empty()
    });
    node
}

fn open_as(path: &CStr) -> io::Result<OwnedFd> {
    file::open_as(path, OFlags::RDWR | OFlags::NOCTTY)
}

fn try_often(open: &mut dyn FnMut() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let end = now() + PATIENCE;
    loop {
        match open() {
            Err(_) if now() < end => sleep(5),
            result => return result,
        }
    }
}
