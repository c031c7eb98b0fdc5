//! The init of a guest that runs one command: mounts what programs expect of a system, connects the command with the
//! host, reaps what it leaves behind, reports how it ended, and switches the machine off.
//!
//! The host has the other ends of virtio ports: [`port`] names them. The command itself has pipes, or a terminal: a port
//! opens only once, and `>/dev/stdout` would find it busy.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod call;
mod loopback;
mod port;
mod prepare;
mod run;
#[path = "../../../src/sys/start.rs"]
mod start;

use modstrap::file;
use modstrap::report::{Level, Line, Log, push_errno};
use modstrap::sys::{Program, exit};
use rustix::io::{self, Errno};
use rustix::system::{RebootCommand, reboot};

use crate::call::Call;

fn main(_: Program) -> ! {
    let mut log = Log::begin();
    log.open();
    if let Err((step, errno)) = serve(&mut log) {
        let mut reason = Line::of(&[b"the guest cannot run the command: ", step, b": "]);
        push_errno(&mut reason, b"", errno);
        log.say(Level::Error, &[reason.as_bytes()]);
    }
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    let _ = reboot(RebootCommand::Restart);
    exit(1)
}

/// What failed, and why.
type Misstep = (&'static [u8], Errno);

fn serve(log: &mut Log) -> Result<(), Misstep> {
    let program = file::whole(c"/proc/self/exe").map_err(|errno| (&b"its own file"[..], errno))?;
    let call = Call::parse(&program).ok_or((&b"its own file"[..], Errno::BADMSG))?;
    prepare::mount_everything(&call, log);
    loopback::bring_up();
    let control = port::open(port::CONTROL).map_err(|errno| (&b"the port of the host"[..], errno))?;
    log.say(Level::Error, &[b"the command starts"]);
    let end = run::run(&call, &control).map_err(|errno| (&b"streams"[..], errno))?;
    // The host reads the end of the connection, too, if this fails.
    let _ = io::write(&control, end.as_bytes());
    Ok(())
}
