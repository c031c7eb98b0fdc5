//! Superblocks made by the real tools, with blkid as the oracle.

use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom};

use super::testing::{Image, Random, memory};
use super::{FsKind, Superblock};

const UUID: &str = "0b5e1f6a-9c3d-4e8b-a1f2-7d6c5b4a3928";

/// A way to make a file system: what it is, in how many MiB, the Debian package of the tool, and its command line.
type Maker = (FsKind, u64, &'static str, &'static str);

const MAKERS: &[Maker] = &[
    (FsKind::Ext2, 16, "e2fsprogs", "mke2fs -q -F -t ext2 -U UUID -L root IMAGE"),
    (FsKind::Ext3, 16, "e2fsprogs", "mke2fs -q -F -t ext3 -U UUID -L root IMAGE"),
    (FsKind::Ext4, 16, "e2fsprogs", "mke2fs -q -F -t ext4 -U UUID -L root IMAGE"),
    (FsKind::Xfs, 320, "xfsprogs", "mkfs.xfs -q -f -m uuid=UUID -L root IMAGE"),
    (FsKind::Btrfs, 128, "btrfs-progs", "mkfs.btrfs -q -f -U UUID -L root IMAGE"),
    (FsKind::F2fs, 64, "f2fs-tools", "mkfs.f2fs -q -f -U UUID -l root IMAGE"),
    (FsKind::Squashfs, 0, "squashfs-tools", "mksquashfs TREE IMAGE -quiet -no-progress -noappend"),
    (FsKind::Erofs, 0, "erofs-utils", "mkfs.erofs --quiet -U UUID IMAGE TREE"),
    (FsKind::Vfat, 16, "dosfstools", "mkfs.vfat -F 12 -s 16 -n ROOT -i c0ffee12 IMAGE"),
    (FsKind::Vfat, 32, "dosfstools", "mkfs.vfat -F 16 -n ROOT -i c0ffee16 IMAGE"),
    (FsKind::Vfat, 64, "dosfstools", "mkfs.vfat -F 32 -n ROOT -i c0ffee32 IMAGE"),
    (FsKind::Swap, 16, "util-linux", "mkswap -q -U UUID -L root IMAGE"),
];

fn make(&(_, mebibytes, package, command): &Maker) -> Image {
    let image = Image::new(mebibytes);
    image.run(package, &command.replace("UUID", UUID));
    image
}

fn superblock(image: &Image) -> Option<Superblock> {
    Superblock::read(&mut image.device()).unwrap()
}

/// Asserts that blkid sees the image as we do.
fn agrees_with_blkid(image: &Image, kind: FsKind) -> Superblock {
    let found = superblock(image).unwrap_or_else(|| panic!("{kind:?} is not recognised"));
    let blkid = image.blkid();
    let value = |key| blkid.get(key).cloned().unwrap_or_default();
    assert_eq!(found.kind, kind);
    // blkid calls it by its old driver's name.
    assert_eq!(value("TYPE"), if kind == FsKind::Ntfs { "ntfs" } else { kind.name() });
    assert_eq!(found.uuid.as_ref().map_or("", |uuid| uuid.as_str()), value("UUID"), "{kind:?}");
    assert_eq!(String::from_utf8_lossy(found.label.as_bytes()), value("LABEL"), "{kind:?}");
    found
}

#[test]
fn each_file_system_is_seen_as_blkid_sees_it() {
    for maker in MAKERS {
        agrees_with_blkid(&make(maker), maker.0);
    }
}

#[test]
fn uuids_and_labels_are_those_given_to_the_tool() {
    for maker in MAKERS.iter().filter(|maker| maker.3.contains("UUID")) {
        let found = superblock(&make(maker)).unwrap();
        assert!(found.uuid.unwrap().matches(UUID.to_uppercase().as_bytes()), "{maker:?}");
        assert_eq!(found.label.is_empty(), !maker.3.contains("root"), "{maker:?}");
    }
    for maker in MAKERS.iter().filter(|maker| maker.0 == FsKind::Vfat) {
        let found = superblock(&make(maker)).unwrap();
        assert!(found.uuid.unwrap().as_str().starts_with("C0FF-EE"), "{maker:?}");
        assert_eq!(found.label.as_bytes(), b"ROOT", "{maker:?}");
    }
}

