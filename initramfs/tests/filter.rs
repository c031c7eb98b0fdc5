//! The filter over objects of every class and byte order, over damaged streams, and over whole module trees.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use modstrap::module::Blob;
use modstrap::module::filter::unfilter;
use modstrap_initramfs::Compress;
use modstrap_initramfs::cache::Cache;
use modstrap_initramfs::filter::filter;
use modstrap_initramfs::pack::{pack_contents, unpack};
use object::write::{Object, Relocation, SectionId, StandardSection, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind, SymbolScope, elf,
};
use rayon::prelude::*;

#[path = "common/cache.rs"]
mod cache;
#[path = "common/modules.rs"]
mod modules;

/// Every combination of width, byte order and form of relocations that Linux has modules of.
const MACHINES: [(Architecture, Endianness, elf::RelocationType, elf::RelocationType); 8] = [
    (Architecture::X86_64, Endianness::Little, elf::R_X86_64_PLT32, elf::R_X86_64_64),
    (Architecture::I386, Endianness::Little, elf::R_386_PC32, elf::R_386_32),
    (Architecture::Aarch64, Endianness::Little, elf::R_AARCH64_CALL26, elf::R_AARCH64_ABS64),
    (Architecture::Arm, Endianness::Little, elf::R_ARM_CALL, elf::R_ARM_ABS32),
    (Architecture::Mips, Endianness::Big, elf::R_MIPS_26, elf::R_MIPS_32),
    (Architecture::PowerPc, Endianness::Big, elf::R_PPC_REL24, elf::R_PPC_ADDR32),
    (Architecture::PowerPc64, Endianness::Big, elf::R_PPC_REL24, elf::R_PPC64_ADDR64),
    (Architecture::S390x, Endianness::Big, elf::R_390_PLT32DBL, elf::R_390_64),
];

/// A relocatable object with all that the filter knows of: code and data with relocations, symbols, versions, strings.
fn module(
    architecture: Architecture,
    endianness: Endianness,
    call: elf::RelocationType,
    pointer: elf::RelocationType,
) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, architecture, endianness);
    let word = architecture.address_size().unwrap().bytes() as usize;
    let text = object.section_id(StandardSection::Text);
    let data = object.section_id(StandardSection::Data);
    let symbol = |name: String, section: SymbolSection, value: u64| Symbol {
        name: name.into_bytes(),
        value,
        size: 24,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section,
        flags: SymbolFlags::None,
    };
    // Where addends are in the fields, the writer knows few of these.
    let addend = if matches!(architecture, Architecture::Arm | Architecture::Mips) { 0 } else { -4 };
    let relocate = |object: &mut Object, section: SectionId, offset: u64, symbol, r_type| {
        let relocation = Relocation { offset, symbol, addend, flags: RelocationFlags::Elf { r_type } };
        object.add_relocation(section, relocation).unwrap();
    };
    let mut versions = Vec::new();
    for number in 0..40_u64 {
        let own =
            object.append_section_data(text, &[0x55, 0x48, 0x89, 0xe5, 0xe8, 0, 0, 0, 0, 0x5d, 0xc3, number as u8], 4);
        let own = object.add_symbol(symbol(format!("function_{number}"), SymbolSection::Section(text), own));
        let name = format!("imported_{}", number * 7919 % 1000);
        let other = object.add_symbol(symbol(name.clone(), SymbolSection::Undefined, 0));
        relocate(&mut object, text, 12 * number + 4, other, call);
        let place = object.append_section_data(data, &[0; 8], 8);
        relocate(&mut object, data, place, own, pointer);
        let checksum = 0x9e37_79b9_u32.wrapping_mul(number as u32);
        let mut version = match endianness {
            Endianness::Little => u64::from(checksum).to_le_bytes()[..word].to_vec(),
            Endianness::Big => u64::from(checksum).to_be_bytes()[8 - word..].to_vec(),
        };
        // One that no symbol is named like, and one that is not zero behind its name.
        version.extend(if number == 3 { b"module_layout".as_slice() } else { name.as_bytes() });
        version.resize(64, 0);
        version[63] = u8::from(number == 5);
        versions.extend(version);
    }
    for (name, content, kind) in [
        ("__versions", versions.as_slice(), SectionKind::ReadOnlyData),
        (".modinfo", b"license=GPL\0name=example\0", SectionKind::ReadOnlyData),
        (".orc_unwind", &[1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6, 7], SectionKind::ReadOnlyData),
        (".BTF", &[0; 30], SectionKind::Other),
    ] {
        let section = object.add_section(Vec::new(), name.into(), kind);
        object.append_section_data(section, content, 8);
    }
    object.write().unwrap()
}

fn unfiltered(streams: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut image = vec![0; length];
    unfilter::<false>(streams, &mut image).is_ok().then_some(image)
}

#[test]
fn objects_of_every_class_and_byte_order_come_back() {
    for (architecture, endianness, call, pointer) in MACHINES {
        for signature in [b"".as_slice(), b"~Module signature appended~\n"] {
            let module = [&module(architecture, endianness, call, pointer), signature].concat();
            let streams = filter(&module).unwrap_or_else(|| panic!("{architecture:?}: no streams"));
            assert!(unfiltered(&streams, module.len()).as_ref() == Some(&module), "{architecture:?}");
            assert!(streams.len() < module.len(), "{architecture:?}: {} of {}", streams.len(), module.len());
        }
    }
}

