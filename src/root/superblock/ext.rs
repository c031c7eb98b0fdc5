//! ext2, ext3 and ext4: one magic, told apart by their features as libblkid and the kernel do
//! (fs/ext4/ext4.h, `EXT2_FEATURE_*_SUPP` and `EXT3_FEATURE_*_SUPP`).

use super::FsKind;
use super::window::Window;

mod field {
    pub const LOG_BLOCK_SIZE: usize = 0x418;
    pub const FEATURE_COMPAT: usize = 0x45c;
    pub const FEATURE_INCOMPAT: usize = 0x460;
    pub const FEATURE_RO_COMPAT: usize = 0x464;
}

/// The largest block that the format knows is 1 KiB << 6.
const MAX_LOG_BLOCK_SIZE: u32 = 6;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
const INCOMPAT_FILETYPE: u32 = 0x2;
const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_META_BG: u32 = 0x10;
const RO_COMPAT_SPARSE_SUPER: u32 = 0x1;
const RO_COMPAT_LARGE_FILE: u32 = 0x2;
const RO_COMPAT_BTREE_DIR: u32 = 0x4;

/// The features of ext2, of which ext3 may also need its journal replayed.
const EXT2_INCOMPAT: u32 = INCOMPAT_FILETYPE | INCOMPAT_META_BG;
const EXT3_INCOMPAT: u32 = EXT2_INCOMPAT | INCOMPAT_RECOVER;
const EXT3_RO_COMPAT: u32 = RO_COMPAT_SPARSE_SUPER | RO_COMPAT_LARGE_FILE | RO_COMPAT_BTREE_DIR;

/// Which of the family a superblock in the first window is. Two bytes of magic are few: the block size must be one that
/// the kernel could mount.
pub(super) fn kind(window: &Window) -> Option<FsKind> {
    if window.le32(field::LOG_BLOCK_SIZE) > MAX_LOG_BLOCK_SIZE {
        return None;
    }
    let has_journal = window.le32(field::FEATURE_COMPAT) & COMPAT_HAS_JOURNAL != 0;
    let incompat = window.le32(field::FEATURE_INCOMPAT);
    let old = window.le32(field::FEATURE_RO_COMPAT) & !EXT3_RO_COMPAT == 0;
    Some(if incompat & INCOMPAT_JOURNAL_DEV != 0 {
        FsKind::Journal
    } else if old && has_journal && incompat & !EXT3_INCOMPAT == 0 {
        FsKind::Ext3
    } else if old && !has_journal && incompat & !EXT2_INCOMPAT == 0 {
        FsKind::Ext2
    } else {
        FsKind::Ext4
    })
}