#[test]
fn labels_fill_their_fields() {
    let long = "b".repeat(250);
    let cases = [
        (FsKind::Ext4, 16, "e2fsprogs", "mke2fs -q -F -t ext4 -L LABEL IMAGE", "sixteen-letters!"),
        (FsKind::Xfs, 320, "xfsprogs", "mkfs.xfs -q -f -L LABEL IMAGE", "exactlytwelv"),
        (FsKind::Btrfs, 128, "btrfs-progs", "mkfs.btrfs -q -f -L LABEL IMAGE", &long),
        (FsKind::F2fs, 64, "f2fs-tools", "mkfs.f2fs -q -f -l LABEL IMAGE", "W\u{fc}rzel-\u{6839}"),
        (FsKind::Vfat, 32, "dosfstools", "mkfs.vfat -n LABEL IMAGE", "ELEVENCHARS"),
        (FsKind::Swap, 16, "util-linux", "mkswap -q -L LABEL IMAGE", "fifteen-letters"),
    ];
    for (kind, mebibytes, package, command, label) in cases {
        let image = Image::new(mebibytes);
        image.run(package, &command.replace("LABEL", label));
        // Not blkid's: it escapes what is not ASCII.
        assert_eq!(superblock(&image).unwrap().kind, kind);
        assert_eq!(superblock(&image).unwrap().label.as_bytes(), label.as_bytes());
    }
}

#[test]
fn erofs_has_a_label() {
    let image = make(MAKERS.iter().find(|maker| maker.0 == FsKind::Erofs).unwrap());
    // Older tools cannot set one. Without the checksum's feature flag blkid takes it from any.
    image.write(0x408, &[0; 4]);
    image.write(0x440, b"read-only-root!!");
    assert_eq!(agrees_with_blkid(&image, FsKind::Erofs).label.as_bytes(), b"read-only-root!!");
}

#[test]
fn file_systems_without_labels_have_none() {
    for (kind, package, command) in [
        (FsKind::Ext4, "e2fsprogs", "mke2fs -q -F -t ext4 IMAGE"),
        (FsKind::Vfat, "dosfstools", "mkfs.vfat IMAGE"),
        (FsKind::Swap, "util-linux", "mkswap -q IMAGE"),
    ] {
        let image = Image::new(16);
        image.run(package, command);
        assert!(agrees_with_blkid(&image, kind).label.is_empty());
    }
}

#[test]
fn the_ext_family_is_told_apart_by_its_features() {
    for (kind, options) in [
        (FsKind::Ext2, "-t ext2 -O meta_bg,^resize_inode"),
        (FsKind::Ext3, "-t ext2 -j"),
        (FsKind::Ext4, "-t ext4 -O ^has_journal"),
        (FsKind::Ext4, "-t ext3 -O extents"),
        (FsKind::Ext4, "-t ext2 -O huge_file"),
        (FsKind::Ext4, "-t ext4 -b 1024"),
        (FsKind::Ext4, "-t ext4 -O 64bit,metadata_csum,casefold,encrypt"),
        (FsKind::Journal, "-O journal_dev"),
    ] {
        let image = Image::new(16);
        image.run("e2fsprogs", &format!("mke2fs -q -F {options} IMAGE"));
        agrees_with_blkid(&image, kind);
    }
}

#[test]
fn the_newest_of_two_file_systems_wins() {
    let makers: Vec<_> = MAKERS.iter().filter(|maker| !maker.3.contains("-F 12")).collect();
    let beginnings: Vec<_> =
        makers.iter().map(|maker| make(maker)).map(|image| image.read(0, image.size().min(1 << 20) as usize)).collect();
    let (makers, beginnings) = (&makers, &beginnings);
    // The tools wait for the disk most of the time.
    std::thread::scope(|scope| {
        for (new, file) in makers.iter().zip(beginnings) {
            scope.spawn(move || {
                for (old, beginning) in makers.iter().zip(beginnings) {
                    let image = Image::of(beginning, 320);
                    if new.1 == 0 {
                        // Made as a file, which is then copied to the disk.
                        image.write(0, file);
                    } else {
                        image.run(new.2, &new.3.replace("UUID", UUID));
                    }
                    let kind = superblock(&image).map(|found| found.kind);
                    assert_eq!(kind, Some(new.0), "{new:?} over {old:?}");
                }
            });
        }
    });
}

#[test]
fn a_disk_with_a_partition_table_holds_nothing_itself() {
    for table in ["gpt", "dos"] {
        let image = Image::new(16);
        image.run_with_input("fdisk", "sfdisk -q IMAGE", &format!("label: {table}\n,8M\n,,\n"));
        assert_eq!(superblock(&image), None);
        // The boot code of an MBR may speak of FAT, and is no geometry.
        image.write(0x36, b"FAT");
        assert_eq!(superblock(&image), None);
    }
}

#[test]
fn an_empty_device_holds_nothing() {
    for size in [0, 1, 511, 512, 1024, 4096, 0x8000, 0x1_0000, 0x2_0000] {
        for byte in [0x00, 0xff] {
            assert_eq!(Superblock::read(&mut memory(&vec![byte; size])).unwrap(), None);
        }
    }
}

