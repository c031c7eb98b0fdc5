//! What the kernel has done of itself: by its own `ip=` (net/ipv4/ipconfig.c), and by the advertisements of routers.

use core::ffi::CStr;

use rustix::fs::symlink;

use super::address::{Address, parse_bytes, parse_hex};
use super::lease::{Lease, role};
use super::leave::RESOLVER;
use crate::file;
use crate::text::{split, split_once};

/// What the kernel was told (net/ipv4/ipconfig.c, `pnp_seq_show`).
const PNP: &CStr = c"/proc/net/pnp";

/// More than either file is.
const FILE: usize = 4096;

/// Whether the kernel was built to configure the network, has asked a server for that, and was given a route. Fills in what it
/// was told of servers. Where it read an address from the command line it is not to be relied on: it takes whatever stands there
/// for one, `eth0` for 200.0.0.0.
pub fn has_configured(lease: &mut Lease) -> bool {
    let (mut pnp, mut routes) = ([0; FILE], [0; FILE]);
    let pnp = file::read(PNP, &mut pnp);
    // Behind the head of the list.
    let routes = split_once(file::read(c"/proc/net/route", &mut routes), b'\n');
    read(pnp, lease) && routes.is_some_and(|(_, routes)| !routes.is_empty())
}

/// Leaves to the real init what the kernel knows of name servers, which has the form that the C library reads.
pub fn leave_resolver() {
    let _ = symlink(PNP, RESOLVER);
}

/// Reads what the kernel was told; whether a server did it.
fn read(pnp: &[u8], lease: &mut Lease) -> bool {
    for line in split(pnp, b'\n') {
        if let Some(server) = line.strip_prefix(b"bootserver ") {
            lease.set(role::BOOT_SERVER, Address::parse(server).unwrap_or_default());
        }
    }
    pnp.starts_with(b"#PROTO")
}

/// Whether a router's advertisement gave a link an address that is ready for use; fills it in.
pub fn advertised(index: u32, lease: &mut Lease) -> bool {
    let mut addresses = [0; FILE];
    let addresses = file::read(c"/proc/net/if_inet6", &mut addresses);
    let found = split(addresses, b'\n').find_map(|line| usable(line, index));
    let Some((own, prefix)) = found else { return false };
    lease.set(role::OWN, own);
    if lease.prefix == 0 {
        lease.prefix = prefix;
    }
    true
}

/// The address and the prefix of a line with an address, the link's number, the prefix, the scope, the flags and the
/// link's name, all but the first and the last of at least two digits (net/ipv6/addrconf.c, `if6_seq_show`).
fn usable(line: &[u8], index: u32) -> Option<(Address, u8)> {
    const TENTATIVE: u16 = 0x40;
    // Of this host, or of this link.
    const NARROW: u16 = 0x30;
    let mut fields = split(line, b' ').filter(|field| !field.is_empty());
    let digits = fields.next()?;
    let mut next = || parse_hex(fields.next()?);
    let (link, prefix, scope, flags) = (next()?, next()?, next()?, next()?);
    if u32::from(link) != index || scope & NARROW != 0 || flags & TENTATIVE != 0 {
        return None;
    }
    let mut bytes = [0; 16];
    parse_bytes(digits, 2, &mut bytes)?;
    Some((Address::of(&bytes), prefix as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_configured() {
        let told = |pnp: &[u8]| {
            let mut lease = Lease::default();
            (read(pnp, &mut lease), *lease.address(role::BOOT_SERVER))
        };
        let pnp = b"#PROTO: DHCP\ndomain example.org\nnameserver 10.0.2.3\nbootserver 10.0.2.2\n";
        assert_eq!(told(pnp), (true, Address::of(&[10, 0, 2, 2])));
        assert!(!told(b"#MANUAL\nbootserver 255.255.255.255\n").0);
        assert_eq!(told(b""), (false, Address::NONE));
    }

    #[test]
    fn takes_global_addresses_that_are_ready() {
        let address = |line: &[u8]| usable(line, 2);
        let expected = Address::parse(b"fec0::5054:ff:fe12:3456").unwrap();
        assert_eq!(address(b"fec00000000000005054 00fffe123456 02 40 00 00 eth0"), None);
        assert_eq!(address(b"fec0000000000000505400fffe123456 02 40 40 00     eth0"), Some((expected, 64)));
        assert_eq!(address(b"fec0000000000000505400fffe123456 02 40 00 40     eth0"), None);
        assert_eq!(address(b"fe80000000000000505400fffe123456 02 40 20 80     eth0"), None);
        assert_eq!(address(b"00000000000000000000000000000001 01 80 10 80       lo"), None);
        assert_eq!(address(b""), None);
    }
}
