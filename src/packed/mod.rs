//! A program packed into a smaller one that unpacks it: what the builder writes and the stub (`src/stub.rs`) undoes.
//!
//! The packed program is one segment of memory, its file as a whole. On x86 calls in it are made [absolute](branches); the
//! result is deflated. Both are a matter of bytes alone: the host runs the very code that starts the loader.

pub mod branches;

use crate::module::inflate::{Corrupt, inflate};
use crate::table::fold;

/// A [`Header`] begins at a multiple of this, behind the stub's own bytes.
pub const ALIGNMENT: usize = 8;

/// What a stub says when it cannot unpack its program; and what tells that a program is a stub.
pub const COMPLAINT: &[u8] = b"modstrap: the packed loader is damaged, or there is no memory for it\n";

/// The size of a [`Header`].
pub const HEADER: usize = 32;

/// What stands before the stream, in the numbers of the machine that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where in memory the program belongs, at the beginning of a page.
    pub address: u64,
    /// Its size.
    pub length: u64,
    /// The size of the stream, with [what follows it](crate::module::inflate::PADDING).
    pub packed: u64,
    /// The [checksum](fold) of the program.
    pub checksum: u64,
}

impl Header {
    /// Reads one.
    pub fn parse(bytes: &[u8; HEADER]) -> Header {
        let mut numbers = [0; HEADER / 8];
        for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks().0) {
            *number = u64::from_ne_bytes(*bytes);
        }
        let [address, length, packed, checksum] = numbers;
        Header { address, length, packed, checksum }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let numbers = [self.address, self.length, self.packed, self.checksum];
        for (bytes, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
            *bytes = number.to_ne_bytes();
        }
        bytes
    }

    /// Unpacks the stream into memory of the program's size. `is_x86` says whether it is for such a machine.
    pub fn unpack(&self, padded: &[u8], program: &mut [u8], is_x86: bool) -> Result<(), Corrupt> {
        inflate(padded, program)?;
        if is_x86 {
            branches::to_relative(program);
        }
        if fold(program) == self.checksum { Ok(()) } else { Err(Corrupt) }
    }
}
