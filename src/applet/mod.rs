//! The tools of kmod, by the names that they are called by: `modprobe`, `insmod`, `rmmod`, `lsmod`, `modinfo`.
//!
//! They print what kmod prints, so that scripts written for it run, and take modules from the table.

use crate::sys::Arguments;

/// Runs the tool of this name; returns its exit status, or nothing where it is no tool's name.
pub fn run(_name: &[u8], _arguments: Arguments) -> Option<u8> {
    None
}
