//! The bytes of a table and of a blob: every offset named once, for the builder that writes and the loader that reads.
//!
//! All numbers are little-endian. A *reference* is a 32-bit offset into the string section, where a 16-bit length and
//! the text follow; reference 0 is the empty string. *Packed* text is what stands in large numbers: a byte from
//! [`CODE`](dictionary::CODE) on stands for a pair of the dictionary, every other byte for itself.
//!
//! ```text
//! table: magic  version  length  checksum  {offset, length} of each section  sections, each at a multiple of 64
//! blobs: one after the other, each at a multiple of 8: checksum  lengths: module, packed, streams  packed bytes;
//!        behind the last one 16 bytes of padding
//! ```

use core::ops::Range;

/// Where the image holds the table.
pub const TABLE_PATH: &str = "/modstrap/table";
/// Where the image holds the blobs.
pub const BLOBS_PATH: &str = "/modstrap/blobs";

/// `MODSTRAP`.
pub const MAGIC: Range<usize> = 0..8;
/// What a table begins with.
pub const MAGIC_VALUE: [u8; 8] = *b"MODSTRAP";
/// The version of this layout, 32 bits.
pub const VERSION: usize = 8;
/// The version this code writes and reads.
pub const VERSION_VALUE: u32 = 4;
/// The length of the whole table in bytes, 32 bits.
pub const LENGTH: usize = 12;
/// [`fold`](super::fold) of all bytes behind it.
pub const CHECKSUM: Range<usize> = 16..24;
/// Where the list of sections begins: an offset and a length, 32 bits each, for every [`Section`] in its order.
pub const SECTIONS: usize = 24;
/// The size of one entry of that list.
pub const SECTION: usize = 8;
/// Every section begins at a multiple of this, the size of a line of cache.
pub const SECTION_ALIGN: usize = 64;
/// The size of the header.
pub const HEADER: usize = SECTIONS + Section::ALL.len() * SECTION;

/// The sections of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// One reference for each field in [`kernel`].
    Kernel = 0,
    /// Records of [`module`], in the order of their numbers.
    Modules = 1,
    /// For each module and, behind them, each built-in one: the 16-bit number of the block that holds its name.
    Names = 2,
    /// Load orders, as [`list`] describes them.
    Lists = 3,
    /// The aliases that links of load orders choose by, each ended by a NUL.
    Choices = 4,
    /// The few modules that have parameters.
    Options = 5,
    /// Records of [`front`].
    Fronts = 6,
    /// The [`block`]s of the index.
    Blocks = 7,
    /// The tails that entries of the index refer to, each ended by a NUL.
    Tails = 8,
    /// The pairs of packed text.
    Dictionary = 9,
    /// Records of [`path`]; empty where nobody asked for paths.
    Paths = 10,
    /// Lengths and texts.
    Strings = 11,
}

impl Section {
    /// Every section, in the order of the header.
    pub const ALL: [Section; 12] = [
        Section::Kernel,
        Section::Modules,
        Section::Names,
        Section::Lists,
        Section::Choices,
        Section::Options,
        Section::Fronts,
        Section::Blocks,
        Section::Tails,
        Section::Dictionary,
        Section::Paths,
        Section::Strings,
    ];
}

/// The kernel's identity.
pub mod kernel {
    /// Reference: the release.
    pub const RELEASE: usize = 0;
    /// Reference: the version magic.
    pub const VERMAGIC: usize = 4;
    /// Reference: the bytes of the GNU build id.
    pub const BUILD_ID: usize = 8;
    /// Reference: the default command line.
    pub const CMDLINE: usize = 12;
    /// Reference: what the names of module files end in, `.ko` and that of the compression.
    pub const FILE_SUFFIX: usize = 16;
    /// The size of the section.
    pub const SIZE: usize = 20;
}

/// A module's record.
pub mod module {
    /// Where the blob begins, in units of [`BLOB_ALIGN`](super::BLOB_ALIGN), 32 bits.
    pub const BLOB: usize = 0;
    /// Where its load orders begin, in units of a [`LINK`](super::list::LINK), 24 bits.
    pub const LIST: usize = 4;
    /// A byte: the [`Class`](crate::table::Class), the [`Step`](crate::table::Step) from bit [`STEP_SHIFT`] on, and two
    /// flags.
    pub const NATURE: usize = 7;
    /// The [`Disks`](crate::table::Disks), a byte.
    pub const DISKS: usize = 8;
    /// The size of a record.
    pub const SIZE: usize = 9;

