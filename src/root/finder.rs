//! Finding the disk that `root=` means among those that are there.

use heapless::Vec;

use super::spec::{RootSpec, means};
use crate::device::{Disk, DiskName, disks};
use crate::file::Path;
use crate::report::Line;

/// How many disks are remembered as examined; of more than these each is examined again at every look.
const EXAMINED: usize = 64;

/// A search that goes on while disks appear: none is read twice.
#[derive(Default)]
pub struct Finder {
    examined: Vec<DiskName, EXAMINED>,
}

impl Finder {
    /// The root's disk, if it is there by now and can be read.
    #[inline(never)]
    pub fn find(&mut self, spec: &RootSpec) -> Option<Disk> {
        let found = match *spec {
            RootSpec::Name(name) => Disk::named(name),
            RootSpec::Number { major, minor } => numbered(major, minor),
            spec if cfg!(feature = "probe") => self.examine(spec),
            _ => None,
        };
        found.filter(Disk::is_readable)
    }

    /// Forgets what was examined: a name may stand for another disk now.
    pub fn forget(&mut self) {
        self.examined.clear();
    }

    /// Reads the disks that were not read yet, until one is the root.
    fn examine(&mut self, spec: RootSpec) -> Option<Disk> {
        let mut found = None;
        disks(&mut |disk| {
            // A disk that cannot be read yet is worth another look, and so is one whose neighbour is not there yet.
            if self.examined.iter().any(|name| name.as_bytes() == disk.name()) || !disk.is_readable() {
                return true;
            }
            found = matching(disk, spec);
            let has_neighbour = matches!(spec, RootSpec::PartUuid(_, offset) if offset != 0);
            if found.is_none() && !has_neighbour {
                let _ = self.examined.push(Path::of(&[disk.name()]));
            }
            found.is_none()
        });
        found
    }
}

/// The disk of this number.
fn numbered(major: u32, minor: u32) -> Option<Disk> {
    let mut wanted = Path::new();
    wanted.push_number(major.into());
    wanted.push(b":");
    wanted.push_number(minor.into());
    let mut found = None;
    disks(&mut |disk| {
        if disk.device_number().as_bytes() == wanted.as_bytes() {
            found = Some(disk.clone());
        }
        found.is_none()
    });
    found
}

/// The root, if this disk is it or leads to it.
fn matching(disk: &Disk, spec: RootSpec) -> Option<Disk> {
    let is_it = match spec {
        RootSpec::Uuid(_) | RootSpec::Label(_) => {
            let superblock = disk.superblock()?;
            match spec {
                RootSpec::Uuid(uuid) => superblock.uuid.as_ref()?.matches(uuid),
                RootSpec::Label(label) => means(label, superblock.label.as_bytes()),
                _ => false,
            }
        }
        _ => {
            let partition = disk.partition()?;
            match spec {
                RootSpec::PartLabel(label) => means(label, partition.label.as_bytes()),
                RootSpec::PartUuid(uuid, 0) => partition.uuid.matches(uuid),
                RootSpec::PartUuid(uuid, offset) if partition.uuid.matches(uuid) => {
                    return disk.sibling(disk.partition_number()?.checked_add_signed(offset)?);
                }
                _ => false,
            }
        }
    };
    is_it.then(|| disk.clone())
}

/// What a report says of a disk: its node, type, label and identifiers.
pub fn describe(disk: &Disk) -> Line {
    let mut line = Line::of(&[disk.node().as_bytes(), b": "]);
    let mut add = |name: &[u8], value: &[u8]| {
        if !value.is_empty() {
            line.push(name);
            line.push(value);
        }
    };
    match disk.superblock() {
        Some(superblock) => {
            add(b"", superblock.kind.name().as_bytes());
            add(b" LABEL=", superblock.label.as_bytes());
            add(b" UUID=", superblock.uuid.as_ref().map_or(b"", |uuid| uuid.as_str().as_bytes()));
        }
        None => add(b"", b"no file system known here"),
    }
    if let Some(partition) = disk.partition() {
        add(b" PARTUUID=", partition.uuid.as_str().as_bytes());
        add(b" PARTLABEL=", partition.label.as_bytes());
    }
    line
}
