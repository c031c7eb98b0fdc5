//! The module table from both ends: what the builder writes is what the loader reads.
//!
//! Here: the round trip, the limits, and what the other tests share. [`lookup`] compares the search for aliases with
//! plain matching, [`hostile`] reads damaged tables, [`size`] weighs whole trees.

#[path = "common/cache.rs"]
mod cache;
#[path = "table/hostile.rs"]
mod hostile;
#[path = "table/lookup.rs"]
mod lookup;
#[path = "table/size.rs"]
mod size;

use std::path::PathBuf;

use modstrap::table::layout::{self, Section, block};
use modstrap::table::{self, Class, Disks, MAX_MODULES, ModuleId, Step, Table, glob};
use modstrap_initramfs::closure::Link;
use modstrap_initramfs::table::{Builtin, Configured, Entry, Input, write};

/// A module without anything but its name and its aliases.
fn entry(name: &str, aliases: &[&str]) -> Entry {
    Entry { aliases: aliases.iter().map(|alias| alias.to_string()).collect(), ..Entry::new(name) }
}

/// A table of something of everything: every class and step, load orders, options, paths, aliases of every form and
/// layer.
fn sample() -> Input {
    let member = |index: usize| Link::Module { index, soft: index % 2 == 1 };
    let numbered = |number: usize| Entry {
        path: format!("kernel/drivers/{}/module-{number}.ko.xz", number / 4),
        class: Class::ALL[number % Class::ALL.len()],
        step: Step::ALL[number % Step::ALL.len()],
        disks: Disks(number as u8),
        plan: (0..number).map(member).chain([Link::Own]).collect(),
        closure: [Link::Choice("crypto-crc32c".into()), Link::Own].into_iter().skip(number % 2).collect(),
        aliases: vec![
            format!("pci:v00008086d{number:08X}sv*sd*bc*sc*i*"),
            format!("usb:v13FDp{number:04X}d0[0-2]*dc*dsc*dp*"),
            format!("of:N*T*Cvendor,device-{number}C*"),
            format!("acpi*:PNP{number:04X}:*"),
            format!("platform:device-{number}"),
            format!("cpu:type:x86,ven*fam*mod*:feature:*{number:04X}*"),
        ],
        options: if number.is_multiple_of(3) { format!("number={number} quiet") } else { String::new() },
        blacklisted: number % 5 == 1,
        blob: 8 * number as u64 * 1_000_003,
        ..entry(&format!("module_{number}"), &[])
    };
    Input {
        release: "6.9.0-test".into(),
        vermagic: "6.9.0-test SMP preempt mod_unload modversions ".into(),
        build_id: (1..=20).collect(),
        cmdline: "root=LABEL=\"my root\" rw".into(),
        modules: (0..16).map(numbered).collect(),
        builtin: vec![
            Builtin { name: "proc".into(), aliases: Vec::new() },
            Builtin { name: "virtio-pci".into(), aliases: vec!["pci:v00001AF4d*sv*sd*bc*sc*i*".into(), "proc".into()] },
        ],
        configured: vec![
            Configured { pattern: "platform:device_3".into(), module: Some(4) },
            Configured { pattern: "my_disk*".into(), module: Some(5) },
            Configured { pattern: "my_disk_off".into(), module: None },
            Configured { pattern: "platform:device_7".into(), module: None },
        ],
        symbols: vec![("crc32c".into(), 6)],
    }
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

#[test]
fn everything_written_is_read_again() {
    let input = sample();
    let bytes = write(&input).unwrap();
    let table = Table::open(&bytes).unwrap();
    assert_eq!(table.release(), input.release.as_bytes());
    assert_eq!(table.vermagic(), input.vermagic.as_bytes());
    assert_eq!(table.build_id(), input.build_id);
    assert_eq!(table.cmdline(), input.cmdline.as_bytes());
    for (id, builtin) in table.builtin().zip(&input.builtin) {
        assert_eq!(table.name(id).as_bytes(), normal(builtin.name.as_bytes()));
        assert!(table.is_builtin(id));
        assert_eq!(table.find(&normal(builtin.name.as_bytes())), Some(id));
    }
    assert_eq!(table.builtin().count(), input.builtin.len());
    assert_eq!(table.module_count(), input.modules.len());
    assert_eq!(table.modules().count(), input.modules.len());
    for (id, entry) in table.modules().zip(&input.modules) {
        let module = table.module(id);
        assert_eq!(table.name(id).as_bytes(), entry.name.as_bytes());
        assert_eq!((module.class, module.step, module.disks), (entry.class, entry.step, entry.disks), "{}", entry.name);
        assert_eq!((module.processor, module.blacklisted), (true, entry.blacklisted), "{}", entry.name);
        assert_eq!(module.blob, entry.blob, "{}", entry.name);
        assert_eq!(table.options(id), entry.options.as_bytes(), "{}", entry.name);
        assert_eq!(table.path(id).as_bytes(), entry.path.as_bytes(), "{}", entry.name);
        assert!(table.plan(id).eq(entry.plan.iter().map(|link| read(link, id))), "{}", entry.name);
        assert!(table.closure(id).eq(entry.closure.iter().map(|link| read(link, id))), "{}", entry.name);
        assert!(!table.is_builtin(id));
        assert_eq!(table.find(entry.name.as_bytes()), Some(id));
    }
    assert_eq!(table.module(ModuleId(u16::MAX)).class, Class::Other);
    assert_eq!(table.name(ModuleId(u16::MAX)).as_bytes(), b"");
}

/// What a link reads as.
fn read(link: &Link, own: ModuleId) -> table::Link<'_> {
    match link {
        Link::Own => table::Link::Module { module: own, soft: false },
        Link::Module { index, soft } => table::Link::Module { module: ModuleId(*index as u16), soft: *soft },
        // Choices are normalised as names are.
        Link::Choice(_) => table::Link::Choice(b"crypto_crc32c"),
    }
}

