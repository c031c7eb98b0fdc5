//! Disks that servers lend: how the command line, or a DHCP server's root path, names one.
//!
//! * `nbd:SERVER:PORT[:NAME[:TYPE[:MOUNT OPTIONS[:NBD OPTIONS]]]]`, or `nbd:SERVER:NAME[:TYPE...]` at the usual port: the
//!   form of dracut (dracut.cmdline(7)), with the port and the name apart.
//! * `nvme+tcp://SERVER[:PORT]/NQN[/NAMESPACE][?OPTION&OPTION...]`: the form of the NVM Express Boot Specification, with
//!   options of the kernel (drivers/nvme/host/fabrics.c, `opt_tokens`).
//!
//! Where the server is empty, it is the one that the network's lease names.

use super::address::Address;
use crate::text::{parse_number, split, split_once};

/// A disk that a server lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// The server's address; none where the lease tells it.
    pub server: Address,
    /// Its port.
    pub port: u16,
    /// What it is asked for.
    pub kind: Kind<'a>,
}

/// What a server is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An export by NBD.
    Nbd {
        /// The export's name; the server's default one may have none.
        name: &'a [u8],
        /// The types of its file system, as of `rootfstype=`.
        types: &'a [u8],
        /// Options of the mount, as of `rootflags=`.
        flags: &'a [u8],
        /// Options of the connection, with commas between.
        options: &'a [u8],
    },
    /// A subsystem by NVMe over TCP.
    Nvme {
        /// The subsystem's name.
        nqn: &'a [u8],
        /// The number of the namespace; none for the first.
        namespace: Option<u64>,
        /// Options of the kernel, with `&` between.
        options: &'a [u8],
    },
}

const NBD: &[u8] = b"nbd:";
const NVME: &[u8] = b"nvme+tcp://";

/// The port of NBD.
const NBD_PORT: u16 = 10809;
/// The port of NVMe over TCP.
pub const NVME_PORT: u16 = 4420;

