//! The string section: each text once.

use std::collections::HashMap;

use anyhow::{Result, bail};

/// The section in the making.
pub(super) struct Strings {
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
}

impl Strings {
    pub(super) fn new() -> Self {
        let mut strings = Strings { bytes: Vec::new(), known: HashMap::new() };
        strings.add(&[], 0);
        strings
    }

    /// Where a text stands; it is added where it is new.
    pub(super) fn reference(&mut self, text: &[u8]) -> Result<u32> {
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

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