#[test]
fn what_is_no_object_is_left_alone() {
    for bytes in [b"".as_slice(), b"\x7fELF", b"\x7fELF\x02\x01", &[0x7f; 4096], b"no object at all"] {
        assert_eq!(filter(bytes), None);
    }
}

/// A pseudo-random number below `limit`.
fn random(state: &mut u64, limit: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize % limit
}

#[test]
fn damaged_objects_come_back_or_are_left_alone() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for (architecture, endianness, call, pointer) in MACHINES {
        let sound = module(architecture, endianness, call, pointer);
        for round in 0..300 {
            let mut module = sound.clone();
            // Headers are where damage leads furthest.
            for _ in 0..=round % 4 {
                let start = if round % 2 == 0 { module.len() - 1000.min(module.len()) } else { 0 };
                let at = start + random(&mut state, 1000.min(module.len() - start));
                module[at] = random(&mut state, 256) as u8;
            }
            module.truncate(module.len() - if round % 5 == 0 { random(&mut state, module.len()) } else { 0 });
            if let Some(streams) = filter(&module) {
                assert!(unfiltered(&streams, module.len()).as_ref() == Some(&module), "{architecture:?} {round}");
            }
        }
    }
}

#[test]
fn damaged_streams_end_in_time() {
    let mut state = 0x1234_5678_9abc_def1;
    for (architecture, endianness, call, pointer) in MACHINES {
        let module = module(architecture, endianness, call, pointer);
        let sound = filter(&module).unwrap();
        let begin = Instant::now();
        for round in 0..600 {
            let mut streams = sound.clone();
            for _ in 0..=round % 5 {
                // The lengths, the file header and the section headers decide on everything else.
                let within = if round % 3 == 0 { streams.len() } else { 400.min(streams.len()) };
                let at = random(&mut state, within);
                streams[at] = random(&mut state, 256) as u8;
            }
            streams.truncate(streams.len() - if round % 7 == 0 { random(&mut state, streams.len()) } else { 0 });
            let length = if round % 11 == 0 { random(&mut state, 2 * module.len()) } else { module.len() };
            let _ = unfiltered(&streams, length);
            let _ = unfilter::<true>(&streams, &mut vec![0; length]);
        }
        // A sound one takes microseconds; what must not be is that one of them takes a time of another order.
        assert!(begin.elapsed() < Duration::from_secs(20), "{architecture:?}: {:?}", begin.elapsed());
    }
}

/// How objects begin that a kernel can load which runs this test, where there is only one such way.
const OWN: Option<&[u8]> = match (cfg!(target_pointer_width = "64"), cfg!(target_endian = "big")) {
    (true, false) => Some(b"\x7fELF\x02\x01"),
    (true, true) => Some(b"\x7fELF\x02\x02"),
    _ => None,
};

/// Prints what each tree measures packed; `cargo test -p modstrap-initramfs --test filter -- --ignored --nocapture`.
/// `MODSTRAP_TREES` may name more directories with modules, of any architecture, separated by colons.
#[test]
#[ignore = "needs Debian's kernels in the cache: run qemu/setup first"]
fn every_module_of_every_tree_comes_back() {
    let more = std::env::var_os("MODSTRAP_TREES").unwrap_or_default();
    let mut trees: Vec<PathBuf> = std::env::split_paths(&more).filter(|path| path.is_absolute()).collect();
    let cache = cache::kernels();
    let entries =
        std::fs::read_dir(&cache).unwrap_or_else(|error| panic!("{}: {error}; run qemu/setup", cache.display()));
    trees.extend(entries.map(|entry| entry.unwrap().path()));
    // Those of other architectures, as far as the archive had them.
    trees.extend(
        std::fs::read_dir(cache.with_file_name("foreign")).into_iter().flatten().map(|entry| entry.unwrap().path()),
    );
    for tree in trees {
        let paths = modules::paths(&tree);
        assert!(!paths.is_empty(), "{}: no modules", tree.display());
        let sizes = paths.par_iter().map(|path| {
            let module = modules::read(path);
            let blobs = pack_contents(std::slice::from_ref(&module), Compress::Fast, &Cache::none()).unwrap();
            assert!(unpack(&Blob::at(&blobs.bytes, 0).unwrap()).unwrap() == module, "{}", path.display());
            let streams = filter(&module).unwrap_or_else(|| panic!("{}: no streams", path.display()));
            if OWN.is_some_and(|own| module.starts_with(own)) {
                let mut image = vec![0; module.len()];
                assert_eq!(unfilter::<true>(&streams, &mut image), Ok(()), "{}", path.display());
                assert!(image == module, "{}: not the same in a loader", path.display());
            }
            [module.len(), streams.len(), blobs.places[0].packed]
        });
        let [raw, streams, packed] = sizes.reduce(|| [0; 3], |a, b| [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
        println!("{}: {} modules, {raw} bytes, {streams} as streams, {packed} packed", tree.display(), paths.len());
    }
}
