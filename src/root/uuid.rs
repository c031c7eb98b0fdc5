//! The identifiers that `root=UUID=` and `root=PARTUUID=` compare with, kept as the text that blkid prints.
//!
//! Each file system has its own form (16 bytes, a serial number of 4 or 8 bytes, a date); text is what they have in
//! common, and what the user typed. Where the bytes lie is the business of the superblocks and the partition tables.

use heapless::String;

/// The longest form is LVM's: 32 characters in seven groups.
const CAPACITY: usize = 38;

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// An identifier in its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uuid(String<CAPACITY>);

/// Where an identifier has its dashes: bit N stands for the Nth character of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dashes(u64);

impl Dashes {
    /// None, or those that the text itself has.
    pub const NONE: Self = Self(0);
    /// The usual form, 8-4-4-4-12.
    const UUID: Self = Self::after(&[8, 4, 4, 4]);

    /// A dash after each group of so many characters.
    pub const fn after(mut groups: &[u8]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while let [length, rest @ ..] = groups {
            at += *length;
            bits |= 1 << at;
            at += 1;
            groups = rest;
        }
        Self(bits)
    }
}

impl Uuid {
    /// A UUID whose bytes are stored in the order in which they are written: nearly every file system's.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_hex(&bytes, LOWER, Dashes::UUID)
    }

    /// A GUID as GPT stores it: the first three groups are little-endian (UEFI 2.10, appendix A).
    pub fn from_guid(guid: [u8; 16]) -> Self {
        const ORDER: [u8; 16] = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        Self::from_bytes(ORDER.map(|at| guid[usize::from(at & 15)]))
    }

    /// A serial number of four bytes, `ABCD-1234`: FAT and exFAT.
    pub fn from_serial32(serial: u32) -> Self {
        Self::from_hex(&serial.to_be_bytes(), UPPER, const { Dashes::after(&[4]) })
    }

    /// A serial number of eight bytes, without dashes: NTFS.
    pub fn from_serial64(serial: u64) -> Self {
        Self::from_hex(&serial.to_be_bytes(), UPPER, Dashes::NONE)
    }

    /// An identifier that is stored as text, up to the first byte that is no visible ASCII.
    pub fn from_text(text: &[u8], dashes: Dashes) -> Self {
        let mut uuid = Self(String::new());
        for &character in text.iter().take_while(|byte| byte.is_ascii_graphic()) {
            uuid.push(character, dashes);
        }
        uuid
    }

    /// The kernel's identifier of an MBR partition, `ssssssss-pp`: the disk's signature and the partition's number,
    /// both in hexadecimal (block/partitions/msdos.c).
    pub fn from_mbr(signature: u32, number: u8) -> Self {
        let [a, b, c, d] = signature.to_be_bytes();
        Self::from_hex(&[a, b, c, d, number], LOWER, const { Dashes::after(&[8]) })
    }

    /// The identifier as blkid prints it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a user's text is this identifier, in whichever case it was typed.
    pub fn matches(&self, text: &[u8]) -> bool {
        // Byte by byte: the slice's own comparison is vectorised, and four times as large.
        self.0.len() == text.len() && self.0.bytes().zip(text).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Whether it identifies nothing: tools that set no identifier leave zeros.
    pub fn is_blank(&self) -> bool {
        self.0.bytes().all(|character| matches!(character, b'0' | b'-'))
    }

    fn from_hex(bytes: &[u8], digits: &[u8; 16], dashes: Dashes) -> Self {
        let mut uuid = Self(String::new());
        for &byte in bytes {
            uuid.push(digits[usize::from(byte >> 4)], dashes);
            uuid.push(digits[usize::from(byte & 15)], dashes);
        }
        uuid
    }

    /// Appends a character, after a dash where one belongs. Past the capacity nothing is written, which only the text
    /// in a damaged superblock can reach.
    fn push(&mut self, character: u8, dashes: Dashes) {
        if dashes.0 >> self.0.len() & 1 != 0 {
            let _ = self.0.push('-');
        }
        let _ = self.0.push(char::from(character & 0x7f));
    }
}
#[cfg(test)]
mod tests {
    use super::{CAPACITY, Dashes, Uuid};

    const BYTES: [u8; 16] =
        [0xc1, 0x2a, 0x73, 0x28, 0xf8, 0x1f, 0x11, 0xd2, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

    #[test]
    fn each_form_is_written_as_blkid_writes_it() {
        assert_eq!(Uuid::from_bytes(BYTES).as_str(), "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        assert_eq!(Uuid::from_guid(BYTES).as_str(), "28732ac1-1ff8-d211-ba4b-00a0c93ec93b");
        assert_eq!(Uuid::from_serial32(0xabcd_1234).as_str(), "ABCD-1234");
        assert_eq!(Uuid::from_serial64(0xf102_0304_0506_0708).as_str(), "F102030405060708");
        assert_eq!(Uuid::from_mbr(0x00ab_cd01, 17).as_str(), "00abcd01-11");
        let date = Uuid::from_text(b"2026112300", Dashes::after(&[4, 2, 2]));
        assert_eq!(date.as_str(), "2026-11-23-00");
    }

    #[test]
    fn comparing_ignores_case_and_nothing_else() {
        let uuid = Uuid::from_bytes(BYTES);
        assert!(uuid.matches(b"c12a7328-f81f-11d2-ba4b-00a0c93ec93b"));
        assert!(uuid.matches(b"C12A7328-F81F-11D2-BA4B-00A0C93EC93B"));
        assert!(!uuid.matches(b"c12a7328f81f11d2ba4b00a0c93ec93b"));
        assert!(!uuid.matches(b"c12a7328-f81f-11d2-ba4b-00a0c93ec93"));
        assert!(!uuid.matches(b" c12a7328-f81f-11d2-ba4b-00a0c93ec93b"));
        assert!(!uuid.matches(b"c12a7328-f81f-11d2-ba4b-00a0c93ec93b\0"));
        assert!(!uuid.matches(b""));
        assert!(Uuid::from_serial32(0xabcd_1234).matches(b"abcd-1234"));
    }

    #[test]
    fn text_is_cut_at_what_cannot_be_printed_and_at_the_capacity() {
        let text = |bytes| Uuid::from_text(bytes, Dashes::NONE);
        assert_eq!(text(b"ab\x1b[0m").as_str(), "ab");
        assert_eq!(text(b"ab\xffcd").as_str(), "ab");
        assert_eq!(text(&[b'x'; 300]).as_str().len(), CAPACITY);
    }

    #[test]
    fn zeros_and_nothing_identify_nothing() {
        assert!(Uuid::from_bytes([0; 16]).is_blank());
        assert!(Uuid::from_serial32(0).is_blank());
        assert!(Uuid::from_text(b"\0ab", Dashes::NONE).is_blank());
        assert!(!Uuid::from_bytes(BYTES).is_blank());
        assert!(!Uuid::from_serial32(0x10).is_blank());
    }
}
