//! DHCP messages as they travel: RFC 2131 and RFC 2132 inside UDP and IPv4.
//!
//! [`Message`] is a view over bytes that were checked once: no accessor fails. What is malformed is no message at all.

use heapless::Vec;

use crate::net::address::Address;

/// The longest packet that is sent: what every IPv4 host takes (RFC 791).
const SENT: usize = 576;

/// The longest packet that is taken: what an Ethernet frame carries. Servers are told so.
pub const RECEIVED: usize = 1500;

/// Room for the IPv4 and the UDP header.
const HEADERS: usize = 28;

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Where the fields lie (RFC 2131, 2). All before the options are always there.
mod field {
    use core::ops::Range;

    pub const OPERATION: usize = 0;
    pub const HARDWARE_TYPE: usize = 1;
    pub const HARDWARE_LENGTH: usize = 2;
    pub const ID: Range<usize> = 4..8;
    pub const YOURS: Range<usize> = 16..20;
    pub const SERVER: Range<usize> = 20..24;
    pub const HARDWARE: Range<usize> = 28..34;
    pub const SERVER_NAME: Range<usize> = 44..108;
    pub const FILE: Range<usize> = 108..236;
    pub const COOKIE: Range<usize> = 236..240;
    pub const OPTIONS: usize = 240;
}

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const ETHERNET: u8 = 1;

/// Options, by their numbers in RFC 2132 and, the last, RFC 3442.
pub mod option {
    #![allow(missing_docs)]

    pub const PAD: u8 = 0;
    pub const MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const NAME_SERVERS: u8 = 6;
    pub const HOST_NAME: u8 = 12;
    pub const DOMAIN: u8 = 15;
    pub const ROOT_PATH: u8 = 17;
    pub const MTU: u8 = 26;
    pub const BROADCAST: u8 = 28;
    pub const TIME_SERVERS: u8 = 42;
    pub const REQUESTED: u8 = 50;
    pub const LEASE_TIME: u8 = 51;
    pub const OVERLOAD: u8 = 52;
    pub const KIND: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const PARAMETERS: u8 = 55;
    pub const LONGEST: u8 = 57;
    pub const VENDOR_CLASS: u8 = 60;
    pub const CLIENT_ID: u8 = 61;
    pub const ROUTES: u8 = 121;
    pub const END: u8 = 255;
}

/// What a message is, by the number of its option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who has an address for me?
    Discover = 1,
    /// I do.
    Offer = 2,
    /// I take it.
    Request = 3,
    /// It is yours.
    Ack = 5,
    /// It is not.
    Nak = 6,
}

