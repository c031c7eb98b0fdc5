//! What the kernel tells of the modules that it holds (/sys/module, kernel/module/sysfs.c), and taking them out.

use rustix::io;
use rustix::system::delete_module;

use super::call::take;
use crate::file::{self, Path};
use crate::machine::{Presence, presence};
use crate::sys::base_name;
use crate::table::{Name, glob};

/// What the kernel holds under a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Nothing.
    Nothing,
    /// What cannot be unloaded: a part of the kernel itself.
    Builtin,
    /// A module that nobody uses.
    Unused,
    /// A module that somebody uses.
    Used,
}

/// The name of the module in a file, or the name itself if it is one: what stands before the first '.' of a path's last
/// part, with '_' for '-'.
#[inline(never)]
pub fn name_of(path: &[u8]) -> Name {
    let mut name = Name::of(&[take(&mut base_name(path), b'.')]);
    glob::normalise(name.as_bytes_mut());
    name
}

/// What the kernel holds under this name.
#[inline(never)]
pub fn held(name: &[u8]) -> Held {
    let path = Path::of(&[b"/sys/module/", name, b"/refcnt"]);
    match file::read(path.as_c_str(), &mut [0; 8]).first() {
        Some(b'0') => Held::Unused,
        Some(_) => Held::Used,
        None if presence(name) == Presence::Absent => Held::Nothing,
        None => Held::Builtin,
    }
}

/// Takes the module out of the kernel, if nobody uses it or it is forced.
#[inline(never)]
pub fn remove(name: &[u8], force: bool) -> io::Result<()> {
    const O_NONBLOCK: i32 = 0o4000;
    const O_TRUNC: i32 = 0o1000;
    delete_module(Name::of(&[name]).as_c_str(), if force { O_NONBLOCK | O_TRUNC } else { O_NONBLOCK })
}

/// Calls `visit` with the name of each module that uses this one.
pub fn users(name: &[u8], visit: &mut dyn FnMut(&[u8]) -> bool) {
    file::list(Path::of(&[b"/sys/module/", name, b"/holders"]).as_c_str(), visit);
}