fn normal(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    glob::normalise(&mut text);
    text
}

#[test]
fn an_empty_table_is_a_table() {
    let bytes = write(&Input::default()).unwrap();
    let table = Table::open(&bytes).unwrap();
    assert_eq!(table.module_count(), 0);
    assert_eq!(table.builtin().count(), 0);
    assert_eq!((table.release(), table.cmdline()), (&b""[..], &b""[..]));
    assert_eq!(table.find(b""), None);
}

#[test]
fn a_full_table_reads_to_its_last_module_and_one_more_is_refused() {
    let named = |number: usize| entry(&format!("module_{number}"), &[]);
    let mut input = Input { modules: (0..MAX_MODULES).map(named).collect(), ..Input::default() };
    let last = MAX_MODULES - 1;
    input.modules[0].closure = vec![Link::Module { index: last, soft: true }, Link::Own];
    let bytes = write(&input).unwrap();
    let table = Table::open(&bytes).unwrap();
    assert_eq!(table.module_count(), MAX_MODULES);
    assert_eq!(table.find(format!("module_{last}").as_bytes()), Some(ModuleId(last as u16)));
    assert_eq!(
        table.closure(ModuleId(0)).next(),
        Some(table::Link::Module { module: ModuleId(last as u16), soft: true })
    );

    input.modules.push(named(MAX_MODULES));
    let expected = format!("{} modules are more than a table can hold ({MAX_MODULES}); choose fewer", MAX_MODULES + 1);
    assert_eq!(refusal(&input), expected);
}

/// The error of an input that cannot be written, its causes included.
fn refusal(input: &Input) -> String {
    format!("{:#}", write(input).expect_err("this cannot be written"))
}

#[test]
fn texts_are_whole_up_to_the_limit_and_refused_beyond() {
    const LIMIT: usize = u16::MAX as usize;
    let set: [fn(&mut Input, String); 2] =
        [|input, text| input.cmdline = text, |input, text| input.modules[0].options = text];
    for set in set {
        let mut input = Input { modules: vec![entry("a", &[])], ..Input::default() };
        let longest = "x".repeat(LIMIT);
        set(&mut input, longest.clone());
        let bytes = write(&input).unwrap();
        let table = Table::open(&bytes).unwrap();
        assert!([table.cmdline(), table.options(ModuleId(0))].contains(&longest.as_bytes()));

        set(&mut input, longest + "y");
        let refusal = refusal(&input);
        assert!(refusal.contains("a text of 65536 bytes is longer than a table can hold: xxx"), "{refusal}");
    }
}

