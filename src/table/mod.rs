//! The module table: one file, made by the builder, mapped by the loader, read in place.
//!
//! [`layout`] is the one definition of its bytes; the builder writes by it and [`Table`] reads by it. [`Table::open`]
//! checks the header, the bounds of every section and the checksum over all of it. After that no accessor can fail or
//! panic, whatever the bytes: a reference that points nowhere reads as an empty string, an empty list or no module.

pub mod glob;
mod index;
pub mod layout;
mod links;
mod nature;
mod packed;
mod path;

use index::Index;
use layout::{Section, module};
pub use links::{Link, Links};
pub use nature::{Class, Disks, Step};
pub use path::Path;

use crate::text::Text;

/// The most modules a table may hold: the whole tree of a distribution (4,228 in Debian's 6.12 for amd64) three times
/// over, and few enough for one byte of state each on the loader's stack.
pub const MAX_MODULES: usize = 16_384;

/// A module, as an index into the table. Order is `modules.order`: what the kernel links first comes first. Behind the
/// modules come those that are part of the kernel itself; they have a name and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleId(pub u16);

/// Why bytes are not a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The first bytes are not a table's.
    NotATable,
    /// A table of another format version (its number is carried).
    Version(u32),
    /// Shorter or longer than its header says.
    Length,
    /// A section lies outside the file.
    Section,
    /// The checksum does not fit the content.
    Checksum,
}

/// The name the kernel knows a module by; its own limit is 55 bytes (include/linux/module.h, `MODULE_NAME_LEN`).
pub type Name = Text<64>;

/// A module's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// What it is to a boot.
    pub class: Class,
    /// When it is a candidate.
    pub step: Step,
    /// The disk names it can bring about.
    pub disks: Disks,
    /// Where its blob begins in the blob file, in bytes.
    pub blob: u64,
    /// Whether it has `cpu:` aliases: it is for some processors only.
    pub processor: bool,
    /// Whether modprobe.d blacklists it: devices do not load it.
    pub blacklisted: bool,
}

/// A checked view of a table.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
}

