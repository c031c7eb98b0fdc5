//! Looking up aliases: whatever the table's search finds, plain matching of every pattern finds too, and the reverse.

use std::collections::BTreeSet;

use modstrap::table::layout::{self, Section, group};
use modstrap::table::{ModuleId, Table, glob};
use modstrap_initramfs::module::Module;
use modstrap_initramfs::table::{Entry, Input, write};
use modstrap_initramfs::tree::Tree;
use rayon::prelude::*;

use crate::{Random, cache, entry};

/// The modules that answer to a name, by their numbers.
type Answer = BTreeSet<u16>;

/// Every pattern, and the module that has it.
struct Patterns(Vec<(Vec<u8>, u16)>);

impl Patterns {
    fn of(input: &Input) -> Patterns {
        let modules = input.modules.iter().zip(0..);
        let all = modules.flat_map(|(entry, number)| {
            entry.aliases.iter().chain([&entry.name]).map(move |alias| (normal(alias.as_bytes()), number))
        });
        Patterns(all.collect())
    }

    /// What the table must find: each pattern is tried.
    fn answer(&self, name: &[u8]) -> Answer {
        self.0.iter().filter(|(pattern, _)| glob::matches(pattern, name)).map(|(_, module)| *module).collect()
    }
}

/// What the table finds.
fn answer(table: &Table, name: &[u8]) -> Answer {
    let mut found = Answer::new();
    table.lookup(name, &mut |module| {
        found.insert(module.0);
    });
    assert_eq!(table.find(name), found.first().map(|&first| ModuleId(first)), "{}", name.escape_ascii());
    found
}

fn normal(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    glob::normalise(&mut text);
    text
}

/// Checks one name; what it found.
fn assert_agrees(table: &Table, patterns: &Patterns, name: &[u8]) -> Answer {
    let (found, expected) = (answer(table, name), patterns.answer(name));
    assert_eq!(found, expected, "{}", name.escape_ascii());
    found
}

/// A name that a pattern matches: its wildcards stand for some of these texts.
fn filled(pattern: &[u8], fillings: &[&str], random: &mut Random) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = pattern;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match (first, set_end(rest)) {
            (b'*', _) => name.extend(random.pick(fillings).bytes()),
            (b'?', _) => name.push(random.pick(b"0AFz_")),
            (b'[', Some(end)) => {
                let set = &pattern[pattern.len() - rest.len() - 1..][..end + 1];
                let members: Vec<u8> = (b' '..=b'~').filter(|byte| glob::matches(set, &[*byte])).collect();
                name.push(if members.is_empty() { b'[' } else { random.pick(&members) });
                rest = &rest[end..];
            }
            (b'\\', _) if !rest.is_empty() => {
                name.push(rest[0]);
                rest = &rest[1..];
            }
            _ => name.push(first),
        }
    }
    name
}

/// How long a set is behind its opening bracket.
fn set_end(set: &[u8]) -> Option<usize> {
    let least = 1 + usize::from(matches!(set.first(), Some(b'!' | b'^')));
    let closing = set.iter().skip(least).position(|&byte| byte == b']')?;
    Some(least + closing + 1)
}

