//! The system around the command: what programs expect to be mounted, the loopback interface, the kernel's modules.
//! What the kernel lacks is left out.

use core::ffi::CStr;

use modstrap::file::Path;
use modstrap::report::{Level, Log};
use modstrap::root::mount::NINE_P;
use modstrap::text::split;
use rustix::fs::{Mode, mkdir, symlink};
use rustix::mount::{MountFlags, mount};
use rustix::system::sethostname;

use crate::call::Call;

/// Beside what the loader has mounted: places, types and options.
const MOUNTS: [(&CStr, &CStr, &CStr); 9] = [
    (c"/dev/pts", c"devpts", c"mode=0620,ptmxmode=0666,gid=5"),
    (c"/dev/shm", c"tmpfs", c"mode=1777"),
    (c"/dev/mqueue", c"mqueue", c""),
    (c"/sys/fs/cgroup", c"cgroup2", c""),
    (c"/sys/fs/bpf", c"bpf", c""),
    (c"/sys/kernel/config", c"configfs", c""),
    (c"/sys/kernel/debug", c"debugfs", c""),
    (c"/sys/kernel/security", c"securityfs", c""),
    (c"/sys/kernel/tracing", c"tracefs", c""),
];

/// What udev would link.
const LINKS: [(&CStr, &CStr); 4] = [
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
];

/// Mounts all of it.
pub fn mount_everything(call: &Call, log: &mut Log) {
    for (place, kind, options) in MOUNTS {
        let _ = mkdir(place, Mode::from_raw_mode(0o755));
        let _ = mount(kind, place, kind, MountFlags::NOSUID, options);
    }
    for (target, link) in LINKS {
        let _ = symlink(target, link);
    }
    let _ = sethostname(b"guest");
    mount_modules(call, log);
}

/// Mounts the share of the kernel's modules, if there is one, where modprobe looks for them.
fn mount_modules(call: &Call, log: &mut Log) {
    let mut words = split(call.modules, b' ');
    let (Some(kind), Some(tag), Some(release)) = (words.next(), words.next(), words.next()) else { return };
    let place = Path::of(&[b"/lib/modules/", release]);
    let options = if kind == b"9p" { NINE_P } else { c"" };
    for directory in [c"/lib", c"/lib/modules", place.as_c_str()] {
        let _ = mkdir(directory, Mode::from_raw_mode(0o755));
    }
    let (source, kind) = (Path::of(&[tag]), Path::of(&[kind]));
    if mount(source.as_c_str(), place.as_c_str(), kind.as_c_str(), MountFlags::RDONLY, options).is_err() {
        log.say(Level::Warning, &[b"the kernel's modules are not at ", place.as_bytes()]);
    }
}
