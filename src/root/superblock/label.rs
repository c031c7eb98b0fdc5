//! The names that people give to file systems and partitions: what `root=LABEL=` and `root=PARTLABEL=` compare with.

use heapless::Vec;

/// The most that a label may have: btrfs's 256 bytes. f2fs's 512 UTF-16 units may be more; such a label is cut, and
/// then no longer matches, as it does not fit a kernel command line that says anything else either.
const CAPACITY: usize = 256;

/// A label: bytes of no promised encoding, since most file systems store what they were given. Empty where there is
/// none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label(Vec<u8, CAPACITY>);

impl Label {
    /// A label of bytes that ends at a NUL or with its field. White space at its end is padding, as it is to blkid.
    pub fn from_bytes(field: &[u8]) -> Self {
        let mut label = Self::default();
        for &byte in field.iter().take_while(|&&byte| byte != 0) {
            let _ = label.0.push(byte);
        }
        label.trimmed()
    }

    /// A label of little-endian UTF-16, kept as UTF-8; half a surrogate pair becomes U+FFFD.
    pub fn from_utf16(field: &[u8]) -> Self {
        let mut label = Self::default();
        let (units, _) = field.as_chunks();
        let units = units.iter().map(|&unit| u16::from_le_bytes(unit)).take_while(|&unit| unit != 0);
        for character in char::decode_utf16(units) {
            let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
            let _ = label.0.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        label.trimmed()
    }

    /// The label as it is stored, or its UTF-8 form where it is stored in UTF-16. It may hold anything but NUL:
    /// escape it before a terminal sees it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn trimmed(mut self) -> Self {
        let length = self.0.trim_ascii_end().len();
        self.0.truncate(length);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{CAPACITY, Label};

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn bytes_end_at_a_nul_or_with_the_field() {
        assert_eq!(Label::from_bytes(b"root\0\0\0\0").as_bytes(), b"root");
        assert_eq!(Label::from_bytes(b"exactlytwelv").as_bytes(), b"exactlytwelv");
        assert_eq!(Label::from_bytes(b"MY DISK    ").as_bytes(), b"MY DISK");
        assert_eq!(Label::from_bytes(b" \t \0x").as_bytes(), b"");
        assert!(Label::from_bytes(b"").is_empty());
    }

    #[test]
    fn utf16_becomes_utf8() {
        let name = "W\u{fc}rzel \u{1f427} \u{6839}";
        assert_eq!(Label::from_utf16(&utf16(name)).as_bytes(), name.as_bytes());
        assert_eq!(Label::from_utf16(&utf16("root\0rest")).as_bytes(), b"root");
        assert_eq!(Label::from_utf16(&[0x00, 0xd8, b'x', 0]).as_bytes(), "\u{fffd}x".as_bytes());
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(Label::from_bytes(&[b'a'; 300]).as_bytes().len(), CAPACITY);
        let long = Label::from_utf16(&utf16(&"\u{6839}".repeat(512)));
        assert_eq!(long.as_bytes(), "\u{6839}".repeat(CAPACITY / 3).as_bytes());
    }
}
