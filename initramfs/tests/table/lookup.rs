//! Looking up aliases: whatever the table's search finds, plain matching of every pattern finds too, and the reverse.

use std::collections::BTreeSet;
use std::time::Duration;

use modstrap::table::layout::{Section, block};
use modstrap::table::{ModuleId, Name, Table, glob};
use modstrap_initramfs::module::Module;
use modstrap_initramfs::table::{Builtin, Configured, Entry, Input, write};
use modstrap_initramfs::tree::Tree;
use rayon::prelude::*;

use crate::{Random, entry, normal, section, trees};

/// The modules that answer to a name, by their numbers.
type Answer = BTreeSet<u16>;

/// Every pattern, with its layer, and the module that has it.
struct Patterns(Vec<(u8, Vec<u8>, Option<u16>)>);

impl Patterns {
    fn of(input: &Input) -> Patterns {
        let mut all = Vec::new();
        for Configured { pattern, module } in &input.configured {
            all.push((0, normal(pattern.as_bytes()), module.map(|module| module as u16)));
        }
        let mut add =
            |layer, text: &str, module: usize| all.push((layer, normal(text.as_bytes()), Some(module as u16)));
        for (number, entry) in input.modules.iter().enumerate() {
            add(1, &entry.name, number);
            entry.aliases.iter().for_each(|alias| add(2, alias, number));
        }
        input.symbols.iter().for_each(|(symbol, module)| add(2, &format!("symbol:{symbol}"), *module));
        for (builtin, number) in input.builtin.iter().zip(input.modules.len()..) {
            add(3, &builtin.name, number);
            builtin.aliases.iter().for_each(|alias| add(4, alias, number));
        }
        Patterns(all)
    }