#[test]
fn each_form_of_alias_is_found_by_its_names() {
    // Fields of numbers become a form of their own from eight aliases on: the sample has sixteen of each.
    let mut input = crate::sample();
    let more: [(&str, &[&str]); 6] = [
        ("ext4", &["fs-ext4", "fs-ext3"]),
        ("crc32c-intel", &["crypto-crc32c", "cpu:type:x86,ven*fam*mod*:feature:*00E1*"]),
        ("ahci", &["pci:v*d*sv*sd*bc01sc06i01*", "acpi*:LNRO0015:*"]),
        ("usb-storage", &["usb:v13FDp000[0-4]d0[!0-2]*", "usb:v03F0p0[24]07d*"]),
        ("dell_quirk", &["dmi:*:svnDell*:pn*"]),
        ("nvmem", &["of:N*T*Cvendor,nvmem", "of:N*T*Cvendor,nvmemC*", "platform:nvmem\\*"]),
    ];
    input.modules.extend(more.iter().map(|(name, aliases)| entry(name, aliases)));
    let bytes = write(&input).unwrap();
    let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(&input));
    for (name, expected) in [
        ("pci:v00008086d00000003sv00001AF4sd00001100bc02sc00i00", vec!["module_3"]),
        ("pci:v00008086d00000003sv00001AF4sd00001100bc01sc06i01", vec!["module_3", "ahci"]),
        ("pci:v00008086d0000000Asv00001AF4sd00001100bc01sc06i02", vec!["module_10"]),
        ("pci:v00008086d0000000asv00001AF4sd00001100bc01sc06i02", vec![]),
        ("pci:v00008087d00000003sv00001AF4sd00001100bc02sc00i00", vec![]),
        ("usb:v13FDp0003d0152dc00dsc00dp00", vec!["module_3"]),
        ("usb:v13FDp0003d0352dc00dsc00dp00", vec!["usb-storage"]),
        ("usb:v03F0p0407d0001dc00", vec!["usb-storage"]),
        ("usb:v03F0p0307d0001dc00", vec![]),
        ("of:NdiskT(null)Cvendor,device-7C", vec!["module_7"]),
        ("of:NdiskT(null)Cvendor,device-7Cvendor,nvmemCother", vec!["module_7", "nvmem"]),
        ("of:NdiskT(null)Cvendor,device-7", vec![]),
        ("of:NdiskT(null)Cvendor,nvmem", vec!["nvmem"]),
        ("acpi:PNP0003:PNP0005:", vec!["module_3", "module_5"]),
        ("acpi:LNRO0015:", vec!["ahci"]),
        ("platform:device-12", vec!["module_12"]),
        ("platform:device_12", vec!["module_12"]),
        ("platform:device-120", vec![]),
        ("platform:nvmem*", vec!["nvmem"]),
        ("platform:nvmem1", vec![]),
        ("fs-ext4", vec!["ext4"]),
        ("ext4", vec!["ext4"]),
        ("fs-ext", vec![]),
        ("crypto-crc32c", vec!["crc32c-intel"]),
        ("crc32c_intel", vec!["crc32c-intel"]),
        ("crc32c-intel", vec!["crc32c-intel"]),
        ("cpu:type:x86,ven0000fam0006mod008F:feature:,0001,00E1,0100", vec!["crc32c-intel"]),
        ("dmi:bvnDell:bd03/11/2018:svnDellInc.:pnX:", vec!["dell_quirk"]),
        ("dmi:bvnDell:bd03/11/2018:svnOther:pnX:", vec![]),
        ("", vec![]),
    ] {
        let found = assert_agrees(&table, &patterns, &normal(name.as_bytes()));
        let names: Vec<&str> = found.iter().map(|&number| input.modules[usize::from(number)].name.as_str()).collect();
        assert_eq!(names, expected, "{name}");
    }
}

/// A pattern of one of the forms that kernels have, or of none; of few different numbers, so that many are alike.
fn pattern(random: &mut Random) -> String {
    let number = random.pick(&[0_u32, 1, 0x10, 0xab, 0x8086, 0x1234_5678, u32::MAX]);
    let (short, byte) = (number as u16, random.pick(&[0_u8, 1, 0x0c, 0xff]));
    let word = random.pick(&["sd", "ext4", "crc32c", "a-b", "a_b", "vendor,x-y", "00ff", "AB12"]);
    let range = random.pick(&["[0-2]", "[!3]", "[A-C]", "[13]", "?", "[]", "0", ""]);
    match random.below(15) {
        0 => format!("pci:v{number:08X}d{:08X}sv*sd*bc*sc*i*", u32::from(byte)),
        1 => format!("pci:v*d*sv*sd*bc{byte:02X}sc{byte:02X}i*"),
        2 => format!("pci:v{number:08X}d*sv*sd*bc{byte:02X}sc*i*"),
        3 => format!("usb:v{short:04X}p{:04X}d{byte:02X}{range}*dc*dsc*", u16::from(byte)),
        4 => format!("usb:v{short:04X}p{byte:02X}{range}{byte:02X}d*dc*"),
        5 => format!("acpi*:PNP{short:04X}:*"),
        6 => format!("of:N*T*C{word}{}", random.pick(&["", "C*"])),
        7 => format!("{}-{word}", random.pick(&["fs", "crypto", "net-pf", "nls"])),
        8 => format!("platform:{word}{range}"),
        9 => format!("dmi:*:svn{word}*:pn*"),
        10 => format!("virtio:d{number:08X}v{}", random.pick(&["*", "00001AF4"])),
        11 => format!("hid:b{short:04X}g*v{number:08X}p*"),
        12 => format!("cpu:type:x86,ven*fam*mod*:feature:*{short:04X}*"),
        13 => format!("{word}:{short:X}{word}{number:x}"),
        _ => (0..random.below(12)).map(|_| char::from(random.pick(b"aab:01F*?[]!-_\\"))).collect(),
    }
}

