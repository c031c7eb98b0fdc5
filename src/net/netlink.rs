//! Messages of netlink: a head, a head of their kind, and attributes (include/uapi/linux/netlink.h).

use heapless::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::{self, Errno};

/// The size of the head.
const HEAD: usize = 16;

/// The kind of a message that holds an error, negative, or 0.
const ERROR: u16 = 2;

/// A request as it is being made.
pub struct Request(Vec<u8, 192>);

impl Request {
    /// The flag that asks for an answer to a request that has none of its own.
    pub const ACK: u16 = 4;

    /// A request of this kind, with the head of its kind.
    pub fn new(kind: u16, flags: u16, head: &[u32]) -> Request {
        const REQUEST: u16 = 1;
        let mut request = Request(Vec::new());
        // The length comes when it is known; number and sender are the kernel's to choose.
        request.push(&[0, pair(kind, flags | REQUEST), 0, 0]);
        request.push(head);
        request
    }

    /// Attributes that are to be the value of another.
    pub fn nested() -> Request {
        Request(Vec::new())
    }

    /// Adds an attribute, unless it is empty.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        if !value.is_empty() {
            self.push(&[pair(value.len() as u16 + 4, kind)]);
            let _ = self.0.extend_from_slice(value);
            let _ = self.0.resize(self.0.len().next_multiple_of(4), 0);
        }
    }

    /// Adds words.
    pub fn push(&mut self, words: &[u32]) {
        for word in words {
            let _ = self.0.extend_from_slice(&word.to_ne_bytes());
        }
    }

    /// What was added so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Two numbers that are one word of a message.
pub fn pair(first: u16, second: u16) -> u32 {
    let ([a, b], [c, d]) = (first.to_ne_bytes(), second.to_ne_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// Hands a request to the kernel, which does it at once; what it answers, without the head, as far as it fits.
pub fn exchange<'a>(socket: BorrowedFd, request: &mut Request, answer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let length = request.0.len() as u32;
    if let Some(head) = request.0.first_chunk_mut() {
        *head = length.to_ne_bytes();
    }
    io::write(socket, &request.0)?;
    let length = io::read(socket, &mut *answer)?;
    let (head, rest) = answer.get(..length).and_then(|answer| answer.split_at_checked(HEAD)).ok_or(Errno::PROTO)?;
    if head.get(4..6) == Some(&ERROR.to_ne_bytes()) {
        match i32::from_ne_bytes(rest.first_chunk().copied().unwrap_or_default()) {
            0 => {}
            error => return Err(Errno::from_raw_os_error(error.saturating_neg())),
        }
    }
    Ok(rest)
}

/// The value of the first attribute of a kind.
pub fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let word = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let length = usize::from(word(0)?);
        if word(2)? == wanted {
            return bytes.get(4..length);
        }
        bytes = bytes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_attributes_that_it_writes() {
        let mut request = Request::nested();
        request.attribute(2, b"nbd\0x");
        request.attribute(1, &0x1234_u16.to_ne_bytes());
        request.attribute(3, b"");
        let bytes = request.as_bytes();
        assert_eq!(attribute(bytes, 2), Some(&b"nbd\0x"[..]));
        assert_eq!(attribute(bytes, 1), Some(&0x1234_u16.to_ne_bytes()[..]));
        assert_eq!(attribute(bytes, 3), None);
        for length in 0..bytes.len() {
            // What is cut off is not there, and nothing else.
            assert_eq!(attribute(&bytes[..length], 1).is_some(), length >= 18, "{length}");
        }
        assert_eq!(attribute(&[0; 64], 1), None);
        assert_eq!(attribute(&[3, 0, 1, 0, 0, 0, 0, 0], 1), None);
    }
}
