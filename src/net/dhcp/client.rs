//! The client's side of an exchange: what to send when, and which answers count. Pure: packets and times in, packets and
//! a lease out. Times are in milliseconds.

use super::wire::{Kind, Message, Sent, option};
use crate::net::address::Address;
use crate::net::ip::Method;
use crate::net::lease::{Lease, prefix, role, text};
use crate::text::split;

/// The first pause between two attempts; it doubles up to [`LONGEST_PAUSE`]. RFC 2131 wishes for 4 seconds at first, for
/// networks of its day; the kernel's own client takes 2.
const PAUSE: u64 = 1000;

/// The longest pause.
const LONGEST_PAUSE: u64 = 4000;

/// By how much a pause may be longer.
const SPREAD: u64 = 256;

/// How many requests for one offer are sent before all begins anew.
const REQUESTS: u8 = 3;

/// For how many messages a server that did not keep its word is passed over: there may be no other.
const SHUNNED: u8 = 2;

/// What is asked for, the mandatory first.
const PARAMETERS: [u8; 10] = [
    option::MASK,
    option::ROUTES,
    option::ROUTERS,
    option::NAME_SERVERS,
    option::HOST_NAME,
    option::DOMAIN,
    option::ROOT_PATH,
    option::MTU,
    option::BROADCAST,
    option::TIME_SERVERS,
];

/// What was sent and heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u32,
    /// Offers and leases for this client.
    pub offers: u32,
    /// Refusals.
    pub refusals: u32,
    /// Packets from the servers' port, by whatever link, that were no answer to this client, or malformed.
    pub dropped: u32,
}

#[derive(Clone, Copy)]
struct Offer {
    address: Address,
    server: Address,
}

/// An exchange on one link.
pub struct Client {
    hardware: [u8; 6],
    method: Method,
    id: u32,
    begun: u64,
    /// For how many seconds there was no address when the last discovery was sent. Its request says the same, so that
    /// relays hand both to the same servers (RFC 2131, 3.1).
    seconds: u16,
    due: u64,
    pause: u64,
    /// The offer that is being taken.
    offer: Option<Offer>,
    /// How many messages were sent since that changed.
    attempts: u8,
    /// A server that did not keep its word.
    shunned: Address,
    /// What was sent and heard.
    pub counts: Counts,
}

impl Client {
    /// Begins now. `id` must be another one on each link and at each boot.
    pub fn new(hardware: [u8; 6], method: Method, id: u32, now: u64) -> Client {
        Client {
            hardware,
            method,
            id,
            begun: now,
            seconds: 0,
            due: now,
            pause: PAUSE,
            offer: None,
            attempts: 0,
            shunned: Address::NONE,
            counts: Counts::default(),
        }
    }

    /// When something is to be sent, if nothing is heard before.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// The message that is due now, if one is. `given` is what the user says of this host, `class` the value of `dhcpclass=`.
    pub fn send(&mut self, given: &Lease, class: &[u8], now: u64) -> Option<Sent> {
        if now < self.due {
            return None;
        }
        match self.offer {
            Some(_) if self.attempts >= REQUESTS => self.begin_anew(now),
            None if self.attempts >= SHUNNED => self.shunned = Address::NONE,
            _ => {}
        }
        self.attempts = self.attempts.saturating_add(1);
        // Clients that were switched on together must not go on in step (RFC 2131, 4.1).
        let spread = u64::from(self.id.rotate_left(self.counts.sent)) % SPREAD;
        self.due = now + self.pause + spread;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.counts.sent += 1;
        if self.offer.is_none() {
            self.seconds = (now.saturating_sub(self.begun) / 1000).min(u16::MAX.into()) as u16;
        }
        let mut message = Sent::new(self.id, self.seconds, &self.hardware);
        if self.method != Method::Bootp {
            let kind = if self.offer.is_some() { Kind::Request } else { Kind::Discover };
            message.option(option::KIND, &[kind as u8]);
            message.option(option::LONGEST, &(super::wire::RECEIVED as u16).to_be_bytes());
        }
        if let Some(Offer { address, server }) = self.offer {
            message.option(option::REQUESTED, address.as_bytes());
            message.option(option::SERVER, server.as_bytes());
        }
        message.option(option::CLIENT_ID, given.text(text::CLIENT));
        message.option(option::HOST_NAME, given.host());
        message.option(option::VENDOR_CLASS, class);
        message.option(option::PARAMETERS, &PARAMETERS);
        Some(message)
    }

