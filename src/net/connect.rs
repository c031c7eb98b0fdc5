//! Connections to servers, within a time limit.

use core::net::SocketAddr;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect as connect_socket, send, socket_with};

use super::address::Address;
use crate::sys::timespec;

/// Connects to a server by TCP, waiting for it for at most so many milliseconds. The socket does not wait.
pub fn connect(server: &Address, port: u16, limit: u64) -> io::Result<OwnedFd> {
    let (family, address) = match server.as_bytes().first_chunk::<16>() {
        Some(bytes) => (AddressFamily::INET6, SocketAddr::from((*bytes, port))),
        None => (AddressFamily::INET, SocketAddr::from((server.v4(), port))),
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // Who tries again once the connection is there, or cannot be, is told so.
    while let Err(errno) = connect_socket(&socket, &address) {
        if errno != Errno::INPROGRESS {
            return Err(errno);
        }
        wait(&socket, PollFlags::OUT, limit)?;
    }
    Ok(socket)
}

/// Asks a server a question of one message by TCP; the length of what it answers first. Connection and answer may each
/// take so many milliseconds.
pub fn ask(server: &Address, port: u16, question: &[u8], answer: &mut [u8], limit: u64) -> io::Result<usize> {
    let socket = connect(server, port, limit)?;
    send(&socket, question, SendFlags::NOSIGNAL)?;
    wait(&socket, PollFlags::IN, limit)?;
    io::read(&socket, answer)
}

/// Waits until a socket is ready, for at most so many milliseconds.
pub fn wait(socket: impl AsFd, what: PollFlags, limit: u64) -> io::Result<()> {
    let mut sockets = [PollFd::new(&socket, what)];
    match poll(&mut sockets, Some(&timespec(limit)))? {
        0 => Err(Errno::TIMEDOUT),
        _ => Ok(()),
    }
}
