//! Connections to servers, within a time limit.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect as connect_socket, send, socket_with};

use super::address::Address;
use crate::sys::timespec;

/// Connects to a server by TCP, waiting for it for at most so many milliseconds. The socket does not wait.
pub fn connect(server: &Address, port: u16, limit: u64) -> io::Result<OwnedFd> {
    let open = |family| socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None);
    let (socket, begun) = match server.as_bytes().first_chunk::<16>() {
        Some(bytes) => {
            let socket = open(AddressFamily::INET6)?;
            let begun = connect_socket(&socket, &SocketAddrV6::new(Ipv6Addr::from(*bytes), port, 0, 0));
            (socket, begun)
        }
        None => {
            let socket = open(AddressFamily::INET)?;
            let begun = connect_socket(&socket, &SocketAddrV4::new(Ipv4Addr::from(server.v4()), port));
            (socket, begun)
        }
    };
    if let Err(errno) = begun
        && errno != Errno::INPROGRESS
    {
        return Err(errno);
    }
    wait(&socket, PollFlags::OUT, limit)?;
    socket_error(&socket)??;
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