    /// Takes a packet. Whether it grants a lease, which is then filled in.
    pub fn take(&mut self, packet: &[u8], now: u64, lease: &mut Lease) -> bool {
        let is_ours = |message: &Message| message.id() == self.id && message.hardware() == self.hardware;
        let Some(message) = Message::parse(packet).filter(is_ours) else {
            self.drop_packet();
            return false;
        };
        let server = message.address(option::SERVER, 0);
        let address = message.yours();
        let is_usable = is_usable(address);
        let kind = |kind: Kind| message.kind() == Some(kind as u8) && self.method != Method::Bootp;
        match self.offer {
            None if kind(Kind::Offer) && is_usable && !server.is_none() => {
                self.counts.offers += 1;
                if server != self.shunned {
                    self.offer = Some(Offer { address, server });
                    self.attempts = 0;
                    self.pause = PAUSE;
                    self.due = now;
                }
            }
            Some(offer) if kind(Kind::Ack) && is_usable && server == offer.server => {
                fill(lease, &message);
                return true;
            }
            Some(offer) if kind(Kind::Nak) && server == offer.server => {
                self.counts.refusals += 1;
                self.begin_anew(now);
            }
            None if message.kind().is_none() && self.method != Method::Dhcp && is_usable => {
                self.counts.offers += 1;
                fill(lease, &message);
                return true;
            }
            // Another server's offer, and the like.
            _ if message.kind().is_some() => {}
            _ => self.drop_packet(),
        }
        false
    }

    fn drop_packet(&mut self) {
        self.counts.dropped += 1;
    }

    /// Forgets the offer, and passes over its server when the next ones come.
    fn begin_anew(&mut self, now: u64) {
        self.shunned = self.offer.take().map_or(Address::NONE, |offer| offer.server);
        self.attempts = 0;
        self.pause = PAUSE;
        self.due = now;
    }
}

/// Whether an address can be a host's: not of this network, the loopback, multicast or beyond.
fn is_usable(address: Address) -> bool {
    let [first, ..] = address.v4();
    first != 0 && first != 127 && first < 224
}

/// The options with addresses, each with the role of the first and how many are taken.
static ADDRESSES: [(u8, u8, u8); 5] = [
    (option::BROADCAST, role::BROADCAST as u8, 1),
    (option::ROUTERS, role::GATEWAY as u8, 1),
    (option::SERVER, role::SERVER as u8, 1),
    (option::NAME_SERVERS, role::NAME_SERVER as u8, 3),
    (option::TIME_SERVERS, role::TIME_SERVER as u8, 3),
];

/// The options with texts, at their numbers in a lease.
const TEXTS: [u8; 3] = [option::HOST_NAME, option::DOMAIN, option::ROOT_PATH];

/// What a message grants.
fn fill(lease: &mut Lease, message: &Message) {
    lease.prefix = prefix(message.address(option::MASK, 0).v4()).unwrap_or(0);
    // RFC 2132, 5.1: less than this no network has.
    lease.mtu = u16::try_from(message.number(option::MTU)).ok().filter(|mtu| *mtu >= 68).unwrap_or(0);
    lease.seconds = message.number(option::LEASE_TIME);
    lease.set(role::OWN, message.yours());
    lease.set(role::BOOT_SERVER, message.next_server());
    for &(option, role, count) in &ADDRESSES {
        (0..count.into()).for_each(|index| lease.set(usize::from(role) + index, message.address(option, index)));
    }
    lease.texts[text::FILE].push(message.file());
    message.visit(&mut |number, value| {
        if number == option::ROUTES {
            lease.routes.push(value);
        }
        if let Some(place) = TEXTS.iter().position(|text| *text == number)
            && let Some(text) = lease.texts.get_mut(place)
        {
            // Some servers count the NUL behind a text; nothing is taken from behind it.
            text.push(split(value, 0).next().unwrap_or_default());
        }
    });
}