#[test]
fn numbers_that_do_not_fit_are_errors_that_name_the_module() {
    let refused = |change: fn(&mut Entry)| {
        let mut input = Input { modules: vec![entry("first", &[]), entry("second", &[])], ..Input::default() };
        change(&mut input.modules[1]);
        refusal(&input)
    };
    assert_eq!(
        refused(|entry| entry.closure.push(Link::Module { index: 2, soft: false })),
        "module second: its load order names module number 2 of 2"
    );
    let too_long = refused(|entry| entry.plan.extend(vec![Link::Module { index: 0, soft: true }; 32_768]));
    assert!(too_long.starts_with("module second: its dependencies are more"), "{too_long}");
    let too_many = refused(|entry| {
        entry.closure.extend((0..=16_384).map(|number| Link::Choice(format!("crypto-{number}"))));
    });
    assert!(too_many.starts_with("module second: its dependencies are more"), "{too_many}");
    let crooked = refused(|entry| entry.blob = 12);
    assert_eq!(crooked, "module second: its blob does not begin at a multiple of 8");
    let without_itself = refused(|entry| entry.closure = vec![Link::Module { index: 1, soft: true }]);
    assert_eq!(without_itself, "module second: its load order does not hold itself");
    let control = refused(|entry| entry.aliases = vec!["pci:v\u{4}".into()]);
    assert_eq!(control, "module second: its alias pci:v\\x04 holds control characters");
    let long = refused(|entry| entry.aliases = vec!["x".repeat(640)]);
    assert!(
        long.starts_with("module second: its alias of 640 characters is longer than a table can hold: xxx"),
        "{long}"
    );
    for name in ["", "a*b", "a b", "a:b", &"x".repeat(56)] {
        let mut input = Input { modules: vec![entry(name, &[])], ..Input::default() };
        assert!(refusal(&input).contains("is no name that a module can have"), "{name}");
        input.modules[0] = entry(&"x".repeat(55), &[]);
        assert!(write(&input).is_ok());
    }
    let path = refused(|entry| entry.path = "x".repeat(256));
    assert!(path.starts_with("module second: its path is longer than 255 bytes"), "{path}");
    let too_far = refused(|entry| entry.blob = 8 << 32);
    assert!(too_far.starts_with("module second: "), "{too_far}");
}

#[test]
fn the_longest_texts_fit_into_blocks_however_little_they_have_in_common() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut word =
        |length: usize| -> String { (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect() };
    let mut module = || {
        let aliases = vec![word(300), word(block::KEY_MAX), format!("{}*", word(block::KEY_MAX - 1))];
        Entry { aliases, ..entry(&word(block::NAME_MAX), &[]) }
    };
    let input = Input { modules: (0..200).map(|_| module()).collect(), ..Input::default() };
    let bytes = write(&input).unwrap();
    let table = Table::open(&bytes).unwrap();
    for (id, entry) in table.modules().zip(&input.modules) {
        assert_eq!(table.name(id).as_bytes(), entry.name.as_bytes());
        for name in entry.aliases.iter().chain([&entry.name]) {
            assert_eq!(table.find(name.as_bytes()), Some(id), "{name}");
            assert_eq!(table.find(&name.as_bytes()[..50]), None, "{name}");
        }
    }
}

#[test]
fn aliases_are_whole_up_to_the_limit() {
    let longest = "x".repeat(block::KEY_MAX - 1 + block::TAIL_MAX);
    let pattern = format!("y*{}", "z".repeat(300));
    let bytes = write(&Input { modules: vec![entry("a", &[&longest, &pattern])], ..Input::default() }).unwrap();
    let table = Table::open(&bytes).unwrap();
    assert_eq!(table.find(longest.as_bytes()), Some(ModuleId(0)));
    assert_eq!(table.find(&longest.as_bytes()[1..]), None);
    assert_eq!(table.find(pattern.replace('*', "yyy").as_bytes()), Some(ModuleId(0)));
    assert_eq!(table.find(&pattern.as_bytes()[..301]), None);
}

#[test]
fn alternatives_are_told_apart_whatever_is_frequent_in_them() {
    let aliases = |number: usize| [format!("x:*aaa{number:03}bbb*"), format!("x:*ccc{number:03}ddd*")];
    let module = |number: usize| Entry { aliases: aliases(number).to_vec(), ..Entry::new(&format!("m{number}")) };
    let bytes = write(&Input { modules: (0..100).map(module).collect(), ..Input::default() }).unwrap();
    let table = Table::open(&bytes).unwrap();
    for (id, number) in table.modules().zip(0..) {
        for alias in aliases(number) {
            assert_eq!(table.find(alias.replace('*', "_").as_bytes()), Some(id), "{alias}");
        }
    }
    assert_eq!(table.find(b"x:_aaa001bbb_ccc001ddd"), Some(ModuleId(1)));
    assert_eq!(table.find(b"x:_aaa001ddd_"), None);
}

