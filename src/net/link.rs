//! Links: what sysfs tells of them, and what rtnetlink does to them (include/uapi/linux/rtnetlink.h).

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use super::address::{Address, hex, parse_hardware};
use super::lease::{Lease, role};
use super::netlink::{Request, exchange};
use crate::file::{self, Path};
use crate::report::Line;
use crate::text::parse_number;

/// The length of a hardware address of Ethernet.
const HARDWARE: usize = 6;

/// A link's name, shorter than this (include/uapi/linux/if.h, `IFNAMSIZ`).
pub type Name = crate::text::Text<17>;

/// A link as sysfs shows it.
pub struct Link {
    /// Its name.
    pub name: Name,
    /// Its number.
    pub index: u32,
    /// Its hardware address.
    pub hardware: [u8; HARDWARE],
}

impl Link {
    /// The link of this name, if it is one of Ethernet.
    pub fn named(name: &[u8]) -> Option<Link> {
        const ETHERNET: u64 = 1;
        let mut link = Link { name: Name::of(&[name]), index: 0, hardware: [0; HARDWARE] };
        if link.number(b"type")? != ETHERNET {
            return None;
        }
        link.index = link.number(b"ifindex")? as u32;
        let mut buffer = [0; 64];
        link.hardware = parse_hardware(link.read(b"address", &mut buffer))?;
        Some(link)
    }

    /// Whether a cable is in it, as far as its driver can tell. Only a link that is up tells.
    pub fn has_carrier(&self) -> bool {
        self.number(b"carrier") == Some(1)
    }

    /// Adds its hardware address.
    pub fn push_hardware(&self, line: &mut Line) {
        for (at, byte) in self.hardware.into_iter().enumerate() {
            line.push(if at > 0 { b":" } else { b"" });
            line.push(&hex(byte));
        }
    }

    fn number(&self, attribute: &[u8]) -> Option<u64> {
        parse_number(self.read(attribute, &mut [0; 24]))
    }

    fn read<'b>(&self, attribute: &[u8], buffer: &'b mut [u8]) -> &'b [u8] {
        let path = Path::of(&[b"/sys/class/net/", self.name.as_bytes(), b"/", attribute]);
        file::read(path.as_c_str(), buffer).trim_ascii_end()
    }
}

/// Calls `visit` with the name of each link that is not the loopback.
pub fn list(visit: &mut dyn FnMut(&[u8])) {
    file::list(c"/sys/class/net", &mut |name| {
        if name != b"lo" {
            visit(name);
        }
        true
    });
}

/// The sockets that change links and that tell of changes.
pub struct Netlink {
    requests: OwnedFd,
    events: OwnedFd,
}

