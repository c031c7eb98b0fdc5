//! NBD: a server's export as a disk of this machine.
//!
//! This program negotiates, and hands the connection to the kernel, so that no process stays behind. A connection that is
//! lost while the initramfs runs is made anew by a [`Watch`]; afterwards that is the system's, which finds in
//! `/run/modstrap/nbdtab` what it needs.

mod device;
mod negotiate;
#[cfg(test)]
mod tests;
mod wire;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::{self, Errno};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_nodelay};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use self::device::{Devices, Limits};
use self::negotiate::{Stream, negotiate};
use self::wire::Export;
use super::Trouble;
use super::address::Address;
use super::connect::{connect, wait};
use super::remote::option;
use crate::failure::Problem;
use crate::file;
use crate::report::{Level, Line, Log};
use crate::sys::{exit, fork, now, sleep};

/// How long, in milliseconds, a server may take to answer a connection, and then for the whole negotiation.
const ANSWER: u64 = 5000;

/// An export of a server.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The server's address.
    pub server: Address,
    /// Its port.
    pub port: u16,
    /// The export's name.
    pub name: &'a [u8],
    /// What the user says of the connection: `bs=`, the size of blocks in bytes; `timeout=`, after how many seconds a
    /// request means that the connection is lost; `dead_conn_timeout=`, after how many seconds without a connection
    /// requests fail.
    pub options: &'a [u8],
}

impl Source<'_> {
    /// Connects, and asks for the export.
    fn connect(&self, words: &mut Line) -> Result<(OwnedFd, Export), Trouble> {
        let socket = connect(&self.server, self.port, ANSWER)?;
        let _ = set_tcp_nodelay(&socket, true);
        let _ = set_socket_keepalive(&socket, true);
        let export = negotiate(&mut Timed { socket: socket.as_fd(), end: now() + ANSWER }, self.name, words)?;
        Ok((socket, export))
    }

    /// Makes the export a disk; who watches its connection. What the server says of a refusal goes
    /// into `words`.
    pub fn attach(&self, words: &mut Line) -> Result<Watch, Trouble> {
        let (socket, export) = self.connect(words)?;
        let refused = |errno| Trouble::Lasting(Problem::NbdDevice, Some(errno));
        let devices = Devices::open().map_err(refused)?;
        let index = devices.attach(socket.as_fd(), &export, self.block(&export)).map_err(refused)?;
        self.leave(index);
        let limits = Limits {
            request: option(self.options, b"timeout=").unwrap_or(0),
            dead: option(self.options, b"dead_conn_timeout=").unwrap_or(Limits::DEAD),
        };
        let process = match fork() {
            Ok(None) => {
                self.watch(&devices, index, socket, export.size);
                exit(0);
            }
            // Without a watch a connection that is lost stays lost.
            process => process.ok().flatten(),
        };
        Ok(Watch { process, devices, index, limits })
    }

    /// The size of blocks: the user's, or else the usual one, unless the server takes none so small.
    fn block(&self, export: &Export) -> u64 {
        const USUAL: u32 = 512;
        option(self.options, b"bs=").unwrap_or(USUAL.max(export.least_block).into())
    }

    /// Connects again whenever the kernel has given a connection up.
    fn watch(&self, devices: &Devices, index: u32, mut socket: OwnedFd, size: u64) {
        const PAUSE: u64 = 300;
        let mut log = Log::begin();
        log.open();
        let mut say = |what: &[u8]| {
            let mut disk = Line::of(&[b"nbd"]);
            disk.push_number(index.into());
            log.say(Level::Warning, &[disk.as_bytes(), what]);
        };
        // The kernel shuts the socket down in both directions when it is done with it, and not before.
        while wait(&socket, PollFlags::empty(), u64::MAX).is_ok() {
            say(b": the connection to the server is lost");
            loop {
                if let Ok((next, export)) = self.connect(&mut Line::new())
                    && export.size == size
                    && devices.reconfigure(index, &Limits::WHILE_BOOTING, Some(next.as_fd())).is_ok()
                {
                    socket = next;
                    break;
                }
                sleep(PAUSE);
            }
            say(b": connected again");
        }
    }

    /// Leaves a line of nbdtab(5), from which nbd-client can connect again.
    fn leave(&self, index: u32) {
        let _ = fs::mkdir(c"/run/modstrap", Mode::from_raw_mode(0o755));
        // The form has no place for an empty name.
        let mut line = Line::of(&[if self.name.is_empty() { b"# nbd" } else { b"nbd" }]);
        line.push_number(index.into());
        line.push(b" ");
        self.server.push_to(&mut line);
        [b" ", self.name, b" port="].iter().for_each(|part| line.push(part));
        line.push_number(self.port.into());
        [if self.options.is_empty() { &b""[..] } else { b"," }, self.options, b"\n"]
            .iter()
            .for_each(|part| line.push(part));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        if let Ok(file) = file::open_as(c"/run/modstrap/nbdtab", flags) {
            let _ = io::write(&file, line.as_bytes());
        }
    }
}

/// Who watches over a connection, for as long as the initramfs runs.
pub struct Watch {
    process: Option<Pid>,
    devices: Devices,
    /// The disk's number.
    pub index: u32,
    limits: Limits,
}

impl Watch {
    /// Ends the watch: from now on the connection is the system's, and the limits are those of a running system.
    pub fn end(&self) {
        if let Some(process) = self.process {
            let _ = kill_process(process, Signal::KILL);
            let _ = waitpid(Some(process), WaitOptions::empty());
        }
        let _ = self.devices.reconfigure(self.index, &self.limits, None);
    }
}

/// A connection as it is negotiated on, until some time.
struct Timed<'a> {
    socket: BorrowedFd<'a>,
    end: u64,
}

impl Timed<'_> {
    fn wait(&self, what: PollFlags) -> Result<(), Errno> {
        wait(self.socket, what, self.end.saturating_sub(now()))
    }
}

impl Stream for Timed<'_> {
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            self.wait(PollFlags::OUT)?;
            let sent = send(self.socket, bytes, SendFlags::NOSIGNAL)?;
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&mut self, mut buffer: &mut [u8]) -> Result<(), Errno> {
        while !buffer.is_empty() {
            self.wait(PollFlags::IN)?;
            match io::read(self.socket, &mut *buffer)? {
                0 => return Err(Errno::CONNRESET),
                length => buffer = buffer.get_mut(length..).unwrap_or_default(),
            }
        }
        Ok(())
    }
}