#[test]
fn text_beyond_ascii_is_found_as_it_is() {
    let all: String = ('\u{80}'..='\u{ff}').collect();
    let aliases = ["dmi:*:pn\u{d6}kogerät:*", "über-gerät", &all[..all.len() / 2]];
    let bytes = write(&Input { modules: vec![entry("a", &aliases)], ..Input::default() }).unwrap();
    let table = Table::open(&bytes).unwrap();
    for name in ["dmi:bvn:pn\u{d6}kogerät:x", "über_gerät", &all[..all.len() / 2]] {
        assert_eq!(table.find(name.as_bytes()), Some(ModuleId(0)), "{name}");
    }
    assert_eq!(table.find("uber_gerat".as_bytes()), None);
}

#[test]
fn paths_are_those_of_the_files_whatever_their_names() {
    let paths = [
        ("ext4", "kernel/fs/ext4/ext4.ko.xz"),
        ("mbcache", "kernel/fs/mbcache.ko.xz"),
        ("nls_utf8", "kernel/fs/nls/nls_utf8.ko.xz"),
        ("nls_iso8859_1", "kernel/fs/nls/nls_iso8859-1.ko.xz"),
        ("nls_iso8859_15", "kernel/fs/nls/nls_iso8859-15.ko.xz"),
        ("a_b_c_d_e_f_g_h_i", "kernel/fs/nls/a-b_c-d-e_f-g-h-i.ko.xz"),
        ("a_b_c_d_e_f_g_h_j", "kernel/fs/nls/a_b-c_d_e-f_g_h_j.ko.xz"),
        ("a_b_c_d_e_f_g_h_k", "kernel/fs/nls/a_b_c_d_e_f_g-h_k.ko.xz"),
        ("snd_hda_codec", "kernel/sound/pci/hda/snd-hda-codec.ko.xz"),
        ("plain", "kernel/sound/pci/hda/plain.ko"),
        ("renamed", "updates/dkms/other-name.ko.xz"),
        ("top", "top.ko.xz"),
        ("nowhere", ""),
        ("vfat", "kernel/fs/fat/vfat.ko.xz"),
    ];
    let modules = paths.map(|(name, path)| Entry { path: path.into(), ..entry(name, &[]) }).into_iter().collect();
    let bytes = write(&Input { modules, builtin: sample().builtin, ..Input::default() }).unwrap();
    let table = Table::open(&bytes).unwrap();
    for (id, (name, path)) in table.modules().zip(paths) {
        assert_eq!(table.path(id).as_bytes(), path.as_bytes(), "{name}");
    }
    assert!(table.builtin().all(|id| table.path(id).as_bytes().is_empty()));
}

#[test]
fn modules_that_load_the_same_share_a_list() {
    let size = |count: usize| {
        let needs = vec![Link::Module { index: 0, soft: false }, Link::Own];
        let other = |number| Entry { plan: needs.clone(), closure: needs.clone(), ..Entry::new(&format!("m{number}")) };
        let modules = [entry("base", &[])].into_iter().chain((0..count).map(other)).collect();
        section(&write(&Input { modules, ..Input::default() }).unwrap(), Section::Lists).len()
    };
    assert_eq!(size(1), size(100));
}

/// The bytes of a section.
fn section(table: &[u8], section: Section) -> &[u8] {
    let number = |at: usize| u32::from_le_bytes(table[at..at + 4].try_into().unwrap()) as usize;
    let place = layout::SECTIONS + section as usize * layout::SECTION;
    &table[number(place)..][..number(place + 4)]
}

/// The kernel trees in the cache, each with its release.
fn trees() -> Vec<(PathBuf, String)> {
    let kernels = cache::kernels();
    let entries = std::fs::read_dir(&kernels).unwrap_or_else(|error| panic!("{}: {error}", kernels.display()));
    let directories = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let release = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_string();
    directories.map(|directory| (directory.clone(), release(&directory))).collect()
}
