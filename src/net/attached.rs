//! The disks of servers that this machine has made its own.

use heapless::Vec;
use rustix::io::Errno;

use super::Trouble;
use super::nbd::{Source, Watch};
use super::nvme;
use super::remote::{Kind, Remote};
use crate::cmdline::CommandLine;
use crate::device::Disk;
use crate::failure::Problem;
use crate::report::Line;
use crate::sys::{now, sleep};

/// How many connections are watched over; more are not made anew when they are lost early.
const WATCHES: usize = 8;

/// How long, in milliseconds, a namespace may take to appear once its subsystem is connected.
const NAMESPACE: u64 = 5000;

/// The disks of servers.
#[derive(Default)]
pub struct Attached {
    watches: Vec<Watch, WATCHES>,
}

impl Attached {
    /// Adds one. `words` is then its name, or what the server says of a refusal.
    pub fn add(&mut self, remote: &Remote, cmdline: &CommandLine, words: &mut Line) -> Result<(), Trouble> {
        let &Remote { server, port, kind } = remote;
        match kind {
            Kind::Nbd { name, options, .. } => {
                let watch = Source { server, port, name, options }.attach(words)?;
                let index = watch.index;
                let _ = self.watches.push(watch);
                *words = Line::of(&[b"nbd"]);
                words.push_number(index.into());
                // Whoever opens it first makes the kernel look for partitions.
                let _ = Disk::called(words.as_bytes()).is_readable();
                Ok(())
            }
            Kind::Nvme { nqn, namespace, options } => {
                match nvme::connect(&nvme::line(&server, port, nqn, options, cmdline)) {
                    Ok(()) | Err(Errno::ALREADY) => await_namespace(nqn, namespace, words),
                    Err(errno) if may_pass(errno) => Err(errno.into()),
                    Err(errno) => Err(Trouble::Lasting(Problem::NvmeRefused, Some(errno))),
                }
            }
        }
    }

    /// Leaves them to the system.
    pub fn let_go(&mut self) {
        self.watches.iter().for_each(Watch::end);
    }
}

/// Whether an error means that the server is not there yet, and not that it refuses.
fn may_pass(errno: Errno) -> bool {
    // From what the network is down to what there is no route to, with the connection's fates between.
    let number = errno.raw_os_error();
    (Errno::NETDOWN.raw_os_error()..=Errno::HOSTUNREACH.raw_os_error()).contains(&number)
        || matches!(errno, Errno::PIPE | Errno::AGAIN)
}

fn await_namespace(nqn: &[u8], namespace: Option<u64>, name: &mut Line) -> Result<(), Trouble> {
    const PAUSE: u64 = 10;
    let end = now() + NAMESPACE;
    while !nvme::find(nqn, namespace, name) {
        if now() >= end {
            return Err(Problem::NvmeNamespace.into());
        }
        sleep(PAUSE);
    }
    Ok(())
}
