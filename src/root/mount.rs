//! Mounting the root: its type by content or as asked for, its options as mount(8) takes them.

use core::ffi::CStr;

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::superblock::FsKind;
use crate::cmdline::CommandLine;
use crate::device::Disk;
use crate::failure::{Failure, Problem};
use crate::file::Path;
use crate::machine::Machine;
use crate::module::{Answer, Modules};
use crate::report::{Level, Line, Log};
use crate::text::{place, split};

/// Where the root is mounted before it becomes the root.
pub const MOUNT_POINT: &CStr = c"/root";

/// What a mount of 9p by virtio needs: as much in one message as the kernel's transport carries, and files mapped.
pub const NINE_P: &CStr = c"trans=virtio,version=9p2000.L,msize=512000,cache=mmap";

/// What it needs by any transport: all behind the first.
#[cfg(feature = "network")]
pub const NINE_P_ANYWHERE: &[u8] = NINE_P.to_bytes().split_at(b"trans=virtio,".len()).1;

/// The options of a mount that the file system sees; the kernel takes up to a page.
pub type Options = Line;

/// Mounts the root's disk.
#[inline(never)]
pub fn disk(
    disk: &Disk,
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    let source = disk.node();
    if let Some(kinds) = cmdline.root_type.filter(|kinds| *kinds != b"auto") {
        let mounted = first_that_mounts(&source, kinds, cmdline, modules, log);
        if mounted.is_err() {
            log.say(Level::Error, &[b"seen: ", modules.machine().describe(disk).as_bytes()]);
        }
        return mounted;
    }
    let Some(found) = modules.machine().file_system(disk) else {
        return Err(log.fail(Problem::Unrecognised, source.as_bytes()));
    };
    let kind = found.name().as_bytes();
    if !found.is_mountable() {
        return Err(log.fail_as(Problem::NotAFileSystem, source.as_bytes(), kind, None));
    }
    // ext4's driver mounts its older relatives too, and Debian's kernels have no other.
    let kinds: &[u8] = match found {
        FsKind::Ext2 => b"ext2,ext4",
        FsKind::Ext3 => b"ext3,ext4",
        _ => kind,
    };
    first_that_mounts(&source, kinds, cmdline, modules, log)
}

/// Mounts by the first of several comma-separated types that the kernel takes.
fn first_that_mounts(
    source: &Path,
    kinds: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    let mut kinds = split(kinds, b',').filter(|kind| !kind.is_empty());
    let mut mounted = Err(log.fail(Problem::Unrecognised, source.as_bytes()));
    while mounted.is_err()
        && let Some(kind) = kinds.next()
    {
        mounted = as_kind(source, kind, cmdline, modules, log);
    }
    mounted
}

fn as_kind(
    source: &Path,
    kind: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    let (flags, options) = options(cmdline, b"", cmdline.root_flags);
    with_options(source, kind, flags, &options, modules, log)
}

/// Mounts as this type, with these flags and options, at [`MOUNT_POINT`].
#[inline(never)]
pub fn with_options(
    source: &Path,
    kind: &[u8],
    flags: MountFlags,
    options: &Options,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    if modules.load_file_system(kind, log) == Answer::Failed {
        return Err(log.fail_as(Problem::FileSystemModule, source.as_bytes(), kind, None));
    }
    if let Err(errno) = mount_or_read_only(source.as_c_str(), kind, flags, options, modules.machine_mut(), log) {
        let (problem, errno) = match errno {
            Errno::NODEV => (Problem::NoFileSystem, None),
            errno => (Problem::RootMount, Some(errno)),
        };
        return Err(log.fail_as(problem, source.as_bytes(), kind, errno));
    }
    say_mounted(source.as_bytes(), kind, modules, log);
    Ok(())
}

