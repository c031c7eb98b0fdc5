//! The module table: one file, made by the builder, mapped by the loader, read in place.
//!
//! [`layout`] is the one definition of its bytes; the builder writes by it and [`Table`] reads by it. [`Table::open`]
//! checks the header, the bounds of every section and the checksum over all of it. After that no accessor can fail or
//! panic, whatever the bytes: a reference that points nowhere reads as an empty string, an empty closure or no module.

mod alias;
pub mod glob;
pub mod layout;

use layout::{Section, module};

use crate::text::Text;

/// The most modules a table may hold: the whole tree of a distribution (4,228 in Debian's 6.12 for amd64) three times
/// over, and few enough for one byte of state each on the loader's stack.
pub const MAX_MODULES: usize = 16_384;

/// A module, as an index into the table. Order is `modules.order`: what the kernel links first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleId(pub u16);

/// What a module is to a boot. The command line decides which classes a boot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Finds further devices: a bus, a host controller's bus side, a supplier of clocks or power.
    Bus = 0,
    /// Makes block devices, or hosts them.
    Block = 1,
    /// A file system.
    Fs = 2,
    /// The way to a directory of the host: a transport of 9p or virtiofs.
    Share = 3,
    /// A network device, or what a network root needs.
    Net = 4,
    /// Only ever a dependency: libraries and cryptography.
    Library = 5,
    /// Everything else: left to the real init.
    Other = 6,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Class; 7] =
        [Class::Bus, Class::Block, Class::Fs, Class::Share, Class::Net, Class::Library, Class::Other];

    /// The class with this number; a number that no class has reads as [`Class::Other`].
    pub fn from_number(number: u8) -> Class {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Class::Other)
    }

    /// The word for it in summaries and in the builder's data file.
    pub fn name(self) -> &'static str {
        ["bus", "block", "fs", "share", "net", "library", "other"][self as usize]
    }
}

/// When a driver is a candidate: the steps of a boot, cheapest first. One step begins only when the root has not
/// appeared after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// At once: it only makes further devices visible.
    Always = 0,
    /// Cheap buses and what hangs on them: virtio, NVMe, MMC.
    Cheap = 1,
    /// SCSI hosts and AHCI.
    Scsi = 2,
    /// USB.
    Usb = 3,
    /// Suppliers (clocks, regulators, pins, GPIO, I2C): first where a device tree describes the machine, else last.
    Supplier = 4,
}

impl Step {
    /// Every step, in the order of their numbers.
    pub const ALL: [Step; 5] = [Step::Always, Step::Cheap, Step::Scsi, Step::Usb, Step::Supplier];

    /// The step with this number; a number that no step has reads as the last.
    pub fn from_number(number: u8) -> Step {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Step::Supplier)
    }

    /// The word for it in the builder's data file.
    pub fn name(self) -> &'static str {
        ["always", "cheap", "scsi", "usb", "supplier"][self as usize]
    }
}

/// The families of disk names that a driver can bring about, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disks(pub u8);

impl Disks {
    /// The families, by the bit that stands for each.
    pub const NAMES: [&'static str; 8] = ["vd", "nvme", "mmcblk", "sd", "xvd", "sr", "pmem", "hd"];

    /// The family that a disk's name belongs to, as a set; empty where it is none of [`Self::NAMES`].
    pub fn of_name(name: &[u8]) -> Disks {
        // In the order of the names.
        const PATTERNS: &[u8] =
            b"vd[a-z]*\0nvme[0-9]*\0mmcblk[0-9]*\0sd[a-z]*\0xvd[a-z]*\0sr[0-9]*\0pmem[0-9]*\0hd[a-z]*";
        let family = PATTERNS.split(|&byte| byte == 0).position(|pattern| glob::matches(pattern, name));
        Disks(family.map_or(0, |bit| 1 << bit))
    }

    /// Whether the two sets share a family.
    pub fn intersects(self, other: Disks) -> bool {
        self.0 & other.0 != 0
    }
}

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

/// A module's name: the kernel takes fewer than 64 bytes (include/linux/module_symbol.h, `MODULE_NAME_LEN`).
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
    /// It is for processors with certain features: it has aliases that begin with `cpu:`.
    pub processor: bool,
    /// modprobe.d forbids that devices and aliases load it.
    pub blacklisted: bool,
}

