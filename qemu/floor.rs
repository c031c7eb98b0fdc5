//! The floor of the benchmark: what a boot costs that knows everything beforehand.
//!
//! As `/init` it is a program made for one machine: it inserts the plain modules `/modules/0`, `/modules/1` and so on,
//! mounts the disk that its arguments name, and becomes the root's init. As that init, whoever started it, it tells the
//! kernel's log that it runs, by which all boots are measured, then which modules there are, and switches the machine off.
//! As `/init` beside a module table it boots nothing: it counts what the loader's parts cost.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "floor/count.rs"]
mod count;
#[path = "../src/sys/start.rs"]
mod start;

use core::ffi::CStr;

use modstrap::file::{self, Path};
use modstrap::report::Line;
use modstrap::sys::{Program, exit, output, sleep};
use modstrap::table::layout::TABLE_PATH;
use modstrap::text::split;
use rustix::fs::{Mode, OFlags, mkdir};
use rustix::io::{self, Errno};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::{chdir, chroot};
use rustix::system::{RebootCommand, finit_module, reboot};

/// What the real init says first; the harness looks for it. `<1>` is a priority that no setting hides.
const MARK: &[u8] = b"<1>bench: the real init runs\n";

/// How long, in milliseconds, between two looks for a disk that is on its way.
const PAUSE: u64 = 1;

/// Behind this word stands what the harness reads beside it, a line for each fact.
const FACT: &[u8] = b"bench: ";

fn main(mut program: Program) -> ! {
    if program.arguments().next() != Some(c"/init") {
        run();
    } else if file::exists(Path::of(&[TABLE_PATH.as_bytes()]).as_c_str()) {
        let _ = count::count(&program);
    } else {
        let _ = boot(&mut program);
        exit(1)
    }
    tell(&[b"the end"]);
    let _ = reboot(RebootCommand::PowerOff);
    exit(0)
}

/// The real init.
fn run() {
    if let Ok(log) = file::open_as(c"/dev/kmsg", OFlags::WRONLY) {
        let _ = io::write(log, MARK);
    }
    // Where it is mounted already, this fails and does no harm.
    let _ = mount(c"proc", c"/proc", c"proc", MountFlags::empty(), None);
    let mut modules = [0; 16384];
    for module in split(file::read(c"/proc/modules", &mut modules), b'\n') {
        if let Some(name) = split(module, b' ').next().filter(|name| !name.is_empty()) {
            tell(&[b"loaded ", name]);
        }
    }
}

/// Tells a fact to the console.
fn tell(words: &[&[u8]]) {
    let _ = io::write(output(), Line::of(&[FACT, Line::of(words).as_bytes(), b"\n"]).as_bytes());
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