#[test]
fn what_no_root_can_be_on_is_named() {
    let luks = |version: u8| {
        let mut header = vec![0; 4096];
        header[..8].copy_from_slice(&[b'L', b'U', b'K', b'S', 0xba, 0xbe, 0, version]);
        header[0xa8..0xa8 + UUID.len()].copy_from_slice(UUID.as_bytes());
        header
    };
    for (kind, bytes) in
        [(FsKind::Luks, luks(1)), (FsKind::Luks, luks(2)), (FsKind::Lvm, lvm_label(0)), (FsKind::Lvm, lvm_label(1))]
    {
        let image = make(MAKERS.iter().find(|maker| maker.0 == FsKind::Ext4).unwrap());
        image.write(0, &bytes);
        assert!(agrees_with_blkid(&image, kind).uuid.is_some());
        assert!(!kind.is_mountable());
    }
    let image = Image::of(b"\xeb\x52\x90-FVE-FS-", 16);
    agrees_with_blkid(&image, FsKind::BitLocker);
    assert!(!FsKind::BitLocker.is_mountable());
}

/// The label of an LVM physical volume in a sector (lib/format_text/layout.h of LVM2).
fn lvm_label(sector: u8) -> Vec<u8> {
    let mut label = vec![0; 512];
    label[..8].copy_from_slice(b"LABELONE");
    label[8] = sector;
    label[0x14] = 0x20;
    label[0x18..0x20].copy_from_slice(b"LVM2 001");
    label[0x20..0x40].copy_from_slice(b"abcdefGHIJklmnOPQRstuvWXYZ012345");
    let mut crc: u32 = 0xf597_a6cf;
    for &byte in &label[0x14..] {
        crc ^= u32::from(byte);
        (0..8).for_each(|_| crc = (crc >> 1) ^ (0xedb8_8320 * (crc & 1)));
    }
    label[0x10..0x14].copy_from_slice(&crc.to_le_bytes());
    [vec![0; usize::from(sector) * 512], label].concat()
}

