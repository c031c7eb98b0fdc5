//! Members of a Linux software RAID, whose superblock may lie at either end of the device
//! (include/uapi/linux/raid/md_p.h and drivers/md/md.c in the kernel).

use super::FsKind;
use super::signature::{Id, Place, Signature};
use super::window::Window;

/// The versions by their places: 1.1, 1.2, 1.0 and 0.90, the last as little-endian machines write it (the kernel uses the
/// machine's own byte order). Its identifier lies in pieces and is not read.
pub(super) const FORMATS: &[Signature] = &[
    member(Place::Start(0)).id(16, Id::Uuid).named(32, 32),
    member(Place::Start(0x1000)).id(16, Id::Uuid).named(32, 32),
    member(Place::End { shift: 12, blocks: 2 }).id(16, Id::Uuid).named(32, 32),
    member(Place::End { shift: 16, blocks: 1 }),
];

const fn member(place: Place) -> Signature {
    Signature::new(FsKind::Raid, place, b"\xfc\x4e\x2b\xa9")
}

mod field {
    pub const MAJOR_VERSION: usize = 0x4;
    pub const SUPER_OFFSET: usize = 0x90;
}

/// Whether the superblock belongs to the device on which it was found, as far as its version tells: a disk's last
/// partition may end where the disk does.
pub(super) fn is_own(window: &Window) -> bool {
    match window.le32(field::MAJOR_VERSION) {
        0 => true,
        1 => window.le64(field::SUPER_OFFSET) == window.start() >> 9,
        _ => false,
    }
}