    /// The bits of a class, and of a step once it is shifted down.
    pub const NATURE_MASK: u8 = 7;
    /// Where the step begins in the nature.
    pub const STEP_SHIFT: u8 = 3;
    /// The flag of the nature that says that some `cpu:` alias is the module's.
    pub const PROCESSOR: u8 = 1 << 6;
    /// The flag of the nature that says that modprobe.d blacklists the module.
    pub const BLACKLISTED: u8 = 1 << 7;
}

/// The two load orders of a module: `modprobe`'s plan, and the boot's closure.
///
/// A list is a number, 16 bits, and as many links. First comes the plan; in its number the lowest bit says that the
/// closure follows as a list of its own, and the count begins above it. Else the two are equal. Modules share lists.
pub mod list {
    /// The size of a link.
    pub const LINK: usize = 2;
    /// The bit of a plan's number that says that a closure follows.
    pub const HAS_CLOSURE: u16 = 1;
    /// How far the count of a plan stands above that bit.
    pub const COUNT_SHIFT: u16 = 1;
    /// The link that stands for the module that the list belongs to.
    pub const OWN: u16 = u16::MAX;
    /// The bit of a link that says that the module is soft.
    pub const SOFT: u16 = 1 << 15;
    /// The bit of a link that says that it is a choice, by the alias of this number.
    pub const CHOICE: u16 = 1 << 14;
    /// The bits of a link that hold a number.
    pub const NUMBER: u16 = CHOICE - 1;
}

/// The size of an entry of the section of options: the module's number and, behind two empty bytes, a reference.
pub const OPTION: usize = 8;
/// The module's number in such an entry.
pub const OPTION_MODULE: usize = 0;
/// The reference to its parameters.
pub const OPTION_TEXT: usize = 4;

/// Fronts: what precedes the keys of the index, in the order in which they are asked.
///
/// Each pattern is taken apart into a front, a key and a tail that follow one another in it. The *front* is nothing but
/// for patterns that begin with a few common words and stars (`of:N*T*C`), the *key* is literal, and the *tail* is the
/// rest, from about the first wildcard on. A record is the front's number, a byte; its [`layer`], a byte; its text, in
/// which only `*` is special; and a NUL.
pub mod front {
    /// The front of the names of modules, the only one whose number is this or below.
    pub const MODULE_NAMES: u8 = 1;
    /// The front of the names of built-in modules, the only other one whose number is this or below.
    pub const BUILTIN_NAMES: u8 = 2;
    /// What no name of a module holds, and nearly every alias: it ends the name of a bus.
    pub const NO_NAME: u8 = b':';
    /// The largest number of a front: it stands in packed text.
    pub const MAX: u8 = super::dictionary::CODE - 1;
}

/// The layers of names: the first that answers to a name is the answer. The order is kmod's.
pub mod layer {
    /// The aliases that modprobe.d gives.
    pub const CONFIGURED: u8 = 1;
    /// The modules' names.
    pub const NAMES: u8 = 2;
    /// The aliases that modules state.
    pub const STATED: u8 = 3;
    /// The names of built-in modules.
    pub const BUILTIN_NAMES: u8 = 4;
    /// The aliases of built-in modules.
    pub const BUILTIN: u8 = 5;
}

