//! Internet addresses, of either family, as the command line and the wire have them.

use crate::report::Line;
use crate::text::{parse_number, split, split_once};

/// An address, or none: sixteen bytes as IPv6 has them, those of IPv4 mapped (RFC 4291, 2.5.5.2), or zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address([u8; 16]);

/// What stands before an address of IPv4.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

impl Address {
    /// No address.
    pub const NONE: Address = Address([0; 16]);

    /// The address of four or sixteen bytes; of other lengths, and of nothing but zeros, none.
    #[inline(never)]
    pub fn of(bytes: &[u8]) -> Address {
        let mut address = Address::NONE;
        if let Ok(bytes) = bytes.try_into() {
            address.0 = bytes;
        } else if let [a, b, c, d] = *bytes
            && bytes != [0; 4]
        {
            address.0 = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
        }
        address
    }

    /// Reads `10.0.2.15`, `2001:db8::5` or the latter in brackets. None where it is neither; the unspecified address is
    /// [`Self::NONE`], as the kernel has it.
    pub fn parse(text: &[u8]) -> Option<Address> {
        let text = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")).unwrap_or(text);
        parse_v4(text).or_else(|| parse_v6(text))
    }

    /// Its bytes, the most significant one first; of none, none.
    pub fn as_bytes(&self) -> &[u8] {
        if self.is_none() { b"" } else { self.0.strip_prefix(&MAPPED).unwrap_or(&self.0) }
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.0 == [0; 16]
    }

    /// Whether it is one of IPv6.
    pub fn is_v6(&self) -> bool {
        self.as_bytes().len() == 16
    }

    /// This one, or where it is none, the other.
    pub fn or(self, other: Address) -> Address {
        if self.is_none() { other } else { self }
    }

    /// The four bytes of an IPv4 address; zeros for any other.
    pub fn v4(&self) -> [u8; 4] {
        self.as_bytes().try_into().unwrap_or_default()
    }

    /// Adds the address as people write it; for none, the unspecified one of IPv4.
    pub fn push_to(&self, line: &mut Line) {
        if self.is_v6() {
            for (at, byte) in self.0.iter().enumerate() {
                if at > 0 && at.is_multiple_of(2) {
                    line.push(b":");
                }
                line.push(&hex(*byte));
            }
            return;
        }
        for (at, byte) in self.v4().into_iter().enumerate() {
            if at > 0 {
                line.push(b".");
            }
            line.push_number(byte.into());
        }
    }
}

/// The two digits of a byte.
pub fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

/// The number that hexadecimal digits are, if there are one to four of them.
pub fn parse_hex(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    text.iter().try_fold(0, |number: u16, byte| Some(number << 4 | u16::try_from(digit(byte)?).ok()?))
}

/// Reads bytes whose digits stand in pairs, the first digits of two pairs so many bytes apart.
#[inline(never)]
pub fn parse_bytes(text: &[u8], apart: usize, bytes: &mut [u8]) -> Option<()> {
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(apart)) {
        *byte = parse_hex(digits.get(..2)?)? as u8;
    }
    Some(())
}

/// A hardware address of Ethernet, with colons or dashes between the bytes. No name of a link is as long.
#[inline(never)]
pub fn parse_hardware(text: &[u8]) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    parse_bytes(text, 3, &mut bytes).filter(|()| text.len() == 17).map(|()| bytes)
}

/// The server that a text begins with, as the kernel tells one (net/ipv4/ipconfig.c, `root_nfs_parse_addr`), and what
/// stands behind its colon: an address, or a name before an absolute path. One of IPv6 stands in brackets.
pub fn server(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.starts_with(b"[") {
        let end = text.iter().position(|byte| *byte == b']')?;
        return Some((text.get(..=end)?, text.get(end + 1..)?.strip_prefix(b":")?));
    }
    let (server, rest) = split_once(text, b':').unwrap_or((text, b""));
    let is_server = Address::parse(server).is_some() || rest.starts_with(b"/") && !server.is_empty();
    (is_server && !text.starts_with(b"/")).then_some((server, rest))
}

fn parse_v4(text: &[u8]) -> Option<Address> {
    let mut bytes = [0; 4];
    let mut parts = split(text, b'.');
    for byte in &mut bytes {
        *byte = u8::try_from(parts.next().and_then(parse_number)?).ok()?;
    }
    parts.next().is_none().then(|| Address::of(&bytes))
}

/// RFC 4291, 2.2, without the form that ends in an IPv4 address.
fn parse_v6(text: &[u8]) -> Option<Address> {
    let mut bytes = [0; 16];
    // Two colons stand for one group of zeros at least.
    let (head, tail, most) = match text.windows(2).position(|pair| pair == b"::") {
        Some(gap) => (text.get(..gap)?, text.get(gap + 2..)?, 14),
        None => (text, &b""[..], 16),
    };
    let (begin, end) = (length(head), length(tail));
    if begin + end > most || most == 16 && begin < 16 {
        return None;
    }
    parse_groups(head, bytes.get_mut(..begin)?)?;
    parse_groups(tail, bytes.get_mut(16 - end..)?)?;
    Some(Address::of(&bytes))
}

/// How many bytes groups with colons between are.
fn length(groups: &[u8]) -> usize {
    if groups.is_empty() { 0 } else { 2 * split(groups, b':').count() }
}

/// Reads as many groups as there is room for.
fn parse_groups(text: &[u8], bytes: &mut [u8]) -> Option<()> {
    for (pair, group) in bytes.chunks_exact_mut(2).zip(split(text, b':')) {
        pair.copy_from_slice(&parse_hex(group)?.to_be_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn reads_addresses_as_the_standard_library_does() {
        let texts = [
            "10.0.2.15",
            "255.255.255.255",
            "256.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "",
            "a.b.c.d",
            "1..2.3",
            " 1.2.3.4",
            "::1",
            "1::",
            "::",
            "2001:db8::5",
            "fe80::5054:ff:fe12:3456",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8:9",
            "1::2::3",
            ":::",
            "1:",
            ":1",
            ":",
            "1:2",
            "12345::",
            "g::",
            "1:::2",
            "::1:",
            ":1::",
            "0:0:0:0:0:0:0:1",
            "1:2:3:4::5:6:7:8",
        ];
        for text in texts {
            let v4 = text.parse::<Ipv4Addr>().ok().map(|address| Address::of(&address.octets()));
            let v6 = text.parse::<Ipv6Addr>().ok().map(|address| Address::of(&address.octets()));
            let expected = v4.or(v6);
            assert_eq!(Address::parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(Address::parse(b"[2001:db8::5]"), Address::parse(b"2001:db8::5"));
    }

    #[test]
    fn writes_what_it_reads() {
        let written = |address: &Address| {
            let mut line = Line::new();
            address.push_to(&mut line);
            String::from_utf8(line.as_bytes().to_vec()).unwrap()
        };
        for text in ["10.0.2.15", "0.0.0.0", "255.255.255.0"] {
            assert_eq!(written(&Address::parse(text.as_bytes()).unwrap()), text);
        }
        let address = Address::parse(b"2001:db8::5").unwrap();
        let text = written(&address);
        assert_eq!(text, "2001:0db8:0000:0000:0000:0000:0000:0005");
        assert_eq!(text.parse::<Ipv6Addr>().unwrap().octets(), address.as_bytes());
    }
}
