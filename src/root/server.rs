//! A server that a root comes from: it may be slower to start than its clients, and so is waited for.

use rustix::io::Errno;

use crate::cmdline::{CommandLine, Patience};
use crate::failure::{Failure, Problem};
use crate::machine::Machine;
use crate::module::Modules;
use crate::net::Address;
use crate::report::{Level, Line, Log};

/// How long, in milliseconds, between two attempts.
const PAUSE: u64 = 1000;

/// A server.
pub struct Server {
    /// Its address.
    pub address: Address,
    /// Its port of TCP.
    pub port: u16,
    /// What it is to speak, in words.
    pub protocol: &'static [u8],
}

impl Server {
    /// Asks until that goes well, or patience has run out, and says so.
    pub fn wait<M: Machine>(
        &self,
        cmdline: &CommandLine,
        modules: &mut Modules<M>,
        log: &mut Log,
        ask: &mut dyn FnMut(&mut M) -> Result<(), Errno>,
    ) -> Result<(), Failure> {
        let begun = modules.machine().now();
        let mut name = Line::new();
        self.address.push_to(&mut name);
        name.push(b" port ");
        name.push_number(self.port.into());
        let mut is_told = false;
        loop {
            let errno = match ask(modules.machine_mut()) {
                // The record of a machine tells nothing of servers.
                Ok(()) | Err(Errno::NOSYS) => return Ok(()),
                Err(errno) => errno,
            };
            let waited = modules.machine().now().saturating_sub(begun);
            if matches!(cmdline.patience, Patience::For(limit) if waited >= limit) {
                return Err(log.fail_as(Problem::NoServer, name.as_bytes(), self.protocol, Some(errno)));
            }
            if !core::mem::replace(&mut is_told, true) {
                log.say_errno(Level::Error, &[b"waiting for the server ", name.as_bytes()], errno);
            }
            modules.machine_mut().sleep(PAUSE);
        }
    }
}