/// The index: all patterns sorted by the number of their front and their key, each written as what differs from the one
/// before, in the leaves of a tree of blocks. A block is a line of cache.
///
/// The *start* of a block is as much of its first key as tells it from all keys before; that of the first block is
/// empty. The first entry is written as what differs from the start, or as all of it where it is the name of a module.
/// After the last entry, where there is room, a 0 follows.
///
/// The leaves come first, each linked to the one before it that holds the longest key with which its own start begins.
/// Then come the blocks above them, level by level, up to the root. Such a block is linked to the first one below; its
/// entries are the starts, and nothing else, of the further ones below.
pub mod block {
    /// The size of a block.
    pub const SIZE: usize = 64;
    /// The number of a block plus one, or 0, 16 bits.
    pub const LINK: usize = 0;
    /// The bit of a link that says that it goes to a block below.
    pub const INNER: u16 = 1 << 15;
    /// How much the key that a leaf is linked to another for shares with the start of that, a byte.
    pub const KEPT: usize = 2;
    /// The size of what precedes the entries.
    pub const HEADER: usize = 3;
    /// The longest key of a pattern, front number included.
    pub const KEY_MAX: usize = 55;
    /// The longest name of a module: that is all of its key, but for the front number.
    pub const NAME_MAX: usize = 55;
    /// The longest tail, unpacked.
    pub const TAIL_MAX: usize = 512;

    /// The bit of an entry's first byte that says that the 16-bit number of a module stands last; else it is that of
    /// the entry before.
    pub const MODULE: u8 = 1;
    /// The bit that says that the 16-bit place of a tail comes before that; else it is that of the entry before.
    pub const TAIL: u8 = 2;
    /// Where the size begins of the packed text that is added to the key; it comes before the tail.
    pub const ADDED_SHIFT: u8 = 2;
    /// Where the number begins that says how much of the key before stays: [`SAME`] stands for as much as the entry
    /// before kept of its own, less for less and more for more.
    pub const SHARED_SHIFT: u8 = 5;
    /// See [`SHARED_SHIFT`].
    pub const SAME: u8 = 3;
    /// The bits of either number. With all of them set a byte behind the first says it in full, how much stays before
    /// how much is added.
    pub const LONG: u8 = 7;

    /// The number in an entry that stands for no module: the name is answered for, by nobody.
    pub const NOBODY: u16 = u16::MAX;
    /// What stands between the alternatives of a tail.
    pub const ALTERNATIVE: u8 = 1;
}

/// The pairs that the codes in packed text stand for, in the order of the codes: two bytes, either of them a code again.
/// Where the first is 0 the second stands for itself: it is a byte of the text that looks like a code.
pub mod dictionary {
    /// The code of the first pair.
    pub const CODE: u8 = 0x80;
    /// The most pairs.
    pub const MAX: usize = 128;
    /// The size of a pair.
    pub const PAIR: usize = 2;
    /// How deep pairs stand in pairs at most; a pair of bytes has a depth of 1.
    pub const DEPTH: usize = 8;
}

/// Where the files of modules lie, in runs of modules, each written as what differs from the run before; packed text
/// follows each record.
pub mod path {
    /// The number of the run's first module, 16 bits; it ends where the next one begins.
    pub const FIRST: usize = 0;
    /// How the files' names are made of the modules', a byte: each of the lower seven bits says that a '_', the first
    /// of them for the lowest bit, and all that follow for the highest, is a '-'. Or it is [`SPELLED`].
    pub const STYLE: usize = 2;
    /// How many bytes to drop from the end of the directory of the run before, a byte.
    pub const DROPPED: usize = 3;
    /// The size of the packed text, a byte, that then completes the directory, without a slash at its end.
    pub const ADDED: usize = 4;
    /// The size of a record, without the text.
    pub const SIZE: usize = 5;

    /// The style of a run of one module in whose place the whole path stands.
    pub const SPELLED: u8 = 1 << 7;
    /// The bit of a style that stands for all further ones.
    pub const LAST: u8 = 1 << 6;
    /// The longest path.
    pub const MAX: usize = 255;
}

/// Every blob begins at a multiple of this.
pub const BLOB_ALIGN: usize = 8;

/// What precedes the packed bytes of a module.
pub mod blob {
    /// [`fold`](crate::table::fold) of the lengths and the packed bytes.
    pub const CHECKSUM: usize = 0;
    /// The length of the module, 32 bits.
    pub const RAW: usize = 8;
    /// The length of the packed bytes, 32 bits; equal to what they unpack to where they are stored as they are.
    pub const PACKED: usize = 12;
    /// The length of the [streams](crate::module::filter) that they unpack to, 32 bits; 0 where it is the module itself.
    pub const STREAMS: usize = 16;
    /// The size of this header.
    pub const HEADER: usize = 20;
}
