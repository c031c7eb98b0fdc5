//! Partition tables: the identifier and the name of a partition that the kernel has found, for `root=PARTUUID=` and
//! `root=PARTLABEL=`.
//!
//! The kernel numbers the partitions (block/partitions/efi.c and msdos.c); only what it does not tell in sysfs is read
//! here, in the same forms.

use embedded_io::{Read, Seek, SeekFrom};

use super::superblock::label::Label;
use super::superblock::window::Window;
use super::uuid::Uuid;

/// What a partition table says of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionId {
    /// The GUID of a GPT partition, or `ssssssss-pp` for an MBR.
    pub uuid: Uuid,
    /// The name of a GPT partition; an MBR has none.
    pub label: Label,
}

/// Offsets in an MBR (UEFI 2.10, 5.2.1).
mod mbr {
    pub const DISK_SIGNATURE: usize = 0x1b8;
    pub const ENTRY_TYPES: [usize; 4] = [0x1c2, 0x1d2, 0x1e2, 0x1f2];
    pub const BOOT_SIGNATURE: usize = 0x1fe;
    pub const BOOT_SIGNATURE_VALUE: u16 = 0xaa55;
    /// The type of the entry that protects a GPT.
    pub const TYPE_GPT: u8 = 0xee;
}

/// Offsets in a GPT header and in an entry of its array (UEFI 2.10, 5.3.2 and 5.3.3).
mod gpt {
    pub const SIGNATURE: u64 = u64::from_le_bytes(*b"EFI PART");
    pub const HEADER_SIZE: usize = 12;
    pub const HEADER_CRC: usize = 16;
    pub const MY_LBA: usize = 24;
    pub const ENTRIES_LBA: usize = 72;
    pub const ENTRY_COUNT: usize = 80;
    pub const ENTRY_SIZE: usize = 84;
    /// The size of the fields of a header, and the least that an entry may have.
    pub const MIN_HEADER_SIZE: usize = 92;
    pub const MIN_ENTRY_SIZE: u32 = 128;

    pub const TYPE_GUID: usize = 0;
    pub const UNIQUE_GUID: usize = 16;
    pub const NAME: usize = 56;
    pub const NAME_SIZE: usize = 72;
}

impl PartitionId {
    /// Reads what a disk's partition table says of a partition, by the kernel's number for it and the disk's logical
    /// sector size in bytes. `None` where the disk has no such partition or no table known here; the only errors are
    /// the disk's own.
    #[inline(never)]
    pub fn read<D: Read + Seek>(disk: &mut D, sector_size: u32, number: u32) -> Result<Option<Self>, D::Error> {
        let mut window = Window::new(disk.seek(SeekFrom::End(0))?);
        window.load(disk, 0)?;
        if window.le16(mbr::BOOT_SIGNATURE) != mbr::BOOT_SIGNATURE_VALUE {
            return Ok(None);
        }
        if mbr::ENTRY_TYPES.iter().any(|&at| window.byte(at) == mbr::TYPE_GPT) {
            return gpt_partition(disk, &mut window, sector_size.into(), number);
        }
        Ok(mbr_partition(&window, number))
    }
}

/// Logical partitions carry the disk's signature as primary ones do: the number tells them apart.
fn mbr_partition(window: &Window, number: u32) -> Option<PartitionId> {
    let number = u8::try_from(number).ok().filter(|&number| number != 0)?;
    let uuid = Uuid::from_mbr(window.le32(mbr::DISK_SIGNATURE), number);
    Some(PartitionId { uuid, label: Label::default() })
}

/// The partition by the header in the second sector, or by the backup in the last one where the first is damaged or
/// knows nothing of a partition that the kernel has found.
fn gpt_partition<D: Read + Seek>(
    disk: &mut D,
    window: &mut Window,
    sector_size: u64,
    number: u32,
) -> Result<Option<PartitionId>, D::Error> {
    let sectors = window.device_size().checked_div(sector_size).unwrap_or_default();
    for lba in [1, sectors.saturating_sub(1)] {
        window.load(disk, lba.wrapping_mul(sector_size))?;
        let Some(entry) = gpt_entry(window, lba, sector_size, number) else { continue };
        window.load(disk, entry)?;
        // An entry without a type is an unused one.
        if window.array(gpt::TYPE_GUID) != [0; 16] {
            let uuid = Uuid::from_guid(window.array(gpt::UNIQUE_GUID));
            let label = Label::from_utf16(window.slice(gpt::NAME, gpt::NAME_SIZE));
            return Ok(Some(PartitionId { uuid, label }));
        }
    }
    Ok(None)
}

/// Where on the disk the entry of a partition lies, by the header in the window, which was read from the sector `lba`;
/// `None` where that is no sound header or has no such entry. An offset that overflows is one more wrong offset: what
/// is read there is no entry.
fn gpt_entry(window: &Window, lba: u64, sector_size: u64, number: u32) -> Option<u64> {
    let entry_size = window.le32(gpt::ENTRY_SIZE);
    let index = number.wrapping_sub(1);
    let known = is_sound(window, lba) && entry_size >= gpt::MIN_ENTRY_SIZE && index < window.le32(gpt::ENTRY_COUNT);
    let entries = window.le64(gpt::ENTRIES_LBA).wrapping_mul(sector_size);
    known.then_some(entries.wrapping_add(u64::from(index) * u64::from(entry_size)))
}

/// Whether the window shows a GPT header that belongs in this sector and is undamaged.
fn is_sound(window: &Window, lba: u64) -> bool {
    let header = window.slice(0, window.le32(gpt::HEADER_SIZE) as usize);
    header.len() >= gpt::MIN_HEADER_SIZE
        && window.le64(0) == gpt::SIGNATURE
        && window.le64(gpt::MY_LBA) == lba
        && header_crc(header) == window.le32(gpt::HEADER_CRC)
}

/// The CRC-32 of a header, in which the field for it counts as zero. A header is short: a table would cost more than it
/// saves.
fn header_crc(header: &[u8]) -> u32 {
    let crc_field = gpt::HEADER_CRC..gpt::HEADER_CRC + 4;
    let mut crc = u32::MAX;
    for (at, &byte) in header.iter().enumerate() {
        crc ^= if crc_field.contains(&at) { 0 } else { u32::from(byte) };
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
