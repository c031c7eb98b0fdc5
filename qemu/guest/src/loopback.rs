//! The loopback interface, which programs expect to be up.

#![allow(unsafe_code)]

use rustix::ioctl::{Setter, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};

/// Sets an interface's flags (include/uapi/linux/sockios.h).
const SIOCSIFFLAGS: rustix::ioctl::Opcode = 0x8914;
/// The interface is up (include/uapi/linux/if.h).
const IFF_UP: u16 = 1;

/// `struct ifreq` with flags in its union (include/uapi/linux/if.h).
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Brings it up, if the kernel has it.
pub fn bring_up() {
    let Ok(socket) = socket(AddressFamily::INET, SocketType::DGRAM, None) else { return };
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = Request { name, flags: IFF_UP, rest: [0; 22] };
    // Safety: the kernel reads a `struct ifreq`, which this is by its layout, and keeps no reference to it.
    let _ = unsafe { ioctl(socket, Setter::<SIOCSIFFLAGS, Request>::new(request)) };
}