/// A server's message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    head: &'a [u8; field::OPTIONS],
    options: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message that an IPv4 packet carries to a client: nothing if it carries none, or one that is malformed in any
    /// of its headers or options.
    ///
    /// The UDP checksum is left out, as the kernel leaves it out (net/ipv4/ipconfig.c): in packets between guests of one
    /// machine it is often not filled in.
    pub fn parse(packet: &'a [u8]) -> Option<Message<'a>> {
        let (head, options) = datagram(packet)?.split_first_chunk::<{ field::OPTIONS }>()?;
        let message = Message { head, options };
        let is_reply = head[field::OPERATION] == REPLY
            && head[field::HARDWARE_TYPE] == ETHERNET
            && head[field::HARDWARE_LENGTH] == 6
            && head[field::COOKIE] == COOKIE;
        (is_reply && message.visit_all(&mut |_, _| ())).then_some(message)
    }

    /// The number of the exchange that it belongs to.
    pub fn id(&self) -> u32 {
        let [a, b, c, d] = self.array(field::ID.start);
        u32::from_be_bytes([a, b, c, d])
    }

    /// The hardware address of the client that it is for.
    pub fn hardware(&self) -> [u8; 6] {
        self.array(field::HARDWARE.start)
    }

    /// The address for the client.
    pub fn yours(&self) -> Address {
        Address::of(&self.head[field::YOURS])
    }

    /// The server to boot from.
    pub fn next_server(&self) -> Address {
        Address::of(&self.head[field::SERVER])
    }

    /// The file to boot; empty where the field holds options.
    pub fn file(&self) -> &'a [u8] {
        if self.overload() & 1 == 0 { until_nul(&self.head[field::FILE]) } else { b"" }
    }

    /// What it is, by its number; none where it is of the older BOOTP.
    pub fn kind(&self) -> Option<u8> {
        self.first(option::KIND).first().copied()
    }

    /// The first occurrence of an option; empty if there is none.
    pub fn first(&self, number: u8) -> &'a [u8] {
        let mut found: Option<&[u8]> = None;
        self.visit(&mut |other, value| {
            if other == number && found.is_none() {
                found = Some(value);
            }
        });
        found.unwrap_or_default()
    }

    /// The address that an option holds, or the `index`th of several.
    pub fn address(&self, number: u8, index: usize) -> Address {
        let bytes = self.first(number).get(index * 4..).and_then(|rest| rest.get(..4));
        Address::of(bytes.unwrap_or_default())
    }

    /// A number, however many bytes it has; 0 if there is none.
    pub fn number(&self, number: u8) -> u32 {
        self.first(number).iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    /// Calls `visit` with each option, in order: those of the options field, then those of the fields that the message
    /// overloads. Of an option that is too long for one the parts follow one another (RFC 3396).
    pub fn visit(&self, visit: &mut dyn FnMut(u8, &'a [u8])) {
        self.visit_all(visit);
    }

    /// The same; whether all areas are well-formed.
    fn visit_all(&self, visit: &mut dyn FnMut(u8, &'a [u8])) -> bool {
        let overload = self.overload();
        let mut is_sound = options(self.options, visit);
        for (bit, area) in [(1, field::FILE), (2, field::SERVER_NAME)] {
            is_sound &= overload & bit == 0 || options(self.head.get(area).unwrap_or_default(), visit);
        }
        is_sound
    }

    fn overload(&self) -> u8 {
        let mut overload = 0;
        options(self.options, &mut |number, value| {
            if let (option::OVERLOAD, [value]) = (number, value) {
                overload = *value;
            }
        });
        overload
    }

    fn array<const N: usize>(&self, start: usize) -> [u8; N] {
        self.head.get(start..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
    }
}

/// Calls `visit` with the options of an area. Whether none reaches beyond it; the end need not be marked.
fn options<'a>(mut area: &'a [u8], visit: &mut dyn FnMut(u8, &'a [u8])) -> bool {
    while let Some((&number, rest)) = area.split_first() {
        area = rest;
        match number {
            option::PAD => continue,
            option::END => break,
            _ => {}
        }
        let Some((value, rest)) =
            rest.split_first().and_then(|(&length, rest)| rest.split_at_checked(usize::from(length)))
        else {
            return false;
        };
        visit(number, value);
        area = rest;
    }
    true
}

/// What stands before the first NUL.
fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The payload of an IPv4 packet, if it is a whole UDP datagram from a server's port to a client's.
fn datagram(packet: &[u8]) -> Option<&[u8]> {
    const UDP: u8 = 17;
    // More fragments, and the offset of this one.
    const FRAGMENT: u16 = 0x3fff;
    let word = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let first = *packet.first()?;
    let header = usize::from(first & 15) * 4;
    let packet = packet.get(..usize::from(word(packet, 2)?))?;
    let is_udp = first >> 4 == 4
        && header >= 20
        && word(packet, 6)? & FRAGMENT == 0
        && packet.get(9) == Some(&UDP)
        && checksum(packet.get(..header)?) == 0;
    let datagram = packet.get(header..)?;
    let is_for_client = word(datagram, 0)? == SERVER_PORT && word(datagram, 2)? == CLIENT_PORT;
    let datagram = datagram.get(..usize::from(word(datagram, 4)?))?;
    if is_udp && is_for_client { datagram.get(8..) } else { None }
}

/// The checksum of an IPv4 header: 0 over one that holds its own (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let pairs = header.chunks(2).filter_map(|pair| Some(u16::from_be_bytes(*pair.first_chunk()?)));
    let mut sum: u32 = pairs.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The headers, but for lengths and checksum: of IPv4 version and length, time to live, UDP, from nobody to all; then the ports,
/// and no checksum of UDP.
const HEADER: &[u8; HEADERS] = b"\x45\0\0\0\0\0\0\0\x40\x11\0\0\0\0\0\0\xff\xff\xff\xff\0\x44\0\x43\0\0\0\0";

/// A client's message, as an IPv4 packet to all.
pub struct Sent(Vec<u8, SENT>);

impl Sent {
    /// The shortest message that old relays and servers take (RFC 1542, 2.1).
    const SHORTEST: usize = HEADERS + 300;

    /// A message without options.
    pub fn new(id: u32, seconds: u16, hardware: &[u8; 6]) -> Sent {
        let mut sent = Sent(Vec::new());
        sent.fill(HEADERS);
        sent.push(&[REQUEST, ETHERNET, 6, 0]);
        sent.push(&id.to_be_bytes());
        sent.push(&seconds.to_be_bytes());
        sent.fill(HEADERS + field::HARDWARE.start);
        sent.push(hardware);
        sent.fill(HEADERS + field::COOKIE.start);
        sent.push(&COOKIE);
        sent
    }

    /// Adds an option, if it fits and holds anything.
    pub fn option(&mut self, number: u8, value: &[u8]) {
        // The end takes a byte.
        let fits = self.0.len() + value.len() + 3 <= SENT && value.len() <= 255;
        if fits && !value.is_empty() {
            self.push(&[number, value.len() as u8]);
            self.push(value);
        }
    }

    /// Ends it; the packet.
    pub fn finish(&mut self) -> &[u8] {
        self.push(&[option::END]);
        self.fill(Self::SHORTEST);
        let length = self.0.len() as u16;
        if let Some((header, _)) = self.0.split_first_chunk_mut::<HEADERS>() {
            *header = *HEADER;
            header[2..4].copy_from_slice(&length.to_be_bytes());
            header[24..26].copy_from_slice(&(length - 20).to_be_bytes());
            let sum = checksum(&header[..20]).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
        }
        &self.0
    }

    /// Adds zeros, up to this length.
    fn fill(&mut self, length: usize) {
        while self.0.len() < length && self.0.push(0).is_ok() {}
    }

    fn push(&mut self, bytes: &[u8]) {
        let _ = self.0.extend_from_slice(bytes);
    }
}
