//! Block devices: disks and their partitions as sysfs lists them, and what is on each.

use core::fmt;

use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom};
use rustix::fd::OwnedFd;
use rustix::fs::{self, Advice};
use rustix::io::{self, Errno};

use crate::file::{self, Path};
use crate::root::partition::PartitionId;
use crate::root::superblock::Superblock;
use crate::text::parse_number;

/// The kernel's name of a block device.
pub type DiskName = Path;

/// A disk or a partition.
#[derive(Clone)]
pub struct Disk {
    name: DiskName,
}

/// Calls `visit` for each disk and partition that holds anything, in the order of their names, until it returns false.
pub fn disks(visit: &mut dyn FnMut(&Disk) -> bool) {
    let mut disk = Disk { name: Path::new() };
    loop {
        // sysfs has an order of its own: the next is the least of the names that are greater.
        let mut next = Path::new();
        file::list(c"/sys/class/block", &mut |name| {
            if name > disk.name() && (next.as_bytes().is_empty() || name < next.as_bytes()) {
                next = Path::of(&[name]);
            }
            true
        });
        if next.as_bytes().is_empty() {
            return;
        }
        disk = Disk { name: next };
        // One of several paths to the same disk has no node of its own.
        let is_hidden = disk.number_in(b"hidden") == Some(1);
        if !is_hidden && disk.number_in(b"size").is_some_and(|sectors| sectors > 0) && !visit(&disk) {
            return;
        }
    }
}

impl Disk {
    /// The disk of this name. Names with a directory in them, as in `cciss/c0d0`, are the kernel's with a `!`.
    pub fn called(name: &[u8]) -> Disk {
        let mut name = Path::of(&[name]);
        name.as_bytes_mut().iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'!');
        Disk { name }
    }

    /// The disk of this name, if it is there.
    #[inline(never)]
    pub fn named(name: &[u8]) -> Option<Disk> {
        let disk = Disk::called(name);
        (!disk.name.is_cut() && file::exists(disk.attribute(b"dev").as_c_str())).then_some(disk)
    }

    /// The kernel's name.
    pub fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Its node in /dev.
    pub fn node(&self) -> Path {
        let mut node = Path::of(&[b"/dev/", self.name()]);
        node.as_bytes_mut().iter_mut().filter(|byte| **byte == b'!').for_each(|byte| *byte = b'/');
        node
    }

    /// Its device number, as `MAJOR:MINOR`.
    pub fn device_number(&self) -> Path {
        let mut buffer = [0; 24];
        Path::of(&[file::read(self.attribute(b"dev").as_c_str(), &mut buffer).trim_ascii()])
    }

    /// The number of a partition on its disk; none for a whole disk.
    pub fn partition_number(&self) -> Option<u32> {
        self.number_in(b"partition")?.try_into().ok()
    }

    /// The disk that a partition is on.
    pub fn whole_disk(&self) -> Option<Disk> {
        // The link leads to .../block/DISK/PARTITION.
        let place = Path::of(&[b"/sys/class/block/", self.name()]);
        let mut link = [0; file::LINK];
        let parent = file::link(place.as_c_str(), &mut link).rsplit(|&byte| byte == b'/').nth(1)?;
        Some(Disk { name: Path::of(&[parent]) })
    }

    /// The other partition of the same disk with this number.
    pub fn sibling(&self, number: u32) -> Option<Disk> {
        let parent = self.whole_disk()?;
        let mut found = None;
        disks(&mut |disk| {
            let is_it = disk.partition_number() == Some(number)
                && disk.whole_disk().is_some_and(|whole| whole.name() == parent.name());
            if is_it {
                found = Some(disk.clone());
            }
            !is_it
        });
        found
    }

    /// What is on it, if it is known and the device can be read.
    #[inline(never)]
    pub fn superblock(&self) -> Option<Superblock> {
        if !cfg!(feature = "probe") {
            return None;
        }
        Superblock::read(&mut self.open().ok()?).ok().flatten()
    }

    /// How the partition table names it, if it is a partition.
    #[inline(never)]
    pub fn partition(&self) -> Option<PartitionId> {
        if !cfg!(feature = "probe") {
            return None;
        }
        let number = self.partition_number()?;
        let disk = self.whole_disk()?;
        let sector = disk.number_in(b"queue/logical_block_size").unwrap_or(SECTOR);
        PartitionId::read(&mut disk.open().ok()?, sector.try_into().ok()?, number).ok().flatten()
    }

    /// Whether it can be read by now. The kernel makes its node and tells of it a moment before (block/genhd.c,
    /// `device_add_disk`), and a drive for cards may have none in it.
    pub fn is_readable(&self) -> bool {
        self.open().is_ok()
    }

    /// Opens it for reading.
    #[inline(never)]
    fn open(&self) -> io::Result<BlockFile> {
        let file = file::open(self.node().as_c_str())?;
        // Little is read, here and there: the kernel need not read ahead.
        let _ = fs::fadvise(&file, 0, None, Advice::Random);
        let sectors = self.number_in(b"size").unwrap_or(0);
        Ok(BlockFile { file, at: 0, length: sectors.saturating_mul(SECTOR) })
    }

    fn attribute(&self, name: &[u8]) -> Path {
        Path::of(&[b"/sys/class/block/", self.name(), b"/", name])
    }

    /// The number in a file of its directory in sysfs; none where there is no such file, or no number in it.
    pub fn number_in(&self, attribute: &[u8]) -> Option<u64> {
        let mut buffer = [0; 24];
        parse_number(file::read(self.attribute(attribute).as_c_str(), &mut buffer).trim_ascii())
    }
}

/// The unit of sizes in sysfs, whatever the disk's own sectors are.
const SECTOR: u64 = 512;

/// An open block device, read at a position.
struct BlockFile {
    file: OwnedFd,
    at: u64,
    length: u64,
}

impl ErrorType for BlockFile {
    type Error = DiskError;
}

impl Read for BlockFile {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let count = io::retry_on_intr(|| io::pread(&self.file, &mut *buffer, self.at)).map_err(DiskError)?;
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for BlockFile {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, DiskError> {
        let to = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = to.ok_or(DiskError(Errno::INVAL))?;
        Ok(self.at)
    }
}

/// The kernel's error when a disk was read.
#[derive(Debug)]
struct DiskError(Errno);

impl fmt::Display for DiskError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl core::error::Error for DiskError {}

impl embedded_io::Error for DiskError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