impl Netlink {
    /// Opens both.
    pub fn open() -> io::Result<Netlink> {
        // Links, and addresses of IPv6: RTMGRP_LINK and RTMGRP_IPV6_IFADDR.
        const GROUPS: u32 = 1 | 0x100;
        let open = |groups| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // Protocol 0 of this family is NETLINK_ROUTE.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, groups))?;
            Ok(socket)
        };
        Ok(Netlink { requests: open(0)?, events: open(GROUPS)? })
    }

    /// The socket that tells of changes.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Takes all that it tells: the state itself is read from sysfs.
    pub fn drain(&self) {
        while !matches!(io::read(&self.events, &mut [0; 16]), Err(Errno::AGAIN | Errno::BADF)) {}
    }

    /// Switches a link on or off.
    pub fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        self.run(&mut change(index, Some(up)))
    }

    /// Gives a link another name; it must be off.
    pub fn rename(&self, index: u32, name: &Name) -> io::Result<()> {
        let mut request = change(index, None);
        request.attribute(kind::NAME, name.as_c_str().to_bytes_with_nul());
        self.run(&mut request)
    }

    /// Makes a virtual link of IEEE 802.1Q on another.
    pub fn add_vlan(&self, name: &Name, below: u32, id: u16) -> io::Result<()> {
        let mut data = Request::nested();
        data.attribute(kind::VLAN_ID, &id.to_ne_bytes());
        let mut info = Request::nested();
        info.attribute(kind::INFO_KIND, b"vlan");
        info.attribute(kind::INFO_DATA, data.as_bytes());
        let mut request = Request::new(kind::NEW_LINK, Request::ACK | kind::CREATE, &[0; 4]);
        request.attribute(kind::NAME, name.as_c_str().to_bytes_with_nul());
        request.attribute(kind::BELOW, &below.to_ne_bytes());
        request.attribute(kind::INFO, info.as_bytes());
        self.run(&mut request)
    }

    /// Takes its address of IPv4 from a link, if it has one, and the routes that go with it.
    pub fn take_address(&self, index: u32) {
        let head = [u32::from_ne_bytes([family(&Address::NONE), 0, 0, 0]), index];
        let _ = self.run(&mut Request::new(kind::DELETE_ADDRESS, Request::ACK, &head));
    }

    /// Gives a link what a lease says: its largest packet, its address, its routes. The last failure, if there was any.
    pub fn give(&self, index: u32, lease: &Lease) -> io::Result<()> {
        if lease.mtu > 0 {
            let mut request = change(index, None);
            request.attribute(kind::MTU, &u32::from(lease.mtu).to_ne_bytes());
            // As with the kernel, a link that cannot do that does without.
            let _ = self.run(&mut request);
        }
        // An IPv6 address is not looked for among the neighbours first, which would take a second.
        const NO_DETECTION: u8 = 0x02;
        let own = lease.address(role::OWN);
        let flags = if own.is_v6() { NO_DETECTION } else { 0 };
        let head = [u32::from_ne_bytes([family(own), lease.prefix, flags, 0]), index];
        let mut request = Request::new(kind::NEW_ADDRESS, Request::ACK | kind::CREATE, &head);
        request.attribute(kind::LOCAL, own.as_bytes());
        request.attribute(kind::ADDRESS, own.as_bytes());
        request.attribute(kind::BROADCAST, lease.address(role::BROADCAST).as_bytes());
        let mut result = self.run(&mut request);
        lease.each_route(&mut |network, prefix, gateway| {
            let added = self.add_route(index, network, prefix, gateway);
            if added.is_err() {
                result = added;
            }
        });
        result
    }

    fn add_route(&self, index: u32, network: [u8; 4], prefix: u8, gateway: &Address) -> io::Result<()> {
        const MAIN: u8 = 254;
        const BY_BOOT: u8 = 3;
        const ON_LINK: u8 = 253;
        const UNICAST: u8 = 1;
        // A gateway need not be in the link's own network: clouds give an address that is a network of its own.
        const GATEWAY_IS_ON_LINK: u32 = 4;
        let (scope, flags) = if gateway.is_none() { (ON_LINK, 0) } else { (0, GATEWAY_IS_ON_LINK) };
        let head = [[family(gateway), prefix, 0, 0], [MAIN, BY_BOOT, scope, UNICAST]].map(u32::from_ne_bytes);
        let mut request =
            Request::new(kind::NEW_ROUTE, Request::ACK | kind::CREATE | kind::REPLACE, &[head[0], head[1], flags]);
        if prefix > 0 {
            request.attribute(kind::NETWORK, &network);
        }
        request.attribute(kind::GATEWAY, gateway.as_bytes());
        request.attribute(kind::LINK, &index.to_ne_bytes());
        self.run(&mut request)
    }

    fn run(&self, request: &mut Request) -> io::Result<()> {
        exchange(self.requests.as_fd(), request, &mut [0; 64]).map(drop)
    }
}

fn family(address: &Address) -> u8 {
    let family = if address.is_v6() { AddressFamily::INET6 } else { AddressFamily::INET };
    family.as_raw() as u8
}

/// Kinds of messages and attributes, and flags.
mod kind {
    pub const NEW_LINK: u16 = 16;
    pub const NEW_ADDRESS: u16 = 20;
    pub const DELETE_ADDRESS: u16 = 21;
    pub const NEW_ROUTE: u16 = 24;

    pub const REPLACE: u16 = 0x100;
    pub const CREATE: u16 = 0x400;

    // Of a link (if_link.h).
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const BELOW: u16 = 5;
    pub const INFO: u16 = 18;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
    pub const VLAN_ID: u16 = 1;

    // Of an address (if_addr.h).
    pub const ADDRESS: u16 = 1;
    pub const LOCAL: u16 = 2;
    pub const BROADCAST: u16 = 4;

    // Of a route (rtnetlink.h).
    pub const NETWORK: u16 = 1;
    pub const LINK: u16 = 4;
    pub const GATEWAY: u16 = 5;
}

/// A change of a link.
fn change(index: u32, up: Option<bool>) -> Request {
    const UP: u32 = 1;
    // The flags, and which of them are meant.
    let (flags, mask) = (u32::from(up == Some(true)), if up.is_some() { UP } else { 0 });
    Request::new(kind::NEW_LINK, Request::ACK, &[0, index, flags, mask])
}