impl<'a> Table<'a> {
    /// Checks the header, the bounds of every section, and the checksum.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Damage> {
        let table = Self::view(bytes)?;
        let checked = bytes.get(layout::CHECKSUM.end..).unwrap_or_default();
        if u64_at(bytes, layout::CHECKSUM.start) != fold(checked) {
            return Err(Damage::Checksum);
        }
        Ok(table)
    }

    /// Checks the header and the bounds of every section alone: for those who ask a single thing of a table that was
    /// opened before. Damage shows as a wrong answer, never as more than that.
    pub fn view(bytes: &'a [u8]) -> Result<Self, Damage> {
        if bytes.get(layout::MAGIC) != Some(&layout::MAGIC_VALUE) {
            return Err(Damage::NotATable);
        }
        match u32_at(bytes, layout::VERSION) {
            layout::VERSION_VALUE => {}
            version => return Err(Damage::Version(version)),
        }
        if usize::try_from(u32_at(bytes, layout::LENGTH)) != Ok(bytes.len()) || bytes.len() < layout::HEADER {
            return Err(Damage::Length);
        }
        let table = Table { bytes };
        if Section::ALL.iter().any(|&section| table.bounds(section).is_none()) {
            return Err(Damage::Section);
        }
        Ok(table)
    }

    /// The release of the kernel that the modules belong to, as `uname -r` prints it.
    pub fn release(&self) -> &'a [u8] {
        self.kernel(layout::kernel::RELEASE)
    }

    /// The modules' version magic.
    pub fn vermagic(&self) -> &'a [u8] {
        self.kernel(layout::kernel::VERMAGIC)
    }

    /// The GNU build id of the kernel image; empty where the builder could not find one.
    pub fn build_id(&self) -> &'a [u8] {
        self.kernel(layout::kernel::BUILD_ID)
    }

    /// The command-line words that the image brings along, read before the machine's own.
    pub fn cmdline(&self) -> &'a [u8] {
        self.kernel(layout::kernel::CMDLINE)
    }

    /// How many modules there are.
    pub fn module_count(&self) -> usize {
        (self.section(Section::Modules).len() / module::SIZE).min(MAX_MODULES)
    }

    /// Every module, in the table's order.
    pub fn modules(&self) -> impl Iterator<Item = ModuleId> + use<> {
        (0..self.module_count()).map(|index| ModuleId(index as u16))
    }

    /// A module's record; of a module that the table does not have, an empty one.
    pub fn module(&self, id: ModuleId) -> Module {
        let record = self.record(id);
        let byte = |at: usize| record.get(at).copied().unwrap_or(0);
        let nature = if record.is_empty() { module::NATURE_MASK } else { byte(module::NATURE) };
        Module {
            class: Class::from_number(nature & module::NATURE_MASK),
            step: Step::from_number(nature >> module::STEP_SHIFT & module::NATURE_MASK),
            disks: Disks(byte(module::DISKS)),
            blob: u64::from(u32_at(record, module::BLOB)) * layout::BLOB_ALIGN as u64,
            processor: nature & module::PROCESSOR != 0,
            blacklisted: nature & module::BLACKLISTED != 0,
        }
    }

    /// The name of a module, also of a built-in one; '_' stands for '-', as in the kernel.
    pub fn name(&self, id: ModuleId) -> Name {
        let block = u16_at(self.section(Section::Names), 2 * usize::from(id.0));
        Index::new(self).name(block.into(), id)
    }

    /// Where a module's file lies below `/lib/modules/RELEASE`; empty where the table holds no paths.
    pub fn path(&self, id: ModuleId) -> Path {
        path::path(self, id)
    }

    /// What `modprobe` loads for a module, in order, itself included.
    pub fn plan(&self, id: ModuleId) -> impl Iterator<Item = Link<'a>> + use<'a> {
        Links::new(self, id, false)
    }

    /// What a boot loads for a module, in order: what it depends on first, then itself, then what is loaded after.
    pub fn closure(&self, id: ModuleId) -> Links<'a> {
        Links::new(self, id, true)
    }

    /// The parameters that the builder gives a module, as the kernel takes them; mostly empty.
    pub fn options(&self, id: ModuleId) -> &'a [u8] {
        let options = self.section(Section::Options).chunks_exact(layout::OPTION);
        let found = options.into_iter().find(|option| u16_at(option, layout::OPTION_MODULE) == id.0);
        found.map_or(&[], |option| self.string(u32_at(option, layout::OPTION_TEXT)))
    }

    /// Calls `found` for each module that answers to a name: the modules of the first of these layers that has any, all
    /// of them, in no order. First come the aliases of modprobe.d, then the names of modules, then the aliases that
    /// modules state, then the names of built-in modules, then their aliases. `name` has gone through [`glob::normalise`].
    /// A module may be found more than once.
    pub fn lookup(&self, name: &[u8], found: &mut dyn FnMut(ModuleId)) {
        Index::new(self).lookup(self.section(Section::Fronts), name, found);
    }

    /// The module that answers to a name, the first in `modules.order` where several do.
    pub fn find(&self, name: &[u8]) -> Option<ModuleId> {
        let mut first: Option<ModuleId> = None;
        self.lookup(name, &mut |id| first = Some(first.map_or(id, |other| other.min(id))));
        first
    }

    /// The modules that are part of the kernel itself.
    pub fn builtin(&self) -> impl Iterator<Item = ModuleId> + use<> {
        let all = self.section(Section::Names).len() / 2;
        (self.module_count()..all.min(usize::from(u16::MAX) + 1)).map(|index| ModuleId(index as u16))
    }

    /// Whether a module is part of the kernel itself.
    pub fn is_builtin(&self, id: ModuleId) -> bool {
        usize::from(id.0) >= self.module_count()
    }

    /// The bytes of a section.
    fn section(&self, section: Section) -> &'a [u8] {
        self.bounds(section).unwrap_or_default()
    }

    fn bounds(&self, section: Section) -> Option<&'a [u8]> {
        let entry = layout::SECTIONS + section as usize * layout::SECTION;
        let offset = u32_at(self.bytes, entry) as usize;
        let length = u32_at(self.bytes, entry + 4) as usize;
        self.bytes.get(offset..)?.get(..length)
    }

    fn record(&self, id: ModuleId) -> &'a [u8] {
        let at = usize::from(id.0) * module::SIZE;
        self.section(Section::Modules).get(at..).and_then(|rest| rest.get(..module::SIZE)).unwrap_or_default()
    }

    fn kernel(&self, field: usize) -> &'a [u8] {
        self.string(u32_at(self.section(Section::Kernel), field))
    }

    /// The string that begins with its length at this offset of the string section.
    fn string(&self, reference: u32) -> &'a [u8] {
        let Some(entry) = self.section(Section::Strings).get(reference as usize..) else { return &[] };
        let length = usize::from(u16_at(entry, 0));
        entry.get(2..).and_then(|text| text.get(..length)).unwrap_or_default()
    }
}

/// The checksum of a table and of a blob: 64-bit words folded one into the next, each step a bijection of the state,
/// so that every change of a single word is seen; under one instruction a byte.
pub fn fold(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |state: u64, word: u64| (state ^ word).wrapping_mul(PRIME).rotate_left(29);
    let mut words = bytes.chunks_exact(8);
    let state = words.by_ref().fold(bytes.len() as u64, |state, word| step(state, u64_at(word, 0)));
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(words.remainder()) {
        *to = *from;
    }
    step(step(state, u64::from_le_bytes(last)), 0)
}

/// Texts that end in NUL each.
fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == 0)
}

/// The little-endian number at `at`, or 0 where the bytes end before it.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// The little-endian number at `at`, or 0 where the bytes end before it.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The little-endian number at `at`, or 0 where the bytes end before it.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
