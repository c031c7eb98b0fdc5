//! The table of formats: where each has its magic, its identifier and its label.
//!
//! Offsets and checks are libblkid's (libblkid/src/superblocks in util-linux).

use embedded_io::{Read, Seek};

use super::label::Label;
use super::window::{self, Window};
use super::{FsKind, Superblock, ext, fat, raid};
use crate::root::uuid::{Dashes, Uuid};

/// The formats, in the order in which they are tried: the first that is recognised is what the device holds.
///
/// Containers come first: what they encrypt or map may look like anything. Then the superblock nearest to the start
/// wins, because every tool that makes a file system writes or clears what precedes its own superblock, while it may
/// leave the remains of an older one behind it. FAT comes last in the first window, since it shares its sector with boot
/// code, for which others leave room.
pub(super) const FORMATS: &[Signature] = &[
    Signature::new(FsKind::Luks, Place::Start(0), b"LUKS\xba\xbe").id(0xa8, Id::Text),
    Signature::new(FsKind::BitLocker, Place::Start(0x3), b"-FVE-FS-"),
    Signature::new(FsKind::Lvm, Place::Start(0x218), b"LVM2 001").id(0x220, Id::Lvm),
    Signature::new(FsKind::Lvm, Place::Start(0x18), b"LVM2 001").id(0x20, Id::Lvm),
    Signature::new(FsKind::Xfs, Place::Start(0), b"XFSB").id(0x20, Id::Uuid).named(0x6c, 12),
    Signature::new(FsKind::Squashfs, Place::Start(0), b"hsqs"),
    Signature::new(FsKind::Ext4, Place::Start(0x438), b"\x53\xef").id(0x468, Id::Uuid).named(0x478, 16),
    Signature::new(FsKind::F2fs, Place::Start(0x400), b"\x10\x20\xf5\xf2").id(0x46c, Id::Uuid).named(0x47c, 1024),
    Signature::new(FsKind::Erofs, Place::Start(0x400), b"\xe2\xe1\xf5\xe0").id(0x430, Id::Uuid).named(0x440, 16),
    Signature::new(FsKind::Ntfs, Place::Start(0x3), b"NTFS    ").id(0x48, Id::Serial64),
    Signature::new(FsKind::Exfat, Place::Start(0x3), b"EXFAT   ").id(0x64, Id::Serial32),
    // The last eight of "SWAPSPACE2", at the end of the first page of 4 KiB.
    Signature::new(FsKind::Swap, Place::Start(0xff8), b"APSPACE2").id(0x40c, Id::Uuid).named(0x41c, 16),
    Signature::new(FsKind::Vfat, Place::Start(0x52), b"FAT32").id(0x43, Id::Serial32).named(0x47, 11),
    Signature::new(FsKind::Vfat, Place::Start(0x36), b"FAT").id(0x27, Id::Serial32).named(0x2b, 11),
    Signature::new(FsKind::Iso9660, Place::Start(0x8000), b"\x01CD001").id(0x33e, Id::Date).named(0x28, 32),
    Signature::new(FsKind::Btrfs, Place::Start(0x1_0040), b"_BHRfS_M").id(0x20, Id::Uuid).named(0x12b, 256),
];

/// What tells one format from all others, and where it keeps what identifies one file system.
pub(super) struct Signature {
    kind: FsKind,
    /// Where the magic lies. The other offsets are in the window that holds it.
    place: Place,
    /// The bytes of the magic, little-endian. Zeros after them are not compared.
    magic: u64,
    id: Id,
    id_at: u16,
    label_at: u16,
    label_length: u16,
}

/// A place on a device.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// So many bytes from the start.
    Start(u32),
    /// So many blocks of `1 << shift` bytes, an incomplete one not counted, from the end.
    End { shift: u8, blocks: u8 },
}

/// How an identifier is stored.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Id {
    /// Not at all.
    None,
    /// The 16 bytes of a UUID.
    Uuid,
    /// A little-endian number of four bytes.
    Serial32,
    /// A little-endian number of eight bytes.
    Serial64,
    /// ASCII, dashes included.
    Text,
    /// The 32 characters of LVM, without their dashes.
    Lvm,
    /// Year, month, day, hour, minute, second and hundredth: an ISO 9660 is identified by when it was last changed.
    Date,
}

