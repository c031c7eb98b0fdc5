//! NBD's negotiation as it travels: fixed newstyle, as the protocol's document has it
//! (github.com/NetworkBlockDevice/nbd, doc/proto.md). All numbers are big-endian.
//!
//! What a server says is read from bytes of exactly its size, so that no accessor fails; what it must not say is refused
//! when it is read.

use crate::report::Line;

/// What every server begins with; in the negotiation of old, which knew no names, something else follows.
const GREETING: [u8; 16] = *b"NBDMAGICIHAVEOPT";
/// What each option begins with.
const OPTION: &[u8] = b"IHAVEOPT";
/// What each reply to [`GO`] begins with.
const REPLY: [u8; 12] = [0, 3, 0xe8, 0x89, 4, 0x55, 0x65, 0xa9, 0, 0, 0, GO];

/// The option that asks for an export, and has replies.
pub const GO: u8 = 7;
/// The option that every server knows; the data phase begins with the answer, or the server hangs up.
pub const EXPORT_NAME: u8 = 1;

/// Kinds of replies.
pub mod reply {
    #![allow(missing_docs)]

    pub const ACK: u32 = 1;
    pub const INFO: u32 = 3;
    /// The bit of those that say no.
    pub const ERROR: u32 = 1 << 31;
    pub const UNSUPPORTED: u32 = ERROR | 1;
    pub const TLS_REQUIRED: u32 = ERROR | 5;
    pub const UNKNOWN: u32 = ERROR | 6;
    pub const SHUTDOWN: u32 = ERROR | 7;
}

/// The longest reply that is taken, in bytes; those of servers have some dozens, the protocol's longest text 4096.
pub const LONGEST_REPLY: u32 = 1 << 13;

/// What a server begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    flags: u8,
}

impl Greeting {
    /// The size of a greeting.
    pub const SIZE: usize = 18;

    /// Reads a greeting; none if it is one of another protocol, or of the negotiation of old.
    pub fn read(bytes: &[u8; Self::SIZE]) -> Option<Greeting> {
        bytes.starts_with(&GREETING).then_some(Greeting { flags: bytes[17] & 3 })
    }

    /// Whether the server answers to options that it does not know.
    pub fn is_fixed(self) -> bool {
        self.flags & 1 != 0
    }

    /// How many zeros follow the answer to [`EXPORT_NAME`].
    pub fn zeroes(self) -> u32 {
        if self.flags & 2 == 0 { 124 } else { 0 }
    }

    /// The client's answer: the flags that both know.
    pub fn answer(self) -> [u8; 4] {
        [0, 0, 0, self.flags]
    }
}

/// The message that asks for an export; by [`GO`] for the sizes of its blocks, too. It is cut off where the name is far
/// too long.
pub fn message(option: u8, name: &[u8]) -> Line {
    // One piece of information is asked for, that of number 3.
    const BLOCK_SIZES: &[u8] = &[0, 1, 0, 3];
    let length = |more: usize| ((name.len() + more) as u32).to_be_bytes();
    let whole = length(4 + BLOCK_SIZES.len());
    let (whole, asked): (&[u8], _) = if option == GO { (&whole, BLOCK_SIZES) } else { (b"", &b""[..]) };
    Line::of(&[OPTION, &[0, 0, 0, option], whole, &length(0), name, asked])
}

/// The head of a reply to [`GO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its kind, one of those in [`reply`] or another.
    pub kind: u32,
    /// How many bytes follow.
    pub length: u32,
}

impl Reply {
    /// The size of a head.
    pub const SIZE: usize = 20;

    /// Reads a head; none if it is no such thing, or of a reply that is too long.
    pub fn read(bytes: &[u8; Self::SIZE]) -> Option<Reply> {
        let reply = Reply { kind: number(&bytes[12..16]) as u32, length: number(&bytes[16..]) as u32 };
        (bytes.starts_with(&REPLY) && reply.length <= LONGEST_REPLY).then_some(reply)
    }
}

/// What is known of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// Its size in bytes.
    pub size: u64,
    /// What can be done with it, as the kernel takes it (include/uapi/linux/nbd.h).
    pub flags: u16,
    /// The least size of a block that the server takes, in bytes; 0 where it did not say.
    pub least_block: u32,
}

impl Export {
    /// The size of the answer to [`EXPORT_NAME`].
    pub const SIZE: usize = 10;

    /// Takes size and flags, as they follow [`EXPORT_NAME`].
    pub fn take(&mut self, bytes: &[u8; Self::SIZE]) {
        self.size = number(&bytes[..8]);
        self.flags = number(&bytes[8..]) as u16;
    }

    /// Takes a piece of information; nothing if it is too short. What is not known is passed over.
    pub fn take_information(&mut self, bytes: &[u8]) -> Option<()> {
        match bytes {
            [0, 0, rest @ ..] => self.take(rest.first_chunk()?),
            [0, 3, a, b, c, d, ..] => self.least_block = u32::from_be_bytes([*a, *b, *c, *d]),
            [] | [_] | [0, 3, ..] => return None,
            _ => {}
        }
        Some(())
    }

    /// Whether it can be a disk: of at least a sector, no larger than the kernel counts, with blocks that fit into a
    /// page of any machine, as the kernel wants them (block/blk-settings.c).
    pub fn is_sound(&self) -> bool {
        const PAGE: u32 = 4096;
        const HAS_FLAGS: u16 = 1;
        let block = self.least_block.max(1);
        let is_disk = self.size >= 512 && self.size <= i64::MAX as u64;
        is_disk && block.is_power_of_two() && block <= PAGE && self.flags & HAS_FLAGS != 0
    }
}

/// The number that bytes, at most eight, stand for.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
