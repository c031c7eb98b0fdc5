//! The first thing and the last: mounting the kernel's file systems, and leaving the initramfs for the real init.

use core::ffi::CStr;

use rustix::fd::{IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_move, unmount};
use rustix::process::{chdir, chroot, pivot_root};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::file::{self, Path, open_directory};
use crate::report::Log;
use crate::root::mount::MOUNT_POINT;
use crate::sys::Program;

/// What the real init finds mounted: the place, there and below [`MOUNT_POINT`], the type and the options.
const KERNEL_MOUNTS: [(&CStr, &CStr, &CStr, MountFlags, &CStr); 4] = {
    const QUIET: MountFlags = MountFlags::NOSUID;
    const CLOSED: MountFlags = QUIET.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
    [
        (c"/dev", c"/root/dev", c"devtmpfs", QUIET, c"mode=0755"),
        (c"/proc", c"/root/proc", c"proc", CLOSED, c""),
        (c"/sys", c"/root/sys", c"sysfs", CLOSED, c""),
        (c"/run", c"/root/run", c"tmpfs", QUIET.union(MountFlags::NODEV), c"mode=0755"),
    ]
};

/// Mounts the kernel's file systems; one that the kernel has mounted itself is fine.
#[inline(never)]
pub fn mount_kernel_file_systems(log: &mut Log) -> Result<(), Failure> {
    for &(place, _, kind, flags, options) in &KERNEL_MOUNTS {
        let _ = fs::mkdir(place, Mode::from_raw_mode(0o755));
        match mount(kind, place, kind, flags, options) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(errno) => return Err(log.fail_as(Problem::KernelMount, place.to_bytes(), b"", Some(errno))),
        }
    }
    Ok(())
}

/// Where the kernel itself looks for an init (init/main.c).
const INITS: [&CStr; 4] = [c"/sbin/init", c"/etc/init", c"/bin/init", c"/bin/sh"];

/// The init to become: the one that was asked for, or the first of the kernel's own list that is there.
///
/// One that the image brings along is held open, and goes by that name: it outlives its file.
#[inline(never)]
pub fn find_init(cmdline: &CommandLine, log: &mut Log) -> Result<Path, Failure> {
    let (place, asked, whose): (_, _, &[u8]) = match cmdline.image_init {
        None => (MOUNT_POINT, cmdline.init, b"root"),
        asked => (c"/", asked, b"image"),
    };
    let directory = open_directory(place).map_err(|errno| log.fail_as(Problem::NoInit, b"", b"", Some(errno)))?;
    if let Some(asked) = asked {
        let mut path = Path::of(&[asked]);
        let file = executable(&directory, path.as_c_str());
        let file = file.map_err(|errno| log.fail_as(Problem::NoSuchInit, asked, whose, Some(errno)))?;
        if cmdline.image_init.is_some() {
            path = Path::of(&[b"/proc/self/fd/"]);
            path.push_number(file.unsigned_abs().into());
        }
        return Ok(path);
    }
    let found = INITS.iter().find(|path| executable(&directory, path).is_ok());
    found.map(|path| Path::of(&[path.to_bytes()])).ok_or_else(|| log.fail(Problem::NoInit, b""))
}

/// The executable file that a path leads to, links followed as they will be once this directory is the root. It is open
/// until this program becomes another.
fn executable(root: &OwnedFd, path: &CStr) -> Result<RawFd, Errno> {
    let file = fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let status = fs::fstat(&file)?;
    let is_file = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    if is_file && status.st_mode & 0o111 != 0 { Ok(file.into_raw_fd()) } else { Err(Errno::ACCESS) }
}

/// Makes the mounted root the root, frees the initramfs, and becomes the real init. Comes back only with a failure.
///
/// As with the kernel, an init of its list that cannot be run is not the last word, and one that was asked for is.
#[inline(never)]
pub fn hand_off(program: &mut Program, init: &Path, cmdline: &CommandLine, log: &mut Log) -> Failure {
    let (step, errno) = match switch_root(cmdline.overlay.is_some()) {
        Ok(()) => {
            reopen_console();
            let errno = program.become_other(init.as_c_str());
            if cmdline.init.or(cmdline.image_init).is_none() {
                for init in &INITS {
                    program.become_other(init);
                }
            }
            (init.as_bytes(), errno)
        }
        Err(misstep) => misstep,
    };
    log.fail_as(Problem::HandOff, step, b"", Some(errno))
}