/// A format that was found on a device.
#[derive(Clone, Copy)]
pub(super) struct Found {
    signature: &'static Signature,
    /// Where the window lay.
    start: u64,
    /// The exact kind.
    pub(super) kind: FsKind,
}

/// Finds the first of these formats that a device shows.
pub(super) fn find<D: Read + Seek>(
    formats: &'static [Signature],
    window: &mut Window,
    device: &mut D,
) -> Result<Option<Found>, D::Error> {
    for signature in formats {
        let place = signature.place.on_device(window.device_size());
        let start = place - place % window::SIZE as u64;
        window.load(device, start)?;
        if let Some(kind) = signature.recognise(window) {
            return Ok(Some(Found { signature, start, kind }));
        }
    }
    Ok(None)
}

impl Found {
    /// Reads what identifies the file system.
    pub(super) fn read<D: Read + Seek>(&self, window: &mut Window, device: &mut D) -> Result<Superblock, D::Error> {
        window.load(device, self.start)?;
        let uuid = self.signature.uuid(window);
        let label = self.signature.label(window);
        Ok(Superblock { kind: self.kind, uuid, label })
    }
}

impl Place {
    /// The offset on a device of so many bytes; the start of a device that is too small for a place near its end.
    fn on_device(self, size: u64) -> u64 {
        match self {
            Place::Start(at) => at.into(),
            Place::End { shift, blocks } => (size >> shift).saturating_sub(blocks.into()).wrapping_shl(shift.into()),
        }
    }
}

impl Signature {
    /// A format by its magic of up to eight bytes.
    pub(super) const fn new<const N: usize>(kind: FsKind, place: Place, magic: &[u8; N]) -> Self {
        let mut padded = [0; 8];
        padded.split_at_mut(N).0.copy_from_slice(magic);
        Self { kind, place, magic: u64::from_le_bytes(padded), id: Id::None, id_at: 0, label_at: 0, label_length: 0 }
    }

    /// The same with an identifier.
    pub(super) const fn id(self, id_at: u16, id: Id) -> Self {
        Self { id_at, id, ..self }
    }

    /// The same with a label of so many bytes.
    pub(super) const fn named(self, label_at: u16, label_length: u16) -> Self {
        Self { label_at, label_length, ..self }
    }

    /// The exact kind, where this window shows one of this format.
    fn recognise(&self, window: &Window) -> Option<FsKind> {
        let at = match self.place {
            Place::Start(at) => at as usize % window::SIZE,
            Place::End { .. } => 0,
        };
        let unused_bits = self.magic.leading_zeros() & !7;
        if (window.le64(at) ^ self.magic).wrapping_shl(unused_bits) != 0 {
            return None;
        }
        let confirmed = match self.kind {
            FsKind::Ext4 => return ext::kind(window),
            // The versions before 4 have the same magic; no kernel reads them any more.
            FsKind::Squashfs => window.le16(0x1c) == 4,
            FsKind::Vfat => fat::is_plausible(window),
            FsKind::Raid => raid::is_own(window),
            _ => true,
        };
        confirmed.then_some(self.kind)
    }

    fn uuid(&self, window: &Window) -> Option<Uuid> {
        const LVM: Dashes = Dashes::after(&[6, 4, 4, 4, 4, 4]);
        const DATE: Dashes = Dashes::after(&[4, 2, 2, 2, 2, 2]);
        let at = usize::from(self.id_at);
        let uuid = match self.id {
            Id::None => return None,
            Id::Uuid => Uuid::from_bytes(window.array(at)),
            Id::Serial32 => Uuid::from_serial32(window.le32(at)),
            Id::Serial64 => Uuid::from_serial64(window.le64(at)),
            Id::Text => Uuid::from_text(window.slice(at, 40), Dashes::NONE),
            Id::Lvm => Uuid::from_text(window.slice(at, 32), LVM),
            Id::Date => Uuid::from_text(window.slice(at, 16), DATE),
        };
        (!uuid.is_blank()).then_some(uuid)
    }

    fn label(&self, window: &Window) -> Label {
        let at = usize::from(self.label_at);
        let field = window.slice(at, self.label_length.into());
        match self.kind {
            FsKind::F2fs => Label::from_utf16(field),
            FsKind::Vfat if window.le64(at) == fat::NO_NAME => Label::default(),
            _ => Label::from_bytes(field),
        }
    }
}
