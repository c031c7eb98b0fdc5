//! The kernel's side of NBD: disks over generic netlink (include/uapi/linux/nbd-netlink.h, drivers/block/nbd.c).

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::netlink::GENERIC;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::wire::Export;
use crate::net::netlink::{Request, attribute, exchange, pair};

/// After how many seconds the kernel gives up.
pub struct Limits {
    /// A request, and the connection with it; 0 for never.
    pub request: u64,
    /// A disk that has no connection.
    pub dead: u64,
}

impl Limits {
    /// While the initramfs runs, nobody is to wait long.
    pub const WHILE_BOOTING: Limits = Limits { request: 10, dead: 20 };

    /// For so long a running system may do without its server, unless the user says otherwise.
    pub const DEAD: u64 = 600;
}

/// Commands, and their attributes.
mod kind {
    pub const CONNECT: u8 = 1;
    pub const RECONFIGURE: u8 = 3;

    pub const INDEX: u16 = 1;
    pub const SIZE: u16 = 2;
    pub const BLOCK: u16 = 3;
    pub const TIMEOUT: u16 = 4;
    pub const SERVER_FLAGS: u16 = 5;
    pub const SOCKETS: u16 = 7;
    pub const DEAD_TIMEOUT: u16 = 8;
    pub const SOCKET: u16 = 1;
    pub const SOCKET_FD: u16 = 1;

    // Of generic netlink itself (include/uapi/linux/genetlink.h).
    pub const CONTROL: u16 = 0x10;
    pub const GET_FAMILY: u8 = 3;
    pub const FAMILY_ID: u16 = 1;
    pub const FAMILY_NAME: u16 = 2;
}

/// The way to the kernel's disks of NBD.
pub struct Devices {
    socket: OwnedFd,
    family: u16,
}

impl Devices {
    /// Opens it; the module must be there.
    pub fn open() -> io::Result<Devices> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(GENERIC))?;
        let mut devices = Devices { socket, family: kind::CONTROL };
        let mut request = devices.request(kind::GET_FAMILY, 0);
        request.attribute(kind::FAMILY_NAME, b"nbd\0");
        let [low, high, ..] = devices.ask(&mut request, kind::FAMILY_ID)?;
        devices.family = u16::from_ne_bytes([low, high]);
        Ok(devices)
    }

    /// Makes a connection a disk, the first that is free: its number.
    pub fn attach(&self, socket: BorrowedFd, export: &Export, block: u64) -> io::Result<u32> {
        let mut request = self.request(kind::CONNECT, 0);
        let numbers = [(kind::SIZE, export.size), (kind::BLOCK, block), (kind::SERVER_FLAGS, export.flags.into())];
        numbers.iter().for_each(|(kind, number)| request.attribute(*kind, &number.to_ne_bytes()));
        add(&mut request, &Limits::WHILE_BOOTING, Some(socket));
        self.ask(&mut request, kind::INDEX).map(u32::from_ne_bytes)
    }

    /// Changes the limits of a disk, and gives it another connection if it has lost its own.
    pub fn reconfigure(&self, index: u32, limits: &Limits, socket: Option<BorrowedFd>) -> io::Result<()> {
        let mut request = self.request(kind::RECONFIGURE, Request::ACK);
        request.attribute(kind::INDEX, &index.to_ne_bytes());
        add(&mut request, limits, socket);
        exchange(self.socket.as_fd(), &mut request, &mut [0; ANSWER]).map(drop)
    }

    fn request(&self, command: u8, flags: u16) -> Request {
        Request::new(self.family, flags, &[u32::from_ne_bytes([command, 1, 0, 0])])
    }

    /// The number that the kernel answers.
    fn ask(&self, request: &mut Request, number: u16) -> io::Result<[u8; 4]> {
        // Behind the head of generic netlink. An attribute is padded to a multiple of four bytes.
        const HEAD: usize = 4;
        let mut answer = [0; ANSWER];
        let answer = exchange(self.socket.as_fd(), request, &mut answer)?;
        let value = attribute(answer.get(HEAD..).unwrap_or_default(), number);
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(value.ok_or(Errno::PROTO)?) {
            *to = *from;
        }
        Ok(bytes)
    }
}

/// Room for as much of an answer as is read.
const ANSWER: usize = 128;

fn add(request: &mut Request, limits: &Limits, socket: Option<BorrowedFd>) {
    request.attribute(kind::TIMEOUT, &limits.request.to_ne_bytes());
    request.attribute(kind::DEAD_TIMEOUT, &limits.dead.to_ne_bytes());
    if let Some(socket) = socket {
        // An attribute in an attribute in an attribute; the lengths include their own.
        let heads = [pair(16, kind::SOCKETS), pair(12, kind::SOCKET), pair(8, kind::SOCKET_FD)];
        request.push(&heads);
        request.push(&[socket.as_raw_fd() as u32]);
    }
}