/// One element of a load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link<'a> {
    /// A module.
    Module {
        /// The module to load.
        module: ModuleId,
        /// Loaded if it can be; its failure does not matter.
        soft: bool,
    },
    /// An alias that several modules answer to, of which one is enough: the first that this machine can run.
    Choice(&'a [u8]),
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

    /// Checks the header and the bounds of every section: enough for whoever looks up one name in a table that has been
    /// opened before.
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

    /// Whether this is the number of a built-in module: those follow the others.
    pub fn is_builtin(&self, id: ModuleId) -> bool {
        usize::from(id.0) >= self.module_count()
    }

    /// The name of a module, built in or not.
    pub fn name(&self, id: ModuleId) -> Name {
        let name = match usize::from(id.0).checked_sub(self.module_count()) {
            None => self.string(u32_at(self.record(id), module::NAME)),
            Some(place) => self.string(u32_at(self.section(Section::Builtin), place * 4)),
        };
        Name::of(&[name])
    }

    /// A module's record; of a module that the table does not have, an empty one.
    pub fn module(&self, id: ModuleId) -> Module {
        let record = self.record(id);
        let byte = |at: usize| record.get(at).copied().unwrap_or(u8::MAX);
        let flags = record.get(module::FLAGS).copied().unwrap_or(0);
        Module {
            class: Class::from_number(byte(module::CLASS)),
            step: Step::from_number(byte(module::STEP)),
            disks: Disks(record.get(module::DISKS).copied().unwrap_or(0)),
            blob: u64::from(u32_at(record, module::BLOB)) * layout::BLOB_ALIGN as u64,
            processor: flags & module::PROCESSOR != 0,
            blacklisted: flags & module::BLACKLISTED != 0,
        }
    }

    /// The load order of the tools: that of kmod's modprobe.
    pub fn plan(&self, id: ModuleId) -> impl Iterator<Item = Link<'a>> + use<'a> {
        self.closure(id)
    }

    /// The load order of a boot: what the module depends on first, then itself, then what is loaded after.
    pub fn closure(&self, id: ModuleId) -> impl Iterator<Item = Link<'a>> + use<'a> {
        let record = self.record(id);
        let first = u32_at(record, module::CLOSURE) as usize * layout::LINK;
        let count = usize::from(u16_at(record, module::CLOSURE_COUNT)) * layout::LINK;
        let links = self.section(Section::Closures).get(first..).and_then(|links| links.get(..count));
        links.unwrap_or_default().chunks_exact(layout::LINK).map(|link| {
            let link = u16_at(link, 0);
            Link::Module { module: ModuleId(link & !layout::LINK_SOFT), soft: link & layout::LINK_SOFT != 0 }
        })
    }

    /// The parameters that the builder gives a module, as the kernel takes them; mostly empty.
    pub fn options(&self, id: ModuleId) -> &'a [u8] {
        let options = self.section(Section::Options).chunks_exact(layout::OPTION);
        let found = options.into_iter().find(|option| u16_at(option, layout::OPTION_MODULE) == id.0);
        found.map_or(&[], |option| self.string(u32_at(option, layout::OPTION_TEXT)))
    }

    /// Calls `found` for each module whose name or alias matches. `name` has gone through [`glob::normalise`].
    /// A module may be found more than once.
    pub fn lookup(&self, name: &[u8], found: &mut dyn FnMut(ModuleId)) {
        alias::lookup(self, name, found);
    }

    /// The module of exactly this name or alias, the first in `modules.order` where several have it.
    pub fn find(&self, name: &[u8]) -> Option<ModuleId> {
        let mut first: Option<ModuleId> = None;
        self.lookup(name, &mut |id| first = Some(first.map_or(id, |other| other.min(id))));
        first
    }

    /// The names of the modules that are part of the kernel itself.
    pub fn builtin(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let table = *self;
        self.section(Section::Builtin).chunks_exact(4).map(move |reference| table.string(u32_at(reference, 0)))
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