impl<'a> Remote<'a> {
    /// Reads the name of such a disk; none if it is no such name, or the server is not given by its address.
    pub fn parse(text: &'a [u8]) -> Option<Remote<'a>> {
        let nbd_text = text.strip_prefix(NBD);
        let (server, rest) = server(nbd_text.or_else(|| text.strip_prefix(NVME))?)?;
        let (port, kind) = if nbd_text.is_some() { nbd(rest)? } else { nvme(rest)? };
        Some(Remote { server, port, kind })
    }
}

/// Reads `:PORT[:NAME...]` or `:NAME...`.
fn nbd(text: &[u8]) -> Option<(u16, Kind<'_>)> {
    let mut rest = text.strip_prefix(b":")?;
    let mut next = || {
        let (field, behind) = split_once(rest, b':').unwrap_or((rest, b""));
        rest = behind;
        field
    };
    let mut name = next();
    let mut port = NBD_PORT;
    if let Some(number) = parse_number(name) {
        port = number.try_into().ok()?;
        name = next();
    }
    let (types, flags) = (next(), next());
    Some((port, Kind::Nbd { name, types, flags, options: rest }))
}

/// Reads `[:PORT]/NQN[/NAMESPACE][?OPTION&OPTION...]`.
fn nvme(text: &[u8]) -> Option<(u16, Kind<'_>)> {
    let (port, path) = split_once(text, b'/')?;
    let port = match port.strip_prefix(b":") {
        Some(port) => parse_number(port)?.try_into().ok()?,
        None if port.is_empty() => NVME_PORT,
        None => return None,
    };
    let (path, options) = split_once(path, b'?').unwrap_or((path, b""));
    // A name may have slashes in it.
    let last = split(path, b'/').last().unwrap_or_default();
    let (nqn, namespace) = match parse_number(last) {
        Some(number) => (path.strip_suffix(last)?.strip_suffix(b"/")?, Some(number)),
        None => (path, None),
    };
    (!nqn.is_empty()).then_some((port, Kind::Nvme { nqn, namespace, options }))
}

/// The server that a text begins with, in brackets if it is one of IPv6, and what follows.
fn server(text: &[u8]) -> Option<(Address, &[u8])> {
    let end = match text.strip_prefix(b"[") {
        Some(_) => text.iter().position(|byte| *byte == b']')? + 1,
        None => text.iter().position(|byte| matches!(byte, b':' | b'/'))?,
    };
    let (server, rest) = text.split_at_checked(end)?;
    let address = if server.is_empty() { Address::NONE } else { Address::parse(server)? };
    Some((address, rest))
}

/// The number that an option has among those of a list, the last of several.
pub fn option(options: &[u8], name: &[u8]) -> Option<u64> {
    split(options, b',').filter_map(|option| parse_number(option.strip_prefix(name)?)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: [u8; 4] = [10, 0, 2, 2];

    fn parse(text: &str) -> Option<Remote<'_>> {
        Remote::parse(text.as_bytes())
    }

    fn is_nbd(text: &str, port: u16, name: &str, types: &str, flags: &str, options: &str) {
        let [name, types, flags, options] = [name, types, flags, options].map(str::as_bytes);
        let kind = Kind::Nbd { name, types, flags, options };
        assert_eq!(parse(text), Some(Remote { server: Address::of(&HOST), port, kind }), "{text}");
    }

    fn is_nvme(text: &str, port: u16, nqn: &str, namespace: Option<u64>, options: &str) {
        let kind = Kind::Nvme { nqn: nqn.as_bytes(), namespace, options: options.as_bytes() };
        assert_eq!(parse(text), Some(Remote { server: Address::of(&HOST), port, kind }), "{text}");
    }

    #[test]
    fn reads_exports() {
        is_nbd("nbd:10.0.2.2:2000", 2000, "", "", "", "");
        is_nbd("nbd:10.0.2.2:2000:root", 2000, "root", "", "", "");
        is_nbd("nbd:10.0.2.2:2000::ext4", 2000, "", "ext4", "", "");
        is_nbd("nbd:10.0.2.2:root", 10809, "root", "", "", "");
        is_nbd("nbd:10.0.2.2:root:ext4:noatime", 10809, "root", "ext4", "noatime", "");
        is_nbd("nbd:10.0.2.2:1:a:ext4,xfs:ro,x=y:bs=512,timeout=5", 1, "a", "ext4,xfs", "ro,x=y", "bs=512,timeout=5");
        is_nbd("nbd:10.0.2.2:1:a:::timeout=5:6", 1, "a", "", "", "timeout=5:6");
        let v6 = parse("nbd:[fd00::2]:2000:root").unwrap();
        assert_eq!(Some(v6.server), Address::parse(b"fd00::2"));
        assert_eq!(parse("nbd::2000:root").unwrap().server, Address::NONE);
    }

    #[test]
    fn reads_subsystems() {
        const NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        is_nvme(&format!("nvme+tcp://10.0.2.2/{NQN}"), 4420, NQN, None, "");
        is_nvme(&format!("nvme+tcp://10.0.2.2:8009/{NQN}/2"), 8009, NQN, Some(2), "");
        is_nvme(&format!("nvme+tcp://10.0.2.2/{NQN}/1?a=b&c"), 4420, NQN, Some(1), "a=b&c");
        is_nvme("nvme+tcp://10.0.2.2/a/b", 4420, "a/b", None, "");
        let v6 = parse("nvme+tcp://[fd00::2]:1/a").unwrap();
        assert_eq!((Some(v6.server), v6.port), (Address::parse(b"fd00::2"), 1));
        assert_eq!(parse("nvme+tcp:///a").unwrap().server, Address::NONE);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let texts = [
            "",
            "nbd:",
            "nbd:10.0.2.2",
            "nbd:server:2000",
            "nbd:10.0.2.2:65536",
            "nbd:[fd00::2]2000",
            "nbd:[fd00::2",
            "nvme+tcp://",
            "nvme+tcp://10.0.2.2",
            "nvme+tcp://10.0.2.2/",
            "nvme+tcp://10.0.2.2:x/a",
            "nvme+tcp://10.0.2.2/1",
            "nvme+tcp://[fd00::2]x/a",
            "nvme+rdma://10.0.2.2/a",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_of_equal_options_counts() {
        assert_eq!(option(b"bs=512,timeout=5,bs=4096,x", b"bs="), Some(4096));
        assert_eq!(option(b"bs=512,bs=x", b"bs="), Some(512));
        assert_eq!(option(b"", b"bs="), None);
    }
}
