//! Writes the module table: the values of a selection in, the bytes of [`modstrap::table::layout`] out.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result, bail, ensure};
use modstrap::table::layout::{self, Section, bus, group, kernel, module};
use modstrap::table::{Class, Disks, MAX_MODULES, Step, fold, glob};

use crate::closure::Link;
use crate::module::normal;

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
    /// The names of built-in modules.
    pub builtin: Vec<String>,
}

/// An alias of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// A pattern, [`normal`].
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
    /// No alias loads it, as if `modprobe.blacklist=` named it; its name and its dependents do.
    pub blacklisted: bool,
    /// Parameters, as the kernel takes them.
    pub options: String,
    /// Where its blob begins in the blob file, in bytes.
    pub blob: u64,
}

/// Makes the table.
pub fn write(input: &Input) -> Result<Vec<u8>> {
    let count = input.modules.len();
    ensure!(count <= MAX_MODULES, "{count} modules are more than a table can hold ({MAX_MODULES}); choose fewer");
    let mut strings = Strings::new();
    let mut sections: [Vec<u8>; Section::ALL.len()] = Default::default();

    let mut identity = [0; kernel::SIZE];
    for (field, text) in [
        (kernel::RELEASE, input.release.as_bytes()),
        (kernel::VERMAGIC, input.vermagic.as_bytes()),
        (kernel::BUILD_ID, &input.build_id),
        (kernel::CMDLINE, input.cmdline.as_bytes()),
    ] {
        put32(&mut identity, field, strings.reference(text)?);
    }
    sections[Section::Kernel as usize].extend(identity);

    let mut links = 0;
    for (index, entry) in input.modules.iter().enumerate() {
        let too_large =
            || format!("module {}: its place or its dependencies are more than a table can hold", entry.name);
        let align = layout::BLOB_ALIGN as u64;
        ensure!(entry.blob % align == 0, "module {}: its blob does not begin at a multiple of {align}", entry.name);
        ensure!(entry.closure.contains(&Link::Own), "module {}: its load order does not hold itself", entry.name);
        let closure = expanded(input, index);
        let mut record = [0; module::SIZE];
        put32(&mut record, module::NAME, strings.reference(entry.name.as_bytes())?);
        let blob = u32::try_from(entry.blob / align).with_context(too_large)?;
        put32(&mut record, module::BLOB, blob);
        put32(&mut record, module::CLOSURE, links);
        put16(&mut record, module::CLOSURE_COUNT, u16::try_from(closure.len()).with_context(too_large)?);
        record[module::CLASS] = entry.class as u8;
        record[module::STEP] = entry.step as u8;
        record[module::DISKS] = entry.disks.0;
        if entry.aliases.iter().any(|alias| alias.starts_with("cpu:")) {
            record[module::FLAGS] |= module::PROCESSOR;
        }
        if entry.blacklisted {
            record[module::FLAGS] |= module::BLACKLISTED;
        }
        sections[Section::Modules as usize].extend(record);
        for &(other, soft) in &closure {
            ensure!(other < count, "module {}: its closure names module number {other} of {count}", entry.name);
            let link = other as u16 | if soft { layout::LINK_SOFT } else { 0 };
            sections[Section::Closures as usize].extend(link.to_le_bytes());
        }
        links += u32::try_from(closure.len())?;
        if !entry.options.is_empty() {
            let mut option = [0; layout::OPTION];
            put16(&mut option, layout::OPTION_MODULE, index as u16);
            put32(&mut option, layout::OPTION_TEXT, strings.reference(entry.options.as_bytes())?);
            sections[Section::Options as usize].extend(option);
        }
    }
    write_aliases(input, &mut strings, &mut sections)?;
    for name in &input.builtin {
        let reference = strings.reference(name.as_bytes())?;
        sections[Section::Builtin as usize].extend(reference.to_le_bytes());
    }
    sections[Section::Strings as usize] = strings.bytes;
    assemble(&sections)
}

