//! Mounting the root: its type by content or as asked for, its options as mount(8) takes them.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::superblock::FsKind;
use crate::cmdline::CommandLine;
use crate::device::Disk;
use crate::file::{self, Path};
use crate::module::Modules;
use crate::failure::{Failure, Problem};
use crate::report::{Level, Log};
use crate::text::Text;

/// Where the root is mounted before it becomes the root.
pub const MOUNT_POINT: &core::ffi::CStr = c"/root";

/// The options of a mount that the file system sees; the kernel takes a page.
type Options = Text<1024>;

/// A mounted root.
pub struct Mounted {
    /// What was mounted.
    pub source: Path,
    /// Its type.
    pub kind: Text<16>,
}

/// Mounts the root's disk.
pub fn disk(disk: &Disk, cmdline: &CommandLine, modules: &mut Modules, log: &mut Log) -> Result<Mounted, Failure> {
    let source = disk.node();
    if let Some(kinds) = cmdline.root_type.filter(|kinds| *kinds != b"auto") {
        return first_that_mounts(&source, kinds, cmdline, modules, log);
    }
    let Some(superblock) = disk.superblock() else {
        return Err(Failure::new(Problem::Unrecognised, &[source.as_bytes()]));
    };
    let kind = superblock.kind.name().as_bytes();
    if !superblock.kind.is_mountable() {
        return Err(Failure::new(Problem::NotAFileSystem, &[source.as_bytes()]).with_detail(&[kind]));
    }
    // ext4's driver mounts its older relatives too, and Debian's kernels have no other.
    let kinds: &[&[u8]] = match superblock.kind {
        FsKind::Ext2 => &[b"ext2", b"ext4"],
        FsKind::Ext3 => &[b"ext3", b"ext4"],
        _ => &[kind],
    };
    let mut failure = None;
    for kind in kinds {
        match as_kind(&source, kind, cmdline, modules, log) {
            Ok(mounted) => return Ok(mounted),
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::new(Problem::Unrecognised, &[source.as_bytes()])))
}

