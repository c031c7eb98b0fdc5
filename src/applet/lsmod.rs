//! `lsmod`: the modules that the kernel holds.

use core::ffi::CStr;

use super::call::{Call, Tool, options, take};
use super::live;
use crate::file;

/// The tool.
pub const TOOL: Tool = Tool { options: options!(""), missing: b"", each: 0, work };

fn work(call: &mut Call, _: &'static CStr) {
    let modules = match file::whole(c"/proc/modules") {
        Ok(modules) => modules,
        Err(errno) => return call.fail(errno, b"", b"could not get list of modules: ", b""),
    };
    call.print(b"Module                  Size  Used by\n", b"");
    let mut rest = &*modules;
    while !rest.is_empty() {
        // Name, size and count of users (kernel/module/procfs.c, `m_show`). The users themselves stand there too, but
        // kmod shows them in the order of /sys.
        let name = take(&mut rest, b' ');
        let size = take(&mut rest, b' ');
        call.print(b"%", name);
        call.pad(19, name.len());
        call.pad(9, size.len());
        call.print(b"%  ", size);
        call.print(b"%", take(&mut rest, b' '));
        let mut form = b" %";
        live::users(name, &mut |user| {
            call.print(form, user);
            form = b",%";
            true
        });
        call.print(b"\n", b"");
        take(&mut rest, b'\n');
    }
}