/// The closure of the module `own` as this version of the format can hold it: numbers and whether they are soft, a
/// choice as all its providers, each behind its own closure.
fn expanded(input: &Input, own: usize) -> Vec<(usize, bool)> {
    let mut links = Vec::new();
    for link in &input.modules[own].closure {
        match link {
            Link::Own => links.push((own, false)),
            Link::Module { index, soft } => links.push((*index, *soft)),
            Link::Choice(alias) => {
                let providers = input.modules.iter().enumerate().filter(|(_, entry)| provides(entry, alias));
                for (provider, entry) in providers.filter(|(provider, _)| *provider != own) {
                    let needed = entry.closure.iter().filter_map(Link::index).chain([provider]);
                    links.extend(needed.filter(|needed| *needed != own).map(|needed| (needed, true)));
                }
            }
        }
    }
    links
}

fn provides(entry: &Entry, alias: &str) -> bool {
    let matches = |pattern: &String| glob::matches(normal(pattern).as_bytes(), alias.as_bytes());
    entry.aliases.iter().any(matches)
}

fn assemble(sections: &[Vec<u8>; Section::ALL.len()]) -> Result<Vec<u8>> {
    let mut table = vec![0; layout::HEADER];
    for (index, section) in sections.iter().enumerate() {
        table.resize(table.len().next_multiple_of(4), 0);
        let entry = layout::SECTIONS + index * layout::SECTION;
        let offset = u32::try_from(table.len())?;
        put32(&mut table, entry, offset);
        put32(&mut table, entry + 4, u32::try_from(section.len())?);
        table.extend(section);
    }
    let length = u32::try_from(table.len()).context("the table is larger than 4 GiB")?;
    table[layout::MAGIC].copy_from_slice(&layout::MAGIC_VALUE);
    put32(&mut table, layout::VERSION, layout::VERSION_VALUE);
    put32(&mut table, layout::LENGTH, length);
    let checksum = fold(&table[layout::CHECKSUM.end..]);
    table[layout::CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    Ok(table)
}

/// The form of an alias, by which aliases are grouped; in the order in which the groups are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// A template (see [`group::FIELD_MAX`]).
    Fields(Vec<u8>),
    Literal,
    Glob,
}

/// A pattern, or the key it is sorted by, and the number of a module.
type Alias = (Vec<u8>, u16);

/// A template pays from this many aliases on; fewer are kept as patterns.
const FIELDS_LEAST: usize = 8;