#[test]
fn ntfs_has_a_serial_number() {
    let mut boot = vec![0; 0x5000];
    boot[3..11].copy_from_slice(b"NTFS    ");
    boot[0x0b..0x0e].copy_from_slice(&[0x00, 0x02, 8]); // 512 bytes a sector, 8 sectors a cluster
    boot[0x28..0x30].copy_from_slice(&0x7fff_u64.to_le_bytes());
    boot[0x30] = 4; // the cluster of the master file table
    boot[0x38] = 2;
    boot[0x40] = 0xf6; // 1 KiB a record
    boot[0x48..0x50].copy_from_slice(&0x01d3_4a5b_6c7d_8e9f_u64.to_le_bytes());
    boot[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    [0x4000, 0x4c00].iter().for_each(|&at| boot[at..at + 4].copy_from_slice(b"FILE"));
    let found = agrees_with_blkid(&Image::of(&boot, 16), FsKind::Ntfs);
    assert!(found.uuid.unwrap().matches(b"01d34a5b6c7d8e9f"));
}

#[test]
fn exfat_has_a_serial_number() {
    let mut boot = vec![0; 0x4000];
    boot[..11].copy_from_slice(b"\xeb\x76\x90EXFAT   ");
    for (at, number) in [(0x48, 32768_u32), (0x50, 24), (0x54, 8), (0x58, 32), (0x5c, 4092), (0x60, 2)] {
        boot[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    boot[0x64..0x68].copy_from_slice(&0xc0ff_ee01_u32.to_le_bytes());
    boot[0x6c..0x6f].copy_from_slice(&[9, 3, 1]); // 512 bytes a sector, 8 sectors a cluster, 1 FAT
    boot[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    let summed = (0..11 * 512).filter(|at| ![106, 107, 112].contains(at));
    let sum = summed.fold(0_u32, |sum, at| sum.rotate_right(1).wrapping_add(boot[at].into()));
    boot[11 * 512..12 * 512].copy_from_slice(&sum.to_le_bytes().repeat(128));
    let found = agrees_with_blkid(&Image::of(&boot, 16), FsKind::Exfat);
    assert!(found.uuid.unwrap().matches(b"c0ff-ee01"));
}

#[test]
fn iso_9660_is_identified_by_its_date() {
    let mut volume = vec![0; 0xa000];
    volume[0x8000..0x8007].copy_from_slice(b"\x01CD001\x01");
    volume[0x8028..0x8048].copy_from_slice(b"LIVE CD                         ");
    volume[0x8080..0x8082].copy_from_slice(&2048_u16.to_le_bytes());
    volume[0x8082..0x8084].copy_from_slice(&2048_u16.to_be_bytes());
    volume[0x833e..0x834f].copy_from_slice(b"2026112312304599$");
    volume[0x8800..0x8807].copy_from_slice(b"\xffCD001\x01");
    // The root directory, in the descriptor and at its place: 2 KiB in block 19.
    let record = b"\x22\0\x13\0\0\0\0\0\0\x13\0\x08\0\0\0\0\x08\0\0\0\0\0\0\0\0\x02\0\0\x01\0\0\x01\x01\0";
    [0x809c, 0x9800].iter().for_each(|&at| volume[at..at + 34].copy_from_slice(record));
    let found = agrees_with_blkid(&Image::of(&volume, 16), FsKind::Iso9660);
    assert_eq!(found.uuid.unwrap().as_str(), "2026-11-23-12-30-45-99");
    assert_eq!(found.label.as_bytes(), b"LIVE CD");
}

/// A superblock of a RAID member that lies at an offset (include/uapi/linux/raid/md_p.h).
fn raid_superblock(at: u64) -> Vec<u8> {
    let mut superblock = vec![0; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    superblock[4] = 1;
    superblock[16..32].copy_from_slice(&[0x5a; 16]);
    superblock[32..39].copy_from_slice(b"host:md");
    superblock[144..152].copy_from_slice(&(at / 512).to_le_bytes());
    let words = superblock.chunks_exact(4).map(|word| u64::from(u32::from_le_bytes(word.try_into().unwrap())));
    let sum: u64 = words.sum();
    let sum = (sum >> 32) as u32 + sum as u32;
    superblock[216..220].copy_from_slice(&sum.to_le_bytes());
    superblock
}

#[test]
fn a_raid_member_is_no_file_system_wherever_its_superblock_lies() {
    let ext4 = MAKERS.iter().find(|maker| maker.0 == FsKind::Ext4).unwrap();
    let size = ext4.1 << 20;
    for at in [0, 0x1000, size - 0x2000] {
        let image = make(ext4);
        image.write(at, &raid_superblock(at));
        let found = agrees_with_blkid(&image, FsKind::Raid);
        assert_eq!(found.label.as_bytes(), b"host:md");
        // Another device's, which ends where this one does or is a part of it.
        image.write(at, &raid_superblock(at + 512));
        assert_eq!(agrees_with_blkid(&image, FsKind::Ext4).label.as_bytes(), b"root");
    }
    let image = make(ext4);
    let words = [0xa92b_4efc_u32, 0, 90, 0, 0, 0, 0, 1, 1024];
    let old: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    image.write(size - 0x1_0000, &old);
    assert_eq!(image.blkid()["TYPE"], "linux_raid_member");
    assert_eq!(superblock(&image).unwrap().kind, FsKind::Raid);
}

/// A device of which only the beginning can be read, and that counts how often it was.
struct Failing<D> {
    device: D,
    readable: u64,
    at: u64,
    reads: u32,
}

impl<D> ErrorType for Failing<D> {
    type Error = ErrorKind;
}

impl<D: Read<Error = ErrorKind>> Read for Failing<D> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.reads += 1;
        if self.at >= self.readable { Err(ErrorKind::Other) } else { self.device.read(buffer) }
    }
}

impl<D: Seek<Error = ErrorKind>> Seek for Failing<D> {
    fn seek(&mut self, position: SeekFrom) -> Result<u64, ErrorKind> {
        self.at = self.device.seek(position)?;
        Ok(self.at)
    }
}

#[test]
fn a_device_that_fails_is_an_error_unless_only_its_end_does() {
    let image = make(MAKERS.iter().find(|maker| maker.0 == FsKind::Ext4).unwrap());
    let probe = |readable| {
        let mut device = Failing { device: image.device(), readable, at: 0, reads: 0 };
        (Superblock::read(&mut device), device.reads)
    };
    assert_eq!(probe(0).0, Err(ErrorKind::Other));
    assert_eq!(probe(0x2000).0.unwrap().unwrap().kind, FsKind::Ext4);
    let (found, reads) = probe(u64::MAX);
    assert_eq!(found.unwrap().unwrap().kind, FsKind::Ext4);
    assert!(reads <= 5, "{reads} reads");
}

#[test]
fn no_damage_makes_it_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let regions =
        [(0, 0x90), (0x1f0, 0x60), (0x400, 0x490), (0xff0, 0xa0), (0x8000, 0x350), (0x1_0000, 0x230), (0x1_f000, 0x90)];
    for maker in MAKERS {
        let image = make(maker);
        let mut bytes = image.read(0, image.size().min(0x2_0000) as usize);
        bytes.resize(0x2_0000, 0);
        bytes[0x1_e000..0x1_e100].copy_from_slice(&raid_superblock(0x1_e000));
        bytes[0x1_e000] = 0;
        random.mutate(&mut bytes, &regions, 8000, |bytes| {
            let found = Superblock::read(&mut memory(bytes)).unwrap();
            if let Some(uuid) = found.and_then(|found| found.uuid) {
                assert!(uuid.as_str().bytes().all(|byte| byte.is_ascii_graphic()) && !uuid.is_blank());
            }
        });
    }
}
