//! What the kernel means when it refuses a module (kernel/module/main.c and its neighbours).

use rustix::io::Errno;

use crate::report::{Line, push_errno};

/// Adds the sentence for an error of `init_module`.
pub fn push_refusal(line: &mut Line, errno: Errno) {
    const MEANINGS: &[u8] = b"\
\x01the kernel allows no modules, or blacklists this one (module_blacklist=, lockdown)\0\
\x02it needs a symbol that nothing loaded provides (see the line above)\0\
\x08it is no module for this kernel: version magic, machine or symbol versions (see the line above)\0\
\x0cthere is not enough memory\0\
\x10it, or something it needs, was just being loaded and did not come up\0\
\x11its start found something of the same name already there\0\
\x13it found no device of its kind\0\
\x16a symbol has another version, or a parameter is wrong (see the line above)\0\
\x7ethe kernel does not know the key of its signature\0\
\x81the kernel rejects its signature";
    push_errno(line, MEANINGS, errno);
}
