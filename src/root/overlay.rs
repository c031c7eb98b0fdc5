//! A throw-away overlay, `modstrap.overlay=tmpfs[,OPTIONS]`: the root is mounted read-only, and what the system writes
//! goes to memory.
//!
//! Both layers stay within the real init's reach, below /run, as dracut and live systems have it.

use core::ffi::CStr;

use rustix::fs::{Mode, mkdir};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::chdir;

use super::mount::{MOUNT_POINT, Options, with_options};
use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::file::Path;
use crate::machine::Machine;
use crate::module::Modules;
use crate::report::Log;

/// The file system, and the name that /proc/mounts has for what it is mounted from.
const OVERLAY: &[u8] = b"overlay";

/// Where the layers are: the root itself, and the tmpfs with its two directories.
const PLACE: &CStr = c"/run/modstrap";
const LOWER: &CStr = c"lower";
const UPPER: &CStr = c"upper";
const LAYERS: &[u8] =
    b"lowerdir=/run/modstrap/lower,upperdir=/run/modstrap/upper/data,workdir=/run/modstrap/upper/work";

/// Lays the overlay that the command line asks for, if it does, over the mounted root.
#[inline(never)]
pub fn lay(cmdline: &CommandLine, modules: &mut Modules<impl Machine>, log: &mut Log) -> Result<(), Failure> {
    let Some(form) = cmdline.overlay.filter(|_| cfg!(feature = "overlay")) else { return Ok(()) };
    // What is neither is no option of a tmpfs, so that the kernel refuses it.
    let options = form.strip_prefix(&b"tmpfs"[..]).unwrap_or(form);
    let aside = modules.machine_mut().set_aside(Path::of(&[options]).as_c_str());
    aside.map_err(|errno| log.fail_as(Problem::Overlay, form, b"", Some(errno)))?;
    with_options(&Path::of(&[OVERLAY]), OVERLAY, MountFlags::empty(), &Options::of(&[LAYERS]), modules, log)
}

/// Moves the mounted root to its place below /run, and mounts a tmpfs for what is written.
pub fn set_aside(options: &CStr) -> Result<(), Errno> {
    make(&[PLACE]);
    let _ = chdir(PLACE);
    make(&[LOWER, UPPER]);
    mount_move(MOUNT_POINT, LOWER)?;
    mount(c"tmpfs", UPPER, c"tmpfs", MountFlags::empty(), options)?;
    make(&[c"upper/data", c"upper/work"]);
    Ok(())
}

/// Makes directories; what cannot be made shows when it is used.
fn make(directories: &[&CStr]) {
    for directory in directories {
        let _ = mkdir(*directory, Mode::from_raw_mode(0o755));
    }
}
