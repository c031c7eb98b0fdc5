//! What was learnt, left for the real init: `/run/net-DEVICE.conf` as klibc's ipconfig writes it and others read it, and
//! `/run/resolv.conf`.

use core::ffi::CStr;

use rustix::fs::OFlags;
use rustix::io;

use super::address::Address;
use super::lease::{Lease, mask, role, text};
use super::push_address;
use crate::file::{self, Path};
use crate::report::Line;
use crate::sys::now;
use crate::text::{Text, entries};

/// A file as it is being made; a lease holds less than half of it.
type Content = Text<4096>;

/// The lines of the file for IPv4. Before each word stands what follows it: a digit for an address, a capital letter for
/// a text, or a letter that [`push_value`] knows.
const LINES: &[u8] =
    b"nDEVICE\0pPROTO\x000IPV4ADDR\x001IPV4BROADCAST\0mIPV4NETMASK\x002IPV4GATEWAY\x005IPV4DNS0\x006IPV4DNS1\0\
    AHOSTNAME\0BDNSDOMAIN\0-NISDOMAIN\x003ROOTSERVER\0CROOTPATH\0Dfilename\0uUPTIME\0sDHCPLEASETIME\0-DOMAINSEARCH";

/// And for IPv6, as cloud-init reads it.
const LINES_V6: &[u8] = b"nDEVICE6\0pIPV6PROTO\x000IPV6ADDR\0bIPV6NETMASK\x002IPV6GATEWAY\x005IPV6DNS0";

/// Writes the files of a link that got a lease by this protocol.
pub fn leave(device: &[u8], protocol: &[u8], lease: &Lease) {
    let mut content = Content::new();
    let (name, lines): (&[u8], _) = match lease.address(role::OWN).is_v6() {
        true => (b"/run/net6-", LINES_V6),
        false => (b"/run/net-", LINES),
    };
    for (kind, word) in entries(lines).filter_map(<[u8]>::split_first) {
        content.push(word);
        content.push(b"='");
        let mut value = Line::new();
        let mut number = None;
        match kind {
            b'n' => value.push(device),
            b'p' => value.push(protocol),
            b'm' => Address::of(&mask(lease.prefix).to_be_bytes()).push_to(&mut value),
            b'b' => number = Some(lease.prefix.into()),
            b'u' => number = Some(now() / 1000),
            b's' => number = Some(lease.seconds.into()),
            b'2' => lease.each_route(&mut |_, prefix, gateway| {
                if prefix == 0 && value.as_bytes().is_empty() {
                    gateway.push_to(&mut value);
                }
            }),
            b'0'..=b'9' => lease.address(usize::from(kind - b'0')).push_to(&mut value),
            b'A'..=b'D' => value.push(lease.text(usize::from(kind - b'A'))),
            _ => {}
        }
        if let Some(number) = number {
            value.push_number(number);
        }
        // Shells read it: a quote in a value ends, escaped, and begins the text anew.
        for byte in value.as_bytes() {
            content.push(if *byte == b'\'' { b"'\\''" } else { core::slice::from_ref(byte) });
        }
        content.push(b"'\n");
    }
    write(&Path::of(&[name, device, b".conf"]), &content);
    leave_resolver(lease);
}

/// The file in which the C library looks for name servers.
pub const RESOLVER: &CStr = c"/run/resolv.conf";

/// Writes what the C library wants to know of name servers.
fn leave_resolver(lease: &Lease) {
    let mut content = Content::new();
    let mut push = |word: &[u8], value: &[u8]| {
        // A line holds a word and names; what else came over the wire is not taken there.
        if !value.is_empty() && value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            [word, value, b"\n"].iter().for_each(|part| content.push(part));
        }
    };
    push(b"search ", lease.text(text::DOMAIN));
    for role in role::NAME_SERVER..role::TIME_SERVER {
        let mut server = Line::new();
        push_address(&mut server, b"", lease.address(role));
        push(b"nameserver ", server.as_bytes());
    }
    if !content.as_bytes().is_empty() {
        write(&Path::of(&[RESOLVER.to_bytes()]), &content);
    }
}

fn write(path: &Path, content: &Content) {
    if let Ok(file) = file::open_as(path.as_c_str(), OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC) {
        let _ = io::write(&file, content.as_bytes());
    }
}
