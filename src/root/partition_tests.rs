//! Partition tables made by sfdisk, with partx as the oracle.

use std::borrow::ToOwned;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use super::PartitionId;
use crate::root::superblock::testing::{Image, Random, memory};

/// Three partitions of a GPT, with a gap in their numbers and names of every kind.
const GPT: &str = "label: gpt
1 : size=1M, name=\"root\", uuid=0B5E1F6A-9C3D-4E8B-A1F2-7D6C5B4A3928
2 : size=1M
5 : size=1M, name=\"W\u{fc}rzel \u{1f427} of thirty-three letters\"
";

/// Primary, extended and logical partitions.
const MBR: &str = "label: dos
label-id: 0x00c0ffee
1 : size=1M
3 : size=1M
4 : size=8M, type=5
5 : size=1M
6 : size=1M
";

fn partitioned(table: &str) -> Image {
    let image = Image::new(16);
    image.run_with_input("fdisk", "sfdisk -q -w always IMAGE", table);
    image
}

fn partition(image: &Image, sector_size: u32, number: u32) -> Option<PartitionId> {
    PartitionId::read(&mut image.device(), sector_size, number).unwrap()
}

/// Asserts that partx sees the partitions as we do, and how many there are.
fn agrees_with_partx(image: &Image, sector_size: u32, count: usize) {
    let command = format!("partx -g -r -S {sector_size} -o NR,UUID,NAME IMAGE");
    let lines: Vec<String> = image.run("util-linux", &command).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count);
    for line in lines {
        let mut words = line.splitn(3, ' ');
        let number = words.next().unwrap().parse().unwrap();
        let found = partition(image, sector_size, number).unwrap();
        assert_eq!(Some(found.uuid.as_str()), words.next());
        let label = String::from_utf8(found.label.as_bytes().to_vec()).unwrap();
        assert_eq!(label.replace(' ', "\\x20"), words.next().unwrap_or_default());
    }
}

#[test]
fn gpt_partitions_are_seen_as_partx_sees_them() {
    let image = partitioned(GPT);
    agrees_with_partx(&image, 512, 3);
    let root = partition(&image, 512, 1).unwrap();
    assert!(root.uuid.matches(b"0b5e1f6a-9c3d-4e8b-a1f2-7d6c5b4a3928"));
    assert_eq!(root.label.as_bytes(), b"root");
    assert_eq!(partition(&image, 512, 3), None);
    assert_eq!(partition(&image, 512, 0), None);
    assert_eq!(partition(&image, 512, 129), None);
    assert_eq!(partition(&image, 512, u32::MAX), None);
}

#[test]
fn mbr_partitions_are_seen_as_partx_sees_them() {
    let image = partitioned(MBR);
    agrees_with_partx(&image, 512, 5);
    assert_eq!(partition(&image, 512, 1).unwrap().uuid.as_str(), "00c0ffee-01");
    assert_eq!(partition(&image, 512, 26).unwrap().uuid.as_str(), "00c0ffee-1a");
    assert!(partition(&image, 512, 5).unwrap().label.is_empty());
    assert_eq!(partition(&image, 512, 0), None);
    assert_eq!(partition(&image, 512, 256), None);
}

/// The same with sectors of 4096 bytes, which fdisk can lay out on any file.
fn partitioned_4k() -> Image {
    let image = Image::new(16);
    let commands = "g\nn\n1\n\n+1M\nn\n7\n\n+1M\nx\nn\n7\nroot\nr\nw\n";
    image.run_with_input("fdisk", "fdisk -w always -b 4096 IMAGE", commands);
    image
}

#[test]
fn gpt_of_4k_sectors_is_seen_as_partx_sees_it() {
    let image = partitioned_4k();
    agrees_with_partx(&image, 4096, 2);
    assert_eq!(partition(&image, 4096, 7).unwrap().label.as_bytes(), b"root");
    // A disk whose sectors are taken for others has no table.
    assert_eq!(partition(&image, 512, 7), None);
    assert_eq!(partition(&partitioned(GPT), 4096, 1), None);
}

#[test]
fn the_backup_serves_where_the_primary_is_damaged() {
    for (sector_size, image) in [(512, partitioned(GPT)), (4096, partitioned_4k())] {
        let header_at = u64::from(sector_size);
        let sound = partition(&image, sector_size, 1).unwrap();
        let header = image.read(header_at, 92);
        for at in 0..header.len() {
            let mut damaged = header.clone();
            damaged[at] ^= 0x10;
            image.write(header_at, &damaged);
            assert_eq!(partition(&image, sector_size, 1).as_ref(), Some(&sound), "byte {at}");
        }
        image.write(header_at, &header);
        image.write(2 * header_at, &[0; 16384]);
        assert_eq!(partition(&image, sector_size, 1).as_ref(), Some(&sound), "entries erased");
        image.write(image.size() - header_at, &[0; 92]);
        assert_eq!(partition(&image, sector_size, 1), None, "both damaged");
    }
}

#[test]
fn entries_may_be_larger_than_usual() {
    let image = partitioned(GPT);
    let sound = partition(&image, 512, 2).unwrap();
    let entry = image.read(1024 + 128, 128);
    let mut header = image.read(512, 92);
    header[84..88].copy_from_slice(&256_u32.to_le_bytes());
    let crc = super::header_crc(&header);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    image.write(512, &header);
    image.write(1024 + 256, &entry);
    image.write(image.size() - 512, &[0; 92]);
    assert_eq!(partition(&image, 512, 2), Some(sound));
}

#[test]
fn a_disk_without_a_partition_table_has_no_partitions() {
    for size in [0, 1, 511, 512, 4096, 16384] {
        for byte in [0x00, 0xff] {
            for sector_size in [0, 1, 512, 4096, u32::MAX] {
                let bytes = vec![byte; size];
                assert_eq!(PartitionId::read(&mut memory(&bytes), sector_size, 1).unwrap(), None);
            }
        }
    }
}

#[test]
fn no_damage_makes_it_panic() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for image in [partitioned(GPT), partitioned(MBR), partitioned_4k()] {
        let mut bytes = image.read(0, 0x8000);
        bytes.extend(image.read(image.size() - 0x8000, 0x8000));
        let regions = [(0x1b0, 0x50), (512, 96), (1024, 0x300), (4096, 96), (8192, 0x400), (0xfe00, 96)];
        random.mutate(&mut bytes, &regions, 10_000, |bytes| {
            for (sector_size, number) in [(512, 1), (4096, 7), (bytes.len() as u32, u32::MAX)] {
                PartitionId::read(&mut memory(bytes), sector_size, number).unwrap();
            }
        });
    }
}