/// A step of the handoff, in words, and why it failed.
type Misstep = (&'static [u8], Errno);

/// Leaves for the mounted root. An overlay gets the directories to mount on that its root lacks.
fn switch_root(is_overlay: bool) -> Result<(), Misstep> {
    let old_root = open_directory(c"/").map_err(|errno| (&b"the initramfs"[..], errno))?;
    check_is_initramfs(&old_root)?;
    for &(place, new_place, ..) in &KERNEL_MOUNTS {
        if is_overlay {
            let _ = fs::mkdir(new_place, Mode::from_raw_mode(0o755));
        }
        // A root without such a directory does without; the mount must not stay behind, though.
        if mount_move(place, new_place).is_err() {
            let _ = unmount(place, UnmountFlags::DETACH);
        }
    }
    change_root(&old_root).map_err(|errno| (&b"the new root"[..], errno))
}

/// Since Linux 7.0 an initramfs can be pivoted away, and is freed whole. Before, the root is moved over it, and its
/// files are deleted. Process 1 itself changes its root: it shares it with the kernel's threads, and thus with the
/// helpers that they start.
#[inline(never)]
fn change_root(old_root: &OwnedFd) -> Result<(), Errno> {
    chdir(MOUNT_POINT)?;
    if pivot_root(c".", c".").is_ok() {
        return unmount(c".", UnmountFlags::DETACH);
    }
    mount_move(c".", c"/")?;
    chroot(c".")?;
    chdir(c"/")?;
    delete_below(old_root, 0);
    Ok(())
}

/// Refuses to delete what is no initramfs, or what the root is a part of.
#[inline(never)]
fn check_is_initramfs(old_root: &OwnedFd) -> Result<(), Misstep> {
    const RAMFS: u64 = 0x8584_58f6;
    const TMPFS: u64 = 0x0102_1994;
    let magic = fs::fstatfs(old_root).map_or(0, |status| u64::from(status.f_type as u32));
    if ![RAMFS, TMPFS].contains(&magic) {
        return Err((b"a root that is neither a ramfs nor a tmpfs", Errno::INVAL));
    }
    let devices = fs::fstat(old_root).and_then(|old| Ok((old.st_dev, fs::stat(MOUNT_POINT)?.st_dev)));
    match devices {
        Ok((old, new)) if old != new => Ok(()),
        _ => Err((b"/root, where nothing is mounted", Errno::INVAL)),
    }
}

/// The deepest directory of an image that is deleted; the builder's own files lie two deep.
const DEPTH: u32 = 32;

/// Deletes all that a directory of the initramfs holds, without leaving its file system.
fn delete_below(directory: &OwnedFd, depth: u32) {
    let Ok(device) = fs::fstat(directory).map(|status| status.st_dev) else { return };
    file::entries(directory, &mut |entry| {
        let name = entry.file_name();
        let mut kind = AtFlags::empty();
        if entry.file_type() == FileType::Directory {
            kind = AtFlags::REMOVEDIR;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if let Ok(inner) = fs::openat(directory, name, flags, Mode::empty())
                && depth < DEPTH
                && fs::fstat(&inner).is_ok_and(|status| status.st_dev == device)
            {
                delete_below(&inner, depth + 1);
            }
        }
        let _ = fs::unlinkat(directory, name, kind);
        true
    });
}

/// Standard input, output and error are the console of the initramfs until now, whose node is gone.
fn reopen_console() {
    if let Ok(console) = file::open_as(c"/dev/console", OFlags::RDWR | OFlags::NOCTTY) {
        let _ = dup2_stdin(&console);
        let _ = dup2_stdout(&console);
        let _ = dup2_stderr(&console);
    }
}