/// A name that is nearly another: at some places a byte is changed, dropped or added.
fn mutated(mut name: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..random.below(3) {
        let (at, byte) = (random.below(name.len() + 1), random.pick(b"0123ABFabdpv:,_C*?[]\\\0z"));
        match random.below(3) {
            0 if at < name.len() => name[at] = byte,
            1 if at < name.len() => drop(name.remove(at)),
            _ => name.insert(at, byte),
        }
    }
    name
}

/// How many groups of each form a table has.
fn groups(table: &[u8]) -> [usize; 3] {
    let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap()) as usize;
    let place = layout::SECTIONS + Section::Groups as usize * layout::SECTION;
    let groups = &table[number(place)..][..number(place + 4)];
    let count = |form: u8| groups.chunks(group::SIZE).filter(|record| record[group::FORM] == form).count();
    [group::FIELDS, group::LITERAL, group::GLOB].map(count)
}

#[test]
fn lookups_equal_plain_matching_of_made_up_patterns() {
    const FILLINGS: [&str; 6] = ["", "0", "00001AF4", "x", "C", "a_b:c"];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut names, mut answered, mut ambiguous) = (0, 0, 0);
    for _ in 0..12 {
        let module = |number: usize, random: &mut Random| Entry {
            aliases: (0..random.below(5)).map(|_| pattern(random)).collect(),
            ..entry(&format!("m-{number}"), &[])
        };
        let input = Input { modules: (0..150).map(|n| module(n, &mut random)).collect(), ..Input::default() };
        let bytes = write(&input).unwrap();
        let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(&input));
        assert!(groups(&bytes).iter().all(|&count| count > 0), "each form occurs: {:?}", groups(&bytes));
        for (pattern, _) in patterns.0.iter().flat_map(|entry| [entry; 6]) {
            let name = mutated(filled(pattern, &FILLINGS, &mut random), &mut random);
            let found = assert_agrees(&table, &patterns, &normal(&name));
            names += 1;
            answered += usize::from(!found.is_empty());
            ambiguous += usize::from(found.len() > 1);
        }
    }
    // Were all answers empty, or none, equality would prove little.
    assert!(answered > names / 4 && answered < names && ambiguous > names / 20, "{names} {answered} {ambiguous}");
}

/// All modules of a tree, as a table takes them.
fn input_of(tree: &Tree) -> Input {
    let entry = |module: &Module| Entry { aliases: module.aliases.clone(), ..entry(&module.name, &[]) };
    Input { modules: tree.modules.iter().map(entry).collect(), ..Input::default() }
}

#[test]
#[ignore = "needs a kernel tree in the cache: run qemu/setup first"]
fn lookups_equal_plain_matching_of_every_alias_of_real_kernels() {
    let kernels = cache::kernels();
    let entries = std::fs::read_dir(&kernels).unwrap_or_else(|error| panic!("{}: {error}", kernels.display()));
    let mut checked = 0;
    for directory in entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let release = directory.file_name().unwrap().to_str().unwrap();
        let tree = Tree::read(&directory, release, &indicatif::ProgressBar::hidden()).unwrap();
        checked += assert_agrees_on_all(&input_of(&tree), release);
    }
    assert!(checked > 1000, "{}: only {checked} aliases; run qemu/setup", kernels.display());
}

/// Checks two names for each alias: one whose wildcards are nothing, one whose wildcards are numbers. How many aliases.
fn assert_agrees_on_all(input: &Input, release: &str) -> usize {
    let bytes = write(input).unwrap();
    let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(input));
    patterns.0.par_iter().enumerate().for_each(|(number, (pattern, module))| {
        let mut random = Random(number as u64 + 1);
        for filling in ["", "0000000A"] {
            let name = normal(&filled(pattern, &[filling], &mut random));
            let found = assert_agrees(&table, &patterns, &name);
            assert!(found.contains(module), "{release}: {}", pattern.escape_ascii());
        }
    });
    patterns.0.len()
}
