//! The module table from both ends: what the builder writes is what the loader reads.
//!
//! Here: the round trip, the limits, and what the other tests share. [`lookup`] compares the search for aliases with
//! plain matching, [`hostile`] reads damaged tables.

#[path = "common/cache.rs"]
mod cache;
#[path = "table/hostile.rs"]
mod hostile;
#[path = "table/lookup.rs"]
mod lookup;

use modstrap::table::{self, Class, Disks, MAX_MODULES, ModuleId, Step, Table};
use modstrap_initramfs::closure::Link;
use modstrap_initramfs::table::{Entry, Input, write};

/// A module without anything but its name and its aliases, and with a closure of itself.
fn entry(name: &str, aliases: &[&str]) -> Entry {
    Entry {
        name: name.into(),
        class: Class::Block,
        step: Step::Cheap,
        disks: Disks::default(),
        plan: vec![Link::Own],
        closure: vec![Link::Own],
        blacklisted: false,
        aliases: aliases.iter().map(|alias| alias.to_string()).collect(),
        options: String::new(),
        blob: 0,
    }
}

/// Another module in a load order.
fn link(index: usize, soft: bool) -> Link {
    Link::Module { index, soft }
}

/// A table of something of everything: every class and step, closures, options, aliases of every form.
fn sample() -> Input {
    let numbered = |number: usize| Entry {
        class: Class::ALL[number % Class::ALL.len()],
        step: Step::ALL[number % Step::ALL.len()],
        disks: Disks(number as u8),
        closure: (0..number).map(|other| link(other, other % 2 == 1)).chain([Link::Own]).collect(),
        aliases: vec![
            format!("pci:v00008086d{number:08X}sv*sd*bc*sc*i*"),
            format!("usb:v13FDp{number:04X}d0[0-2]*dc*dsc*dp*"),
            format!("of:N*T*Cvendor,device-{number}C*"),
            format!("acpi*:PNP{number:04X}:*"),
            format!("platform:device-{number}"),
        ],
        options: if number.is_multiple_of(3) { format!("number={number} quiet") } else { String::new() },
        blob: 8 * number as u64 * 1_000_003,
        ..entry(&format!("module_{number}"), &[])
    };
    Input {
        release: "6.9.0-test".into(),
        vermagic: "6.9.0-test SMP preempt mod_unload modversions ".into(),
        build_id: (1..=20).collect(),
        cmdline: "root=LABEL=\"my root\" rw".into(),
        modules: (0..16).map(numbered).collect(),
        configured: Vec::new(),
        builtin: vec!["proc".into(), "virtio_pci".into()],
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
    assert!(table.builtin().eq(input.builtin.iter().map(String::as_bytes)));
    assert_eq!(table.module_count(), input.modules.len());
    assert_eq!(table.modules().count(), input.modules.len());
    for (id, entry) in table.modules().zip(&input.modules) {
        let module = table.module(id);
        assert_eq!(table.name(id).as_bytes(), entry.name.as_bytes());
        assert_eq!((module.class, module.step, module.disks), (entry.class, entry.step, entry.disks), "{}", entry.name);
        assert_eq!(module.blob, entry.blob, "{}", entry.name);
        assert_eq!(table.options(id), entry.options.as_bytes(), "{}", entry.name);
        let closure = entry.closure.iter().map(|element| match element {
            Link::Module { index, soft } => table::Link::Module { module: ModuleId(*index as u16), soft: *soft },
            _ => table::Link::Module { module: id, soft: false },
        });
        assert!(table.closure(id).eq(closure), "{}", entry.name);
        assert_eq!(table.find(entry.name.as_bytes()), Some(id));
    }
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
    input.modules[0].closure = vec![link(last, true), Link::Own];
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
    let set: [fn(&mut Input, String); 3] = [
        |input, text| input.cmdline = text,
        |input, text| input.modules[0].options = text,
        |input, text| input.modules[0].aliases = vec![text],
    ];
    for set in set {
        let mut input = Input { modules: vec![entry("a", &[])], ..Input::default() };
        let longest = "x".repeat(LIMIT);
        set(&mut input, longest.clone());
        let bytes = write(&input).unwrap();
        let table = Table::open(&bytes).unwrap();
        let module = ModuleId(0);
        let texts = [table.cmdline(), table.options(module)];
        let is_there = texts.contains(&longest.as_bytes()) || table.find(longest.as_bytes()) == Some(module);
        assert!(is_there);

        set(&mut input, longest + "y");
        let refusal = refusal(&input);
        assert!(refusal.starts_with("a text of 65536 bytes is longer than a table can hold: xxx"), "{refusal}");
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
        refused(|entry| entry.closure.push(link(2, false))),
        "module second: its closure names module number 2 of 2"
    );
    let too_long = refused(|entry| entry.closure.extend(std::iter::repeat_n(link(0, true), 65_536)));
    assert!(too_long.starts_with("module second: "), "{too_long}");
    let crooked = refused(|entry| entry.blob = 12);
    assert_eq!(crooked, "module second: its blob does not begin at a multiple of 8");
    let without_itself = refused(|entry| entry.closure = vec![link(0, true)]);
    assert_eq!(without_itself, "module second: its load order does not hold itself");
    let control = refused(|entry| entry.aliases = vec!["pci:v\u{4}".into()]);
    assert_eq!(control, "module second: its alias pci:v\\x04 holds control characters");
    let too_far = refused(|entry| entry.blob = 8 << 32);
    assert!(too_far.starts_with("module second: "), "{too_far}");
}
