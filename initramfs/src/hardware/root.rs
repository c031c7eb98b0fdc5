//! The disks that hold the running system's root: through partitions, device mapper, RAID, btrfs, overlays and loop
//! devices, down to what a driver makes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use modstrap::root::superblock::FsKind;

/// How deep mounts may lie over one another.
const DEPTH: usize = 8;

/// The running system's root.
#[derive(Debug, Default)]
pub struct Root {
    /// The names of the disks or partitions that it is on.
    pub disks: BTreeSet<String>,
    /// Its file system, where it lies on these disks as it is.
    pub file_system: Option<FsKind>,
}

/// Finds it; a root that is on no disk has none.
pub fn find() -> Root {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let mut root = Root::default();
    let Some(mount) = mount_of(&mounts, Path::new("/")) else { return root };
    let disks = mount.disks(&mounts, DEPTH);
    root.disks = disks.iter().flat_map(|disk| below(disk, &mounts, DEPTH)).collect();
    root.file_system = FsKind::from_name(&mount.kind).filter(|_| disks == root.disks);
    root
}

/// A mount, as a line of /proc/self/mountinfo tells of it (Documentation/filesystems/proc.rst, 3.5).
#[derive(Debug)]
struct Mount {
    device: String,
    place: PathBuf,
    kind: String,
    source: String,
    options: String,
}

impl Mount {
    fn parse(line: &str) -> Option<Mount> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (device, place) = (mount.next()?, mount.nth(1)?);
        let mut file_system = file_system.split(' ');
        Some(Mount {
            device: device.to_string(),
            place: unescaped(place).into(),
            kind: file_system.next()?.to_string(),
            source: unescaped(file_system.next()?),
            options: unescaped(file_system.next().unwrap_or_default()),
        })
    }

    /// The disks that it is mounted from.
    fn disks(&self, mounts: &[Mount], depth: usize) -> BTreeSet<String> {
        let Some(depth) = depth.checked_sub(1) else { return BTreeSet::new() };
        if let Some(disk) = disk_of_number(&self.device) {
            return [disk].into();
        }
        if let Some(disk) = self.source.starts_with('/').then(|| disk_of_node(Path::new(&self.source))).flatten() {
            return pool(disk);
        }
        let layers = self.options.split(',').filter_map(|option| option.split_once('='));
        let layers = layers.filter(|(name, _)| ["lowerdir", "upperdir"].contains(name));
        let directories = layers.flat_map(|(_, directories)| directories.split(':')).map(Path::new);
        directories.filter_map(|path| mount_of(mounts, path)).flat_map(|mount| mount.disks(mounts, depth)).collect()
    }
}

/// The mount that a path is on: the last of those that lead furthest.
fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.place));
    above.max_by_key(|mount| mount.place.components().count())
}

/// `\040` and the like, for what would break a line.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut result = parts.next().unwrap_or_default().to_string();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => result.extend([char::from(byte).to_string().as_str(), &part[3..]]),
            None => result.extend(["\\", part]),
        }
    }
    result
}

fn disk_of_number(number: &str) -> Option<String> {
    let link = fs::read_link(format!("/sys/dev/block/{number}")).ok()?;
    Some(link.file_name()?.to_str()?.to_string())
}

fn disk_of_node(node: &Path) -> Option<String> {
    let number = fs::metadata(node).ok()?.rdev();
    disk_of_number(&format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number)))
}

/// All disks of the btrfs that this one belongs to.
fn pool(disk: String) -> BTreeSet<String> {
    let pools = names(Path::new("/sys/fs/btrfs")).into_iter();
    let pools = pools.map(|pool| names(&Path::new("/sys/fs/btrfs").join(pool).join("devices")));
    pools.into_iter().find(|pool| pool.contains(&disk)).unwrap_or_else(|| [disk].into())
}

/// The disks that a disk is made of, itself if it is made of none.
fn below(disk: &str, mounts: &[Mount], depth: usize) -> BTreeSet<String> {
    let Some(depth) = depth.checked_sub(1) else { return BTreeSet::new() };
    let place = Path::new("/sys/class/block").join(disk);
    let mut parts = names(&place.join("slaves"));
    if let Ok(file) = fs::read_to_string(place.join("loop/backing_file")) {
        parts.extend(mount_of(mounts, Path::new(file.trim_end())).into_iter().flat_map(|it| it.disks(mounts, depth)));
    }
    if parts.is_empty() {
        return [disk.to_string()].into();
    }
    parts.iter().flat_map(|part| below(part, mounts, depth)).collect()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mounts() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root\\134x rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.device, "98:0");
        assert_eq!(mount.place, Path::new("/mnt 2"));
        assert_eq!((mount.kind.as_str(), mount.source.as_str()), ("ext3", "/dev/root\\x"));
        assert_eq!(mount.options, "rw,errors=continue");
        assert!(Mount::parse("36 35").is_none());
    }

    #[test]
    fn the_last_and_deepest_mount_counts() {
        let lines = ["1 0 0:1 / / rw - rootfs none rw", "2 1 8:1 / / rw - ext4 a rw", "3 1 8:2 / /home rw - xfs b rw"];
        let mounts: Vec<Mount> = lines.into_iter().filter_map(Mount::parse).collect();
        let source = |path: &str| mount_of(&mounts, Path::new(path)).unwrap().source.as_str();
        assert_eq!((source("/"), source("/home/x"), source("/homes")), ("a", "b", "a"));
    }

    #[test]
    fn finds_this_machines_own_root() {
        // In a container there may be none; what is found must exist.
        for disk in find().disks {
            assert!(Path::new("/sys/class/block").join(&disk).exists(), "{disk}");
        }
    }
}
