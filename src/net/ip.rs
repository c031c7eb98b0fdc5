//! What the command line says of the network: `ip=` as the kernel has it (net/ipv4/ipconfig.c and
//! Documentation/admin-guide/nfs/nfsroot.rst), with the forms that dracut adds; `ifname=`, `vlan=`, `BOOTIF=`.
//!
//! Words are read whenever they are asked for: nothing need be kept of them.

use super::address::{Address, parse_hex};
use super::dhcp::Protocol;
use super::lease::{Lease, prefix, role, text};
use crate::cmdline::CommandLine;
use crate::report::{Level, Log};
use crate::text::{parse_number, place, split_once};

/// The most `ip=` words that are heeded; each is for a link of its own.
pub const WORDS: usize = 8;

/// How a link gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Off,
    /// From a server.
    Dhcp(Protocol),
    /// From the command line.
    Static,
    /// From a router, by IPv6 (RFC 4862), as the kernel does by itself.
    Router,
}

impl Method {
    /// The word for it in the files that are left, which is klibc's.
    pub fn name(self) -> &'static [u8] {
        match self {
            Method::Dhcp(Protocol::Bootp) => b"bootp",
            Method::Dhcp(_) => b"dhcp",
            Method::Router => b"auto6",
            _ => b"none",
        }
    }
}

/// One `ip=`.
pub struct Ip<'a> {
    /// How.
    pub method: Method,
    /// The link, by its name or its hardware address; empty for any.
    pub device: &'a [u8],
    /// What the word gives, which goes before what comes from elsewhere.
    pub given: Lease,
    /// The client identifier for a DHCP server: its type and value, as `dhcp,TYPE,VALUE` gives them.
    pub client: Option<(u8, &'a [u8])>,
}

