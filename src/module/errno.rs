//! What the kernel means when it refuses a module (kernel/module/main.c and its neighbours).

use rustix::io::Errno;

use crate::report;
use crate::text::Text;

/// The sentence for an error of `init_module`.
pub fn explain(errno: Errno) -> Text<176> {
    let meaning: &[u8] = match errno {
        Errno::PERM => b"the kernel allows no modules, or blacklists this one (module_blacklist=, lockdown)",
        Errno::KEYREJECTED => b"the kernel rejects its signature",
        Errno::NOKEY => b"the kernel does not know the key of its signature",
        Errno::NOEXEC => b"it is no module for this kernel (version magic, machine or symbol versions; see the line above)",
        Errno::NOENT => b"it needs a symbol that nothing loaded provides (see the line above)",
        Errno::INVAL => b"a symbol has another version, or a parameter is wrong (see the line above)",
        Errno::BUSY => b"it, or something it needs, was just being loaded and did not come up",
        Errno::EXIST => b"its start found something of the same name already there",
        Errno::NODEV => b"it found no device of its kind",
        Errno::NOMEM => b"there is not enough memory",
        _ => return Text::of(&[b"the kernel refused it: ", report::explain(errno).as_bytes()]),
    };
    let mut text = Text::of(&[meaning, b" (errno "]);
    text.push_number(errno.raw_os_error().unsigned_abs().into());
    text.push(b")");
    text
}
