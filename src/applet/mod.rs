//! The tools of kmod, by the names that they are called by: `modprobe`, `insmod`, `rmmod`, `lsmod`, `modinfo`.
//!
//! They print what kmod prints, so that scripts written for it run, and take modules from the table: in the initramfs,
//! for whoever works in its shell, and behind it, where a root keeps the image's table and blobs as its module store.
//! Each tool is one function that works on one operand; what they have in common, [`Call`] does.

mod call;
mod elf;
mod insmod;
mod live;
mod lsmod;
mod modinfo;
mod modprobe;
mod rmmod;

use call::{Call, Tool};
use rustix::system::uname;

use crate::file::Path;
use crate::store::{self, Store};
use crate::sys::Arguments;
use crate::table::{ModuleId, Table};
use crate::text::place;

/// The tools' names, in the order of [`TOOLS`].
const NAMES: &[u8] = b"modprobe\0insmod\0rmmod\0lsmod\0modinfo";
const TOOLS: [&Tool; 5] = [&modprobe::TOOL, &insmod::TOOL, &rmmod::TOOL, &lsmod::TOOL, &modinfo::TOOL];

/// The places of values that say which modules are meant: the directory that their store is below, the root itself if
/// empty; and the release of the kernel that they are for, the running one's if empty.
const ROOT: usize = 1;
const RELEASE: usize = 2;

/// Runs the tool of this name; returns its exit status, or nothing where it is no tool's name.
pub fn run(name: &'static [u8], mut arguments: Arguments) -> Option<u8> {
    let tool = TOOLS.get(place(NAMES, name)?)?;
    arguments.next();
    Some(u8::from(!Call::run(name, tool, arguments)))
}

/// Calls `work` with the modules that the call is about; returns the release of the kernel that they are for. A store for
/// another kernel has none of them.
#[inline(never)]
fn with_store(call: &mut Call, work: &mut dyn FnMut(&Store, &mut Call)) -> Path {
    let system = uname();
    let given = call.values[RELEASE];
    let release = if given.is_empty() { system.release().to_bytes() } else { given };
    let root = call.values[ROOT];
    let result = store::open(root, &mut |store| {
        if store.table.release() == release {
            work(&store, call);
        }
    });
    if let Err(errno) = result {
        call.fail(errno, b"", b"could not use %/modstrap: ", root);
    }
    Path::of(&[release])
}

/// Prints the directory that kmod keeps the modules of a kernel in.
#[inline(never)]
fn print_directory(call: &mut Call, release: &[u8]) {
    call.print(b"%", call.values[ROOT]);
    call.print(b"/lib/modules/%", release);
}

/// Prints the file that the builder took a module from.
#[inline(never)]
fn print_path(call: &mut Call, table: &Table, id: ModuleId) {
    print_directory(call, table.release());
    call.print(b"/%", table.path(id).as_bytes());
}