fn write_aliases(input: &Input, strings: &mut Strings, sections: &mut [Vec<u8>; Section::ALL.len()]) -> Result<()> {
    for (prefix, aliases) in by_bus(input)? {
        let groups = by_form(&aliases);
        let mut record = [0; bus::SIZE];
        put32(&mut record, bus::PREFIX, strings.reference(&prefix)?);
        put16(&mut record, bus::GROUP, u16::try_from(sections[Section::Groups as usize].len() / group::SIZE)?);
        put16(&mut record, bus::GROUP_COUNT, u16::try_from(groups.len())?);
        sections[Section::Buses as usize].extend(record);
        for (form, mut entries) in groups {
            entries.sort();
            entries.dedup();
            let (number, template, key) = match &form {
                Form::Fields(template) => (group::FIELDS, template.as_slice(), entries[0].0.len()),
                Form::Literal => (group::LITERAL, [].as_slice(), 4),
                Form::Glob => (group::GLOB, [].as_slice(), 4),
            };
            let mut record = [0; group::SIZE];
            put32(&mut record, group::TEMPLATE, strings.reference(template)?);
            put32(&mut record, group::ENTRIES, u32::try_from(sections[Section::Aliases as usize].len())?);
            put32(&mut record, group::COUNT, u32::try_from(entries.len())?);
            record[group::FORM] = number;
            record[group::KEY] = u8::try_from(key)?;
            sections[Section::Groups as usize].extend(record);
            for (text, module) in entries {
                let aliases = &mut sections[Section::Aliases as usize];
                match form {
                    Form::Fields(_) => aliases.extend(text),
                    Form::Literal | Form::Glob => aliases.extend(strings.reference(&text)?.to_le_bytes()),
                }
                aliases.extend(module.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// All names and aliases, normalised, by what they begin with up to the first ':' or wildcard. Names without a ':'
/// are one bus of their own, with the empty prefix.
fn by_bus(input: &Input) -> Result<BTreeMap<Vec<u8>, Vec<Alias>>> {
    let mut buses: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (index, entry) in input.modules.iter().enumerate() {
        for alias in entry.aliases.iter().chain([&entry.name]) {
            let mut alias = alias.clone().into_bytes();
            let is_text = !alias.iter().any(u8::is_ascii_control);
            ensure!(
                is_text,
                "module {}: its alias {alias} holds control characters",
                entry.name,
                alias = alias.escape_ascii()
            );
            glob::normalise(&mut alias);
            let end = alias.iter().position(|byte| is_wildcard(*byte) || *byte == b':').unwrap_or(0);
            let prefix = if alias.contains(&b':') { &alias[..end] } else { &[] };
            buses.entry(prefix.to_vec()).or_default().push((alias, index as u16));
        }
    }
    Ok(buses)
}

fn by_form(aliases: &[Alias]) -> BTreeMap<Form, Vec<Alias>> {
    let mut templates: HashMap<Vec<u8>, usize> = HashMap::new();
    for (alias, _) in aliases {
        if let Some((template, _)) = template(alias) {
            *templates.entry(template).or_default() += 1;
        }
    }
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (alias, module) in aliases {
        let (form, key) = match template(alias) {
            Some((template, key)) if templates[&template] >= FIELDS_LEAST => (Form::Fields(template), key),
            _ if alias.iter().any(|&byte| is_wildcard(byte)) => (Form::Glob, alias.clone()),
            _ => (Form::Literal, alias.clone()),
        };
        groups.entry(form).or_default().push((key, *module));
    }
    groups
}

fn is_wildcard(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'\\')
}

/// Splits a pattern into its template and the bytes of its fields: runs of two, four or eight hexadecimal digits that
/// stand before the first wildcard. None where it has no such run, or where the run is not sure to end there.
fn template(alias: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let literal_end = alias.iter().position(|&byte| is_wildcard(byte)).unwrap_or(alias.len());
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    let (mut template, mut key) = (Vec::new(), Vec::new());
    let mut at = alias.iter().position(|&byte| byte == b':')? + 1;
    template.extend(&alias[..at.min(literal_end)]);
    while at < literal_end {
        let digits = alias[at..literal_end].iter().take_while(|byte| is_digit(byte)).count();
        let fits = matches!(digits, 2 | 4 | 8) && key.len() + digits / 2 <= group::KEY_MAX;
        if fits {
            template.push(digits as u8 / 2);
            let text = std::str::from_utf8(&alias[at..at + digits]).ok()?;
            key.extend((0..digits / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap_or(0)));
            at += digits;
        } else {
            let next = at + digits.max(1);
            template.extend(&alias[at..next]);
            at = next;
        }
    }
    template.extend(&alias[at.min(alias.len())..]);
    let plain = template.iter().filter(|byte| **byte <= group::FIELD_MAX).count();
    (plain > 0 && plain <= group::KEY_MAX).then_some((template, key))
}

/// The string section: each text once.
struct Strings {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
}

impl Strings {
    fn new() -> Self {
        let mut strings = Strings { bytes: Vec::new(), known: HashMap::new() };
        strings.add(&[], 0);
        strings
    }

    fn reference(&mut self, text: &[u8]) -> Result<u32> {
        if let Some(&reference) = self.known.get(text) {
            return Ok(reference);
        }
        let Ok(length) = u16::try_from(text.len()) else {
            bail!("a text of {} bytes is longer than a table can hold: {}...", text.len(), text[..60].escape_ascii());
        };
        Ok(self.add(text, length))
    }

    fn add(&mut self, text: &[u8], length: u16) -> u32 {
        let reference = self.bytes.len() as u32;
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(text);
        self.known.insert(text.to_vec(), reference);
        reference
    }
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
