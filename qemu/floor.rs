//! The floor of the benchmark: what a boot costs that knows everything beforehand.
//!
//! As `/init` it is a program made for one machine: it inserts the plain modules `/modules/0`, `/modules/1` and so on,
//! mounts the disk that its arguments name, and becomes the root's init. As that init, whoever started it, it tells the
//! kernel's log that it runs, by which all boots are measured, and switches the machine off.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../src/sys/start.rs"]
mod start;

use core::ffi::CStr;

use modstrap::file::{self, Path};
use modstrap::sys::{Program, exit, sleep};
use rustix::fs::{Mode, OFlags, mkdir};
use rustix::io::{self, Errno};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use rustix::system::{RebootCommand, finit_module, reboot};

/// What the real init says first; the harness looks for it. `<1>` is a priority that no setting hides.
const MARK: &[u8] = b"<1>bench: the real init runs\n";

/// How long, in milliseconds, between two looks for a disk that is on its way.
const PAUSE: u64 = 1;

fn main(mut program: Program) -> ! {
    if program.arguments().next() == Some(c"/init") {
        let _ = boot(&mut program);
        exit(1)
    }
    if let Ok(log) = file::open_as(c"/dev/kmsg", OFlags::WRONLY) {
        let _ = io::write(log, MARK);
    }
    let _ = reboot(RebootCommand::PowerOff);
    exit(0)
}

/// Boots from the disk and the type of file system that the arguments name; comes back only with an error.
fn boot(program: &mut Program) -> Result<(), Errno> {
    let mut arguments = program.arguments().skip(1);
    let (Some(disk), Some(kind)) = (arguments.next(), arguments.next()) else { return Err(Errno::INVAL) };
    mkdir(c"/dev", Mode::from_raw_mode(0o755)).or_else(already)?;
    mount(c"devtmpfs", c"/dev", c"devtmpfs", MountFlags::empty(), None)?;
    for number in 0.. {
        let mut path = Path::of(&[b"/modules/"]);
        path.push_number(number);
        match file::open(path.as_c_str()) {
            Ok(module) => finit_module(&module, c"", 0)?,
            Err(_) => break,
        }
    }
    mkdir(c"/root", Mode::from_raw_mode(0o755)).or_else(already)?;
    while let Err(errno) = mount(disk, c"/root", kind, MountFlags::RDONLY, None) {
        match errno {
            Errno::NOENT | Errno::NXIO => sleep(PAUSE),
            errno => return Err(errno),
        }
    }
    mount_move(c"/dev", c"/root/dev")?;
    chdir(c"/root")?;
    mount_move(c".", c"/")?;
    chroot(c".")?;
    Err(program.become_other(INIT))
}

const INIT: &CStr = c"/sbin/init";

fn already(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::EXIST { Ok(()) } else { Err(errno) }
}
