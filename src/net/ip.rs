//! What the command line says of the network: `ip=` as the kernel has it (net/ipv4/ipconfig.c and
//! Documentation/admin-guide/nfs/nfsroot.rst), with the forms that dracut adds; `ifname=`, `vlan=`, `BOOTIF=`.
//!
//! Words are read whenever they are asked for: nothing need be kept of them.

use super::address::{Address, parse_hardware};
use super::lease::{Lease, LeaseText, prefix, role, text};
use crate::cmdline::CommandLine;
use crate::report::{Level, Log};
use crate::text::{entries, parse_number, place, split_once};

/// The most `ip=` words that are heeded; each is for a link of its own.
pub const WORDS: usize = 8;

/// How a link gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Off,
    /// From a server by DHCP, or by what an older server answers to it.
    Any,
    /// From a server by DHCP alone.
    Dhcp,
    /// From a server by BOOTP alone.
    Bootp,
    /// From the command line.
    Static,
    /// From a router, by IPv6 (RFC 4862), as the kernel does by itself.
    Router,
}

impl Method {
    /// The word for it in the files that are left, which is klibc's.
    pub fn name(self) -> &'static [u8] {
        const NAMES: &[u8] = b"none\0dhcp\0dhcp\0bootp\0none\0auto6";
        entries(NAMES).nth(self as usize).unwrap_or_default()
    }
}

/// One `ip=`, but for what it gives.
pub struct Ip<'a> {
    /// How.
    pub method: Method,
    /// The link, by its name or its hardware address; empty for any.
    pub device: &'a [u8],
}

/// The `ip=` of this number among those that have a meaning. What it gives goes into `lease`, before what is there. Where no
/// word has a meaning, every link is tried, as if there were an empty one.
pub fn numbered<'a>(cmdline: &CommandLine<'a>, number: usize, lease: &mut Lease) -> Option<Ip<'a>> {
    let mut left = number;
    for word in written(cmdline) {
        let Some(ip) = Ip::parse(word, &mut Lease::default()) else { continue };
        if left == 0 {
            Ip::parse(word, lease);
            return Some(ip);
        }
        left -= 1;
    }
    (number == 0).then_some(Ip::ANY)
}

/// All of them.
pub fn words<'a>(cmdline: &CommandLine<'a>) -> impl Iterator<Item = Ip<'a>> {
    (0..WORDS).map_while(|number| numbered(cmdline, number, &mut Lease::default()))
}

/// Tells of the words that have no meaning, and of those that are too many.
pub fn say_odd(cmdline: &CommandLine, log: &mut Log) {
    let mut number = 0;
    for word in written(cmdline) {
        if number == WORDS || Ip::parse(word, &mut Lease::default()).is_none() {
            log.say(Level::Warning, &[b"no meaning is known of the word ip=", word]);
        } else {
            number += 1;
        }
    }
}

fn written<'a>(cmdline: &CommandLine<'a>) -> impl Iterator<Item = &'a [u8]> {
    cmdline.values(b"ip\0nfsaddrs")
}

/// What the command line wishes of a link.
#[derive(Default)]
pub struct Wish<'a> {
    /// Another name: `ifname=NAME:ADDRESS`.
    pub name: Option<&'a [u8]>,
    /// The name of a virtual link on it: `vlan=NAME:DEVICE`.
    pub vlan: Option<&'a [u8]>,
    /// The number of the `ip=` that it is for.
    pub word: Option<usize>,
}

