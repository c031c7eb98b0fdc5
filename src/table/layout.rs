//! The bytes of a table and of a blob: every offset named once, for the builder that writes and the loader that reads.
//!
//! All numbers are little-endian. A *reference* is a 32-bit offset into the string section, where a 16-bit length and
//! the text follow; reference 0 is the empty string.
//!
//! ```text
//! table: magic  version  length  checksum  {offset, length} of each section  sections, each at a multiple of 4
//! blobs: one after the other, each at a multiple of 8: checksum  raw length  packed length  packed bytes
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
pub const VERSION_VALUE: u32 = 1;
/// The length of the whole table in bytes, 32 bits.
pub const LENGTH: usize = 12;
/// [`fold`](super::fold) of all bytes behind it.
pub const CHECKSUM: Range<usize> = 16..24;
/// Where the list of sections begins: an offset and a length, 32 bits each, for every [`Section`] in its order.
pub const SECTIONS: usize = 24;
/// The size of one entry of that list.
pub const SECTION: usize = 8;
/// The size of the header.
pub const HEADER: usize = SECTIONS + Section::ALL.len() * SECTION;

/// The sections of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// One reference for each field in [`kernel`].
    Kernel = 0,
    /// Records of [`module`].
    Modules = 1,
    /// 16-bit links: a module's number, and [`LINK_SOFT`].
    Closures = 2,
    /// The few modules that have parameters.
    Options = 3,
    /// Records of [`bus`]: the aliases, by what they begin with.
    Buses = 4,
    /// Records of [`group`]: the aliases of one bus, by form.
    Groups = 5,
    /// The entries of all groups.
    Aliases = 6,
    /// References to the names of the built-in modules.
    Builtin = 7,
    /// Lengths and texts.
    Strings = 8,
}

impl Section {
    /// Every section, in the order of the header.
    pub const ALL: [Section; 9] = [
        Section::Kernel,
        Section::Modules,
        Section::Closures,
        Section::Options,
        Section::Buses,
        Section::Groups,
        Section::Aliases,
        Section::Builtin,
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
    /// The size of the section.
    pub const SIZE: usize = 16;
}

/// A module's record.
pub mod module {
    /// Reference: the name.
    pub const NAME: usize = 0;
    /// Where the blob begins, in units of [`BLOB_ALIGN`](super::BLOB_ALIGN).
    pub const BLOB: usize = 4;
    /// The number of the closure's first link.
    pub const CLOSURE: usize = 8;
    /// How many links the closure has, 16 bits.
    pub const CLOSURE_COUNT: usize = 12;
    /// The [`Class`](crate::table::Class), a byte.
    pub const CLASS: usize = 14;
    /// The [`Step`](crate::table::Step), a byte.
    pub const STEP: usize = 15;
    /// The [`Disks`](crate::table::Disks), a byte.
    pub const DISKS: usize = 16;
    /// A byte of the bits below.
    pub const FLAGS: usize = 17;
    /// The module has aliases of processors.
    pub const PROCESSOR: u8 = 1;
    /// Devices and aliases do not load the module.
    pub const BLACKLISTED: u8 = 2;
    /// The size of a record.
    pub const SIZE: usize = 20;
}

/// The size of a link.
pub const LINK: usize = 2;
/// The bit of a link that makes it soft.
pub const LINK_SOFT: u16 = 0x8000;
const _: () = assert!(super::MAX_MODULES <= LINK_SOFT as usize);

/// The size of an entry of the option section.
pub const OPTION: usize = 6;
/// Its module, 16 bits.
pub const OPTION_MODULE: usize = 0;
/// Reference: its parameters.
pub const OPTION_TEXT: usize = 2;

/// Aliases that begin alike.
pub mod bus {
    /// Reference: what every pattern of this bus begins with.
    pub const PREFIX: usize = 0;
    /// The number of its first group, 16 bits.
    pub const GROUP: usize = 4;
    /// How many groups it has, 16 bits.
    pub const GROUP_COUNT: usize = 6;
    /// The size of a record.
    pub const SIZE: usize = 8;
}

/// Aliases of one form. Each entry is a key and the 16-bit number of a module.
pub mod group {
    /// Reference: the template (see [`FIELD_MAX`]); empty for the two forms whose key is a reference to the pattern.
    pub const TEMPLATE: usize = 0;
    /// Where its entries begin in the section of aliases.
    pub const ENTRIES: usize = 4;
    /// How many entries there are.
    pub const COUNT: usize = 8;
    /// The form, a byte: [`FIELDS`], [`LITERAL`] or [`GLOB`].
    pub const FORM: usize = 12;
    /// The size of an entry's key, a byte.
    pub const KEY: usize = 13;
    /// The size of a record.
    pub const SIZE: usize = 16;

    /// Entries are sorted by their key: the hexadecimal fields of the template as bytes, most significant first.
    pub const FIELDS: u8 = 0;
    /// Entries are sorted by the text of their pattern, which holds no wildcard.
    pub const LITERAL: u8 = 1;
    /// Patterns to be tried one by one.
    pub const GLOB: u8 = 2;

    /// In a template a byte from 1 to this stands for a field of that many bytes: twice as many upper-case hexadecimal
    /// digits. Behind the last field stands a pattern.
    pub const FIELD_MAX: u8 = 4;
    /// The largest key of the form [`FIELDS`], in bytes.
    pub const KEY_MAX: usize = 16;
}

/// Every blob begins at a multiple of this.
pub const BLOB_ALIGN: usize = 8;

/// What precedes the packed bytes of a module.
pub mod blob {
    /// [`fold`](crate::table::fold) of the two lengths and the packed bytes.
    pub const CHECKSUM: usize = 0;
    /// The length of the module, 32 bits.
    pub const RAW: usize = 8;
    /// The length of the packed bytes, 32 bits; equal to the module's where it is stored as it is.
    pub const PACKED: usize = 12;
    /// The size of this header.
    pub const HEADER: usize = 16;
}