    /// What the table must find: each pattern is tried, and the first layer with a match is the answer.
    fn answer(&self, name: &[u8]) -> Answer {
        let matches: Vec<_> = self.0.iter().filter(|(_, pattern, _)| glob::matches(pattern, name)).collect();
        let first = matches.iter().map(|(layer, ..)| layer).min();
        matches.iter().filter(|(layer, ..)| Some(layer) == first).filter_map(|(.., module)| *module).collect()
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
    // Patterns with stars get a front of their own from eight on: the sample has sixteen of each.
    let mut input = crate::sample();
    let more: [(&str, &[&str]); 6] = [
        ("ext4", &["fs-ext4", "fs-ext3"]),
        ("crc32c_intel", &["crypto-crc32c", "cpu:type:x86,ven*fam*mod*:feature:*00E1*"]),
        ("ahci", &["pci:v*d*sv*sd*bc01sc06i01*", "acpi*:LNRO0015:*"]),
        ("usb_storage", &["usb:v13FDp000[0-4]d0[!0-2]*", "usb:v03F0p0[24]07d*"]),
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
        ("usb:v13FDp0003d0352dc00dsc00dp00", vec!["usb_storage"]),
        ("usb:v03F0p0407d0001dc00", vec!["usb_storage"]),
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
        ("crypto-crc32c", vec!["crc32c_intel"]),
        ("crc32c_intel", vec!["crc32c_intel"]),
        ("crc32c-intel", vec!["crc32c_intel"]),
        ("cpu:type:x86,ven0000fam0006mod008F:feature:,0001,00E1,0100", vec!["module_1", "crc32c_intel"]),
        ("dmi:bvnDell:bd03/11/2018:svnDellInc.:pnX:", vec!["dell_quirk"]),
        ("dmi:bvnDell:bd03/11/2018:svnOther:pnX:", vec![]),
        // The aliases of modprobe.d come before those of modules, and those before what is built in.
        ("platform:device-3", vec!["module_4"]),
        ("my-disk7", vec!["module_5"]),
        ("my-disk-off", vec!["module_5"]),
        ("platform:device-7", vec![]),
        ("symbol:crc32c", vec!["module_6"]),
        ("proc", vec!["proc"]),
        ("pci:v00001AF4d00001001sv00001AF4sd00000002bc07sc00i00", vec!["virtio_pci"]),
        ("pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc06i01", vec!["ahci"]),
        ("", vec![]),
    ] {
        let found = assert_agrees(&table, &patterns, &normal(name.as_bytes()));
        let names: Vec<Name> = found.iter().map(|&number| table.name(ModuleId(number))).collect();
        let names: Vec<&str> = names.iter().map(|name| str::from_utf8(name.as_bytes()).unwrap()).collect();
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
        1 => format!("pci:v*d*sv*sd*bc{byte:02X}sc{:02X}i*", random.below(9)),
        2 => format!("pci:v{number:08X}d*sv*sd*bc{byte:02X}sc*i*"),
        3 => format!("usb:v{short:04X}p{:04X}d{byte:02X}{range}*dc*dsc*", u16::from(byte)),
        4 => format!("usb:v{short:04X}p{byte:02X}{range}{byte:02X}d*dc*"),
        5 => format!("acpi*:PNP{:04X}:*", random.below(30)),
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

/// An alias of modprobe.d, for a module or for nobody.
fn configured(number: usize, random: &mut Random) -> Configured {
    let pattern = String::from_utf8(normal(pattern(random).as_bytes())).unwrap();
    Configured { pattern, module: (!number.is_multiple_of(4)).then_some(number) }
}

#[test]
fn lookups_equal_plain_matching_of_made_up_patterns() {
    // Some hold what may begin or end the parts of a pattern.
    const FILLINGS: [&str; 12] =
        ["", "0", "00001AF4", "x", "C", "a_b:c", "TCvendor,x_yC", ":PNP0001:", "bc01sc01", "g0001v00000001p", ":", "*"];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut names, mut answered, mut ambiguous) = (0, 0, 0);
    for _ in 0..12 {
        let aliases = |random: &mut Random| -> Vec<String> { (0..random.below(8)).map(|_| pattern(random)).collect() };
        let module =
            |n: usize, random: &mut Random| Entry { aliases: aliases(random), ..entry(&format!("m_{n}"), &[]) };
        let input = Input {
            modules: (0..150).map(|n| module(n, &mut random)).collect(),
            builtin: (0..10).map(|n| Builtin { name: format!("b_{n}"), aliases: aliases(&mut random) }).collect(),
            configured: (0..10).map(|n| configured(n, &mut random)).collect(),
            ..Input::default()
        };
        let bytes = write(&input).unwrap();
        let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(&input));
        assert_uses_everything(&bytes);
        for (_, pattern, _) in patterns.0.iter().flat_map(|entry| [entry; 6]) {
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

/// Fails where the table does not use what its format offers: fronts with stars, several blocks, keys that begin with
/// one of a block before, tails with alternatives.
fn assert_uses_everything(table: &[u8]) {
    let starred = section(table, Section::Fronts).split(|&byte| byte == 0).filter(|front| front.contains(&b'*'));
    assert!(starred.count() >= 2);
    let blocks = section(table, Section::Blocks).chunks(block::SIZE);
    assert!(blocks.len() > 10);
    assert!(blocks.filter(|block| block[..2] != [0, 0]).count() > 2);
    assert!(section(table, Section::Tails).contains(&block::ALTERNATIVE));
}

#[test]
fn a_key_is_found_whatever_stands_between_it_and_longer_ones() {
    // Keys that begin with one another, many of them the same, over many blocks.
    let lengths = [1, 2, 3, 20, 100];
    let alias = |number: usize, length: usize| format!("bus:{}{}*", "a".repeat(length), "bcd".repeat(number % 3));
    let module = |number: usize| Entry {
        aliases: lengths.iter().map(|&length| alias(number, length)).collect(),
        ..entry(&format!("m{number}"), &[])
    };
    let input = Input { modules: (0..600).map(module).collect(), ..Input::default() };
    let bytes = write(&input).unwrap();
    let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(&input));
    for length in 0..110 {
        let name = format!("bus:{}", "a".repeat(length));
        for end in ["", "b", "bcd", "bcdbcd", "bcdbcdx", "bcdbce"] {
            assert_agrees(&table, &patterns, format!("{name}{end}").as_bytes());
        }
    }
}

#[test]
fn long_names_full_of_false_starts_cost_no_more_than_their_length() {
    let aliases: Vec<String> = (0..20).map(|number| format!("of:N*T*Cvendor,chip-{number}C*")).collect();
    let aliases: Vec<&str> = aliases.iter().map(String::as_str).collect();
    let input = Input { modules: vec![entry("chip", &aliases)], ..Input::default() };
    let bytes = write(&input).unwrap();
    let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(&input));
    for words in ["T", "C", "TC", "TCvendor,", "CvendorCvendor,chip-1", "Cvendor,chip-19"] {
        let name = format!("of:N{}", words.repeat(100_000 / words.len()));
        let begun = std::time::Instant::now();
        let mut found = 0;
        table.lookup(&normal(name.as_bytes()), &mut |_| found += 1);
        assert!(begun.elapsed() < Duration::from_secs(10), "{words}");
        assert_agrees(&table, &patterns, &normal(&name.as_bytes()[..1000]));
    }
}

/// All modules of a tree, as a table takes them.
pub fn input_of(tree: &Tree) -> Input {
    let module = |module: &Module| Entry { aliases: module.aliases.clone(), ..entry(&module.name, &[]) };
    let builtin = tree.builtin.modules().map(|(name, aliases)| Builtin { name, aliases });
    Input { modules: tree.modules.iter().map(module).collect(), builtin: builtin.collect(), ..Input::default() }
}

#[test]
#[ignore = "needs a kernel tree in the cache: run qemu/setup first"]
fn lookups_equal_plain_matching_of_every_alias_of_real_kernels() {
    let mut checked = 0;
    for (directory, release) in trees() {
        let tree = Tree::read(&directory, &release, &indicatif::ProgressBar::hidden()).unwrap();
        checked += assert_agrees_on_all(&input_of(&tree), &release);
    }
    assert!(checked > 1000, "only {checked} aliases; run qemu/setup");
}

/// Checks three names for each alias: one whose wildcards are nothing, one whose wildcards are numbers, and one whose
/// wildcards are the words that patterns are made of. How many aliases.
fn assert_agrees_on_all(input: &Input, release: &str) -> usize {
    let bytes = write(input).unwrap();
    let (table, patterns) = (Table::open(&bytes).unwrap(), Patterns::of(input));
    patterns.0.par_iter().enumerate().for_each(|(number, (layer, pattern, module))| {
        let mut random = Random(number as u64 + 1);
        for fillings in [&[""][..], &["0000000A"], &["C", "TC", ":", "d", "sv0", "bc01", "dc", "ic0", "v0000", "p00"]] {
            let name = normal(&filled(pattern, fillings, &mut random));
            let found = assert_agrees(&table, &patterns, &name);
            // A layer before may answer instead.
            let is_answer = found.contains(&module.unwrap()) || *layer > 1 && !found.is_empty();
            assert!(is_answer, "{release}: {}", pattern.escape_ascii());
        }
    });
    patterns.0.len()
}
