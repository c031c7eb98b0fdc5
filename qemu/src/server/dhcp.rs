//! A DHCP server for tests, which gives what it is told to, and behaves as it is told to.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use super::peer::Handler;

/// How a server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should.
    #[default]
    Honest,
    /// It never answers.
    Silent,
    /// It offers, and refuses what it has offered.
    Refusing,
    /// It offers, and then says nothing.
    Forgetful,
    /// Its packets are damaged: each in another way, and all options beyond their field.
    Garbled,
}

/// A server.
#[derive(Clone, Debug)]
pub struct Dhcp {
    /// How it behaves.
    pub behaviour: Behaviour,
    /// Its own address.
    pub server: Ipv4Addr,
    /// The address that it gives.
    pub client: Ipv4Addr,
    /// The relay between it and the client, which puts itself and its circuit (RFC 3046) into each answer.
    pub relay: Option<Ipv4Addr>,
    /// `siaddr`.
    pub next_server: Ipv4Addr,
    /// Options beside the message's kind and the server's identity.
    pub options: Vec<(u8, Vec<u8>)>,
    /// Options in the field of the file.
    pub overloaded: Vec<(u8, Vec<u8>)>,
    /// Of a hundred packets so many are lost, either way.
    pub loss: u64,
    /// How often it was asked, by the kind of message.
    pub asked: Arc<Mutex<Vec<u8>>>,
}

impl Default for Dhcp {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::Honest,
            server: Ipv4Addr::new(192, 168, 77, 1),
            client: Ipv4Addr::new(192, 168, 77, 20),
            relay: None,
            next_server: Ipv4Addr::UNSPECIFIED,
            options: vec![(1, vec![255, 255, 255, 0]), (3, vec![192, 168, 77, 1]), (51, vec![0, 0, 14, 16])],
            overloaded: Vec::new(),
            loss: 0,
            asked: Arc::default(),
        }
    }
}

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// Where an Ethernet frame's IPv4 packet begins, and where that packet's DHCP message does.
const IP: usize = 14;
const DHCP: usize = IP + 28;

impl Dhcp {
    /// Servers on one wire; those named first answer first.
    pub fn serve(servers: Vec<Dhcp>) -> Handler {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        Box::new(move |frame| servers.iter().filter_map(|server| server.answer(frame, &mut random)).collect())
    }

    /// The same on a virtual wire of this number (IEEE 802.1Q): frames without its tag are not for them.
    pub fn serve_tagged(number: u16, servers: Vec<Dhcp>) -> Handler {
        let mut untagged = Self::serve(servers);
        let [high, low] = number.to_be_bytes();
        let tag = [0x81, 0, high, low];
        Box::new(move |frame| match frame.get(12..16) {
            Some(found) if found == tag => {
                let answers = untagged(&[&frame[..12], &frame[16..]].concat()).into_iter();
                answers.map(|answer| [&answer[..12], &tag, &answer[12..]].concat()).collect()
            }
            _ => Vec::new(),
        })
    }

    fn answer(&self, frame: &[u8], random: &mut u64) -> Option<Vec<u8>> {
        let is_request = frame.get(12..14)? == [8, 0]
            && frame.get(IP + 9)? == &17
            && frame.get(IP + 22..IP + 24)? == 67_u16.to_be_bytes()
            && frame.get(DHCP)? == &1;
        let kind = option(frame.get(DHCP + 240..)?, 53)?.first().copied().filter(|_| is_request)?;
        if self.loses(random) {
            return None;
        }
        self.asked.lock().ok()?.push(kind);
        let server = option(&frame[DHCP + 240..], 54);
        let reply = match (kind, self.behaviour) {
            (_, Behaviour::Silent) | (REQUEST, Behaviour::Forgetful) => return None,
            (DISCOVER, _) => OFFER,
            (REQUEST, _) if server != Some(&self.server.octets()[..]) => return None,
            (REQUEST, Behaviour::Refusing) => NAK,
            (REQUEST, _) => ACK,
            _ => return None,
        };
        let mut reply = self.reply(frame, reply);
        if self.behaviour == Behaviour::Garbled {
            // Somewhere in the headers, and the length of the first option.
            let at = IP + (next(random) % 20) as usize;
            reply[at] ^= 1 << (next(random) % 8);
            reply[DHCP + 241] = 255;
        }
        (!self.loses(random)).then_some(reply)
    }

    fn loses(&self, random: &mut u64) -> bool {
        next(random) % 100 < self.loss
    }

    /// An Ethernet frame with an answer to the client whose frame this was.
    fn reply(&self, frame: &[u8], kind: u8) -> Vec<u8> {
        let mut message = frame[DHCP..DHCP + 240].to_vec();
        message[0] = 2;
        message[16..20].copy_from_slice(&self.client.octets());
        message[20..24].copy_from_slice(&self.next_server.octets());
        let mut overloaded = encode(&self.overloaded);
        let mut options = vec![(53, vec![kind]), (54, self.server.octets().to_vec())];
        if !overloaded.is_empty() {
            options.push((52, vec![1]));
            overloaded.push(255);
            message[108..108 + overloaded.len()].copy_from_slice(&overloaded);
        }
        options.extend(self.options.iter().cloned());
        if let Some(relay) = self.relay {
            message[3] = 1;
            message[24..28].copy_from_slice(&relay.octets());
            options.push((82, b"\x01\x04port\x02\x03mac".to_vec()));
        }
        message.extend(encode(&options));
        message.push(255);
        message.resize(message.len().max(300), 0);
        self.packet(&frame[6..12], &message)
    }

    fn packet(&self, to: &[u8], message: &[u8]) -> Vec<u8> {
        let length = |more: usize| u16::try_from(message.len() + more).unwrap_or(u16::MAX).to_be_bytes();
        let mut header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&length(28));
        header[12..16].copy_from_slice(&self.relay.unwrap_or(self.server).octets());
        header[16..20].copy_from_slice(&self.client.octets());
        let words = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum = words.sum::<u32>();
        let sum = (sum & 0xffff) + (sum >> 16);
        header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        let [high, low] = length(8);
        let udp = [0, 67, 0, 68, high, low, 0, 0];
        [to, &[0x02, 0, 0, 0, 0, 1], &[8, 0], &header, &udp, message].concat()
    }
}

fn encode(options: &[(u8, Vec<u8>)]) -> Vec<u8> {
    options.iter().flat_map(|(number, value)| [&[*number, value.len() as u8], value.as_slice()].concat()).collect()
}

/// The value of an option.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [number, rest @ ..] = options {
        options = match (number, rest) {
            (0, rest) => rest,
            (255, _) => return None,
            (number, [length, rest @ ..]) => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if *number == wanted {
                    return Some(value);
                }
                rest
            }
            _ => return None,
        };
    }
    None
}

/// Numbers without order, the same at every run (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}