impl<'a> Wish<'a> {
    /// The wishes for the link with this name and hardware address.
    pub fn of(cmdline: &CommandLine<'a>, name: &[u8], hardware: &[u8; 6]) -> Wish<'a> {
        // A virtual link has the hardware address of the one below, and a name already.
        let is_virtual = first_of(cmdline, b"vlan", &mut |vlan, _| vlan == name).is_some();
        let new = first_of(cmdline, b"ifname", &mut |_, address| is_hardware(address, hardware) && !is_virtual);
        let name = new.unwrap_or(name);
        let vlan = first_of(cmdline, b"vlan", &mut |_, below| below == name);
        // Another link is the one that the boot loader used, as PXELINUX tells, with the type of the address before it.
        let other = cmdline.last(b"BOOTIF").and_then(|address| address.get(3..));
        let is_passed_over = vlan.is_some() || other.is_some_and(|address| !is_hardware(address, hardware));
        let mut wish = Wish { name: new, vlan, word: None };
        for (number, ip) in words(cmdline).enumerate() {
            let is_for_any = ip.device.is_empty() && !is_passed_over && wish.word.is_none();
            let is_for_it = ip.device == name || is_hardware(ip.device, hardware) || is_for_any;
            if is_for_it && ip.method != Method::Off {
                wish.word = Some(number);
            }
        }
        wish
    }
}

/// What stands before the colon in the last word of this key whose parts are such.
fn first_of<'a>(
    cmdline: &CommandLine<'a>,
    key: &'static [u8],
    are_such: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Option<&'a [u8]> {
    let pairs = cmdline.values(key).filter_map(|value| split_once(value, b':'));
    pairs.filter(|(first, second)| are_such(first, second)).map(|(first, _)| first).last()
}

/// The number of a virtual link: the digits that its name ends in, as in `vlan0005` and `eth0.5`.
pub fn vlan_number(name: &[u8]) -> u16 {
    let mut digits = name;
    while parse_number(digits).is_none() {
        let Some((_, rest)) = digits.split_first() else { return 0 };
        digits = rest;
    }
    parse_number(digits).unwrap_or(0) as u16
}

impl<'a> Ip<'a> {
    /// What is done where nothing is said.
    const ANY: Ip<'static> = Ip { method: Method::Any, device: b"" };

