//! Damaged tables: what is damaged is refused, and what was made to look sound does no harm.

use std::sync::mpsc;
use std::time::Duration;

use modstrap::table::layout::{self, Section};
use modstrap::table::{Link, ModuleId, Table, fold};
use modstrap_initramfs::table::write;

use crate::{Random, sample};

#[test]
fn every_changed_byte_is_refused() {
    let sound = write(&sample()).unwrap();
    assert!(Table::open(&sound).is_ok());
    let mut changed = sound.clone();
    for at in 0..sound.len() {
        for change in (0..8).map(|bit| 1 << bit).chain([0xff]) {
            changed[at] ^= change;
            assert!(Table::open(&changed).is_err(), "byte {at} changed by {change:#x}");
            changed[at] = sound[at];
        }
    }
}

#[test]
fn every_other_length_is_refused() {
    let sound = write(&sample()).unwrap();
    for length in 0..sound.len() {
        assert!(Table::open(&sound[..length]).is_err(), "cut at {length}");
    }
    for tail in [&[0][..], &[0; 8], &sound] {
        assert!(Table::open(&[&sound, tail].concat()).is_err(), "{} bytes too long", tail.len());
    }
}

/// Makes header and checksum fit the content again.
fn seal(table: &mut [u8]) {
    let length = table.len() as u32;
    table[layout::MAGIC].copy_from_slice(&layout::MAGIC_VALUE);
    table[layout::VERSION..][..4].copy_from_slice(&layout::VERSION_VALUE.to_le_bytes());
    table[layout::LENGTH..][..4].copy_from_slice(&length.to_le_bytes());
    let checksum = fold(&table[layout::CHECKSUM.end..]);
    table[layout::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn sealing_a_sound_table_changes_nothing() {
    let sound = write(&sample()).unwrap();
    let mut sealed = sound.clone();
    seal(&mut sealed);
    assert_eq!(sealed, sound);
}

/// Where the parts of a table lie: the list of sections, and each section. The short ones, where a change matters most,
/// are thus hit as often as the long ones.
fn parts(table: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap()) as usize;
    let places = (0..Section::ALL.len()).map(|section| layout::SECTIONS + section * layout::SECTION);
    let sections = places.map(|place| (number(place), number(place + 4)));
    [(layout::SECTIONS, layout::HEADER - layout::SECTIONS)].into_iter().chain(sections).collect()
}

/// Changes a byte, or a number of two or four bytes, in one of the parts.
fn change(table: &mut [u8], parts: &[(usize, usize)], random: &mut Random) {
    let (start, length) = random.pick(parts);
    let size = random.pick(&[1, 2, 4]);
    let at = (start + random.below(length) / size * size).min(table.len() - size);
    let any = random.below(usize::MAX) as u32;
    let size_of_table = table.len() as u32;
    let value = random.pick(&[0, 1, 0x7fff_ffff, 0x8000_8000, u32::MAX, size_of_table, size_of_table / 2, any, any]);
    table[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
}

/// Names that lead to each front and layer, and some that lead nowhere.
const NAMES: [&[u8]; 11] = [
    b"pci:v00008086d00000003sv00001AF4sd00001100bc01sc06i01",
    b"pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
    b"usb:v13FDp0003d0152dc00dsc00dp00",
    b"of:NdiskT(null)Cvendor,device_7C",
    b"acpi:PNP0003:PNP0005:",
    b"platform:device_3",
    b"cpu:type:x86,ven0000fam0006mod008F:feature:,0001,0003,0009",
    b"symbol:crc32c",
    b"my_disk",
    b"module_3",
    b"",
];

/// Reads all that a table can be asked for; how many things that were.
fn read_all(table: &Table) -> usize {
    let identity = [table.release(), table.vermagic(), table.build_id(), table.cmdline()];
    let mut read: usize = identity.map(<[u8]>::len).into_iter().sum();
    let beyond = [table.module_count() as u16, u16::MAX].map(ModuleId);
    for id in table.modules().chain(table.builtin().take(100)).chain(beyond) {
        let module = table.module(id);
        read += table.path(id).as_bytes().len() + table.name(id).as_bytes().len();
        read += module.blob as usize % 7 + table.options(id).len();
        for link in table.closure(id).chain(table.plan(id)) {
            read += match link {
                Link::Module { module, .. } => 1 + table.name(module).as_bytes().len(),
                Link::Choice(alias) => 1 + alias.len(),
            };
        }
    }
    for name in NAMES {
        table.lookup(name, &mut |module| read += 1 + table.name(module).as_bytes().len());
        read += usize::from(table.find(name).is_some());
    }
    read
}

/// Reads so many tables that were changed at one to four places and sealed. How many of them were opened.
fn read_changed(count: usize) -> usize {
    let sound = write(&sample()).unwrap();
    let parts = parts(&sound);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut opened = 0;
    for _ in 0..count {
        let mut changed = sound.clone();
        (0..=random.below(4)).for_each(|_| change(&mut changed, &parts, &mut random));
        seal(&mut changed);
        if let Ok(table) = Table::open(&changed) {
            opened += 1;
            read_all(&table);
        }
    }
    opened
}

#[test]
fn no_changed_table_that_looks_sound_makes_a_reader_panic_or_hang() {
    const COUNT: usize = 60_000;
    let (done, ended) = mpsc::channel();
    let reader = std::thread::spawn(move || done.send(read_changed(COUNT)));
    match ended.recv_timeout(Duration::from_secs(120)) {
        Ok(opened) => assert!(opened > COUNT / 2, "only {opened} of {COUNT} were opened"),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("an accessor does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(reader.join().expect_err("it sent nothing"))
        }
    }
}