/// Calls `visit` with the number of each `ip=` and what it says. Where there is none, every link is tried, as if there were
/// an empty one. One that has no meaning is told of once.
#[inline(never)]
pub fn each<'a>(cmdline: &CommandLine<'a>, log: Option<&mut Log>, visit: &mut dyn FnMut(usize, Ip<'a>)) {
    let mut number = 0;
    let mut odd = None;
    for word in cmdline.words().filter(|word| matches!(word.key, b"ip" | b"nfsaddrs")) {
        match Ip::parse(word.value.unwrap_or_default()) {
            Some(ip) if number < WORDS => {
                visit(number, ip);
                number += 1;
            }
            _ => odd = Some(word.text),
        }
    }
    if number == 0 {
        visit(0, Ip::new(Method::Dhcp(Protocol::Any)));
    }
    if let (Some(odd), Some(log)) = (odd, log) {
        log.say(Level::Warning, &[b"no meaning is known of the word ", odd]);
    }
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
    #[inline(never)]
    pub fn of(cmdline: &CommandLine<'a>, name: &[u8], hardware: &[u8]) -> Wish<'a> {
        let mut wish = Wish::default();
        // Another link is the one that the boot loader used, as PXELINUX tells, with the type of the address before it.
        let mut is_passed_over = false;
        // A virtual link has the hardware address of the one below, and a name already.
        let mut is_virtual = false;
        for word in cmdline.words() {
            let Some(value) = word.value else { continue };
            let pair = split_once(value, b':');
            match (word.key, pair) {
                (b"BOOTIF", _) => is_passed_over = !is_hardware(value.get(3..).unwrap_or_default(), hardware),
                (b"ifname", Some((new, address))) if is_hardware(address, hardware) => wish.name = Some(new),
                (b"vlan", Some((vlan, _))) if vlan == name => is_virtual = true,
                _ => {}
            }
        }
        wish.name = wish.name.filter(|_| !is_virtual);
        let name = wish.name.unwrap_or(name);
        // By the name that it now has, wherever that is said.
        for word in cmdline.words().filter(|word| word.key == b"vlan") {
            if let Some((vlan, below)) = split_once(word.value.unwrap_or_default(), b':')
                && below == name
            {
                wish.vlan = Some(vlan);
            }
        }
        each(cmdline, None, &mut |number, ip| {
            let is_for_any = ip.device.is_empty() && !is_passed_over && wish.vlan.is_none() && wish.word.is_none();
            if ip.method != Method::Off && (ip.device == name || is_hardware(ip.device, hardware) || is_for_any) {
                wish.word = Some(number);
            }
        });
        wish
    }
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
    fn new(method: Method) -> Ip<'a> {
        Ip { method, device: b"", given: Lease::default(), client: None }
    }

    /// Reads a word's value; none where it has no meaning.
    #[inline(never)]
    pub fn parse(value: &'a [u8]) -> Option<Ip<'a>> {
        let mut ip = Ip::new(Method::Off);
        if value.is_empty() || ip.set_method(value).is_some() {
            return Some(ip);
        }
        ip.method = Method::Dhcp(Protocol::Any);
        let mut fields = Fields(Some(value));
        let mut number = 0;
        while let Some(field) = fields.next() {
            if !field.is_empty() {
                match number {
                    // dracut's `DEVICE:PROTOCOL[:[MTU][:ADDRESS]]`: the protocol, the size and the address are the kernel's
                    // seventh, eighth and ninth fields.
                    0 if Address::parse(field).is_none() => {
                        ip.device = field;
                        number = 5;
                    }
                    _ => ip.take(number, field)?,
                }
            }
            number += 1;
        }
        if !ip.given.address(role::OWN).is_none() {
            // An address that is given is not asked for, whatever the protocol.
            ip.method = Method::Static;
        }
        Some(ip)
    }

    /// Takes a field of the kernel's form.
    fn take(&mut self, number: usize, field: &'a [u8]) -> Option<()> {
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
        match (number, parse_number(field)) {
            // A prefix, as dracut takes it, or a mask.
            (3, Some(bits)) => self.given.prefix = u8::try_from(bits).ok().filter(|bits| *bits <= 128)?,
            (3, None) => self.given.prefix = prefix(Address::parse(field)?.v4())?,
            (4, _) => self.given.texts[text::HOST].push(field),
            (5, _) => self.device = field,
            (6, _) => self.set_method(field)?,
            // dracut takes the largest size of packets in the place of a name server, and a hardware address behind it.
            (7, Some(mtu)) => self.given.mtu = mtu.try_into().ok()?,
            (8, _) if self.given.mtu > 0 => {}
            _ => {
                if let Some(role) = ROLES.get(number).filter(|role| **role != NONE) {
                    self.given.set(usize::from(*role), Address::parse(field)?);
                }
            }
        }
        Some(())
    }

    /// Takes a protocol by its name, `dhcp` also with an identifier of the client behind it.
    fn set_method(&mut self, name: &'a [u8]) -> Option<()> {
        const NAMES: &[u8] = b"off\0none\0auto6\0on\0any\0dhcp\0bootp\0both";
        let (name, identity) = split_once(name, b',').unwrap_or((name, b""));
        self.method = match place(NAMES, name)? {
            0 | 1 => Method::Off,
            2 => Method::Router,
            3 | 4 => Method::Dhcp(Protocol::Any),
            5 => Method::Dhcp(Protocol::Dhcp),
            _ => Method::Dhcp(Protocol::Bootp),
        };
        if !identity.is_empty() {
            let (kind, value) = split_once(identity, b',')?;
            self.client = Some((parse_number(kind)?.try_into().ok()?, value));
        }
        Some(())
    }
}

/// Whether a text is this hardware address, with colons or dashes between the bytes.
#[inline(never)]
fn is_hardware(text: &[u8], hardware: &[u8]) -> bool {
    text.len() == 3 * hardware.len() - 1
        && text.chunks(3).zip(hardware).all(|(digits, byte)| {
            let (digits, end) = digits.split_at_checked(2).unwrap_or_default();
            parse_hex(digits) == Some(u16::from(*byte)) && matches!(end, b"" | b":" | b"-")
        })
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

    /// What a word says, in one line.
    fn read(value: &str) -> Option<String> {
        let ip = Ip::parse(value.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let mut line = vec![format!("{:?}", ip.method), text(ip.device)];
        let roles = [("own", role::OWN), ("server", role::BOOT_SERVER), ("gateway", role::GATEWAY)];
        let more = [("dns0", role::NAME_SERVER), ("dns1", role::NAME_SERVER + 1), ("ntp", role::TIME_SERVER)];
        for (name, role) in roles.into_iter().chain(more).filter(|(_, role)| !ip.given.address(*role).is_none()) {
            line.push(format!("{name}={}", text(ip.given.address(role).text().as_bytes())));
        }
        let numbers = [("prefix", u64::from(ip.given.prefix)), ("mtu", ip.given.mtu.into())];
        line.extend(numbers.iter().filter(|(_, value)| *value > 0).map(|(name, value)| format!("{name}={value}")));
        line.extend(Some(text(ip.given.text(text::HOST))).filter(|host| !host.is_empty()));
        line.extend(ip.client.map(|(kind, value)| format!("client={kind},{}", text(value))));
        Some(line.join(" "))
    }

    #[test]
    fn reads_the_kernels_forms() {
        for (value, expected) in [
            ("dhcp", "Dhcp(Dhcp) "),
            ("on", "Dhcp(Any) "),
            ("any", "Dhcp(Any) "),
            ("both", "Dhcp(Bootp) "),
            ("bootp", "Dhcp(Bootp) "),
            ("off", "Off "),
            ("none", "Off "),
            ("", "Off "),
            ("dhcp,1,me", "Dhcp(Dhcp)  client=1,me"),
            (":::::eth0", "Dhcp(Any) eth0"),
            (":::::eth0:dhcp", "Dhcp(Dhcp) eth0"),
            (":::::eth0:off", "Off eth0"),
            ("::::box.example.org:eth1:any", "Dhcp(Any) eth1 box.example.org"),
            ("10.0.2.15", "Static  own=10.0.2.15"),
            (
                "10.0.2.15:10.0.2.2:10.0.2.1:255.255.255.0:box:eth0:off:10.0.2.3:10.0.2.4:10.0.2.5",
                "Static eth0 own=10.0.2.15 server=10.0.2.2 gateway=10.0.2.1 dns0=10.0.2.3 dns1=10.0.2.4 ntp=10.0.2.5 prefix=24 box",
            ),
            ("10.0.2.15::10.0.2.1:255.255.0.0::eth0:dhcp", "Static eth0 own=10.0.2.15 gateway=10.0.2.1 prefix=16"),
            ("0.0.0.0::::::dhcp", "Dhcp(Dhcp) "),
        ] {
            assert_eq!(read(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn reads_dracuts_forms() {
        for (value, expected) in [
            ("eth0:dhcp", "Dhcp(Dhcp) eth0"),
            ("eth0:dhcp:1400", "Dhcp(Dhcp) eth0 mtu=1400"),
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
