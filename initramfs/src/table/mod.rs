//! Writes the module table: the values of a selection in, the bytes of [`modstrap::table::layout`] out.
//!
//! Here are the sections that are written as they come. [`alias`] takes patterns apart, [`index`] sorts them into
//! blocks, [`dictionary`] finds what is worth a code of its own, [`lists`] shares load orders, and [`paths`] tells in
//! runs where files lie.

mod alias;
mod dictionary;
mod index;
mod lists;
mod paths;
mod strings;

use anyhow::{Context, Result, ensure};
use modstrap::table::layout::{self, Section, block, kernel, layer, module};
use modstrap::table::{Class, Disks, MAX_MODULES, Step, fold};

use alias::Alias;
use dictionary::Dictionary;
use index::Index;
use lists::Lists;
use paths::Paths;
use strings::Strings;

use crate::closure::Link;

/// What a table is made of.
#[derive(Debug, Default)]
pub struct Input {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// The version magic of the modules.
    pub vermagic: String,
    /// The GNU build id of the kernel image; empty where unknown.
    pub build_id: Vec<u8>,
    /// Command-line words that the machine's own command line overrides.
    pub cmdline: String,
    /// The modules, in `modules.order`.
    pub modules: Vec<Entry>,
    /// The aliases of the configuration: whatever one of them matches is found by them alone.
    pub configured: Vec<Configured>,
    /// The built-in modules.
    pub builtin: Vec<Builtin>,
    /// The symbols that modules export, each with the index of its module. Empty where the image has been proved to link.
    pub symbols: Vec<(String, usize)>,
}

/// An alias of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// A pattern, [`normal`](crate::module::normal).
    pub pattern: String,
    /// What answers to it, as an index of [`Input::modules`]; nobody where the configuration names what the image does
    /// not hold, as `off`, so that nothing is loaded.
    pub module: Option<usize>,
}

/// One module of a table.
#[derive(Debug)]
pub struct Entry {
    /// The name the kernel knows it by.
    pub name: String,
    /// Where its file lies below `/lib/modules/RELEASE`. Paths are left out where no module has one.
    pub path: String,
    /// What it is to a boot.
    pub class: Class,
    /// When it is a candidate.
    pub step: Step,
    /// The disk names it can bring about.
    pub disks: Disks,
    /// What the tools load with it, in order; the indices are those of [`Input::modules`].
    pub plan: Vec<Link>,
    /// What a boot loads with it, in order; the indices are those of [`Input::modules`].
    pub closure: Vec<Link>,
    /// Its aliases, as the module states them.
    pub aliases: Vec<String>,
    /// Parameters, as the kernel takes them.
    pub options: String,
    /// No alias loads it, as if `modprobe.blacklist=` named it; its name and its dependents do.
    pub blacklisted: bool,
    /// Where its blob begins in the blob file, in bytes.
    pub blob: u64,
}

impl Entry {
    /// A module that loads nothing but itself, and of which nothing is known but its name.
    pub fn new(name: &str) -> Entry {
        Entry {
            name: name.into(),
            path: String::new(),
            class: Class::Other,
            step: Step::Always,
            disks: Disks::default(),
            plan: vec![Link::Own],
            closure: vec![Link::Own],
            aliases: Vec::new(),
            blacklisted: false,
            options: String::new(),
            blob: 0,
        }
    }
}

/// One built-in module.
#[derive(Clone, Debug, Default)]
pub struct Builtin {
    /// Its name.
    pub name: String,
    /// Its aliases.
    pub aliases: Vec<String>,
}

/// The bytes of all sections, by their numbers.
type Sections = [Vec<u8>; Section::ALL.len()];

/// Makes the table.
pub fn write(input: &Input) -> Result<Vec<u8>> {
    let count = input.modules.len();
    ensure!(count <= MAX_MODULES, "{count} modules are more than a table can hold ({MAX_MODULES}); choose fewer");
    let all = count + input.builtin.len();
    ensure!(all <= usize::from(u16::MAX), "{all} modules, built-in ones included, are more than a table can hold");

    let index = Index::new(alias::split(&aliases(input)?)?);
    let paths = Paths::new(&input.modules)?;
    let dictionary = Dictionary::new(index.texts().chain(paths.texts()))?;

    let mut sections = Sections::default();
    let mut strings = Strings::new();
    write_identity(input, paths.suffix(), &mut strings, &mut sections)?;
    write_modules(input, &mut strings, &mut sections)?;
    index.write(&dictionary, all, &mut sections)?;
    sections[Section::Paths as usize] = paths.write(&dictionary)?;
    sections[Section::Dictionary as usize] = dictionary.bytes();
    sections[Section::Strings as usize] = strings.into_bytes();
    assemble(&sections)
}

