//! What is on a block device, told by its content: file systems with their UUID and label, and what no root can be on.
//!
//! The formats are those that libblkid knows under the same names, and so are the UUIDs and labels: what `blkid` prints
//! on a running system is what `root=UUID=` and `root=LABEL=` find here. [`signature`] is the table of formats.

mod ext;
mod fat;
pub mod label;
mod raid;
mod signature;
#[cfg(test)]
pub(in crate::root) mod testing;
#[cfg(test)]
mod tests;
pub mod window;

use embedded_io::{Read, Seek, SeekFrom};

use super::uuid::Uuid;
use label::Label;
use window::Window;

/// What a device holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// ext2: no journal, and no feature that came later.
    Ext2,
    /// ext3: a journal, and no feature that came later.
    Ext3,
    /// ext4, with or without a journal.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
    /// F2FS.
    F2fs,
    /// squashfs 4.
    Squashfs,
    /// EROFS.
    Erofs,
    /// FAT12, FAT16 or FAT32.
    Vfat,
    /// exFAT.
    Exfat,
    /// NTFS.
    Ntfs,
    /// ISO 9660.
    Iso9660,
    /// The external journal of an ext3 or ext4.
    Journal,
    /// An encrypted LUKS container.
    Luks,
    /// An encrypted BitLocker volume.
    BitLocker,
    /// A physical volume of LVM2.
    Lvm,
    /// A member of a Linux software RAID.
    Raid,
    /// Swap space.
    Swap,
}

impl FsKind {
    /// Every kind.
    pub const ALL: [FsKind; 18] = [
        FsKind::Ext2,
        FsKind::Ext3,
        FsKind::Ext4,
        FsKind::Xfs,
        FsKind::Btrfs,
        FsKind::F2fs,
        FsKind::Squashfs,
        FsKind::Erofs,
        FsKind::Vfat,
        FsKind::Exfat,
        FsKind::Ntfs,
        FsKind::Iso9660,
        FsKind::Journal,
        FsKind::Luks,
        FsKind::BitLocker,
        FsKind::Lvm,
        FsKind::Raid,
        FsKind::Swap,
    ];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<FsKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kernel's name of a file system, as mount(2), `rootfstype=` and the alias `fs-<name>` of its module have it;
    /// libblkid's name of anything else.
    pub fn name(self) -> &'static str {
        match self {
            FsKind::Ext2 => "ext2",
            FsKind::Ext3 => "ext3",
            FsKind::Ext4 => "ext4",
            FsKind::Xfs => "xfs",
            FsKind::Btrfs => "btrfs",
            FsKind::F2fs => "f2fs",
            FsKind::Squashfs => "squashfs",
            FsKind::Erofs => "erofs",
            FsKind::Vfat => "vfat",
            FsKind::Exfat => "exfat",
            FsKind::Ntfs => "ntfs3",
            FsKind::Iso9660 => "iso9660",
            FsKind::Journal => "jbd",
            FsKind::Luks => "crypto_LUKS",
            FsKind::BitLocker => "BitLocker",
            FsKind::Lvm => "LVM2_member",
            FsKind::Raid => "linux_raid_member",
            FsKind::Swap => "swap",
        }
    }

    /// Whether the kernel can mount it as it lies there. What cannot be mounted is recognised so that a report can name
    /// it.
    pub fn is_mountable(self) -> bool {
        !matches!(self, FsKind::Journal | FsKind::Luks | FsKind::BitLocker | FsKind::Lvm | FsKind::Raid | FsKind::Swap)
    }
}

/// What a superblock says of its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// What the device holds.
    pub kind: FsKind,
    /// Its identifier, where it has one that is not all zeros.
    pub uuid: Option<Uuid>,
    /// Its label, empty where it has none.
    pub label: Label,
}

impl Superblock {
    /// Recognises what is on a device, in few reads of [`window::SIZE`] bytes; `None` is a device that holds nothing
    /// known here. The only errors are the device's own.
    ///
    /// A RAID member is looked for behind everything that could be mounted: its superblock may lie at the end of the
    /// device and leave the file system of a mirror in plain sight, and mounting that would break the mirror.
    #[inline(never)]
    pub fn read<D: Read + Seek>(device: &mut D) -> Result<Option<Self>, D::Error> {
        let mut window = Window::new(device.seek(SeekFrom::End(0))?);
        let mut found = signature::find(signature::FORMATS, &mut window, device)?;
        if found.is_none_or(|found| found.kind.is_mountable()) {
            // Where the end of the device cannot be read, no RAID was assembled from it either.
            let member = signature::find(raid::FORMATS, &mut window, device).unwrap_or(None);
            found = member.or(found);
        }
        found.map(|found| found.read(&mut window, device)).transpose()
    }
}