    /// Reads a word's value; none where it has no meaning. What it gives goes into `lease`, before what is there.
    pub fn parse(value: &'a [u8], lease: &mut Lease) -> Option<Ip<'a>> {
        // The role of the address in each field that holds one.
        const NONE: u8 = u8::MAX;
        const ROLES: [u8; 10] = [
            role::OWN as u8,
            role::BOOT_SERVER as u8,
            role::GATEWAY as u8,
            NONE,
            NONE,
            NONE,
            NONE,
            role::NAME_SERVER as u8,
            role::NAME_SERVER as u8 + 1,
            role::TIME_SERVER as u8,
        ];
        if value.is_empty() {
            return Some(Ip { method: Method::Off, device: b"" });
        }
        if let Some(method) = method(value, lease) {
            return Some(Ip { method, device: b"" });
        }
        let mut ip = Ip::ANY;
        let mut fields = Fields(Some(value));
        let mut number = 0;
        while let Some(field) = fields.next() {
            match (number, parse_number(field)) {
                _ if field.is_empty() => {}
                // dracut's `DEVICE:PROTOCOL[:[MTU][:ADDRESS]]`: the protocol, the size and the address are the kernel's
                // seventh, eighth and ninth fields.
                (0, _) if Address::parse(field).is_none() => {
                    ip.device = field;
                    number = 5;
                }
                // A prefix, as dracut takes it, or a mask. The broadcast address that a server gave is another network's.
                (3, bits) => {
                    lease.prefix = match bits {
                        Some(bits) => u8::try_from(bits).ok().filter(|bits| *bits <= 128)?,
                        None => prefix(Address::parse(field)?.v4())?,
                    };
                    lease.addresses[role::BROADCAST] = Address::NONE;
                }
                (4, _) => lease.texts[text::HOST] = LeaseText::of(&[field]),
                (5, _) => ip.device = field,
                (6, _) => ip.method = method(field, lease)?,
                // dracut takes the largest size of packets in the place of a name server, and a hardware address behind it.
                (7, Some(mtu)) => {
                    lease.mtu = mtu.try_into().ok()?;
                    break;
                }
                _ => {
                    if let Some(role) = ROLES.get(number).filter(|role| **role != NONE) {
                        lease.set(usize::from(*role), Address::parse(field)?);
                    }
                }
            }
            number += 1;
        }
        if !lease.address(role::OWN).is_none() {
            // An address that is given is not asked for, whatever the protocol.
            ip.method = Method::Static;
        }
        Some(ip)
    }
}

/// The method of this name, `dhcp` also with an identifier of the client behind it, which goes into the lease.
fn method(name: &[u8], lease: &mut Lease) -> Option<Method> {
    const METHODS: [Method; 8] = {
        use Method::*;
        [Off, Off, Router, Any, Any, Dhcp, Bootp, Bootp]
    };
    const NAMES: &[u8] = b"off\0none\0auto6\0on\0any\0dhcp\0bootp\0both";
    let (name, identity) = split_once(name, b',').unwrap_or((name, b""));
    let method = *METHODS.get(place(NAMES, name)?)?;
    if !identity.is_empty() {
        let (kind, value) = split_once(identity, b',')?;
        lease.texts[text::CLIENT] = LeaseText::of(&[&[parse_number(kind)?.try_into().ok()?], value]);
    }
    Some(method)
}

/// Whether a text is this hardware address.
fn is_hardware(text: &[u8], hardware: &[u8; 6]) -> bool {
    parse_hardware(text) == Some(*hardware)
}

/// The fields of a word, between colons; one of IPv6 stands in brackets.
struct Fields<'a>(Option<&'a [u8]>);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.0.take()?;
        let bracket = if text.starts_with(b"[") { text.iter().position(|byte| *byte == b']')? } else { 0 };
        let (field, rest) = match split_once(text.get(bracket..)?, b':') {
            Some((field, rest)) => (text.get(..bracket + field.len())?, Some(rest)),
            None => (text, None),
        };
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Line;

    /// What a word says, in one line.
    fn read(value: &str) -> Option<String> {
        let mut given = Lease::default();
        let ip = Ip::parse(value.as_bytes(), &mut given)?;
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut line = vec![format!("{:?}", ip.method), text_of(ip.device)];
        let roles = [("own", role::OWN), ("server", role::BOOT_SERVER), ("gateway", role::GATEWAY)];
        let more = [("dns0", role::NAME_SERVER), ("dns1", role::NAME_SERVER + 1), ("ntp", role::TIME_SERVER)];
        for (name, role) in roles.into_iter().chain(more).filter(|(_, role)| !given.address(*role).is_none()) {
            let mut text = Line::new();
            given.address(role).push_to(&mut text);
            line.push(format!("{name}={}", text_of(text.as_bytes())));
        }
        let numbers = [("prefix", u64::from(given.prefix)), ("mtu", given.mtu.into())];
        line.extend(numbers.iter().filter(|(_, value)| *value > 0).map(|(name, value)| format!("{name}={value}")));
        line.extend(Some(text_of(given.text(text::HOST))).filter(|host| !host.is_empty()));
        let client = given.text(text::CLIENT).split_first();
        line.extend(client.map(|(kind, value)| format!("client={kind},{}", text_of(value))));
        Some(line.join(" "))
    }

    #[test]
    fn reads_the_kernels_forms() {
        for (value, expected) in [
            ("dhcp", "Dhcp "),
            ("on", "Any "),
            ("any", "Any "),
            ("both", "Bootp "),
            ("bootp", "Bootp "),
            ("off", "Off "),
            ("none", "Off "),
            ("", "Off "),
            ("dhcp,1,me", "Dhcp  client=1,me"),
            (":::::eth0", "Any eth0"),
            (":::::eth0:dhcp", "Dhcp eth0"),
            (":::::eth0:off", "Off eth0"),
            ("::::box.example.org:eth1:any", "Any eth1 box.example.org"),
            ("10.0.2.15", "Static  own=10.0.2.15"),
            (
                "10.0.2.15:10.0.2.2:10.0.2.1:255.255.255.0:box:eth0:off:10.0.2.3:10.0.2.4:10.0.2.5",
                "Static eth0 own=10.0.2.15 server=10.0.2.2 gateway=10.0.2.1 dns0=10.0.2.3 dns1=10.0.2.4 ntp=10.0.2.5 prefix=24 box",
            ),
            ("10.0.2.15::10.0.2.1:255.255.0.0::eth0:dhcp", "Static eth0 own=10.0.2.15 gateway=10.0.2.1 prefix=16"),
            ("0.0.0.0::::::dhcp", "Dhcp "),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn reads_dracuts_forms() {
        for (value, expected) in [
            ("eth0:dhcp", "Dhcp eth0"),
            ("eth0:dhcp:1400", "Dhcp eth0 mtu=1400"),
            ("eth0:auto6", "Router eth0"),
            ("eth0:off", "Off eth0"),
            (
                "10.0.2.15::10.0.2.1:24:box:eth0:none:9000",
                "Static eth0 own=10.0.2.15 gateway=10.0.2.1 prefix=24 mtu=9000 box",
            ),
            (
                "[fd00::5]::[fd00::1]:64::eth0:none:[fd00::53]",
                "Static eth0 own=fd00:0000:0000:0000:0000:0000:0000:0005 gateway=fd00:0000:0000:0000:0000:0000:0000:0001 \
                 dns0=fd00:0000:0000:0000:0000:0000:0000:0053 prefix=64",
            ),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for value in
            ["eth0:rarp", "rarp:x", "10.0.2.15:server", "10.0.2.15:::255.0.255.0", "10.0.2.15:::x", ":::::eth0:maybe"]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }

    #[test]
    fn words_are_for_the_links_that_they_name() {
        let hardware = [0x52, 0x54, 0, 0x12, 0x34, 0x01];
        let wish = |words: &'static str, name: &str| {
            let cmdline = CommandLine::parse(words.as_bytes());
            let wish = Wish::of(&cmdline, name.as_bytes(), &hardware);
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
            (wish.word, text(wish.name), text(wish.vlan))
        };
        let word = |words, name| wish(words, name).0;
        assert_eq!(word("", "eth0"), Some(0));
        assert_eq!(word("ip=off", "eth0"), None);
        assert_eq!(word("ip=eth1:dhcp", "eth0"), None);
        assert_eq!(word("ip=eth1:dhcp ip=eth0:dhcp", "eth0"), Some(1));
        assert_eq!(word("ip=dhcp ip=eth0:dhcp", "eth0"), Some(1));
        assert_eq!(word("ip=52-54-00-12-34-01:dhcp", "eth0"), Some(0));
        assert_eq!(word("BOOTIF=01-52-54-00-12-34-01", "eth0"), Some(0));
        assert_eq!(word("BOOTIF=01-52-54-00-12-34-02", "eth0"), None);
        let named = wish("ip=lan0:dhcp ifname=lan0:52:54:00:12:34:01", "eth0");
        assert_eq!(named, (Some(0), Some("lan0".into()), None));
        let carrier = wish("vlan=vlan5:eth0 ip=vlan5:dhcp", "eth0");
        assert_eq!(carrier, (None, None, Some("vlan5".into())));
        let words = "ifname=lan0:52:54:00:12:34:01 vlan=vlan5:lan0 ip=vlan5:dhcp";
        assert_eq!(wish(words, "eth0"), (None, Some("lan0".into()), Some("vlan5".into())));
        let turned = "vlan=vlan5:lan0 ifname=lan0:52:54:00:12:34:01 ip=vlan5:dhcp";
        assert_eq!(wish(turned, "eth0"), (None, Some("lan0".into()), Some("vlan5".into())));
        assert_eq!(wish(words, "vlan5"), (Some(0), None, None));
        assert_eq!([vlan_number(b"vlan0005"), vlan_number(b"eth0.7"), vlan_number(b"x")], [5, 7, 0]);
    }
}
