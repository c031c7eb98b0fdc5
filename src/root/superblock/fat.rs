//! FAT12, FAT16 and FAT32: whether a boot sector describes a file system (Microsoft's fatgen103; the checks are
//! libblkid's and those of fs/fat/inode.c in the kernel).

use super::window::Window;

mod field {
    pub const SECTOR_SIZE: usize = 0x0b;
    pub const CLUSTER_SECTORS: usize = 0x0d;
    pub const RESERVED_SECTORS: usize = 0x0e;
    pub const FATS: usize = 0x10;
    pub const MEDIA: usize = 0x15;
}

/// What the label field begins with where there is no label.
pub(super) const NO_NAME: u64 = u64::from_le_bytes(*b"NO NAME ");

/// Whether the first sector describes a file system that could be mounted. "FAT" alone may be part of a boot loader's
/// messages, in an MBR for example, which has code where the geometry would be.
pub(super) fn is_plausible(window: &Window) -> bool {
    let media = window.byte(field::MEDIA);
    matches!(window.le16(field::SECTOR_SIZE), 512 | 1024 | 2048 | 4096)
        && window.byte(field::CLUSTER_SECTORS).is_power_of_two()
        && window.le16(field::RESERVED_SECTORS) != 0
        && window.byte(field::FATS) != 0
        && (media == 0xf0 || media >= 0xf8)
}