/// Mounts by the first of several comma-separated types that the kernel takes.
fn first_that_mounts(
    source: &Path,
    kinds: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules,
    log: &mut Log,
) -> Result<Mounted, Failure> {
    let mut failure = Failure::new(Problem::Unrecognised, &[source.as_bytes()]);
    for kind in kinds.split(|&byte| byte == b',').filter(|kind| !kind.is_empty()) {
        match as_kind(source, kind, cmdline, modules, log) {
            Ok(mounted) => return Ok(mounted),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn as_kind(
    source: &Path,
    kind: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules,
    log: &mut Log,
) -> Result<Mounted, Failure> {
    let failure = |problem| Failure::new(problem, &[source.as_bytes()]).with_detail(&[kind]);
    if !provide(kind, modules, log) {
        return Err(failure(Problem::NoFileSystem));
    }
    let (flags, options) = options(cmdline, b"");
    mount_or_read_only(source, kind, flags, &options, log)
        .map_err(|errno| failure(Problem::RootMount).with_errno(errno))?;
    Ok(Mounted { source: *source, kind: Text::of(&[kind]) })
}

/// Mounts a directory of the host by its tag. Its device may still be on its way, which the error says.
pub fn share(
    kind: &[u8],
    tag: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules,
    log: &mut Log,
) -> Result<Mounted, Errno> {
    if !provide(kind, modules, log) {
        return Err(Errno::NODEV);
    }
    let needed: &[u8] = if kind == b"9p" { b"trans=virtio,version=9p2000.L,msize=512000,cache=mmap" } else { b"" };
    let (flags, options) = options(cmdline, needed);
    let source = Path::of(&[tag]);
    mount_or_read_only(&source, kind, flags, &options, log)?;
    Ok(Mounted { source, kind: Text::of(&[kind]) })
}

/// Makes sure that the kernel knows a file system: of itself, or by a module.
fn provide(kind: &[u8], modules: &mut Modules, log: &mut Log) -> bool {
    let alias = Text::<32>::of(&[b"fs-", kind]);
    is_known(kind) || (modules.load_named(alias.as_bytes(), log) || modules.load_named(kind, log)) && is_known(kind)
}

/// Whether /proc/filesystems lists it: lines of `nodev<TAB>NAME` or `<TAB>NAME`.
fn is_known(kind: &[u8]) -> bool {
    let mut buffer = [0; 4096];
    let list = file::read(c"/proc/filesystems", &mut buffer).unwrap_or_default();
    list.split(|&byte| byte == b'\n').any(|line| line.rsplit(|&byte| byte == b'\t').next() == Some(kind))
}

/// A file system that refuses to be written is mounted read-only, as the kernel does with its root.
fn mount_or_read_only(
    source: &Path,
    kind: &[u8],
    flags: MountFlags,
    options: &Options,
    log: &mut Log,
) -> Result<(), Errno> {
    let _ = rustix::fs::mkdir(MOUNT_POINT, Mode::from_raw_mode(0o755));
    let kind = Text::<32>::of(&[kind]);
    let attempt = |flags| mount(source.as_c_str(), MOUNT_POINT, kind.as_c_str(), flags, options.as_c_str());
    match attempt(flags) {
        Err(Errno::ACCESS | Errno::ROFS) if !flags.contains(MountFlags::RDONLY) => {
            attempt(flags | MountFlags::RDONLY)?;
            log.say(Level::Warning, &[source.as_bytes(), b" cannot be written: mounted read-only"]);
            Ok(())
        }
        result => result,
    }
}

/// Words of fstab that become flags of the mount: what they set, and what they clear.
const FLAG_WORDS: [(&[u8], MountFlags, MountFlags); 19] = {
    const NONE: MountFlags = MountFlags::empty();
    [
        (b"ro", MountFlags::RDONLY, NONE),
        (b"rw", NONE, MountFlags::RDONLY),
        (b"nosuid", MountFlags::NOSUID, NONE),
        (b"suid", NONE, MountFlags::NOSUID),
        (b"nodev", MountFlags::NODEV, NONE),
        (b"dev", NONE, MountFlags::NODEV),
        (b"noexec", MountFlags::NOEXEC, NONE),
        (b"exec", NONE, MountFlags::NOEXEC),
        (b"sync", MountFlags::SYNCHRONOUS, NONE),
        (b"async", NONE, MountFlags::SYNCHRONOUS),
        (b"dirsync", MountFlags::DIRSYNC, NONE),
        (b"noatime", MountFlags::NOATIME, NONE),
        (b"atime", NONE, MountFlags::NOATIME),
        (b"nodiratime", MountFlags::NODIRATIME, NONE),
        (b"diratime", NONE, MountFlags::NODIRATIME),
        (b"relatime", MountFlags::RELATIME, NONE),
        (b"norelatime", NONE, MountFlags::RELATIME),
        (b"strictatime", MountFlags::STRICTATIME, NONE),
        (b"lazytime", MountFlags::LAZYTIME, NONE),
    ]
};

/// Words that mount(8) alone understands: they say when and by whom something is mounted, not how.
const MOUNT8_WORDS: [&[u8]; 13] = [
    b"defaults", b"auto", b"noauto", b"user", b"nouser", b"users", b"owner", b"group", b"nofail", b"_netdev",
    b"nolazytime", b"silent", b"loud",
];

/// The flags and the file system's own options, from `rootflags=`, `ro` and `rw`.
fn options(cmdline: &CommandLine, needed: &[u8]) -> (MountFlags, Options) {
    let mut flags = if cmdline.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    let mut options = Options::of(&[needed]);
    for word in cmdline.root_flags.split(|&byte| byte == b',').filter(|word| !word.is_empty()) {
        if let Some((_, set, cleared)) = FLAG_WORDS.iter().find(|(name, ..)| *name == word) {
            flags = flags.union(*set).difference(*cleared);
        } else if !MOUNT8_WORDS.contains(&word) && !word.starts_with(b"x-") && !word.starts_with(b"comment=") {
            if !options.as_bytes().is_empty() {
                options.push(b",");
            }
            options.push(word);
        }
    }
    (flags, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_options_as_mount_does() {
        let line = CommandLine::parse(b"", b"rw rootflags=subvol=@,noatime,nofail,x-systemd.x=1,defaults,compress=zstd");
        let (flags, options) = options(&line, b"");
        assert_eq!(flags, MountFlags::NOATIME);
        assert_eq!(options.as_bytes(), b"subvol=@,compress=zstd");
    }

    #[test]
    fn is_read_only_unless_told_otherwise() {
        assert_eq!(options(&CommandLine::parse(b"", b""), b"").0, MountFlags::RDONLY);
        assert_eq!(options(&CommandLine::parse(b"", b"rw"), b"").0, MountFlags::empty());
        assert_eq!(options(&CommandLine::parse(b"", b"rootflags=rw"), b"").0, MountFlags::empty());
    }
}