/// All names and aliases.
fn aliases(input: &Input) -> Result<Vec<Alias>> {
    let names: Vec<&String> = input
        .modules
        .iter()
        .map(|entry| &entry.name)
        .chain(input.builtin.iter().map(|builtin| &builtin.name))
        .collect();
    let mut all = Vec::new();
    let mut add = |layer: u8, text: &str, module: usize| -> Result<()> {
        let who = || names.get(module).map_or("the configuration".into(), |name| format!("module {name}"));
        all.push(Alias::new(layer, text, module as u16).with_context(who)?);
        Ok(())
    };
    for Configured { pattern, module } in &input.configured {
        add(layer::CONFIGURED, pattern, module.unwrap_or(block::NOBODY.into()))?;
    }
    for (index, entry) in input.modules.iter().enumerate() {
        add(layer::NAMES, &entry.name, index)?;
        entry.aliases.iter().try_for_each(|alias| add(layer::STATED, alias, index))?;
    }
    for (symbol, module) in &input.symbols {
        add(layer::STATED, &format!("symbol:{symbol}"), *module)?;
    }
    for (builtin, index) in input.builtin.iter().zip(input.modules.len()..) {
        add(layer::BUILTIN_NAMES, &builtin.name, index)?;
        builtin.aliases.iter().try_for_each(|alias| add(layer::BUILTIN, alias, index))?;
    }
    Ok(all)
}

fn write_identity(input: &Input, suffix: &str, strings: &mut Strings, sections: &mut Sections) -> Result<()> {
    let mut identity = [0; kernel::SIZE];
    for (field, text) in [
        (kernel::RELEASE, input.release.as_bytes()),
        (kernel::VERMAGIC, input.vermagic.as_bytes()),
        (kernel::BUILD_ID, &input.build_id),
        (kernel::CMDLINE, input.cmdline.as_bytes()),
        (kernel::FILE_SUFFIX, suffix.as_bytes()),
    ] {
        put(&mut identity, field, &strings.reference(text)?.to_le_bytes());
    }
    sections[Section::Kernel as usize].extend(identity);
    Ok(())
}

fn write_modules(input: &Input, strings: &mut Strings, sections: &mut Sections) -> Result<()> {
    let mut lists = Lists::new(input.modules.len());
    for (index, entry) in input.modules.iter().enumerate() {
        let context = || format!("module {}", entry.name);
        let align = layout::BLOB_ALIGN as u64;
        ensure!(entry.blob % align == 0, "module {}: its blob does not begin at a multiple of {align}", entry.name);
        let blob = u32::try_from(entry.blob / align).context("its blob is too far behind").with_context(context)?;
        let list = lists.place(index, entry).with_context(context)?;
        let mut nature = entry.class as u8 | (entry.step as u8) << module::STEP_SHIFT;
        if entry.aliases.iter().any(|alias| alias.starts_with("cpu:")) {
            nature |= module::PROCESSOR;
        }
        if entry.blacklisted {
            nature |= module::BLACKLISTED;
        }
        let mut record = [0; module::SIZE];
        put(&mut record, module::BLOB, &blob.to_le_bytes());
        put(&mut record, module::LIST, &list.to_le_bytes()[..3]);
        record[module::NATURE] = nature;
        record[module::DISKS] = entry.disks.0;
        sections[Section::Modules as usize].extend(record);
        if !entry.options.is_empty() {
            let mut option = [0; layout::OPTION];
            put(&mut option, layout::OPTION_MODULE, &(index as u16).to_le_bytes());
            let text = strings.reference(entry.options.as_bytes()).with_context(context)?;
            put(&mut option, layout::OPTION_TEXT, &text.to_le_bytes());
            sections[Section::Options as usize].extend(option);
        }
    }
    (sections[Section::Lists as usize], sections[Section::Choices as usize]) = lists.into_bytes();
    Ok(())
}

fn assemble(sections: &Sections) -> Result<Vec<u8>> {
    let mut table = vec![0; layout::HEADER];
    for (index, section) in sections.iter().enumerate() {
        table.resize(table.len().next_multiple_of(layout::SECTION_ALIGN), 0);
        let entry = layout::SECTIONS + index * layout::SECTION;
        let offset = u32::try_from(table.len())?;
        put(&mut table, entry, &offset.to_le_bytes());
        put(&mut table, entry + 4, &u32::try_from(section.len())?.to_le_bytes());
        table.extend(section);
    }
    let length = u32::try_from(table.len()).context("the table is larger than 4 GiB")?;
    table[layout::MAGIC].copy_from_slice(&layout::MAGIC_VALUE);
    put(&mut table, layout::VERSION, &layout::VERSION_VALUE.to_le_bytes());
    put(&mut table, layout::LENGTH, &length.to_le_bytes());
    let checksum = fold(&table[layout::CHECKSUM.end..]);
    table[layout::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    Ok(table)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// How many bytes two texts begin with that are the same.
fn shared(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