/// Mounts a directory of the host by its tag. Its device may still be on its way, which the error says.
#[inline(never)]
pub fn share(
    kind: &[u8],
    tag: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Errno> {
    if modules.load_file_system(kind, log) == Answer::Failed {
        return Err(Errno::NODEV);
    }
    let needed = if kind == b"9p" { NINE_P.to_bytes() } else { b"" };
    let (flags, options) = options(cmdline, needed, cmdline.root_flags);
    let source = Path::of(&[tag]);
    mount_or_read_only(source.as_c_str(), kind, flags, &options, modules.machine_mut(), log)?;
    say_mounted(source.as_bytes(), kind, modules, log);
    Ok(())
}

/// Says what was mounted, and how soon.
pub fn say_mounted(source: &[u8], kind: &[u8], modules: &Modules<impl Machine>, log: &mut Log) {
    let mut line = Line::of(&[b"root ", source, b" (", kind, b") mounted after "]);
    line.push_number(log.elapsed());
    line.push(b" ms, ");
    line.push_number(modules.loaded().into());
    line.push(b" modules loaded");
    log.say(Level::Info, &[line.as_bytes()]);
}

/// A file system that refuses to be written is mounted read-only, as the kernel does with its root.
pub fn mount_or_read_only(
    source: &CStr,
    kind: &[u8],
    flags: MountFlags,
    options: &Options,
    machine: &mut impl Machine,
    log: &mut Log,
) -> Result<(), Errno> {
    if options.is_cut() {
        return Err(Errno::NAMETOOLONG);
    }
    let kind = Path::of(&[kind]);
    let mut attempt = |flags| machine.mount(source, kind.as_c_str(), flags, options.as_c_str());
    match attempt(flags) {
        Err(Errno::ACCESS | Errno::ROFS) if !flags.contains(MountFlags::RDONLY) => {
            attempt(flags | MountFlags::RDONLY)?;
            log.say(Level::Warning, &[source.to_bytes(), b" cannot be written: mounted read-only"]);
            Ok(())
        }
        result => result,
    }
}

/// Words of fstab that become flags of the mount, each with a twin behind it that takes the flag back; then those that
/// mount(8) alone understands, since they say when and by whom something is mounted, not how.
const FLAG_WORDS: &[u8] = b"\
    ro\0rw\0nosuid\0suid\0nodev\0dev\0noexec\0exec\0sync\0async\0dirsync\0\0noatime\0atime\0\
    nodiratime\0diratime\0relatime\0norelatime\0strictatime\0nostrictatime\0lazytime\0nolazytime\0\
    defaults\0auto\0noauto\0user\0nouser\0users\0owner\0group\0nofail\0_netdev\0silent\0loud";

/// The flags that the pairs of words stand for.
const FLAGS: [MountFlags; 11] = [
    MountFlags::RDONLY,
    MountFlags::NOSUID,
    MountFlags::NODEV,
    MountFlags::NOEXEC,
    MountFlags::SYNCHRONOUS,
    MountFlags::DIRSYNC,
    MountFlags::NOATIME,
    MountFlags::NODIRATIME,
    MountFlags::RELATIME,
    MountFlags::STRICTATIME,
    MountFlags::LAZYTIME,
];

/// The flags and the file system's own options: from `ro` and `rw`, those that are needed, and those that the user gave.
#[inline(never)]
pub fn options(cmdline: &CommandLine, needed: &[u8], given: &[u8]) -> (MountFlags, Options) {
    let mut flags = if cmdline.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let mut options = Options::of(&[needed]);
    for word in split(given, b',').filter(|word| !word.is_empty()) {
        if let Some(place) = place(FLAG_WORDS, word) {
            flags.set(FLAGS.get(place / 2).copied().unwrap_or(MountFlags::empty()), place.is_multiple_of(2));
        } else if !word.starts_with(b"x-") && !word.starts_with(b"comment=") {
            if !options.as_bytes().is_empty() {
                options.push(b",");
            }
            options.push(word);
        }
    }
    // Below an overlay the root is never written, whatever the words for it say.
    if cmdline.overlay.is_some() {
        flags |= MountFlags::RDONLY;
    }
    (flags, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[u8]) -> (MountFlags, Options) {
        let line = CommandLine::parse(words);
        options(&line, b"", line.root_flags)
    }

    #[test]
    fn splits_options_as_mount_does() {
        let (flags, options) = read(b"rw rootflags=subvol=@,noatime,nofail,x-systemd.x=1,defaults,compress=zstd");
        assert_eq!(flags, MountFlags::NOATIME);
        assert_eq!(options.as_bytes(), b"subvol=@,compress=zstd");
    }

    #[test]
    fn is_read_only_unless_told_otherwise() {
        assert_eq!(read(b"").0, MountFlags::RDONLY);
        assert_eq!(read(b"rw").0, MountFlags::empty());
        assert_eq!(read(b"rootflags=rw").0, MountFlags::empty());
        assert_eq!(read(b"rw rootflags=rw modstrap.overlay=tmpfs").0, MountFlags::RDONLY);
    }
}
