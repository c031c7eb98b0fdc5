//! What a link is given: by the command line, by a DHCP server, or by a router.

use super::address::Address;
use crate::text::Text;

/// A text of a lease, as long as one option can be.
pub type LeaseText = Text<256>;

/// What a link is given. Addresses and texts stand in arrays, so that what is done to all of them is done in loops.
#[derive(Clone, Default)]
pub struct Lease {
    /// The addresses, each at its [`role`].
    pub addresses: [Address; role::COUNT],
    /// The texts, each at its [`text`] number.
    pub texts: [LeaseText; text::COUNT],
    /// How many bits of the address are the network's; 0 where nobody said.
    pub prefix: u8,
    /// The largest packet in bytes; 0 where nobody said.
    pub mtu: u16,
    /// For how many seconds the lease is good; 0 where nobody said.
    pub seconds: u32,
    /// Classless routes, as the wire has them (RFC 3442); where there are any, they replace the gateway.
    pub routes: LeaseText,
}

/// What an address of a lease is for.
pub mod role {
    /// The link's own address.
    pub const OWN: usize = 0;
    /// The address that reaches all of the network.
    pub const BROADCAST: usize = 1;
    /// The way to everywhere else.
    pub const GATEWAY: usize = 2;
    /// The server to boot from: of `ip=`, or the `siaddr` of DHCP.
    pub const BOOT_SERVER: usize = 3;
    /// The server that gave the lease.
    pub const SERVER: usize = 4;
    /// The first of three name servers.
    pub const NAME_SERVER: usize = 5;
    /// The first of three time servers.
    pub const TIME_SERVER: usize = 8;
    /// How many there are.
    pub const COUNT: usize = 11;
}

/// What a text of a lease is.
pub mod text {
    /// The name of this host.
    pub const HOST: usize = 0;
    /// The DNS domain.
    pub const DOMAIN: usize = 1;
    /// Where the root is.
    pub const ROOT_PATH: usize = 2;
    /// The file that the boot loader was to take.
    pub const FILE: usize = 3;
    /// What this host is called by a DHCP server that goes by it: a byte that says what it is, and the name.
    pub const CLIENT: usize = 4;
    /// How many there are.
    pub const COUNT: usize = 5;
}

impl Lease {
    /// An address, by its [`role`].
    pub fn address(&self, role: usize) -> &Address {
        self.addresses.get(role).unwrap_or(&Address::NONE)
    }

    /// The server that the root is on, unless another one is named.
    pub fn server(&self) -> Address {
        self.address(role::BOOT_SERVER).or(*self.address(role::SERVER))
    }

    /// Sets an address, unless it is none.
    pub fn set(&mut self, role: usize, address: Address) {
        if let Some(place) = self.addresses.get_mut(role).filter(|_| !address.is_none()) {
            *place = address;
        }
    }

    /// A text, by its [`text`] number.
    pub fn text(&self, number: usize) -> &[u8] {
        self.texts.get(number).map_or(b"", Text::as_bytes)
    }

    /// The name of this host, without a domain.
    pub fn host(&self) -> &[u8] {
        crate::text::split(self.text(text::HOST), b'.').next().unwrap_or_default()
    }

    /// Fills in what follows from the rest: the prefix from the class of the address, and the broadcast address, as the kernel
    /// does (net/ipv4/ipconfig.c, `ic_defaults`).
    pub fn complete(&mut self) {
        let own = *self.address(role::OWN);
        let address = u32::from_be_bytes(own.v4());
        if self.prefix == 0 {
            self.prefix = match address >> 30 {
                _ if own.is_v6() => 64,
                0 | 1 => 8,
                2 => 16,
                _ => 24,
            };
        }
        if self.address(role::BROADCAST).is_none() && !own.is_v6() && self.prefix < 31 {
            self.set(role::BROADCAST, Address::of(&(address | !mask(self.prefix)).to_be_bytes()));
        }
    }

    /// Calls `visit` with each of the routes: the network and how many bits of it count, and the gateway, or none where the
    /// network is on the link itself.
    pub fn each_route(&self, visit: &mut dyn FnMut([u8; 4], u8, &Address)) {
        let mut bytes = self.routes.as_bytes();
        if bytes.is_empty() && !self.address(role::GATEWAY).is_none() {
            visit([0; 4], 0, self.address(role::GATEWAY));
        }
        // The width of a network, as many bytes of it as that needs, and its gateway (RFC 3442).
        while let Some((&prefix, rest)) = bytes.split_first() {
            let width = usize::from(prefix.div_ceil(8));
            let (Some(gateway), 0..=32) = (rest.get(width..).and_then(|rest| rest.get(..4)), prefix) else { return };
            let mut network = [0; 4];
            network.iter_mut().zip(rest).take(width).for_each(|(to, from)| *to = *from);
            // What stands beyond the prefix the kernel would not take.
            let network = (u32::from_be_bytes(network) & mask(prefix)).to_be_bytes();
            visit(network, prefix, &Address::of(gateway));
            bytes = rest.get(width + 4..).unwrap_or_default();
        }
    }
}

/// The mask of an IPv4 network.
pub fn mask(prefix: u8) -> u32 {
    (u64::from(u32::MAX) << 32_u8.saturating_sub(prefix)) as u32
}

/// The prefix that a mask stands for, if its bits are in one piece.
pub fn prefix(mask: [u8; 4]) -> Option<u8> {
    let mask = u32::from_be_bytes(mask);
    let ones = mask.leading_ones() as u8;
    (mask == self::mask(ones) && ones > 0).then_some(ones)
}
