//! What `root=` means: the kernel's forms (init/do_mounts.c, block/early-lookup.c), those of udev and dracut beside them.

use crate::cmdline::unquoted;
use crate::table::Disks;
use crate::text::{parse_number, place, split_once};

/// The root that the user asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootSpec<'a> {
    /// A disk by the kernel's name: `/dev/vda1`.
    Name(&'a [u8]),
    /// A disk by its number: `8:1`, or `801` as the kernel wrote it of old.
    Number {
        /// The driver's number.
        major: u32,
        /// The disk's number within it.
        minor: u32,
    },
    /// A file system by its UUID: `UUID=`.
    Uuid(&'a [u8]),
    /// A file system by its label: `LABEL=`.
    Label(&'a [u8]),
    /// A partition by its identifier: `PARTUUID=`, or the partition so many further on: `/PARTNROFF=`.
    PartUuid(&'a [u8], i32),
    /// A GPT partition by its name: `PARTLABEL=`.
    PartLabel(&'a [u8]),
    /// A directory of the host by its tag: `9p:` and `virtiofs:`, or a tag alone with such a `rootfstype=`.
    Share {
        /// The file system: `9p` or `virtiofs`.
        kind: &'a [u8],
        /// The tag.
        tag: &'a [u8],
    },
    /// A disk that a server lends, by its whole name: `nbd:` and `nvme+tcp:`.
    Remote(&'a [u8]),
    /// A directory of an NFS server.
    Nfs {
        /// `SERVER:DIRECTORY:OPTIONS`, as `nfs:` has it; none for `/dev/nfs`, where `nfsroot=` says it.
        location: Option<&'a [u8]>,
        /// Only by version 4: `nfs4:`.
        only_v4: bool,
    },
}

/// File systems whose root is a tag and no device.
const SHARES: &[&[u8]] = &[b"9p", b"virtiofs"];

impl<'a> RootSpec<'a> {
    /// Reads the value of `root=`, beside that of `rootfstype=`. None where it is of no form that is known here.
    #[inline(never)]
    pub fn parse(root: &'a [u8], root_type: Option<&'a [u8]>) -> Option<RootSpec<'a>> {
        let shares = if cfg!(feature = "shares") { SHARES } else { &[] };
        if let Some(kind) = root_type.filter(|kind| shares.contains(kind)) {
            return Some(RootSpec::Share { kind, tag: without_prefix(root, kind) });
        }
        for &kind in shares {
            if let Some(tag) = root.strip_prefix(kind).and_then(|rest| rest.strip_prefix(b":")) {
                return Some(RootSpec::Share { kind, tag });
            }
        }
        if is_disk(root) {
            return Some(RootSpec::Remote(root));
        }
        if let Some(nfs) = nfs(root, root_type) {
            return Some(nfs);
        }
        let named = match root.strip_prefix(b"/dev/disk/by-") {
            Some(rest) => split_once(rest, b'/'),
            None => split_once(root, b'='),
        };
        if let Some((form, value)) = named
            && let Some(place) = place(FORMS, form).filter(|_| cfg!(feature = "probe"))
        {
            // People write root=LABEL="my root" too, though the kernel takes off quotes around a whole value only.
            let value = unquoted(value);
            return match place % 4 {
                0 => Some(RootSpec::Uuid(value)),
                1 => Some(RootSpec::Label(value)),
                2 => Some(RootSpec::PartLabel(value)),
                _ => part_uuid(value),
            };
        }
        match root.strip_prefix(b"/dev/") {
            Some(b"" | b"cifs") => None,
            Some(name) if name.starts_with(b"disk/") => None,
            Some(name) => Some(RootSpec::Name(name)),
            None => number(root),
        }
    }

    /// The family of disk names that the root's own name belongs to.
    pub fn disks(&self) -> Disks {
        match self {
            RootSpec::Name(name) => Disks::of_name(name),
            _ => Disks::default(),
        }
    }

    /// Whether it is on another machine, by its form alone.
    pub fn is_remote(&self) -> bool {
        matches!(self, RootSpec::Nfs { .. } | RootSpec::Remote(_))
    }
}

/// Whether a text begins as the name of a disk that a server lends.
pub fn is_disk(text: &[u8]) -> bool {
    text.starts_with(b"nbd:") || text.starts_with(b"nvme+tcp:")
}

/// `/dev/nfs`, `nfs:` and `nfs4:`, `dhcp`, or a directory with such a `rootfstype=`.
#[inline(never)]
fn nfs<'a>(root: &'a [u8], root_type: Option<&[u8]>) -> Option<RootSpec<'a>> {
    const KINDS: &[u8] = b"/dev/nfs\0nfs4\0nfs\0dhcp";
    let (kind, location) = split_once(root, b':').unwrap_or((root, b""));
    let (kind, location) = match (place(KINDS, kind), root_type.and_then(|kind| place(KINDS, kind))) {
        (Some(0), kind) => (kind, None),
        (Some(kind), _) => (Some(kind), Some(location)),
        (None, kind) => (Some(kind?), Some(root)),
    };
    Some(RootSpec::Nfs { location, only_v4: kind == Some(1) })
}

fn without_prefix<'a>(root: &'a [u8], kind: &[u8]) -> &'a [u8] {
    root.strip_prefix(kind).and_then(|rest| rest.strip_prefix(b":")).unwrap_or(root)
}

/// The forms that name what they compare with, as words and as directories of links.
const FORMS: &[u8] = b"UUID\0LABEL\0PARTLABEL\0PARTUUID\0uuid\0label\0partlabel\0partuuid";

/// `UUID` or `UUID/PARTNROFF=N`.
#[inline(never)]
fn part_uuid(value: &[u8]) -> Option<RootSpec<'_>> {
    let Some((uuid, offset)) = split_once(value, b'/') else { return Some(RootSpec::PartUuid(value, 0)) };
    let offset = offset.strip_prefix(b"PARTNROFF=")?;
    let (sign, digits) = offset.strip_prefix(b"-").map_or((1, offset), |digits| (-1, digits));
    let offset = i32::try_from(parse_number(digits)?).ok()?;
    Some(RootSpec::PartUuid(uuid, sign * offset))
}

/// `MAJOR:MINOR`, or both in one hexadecimal number (include/linux/kdev_t.h, `new_decode_dev`).
#[inline(never)]
fn number(root: &[u8]) -> Option<RootSpec<'_>> {
    if let Some((major, minor)) = split_once(root, b':') {
        let number = |text| u32::try_from(parse_number(text)?).ok();
        return Some(RootSpec::Number { major: number(major)?, minor: number(minor)? });
    }
    if root.is_empty() || root.len() > 8 {
        return None;
    }
    let device = root.iter().try_fold(0, |device, &digit| Some(device << 4 | u32::from(hex(digit)?)))?;
    Some(RootSpec::Number { major: (device >> 8) & 0xfff, minor: (device & 0xff) | ((device >> 12) & 0xfff00) })
}

/// Whether a text that a user wrote, with escapes like `\x20` for bytes that a word cannot hold, means `actual`.
pub fn means(written: &[u8], actual: &[u8]) -> bool {
    let mut written = written;
    let mut actual = actual.iter();
    while let Some((&first, mut rest)) = written.split_first() {
        let mut byte = first;
        if let [b'\\', b'x', high, low, behind @ ..] = written
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            byte = high << 4 | low;
            rest = behind;
        }
        if actual.next() != Some(&byte) {
            return false;
        }
        written = rest;
    }
    actual.next().is_none()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(root: &str) -> Option<RootSpec<'_>> {
        RootSpec::parse(root.as_bytes(), None)
    }

    #[test]
    fn reads_every_form() {
        assert_eq!(parse("/dev/vda1"), Some(RootSpec::Name(b"vda1")));
        assert_eq!(parse("/dev/cciss/c0d0p1"), Some(RootSpec::Name(b"cciss/c0d0p1")));
        assert_eq!(parse("8:17"), Some(RootSpec::Number { major: 8, minor: 17 }));
        assert_eq!(parse("801"), Some(RootSpec::Number { major: 8, minor: 1 }));
        assert_eq!(parse("b302"), Some(RootSpec::Number { major: 179, minor: 2 }));
        assert_eq!(parse("UUID=ABCD-1234"), Some(RootSpec::Uuid(b"ABCD-1234")));
        assert_eq!(parse("/dev/disk/by-uuid/x"), Some(RootSpec::Uuid(b"x")));
        assert_eq!(parse("LABEL=a b"), Some(RootSpec::Label(b"a b")));
        assert_eq!(parse("LABEL=\"a b\""), Some(RootSpec::Label(b"a b")));
        assert_eq!(parse("/dev/disk/by-label/a\\x20b"), Some(RootSpec::Label(b"a\\x20b")));
        assert_eq!(parse("PARTLABEL=root"), Some(RootSpec::PartLabel(b"root")));
        assert_eq!(parse("PARTUUID=1234abcd-02"), Some(RootSpec::PartUuid(b"1234abcd-02", 0)));
        assert_eq!(parse("PARTUUID=x/PARTNROFF=1"), Some(RootSpec::PartUuid(b"x", 1)));
        assert_eq!(parse("PARTUUID=x/PARTNROFF=-2"), Some(RootSpec::PartUuid(b"x", -2)));
        assert_eq!(parse("9p:host"), Some(RootSpec::Share { kind: b"9p", tag: b"host" }));
        assert_eq!(parse("virtiofs:host"), Some(RootSpec::Share { kind: b"virtiofs", tag: b"host" }));
        let nfs = |location: &'static [u8], only_v4| Some(RootSpec::Nfs { location: Some(location), only_v4 });
        assert_eq!(parse("/dev/nfs"), Some(RootSpec::Nfs { location: None, only_v4: false }));
        assert_eq!(parse("nfs:10.0.2.2:/srv:vers=3"), nfs(b"10.0.2.2:/srv:vers=3", false));
        assert_eq!(parse("nfs4:[fd00::1]:/srv"), nfs(b"[fd00::1]:/srv", true));
        assert_eq!(parse("dhcp"), nfs(b"", false));
        assert_eq!(RootSpec::parse(b"10.0.2.2:/srv", Some(b"nfs4")), nfs(b"10.0.2.2:/srv", true));
        let by_type = RootSpec::parse(b"host", Some(b"9p"));
        assert_eq!(by_type, Some(RootSpec::Share { kind: b"9p", tag: b"host" }));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for root in ["", "/dev/", "/dev/cifs", "/dev/disk/by-id/x", "x:1", "8:", ":", "PARTUUID=x/PARTNROFF=", "zfs"] {
            assert_eq!(parse(root), None, "{root}");
        }
        assert_eq!(parse("PARTUUID=x/PARTNROFF=99999999999"), None);
    }

    #[test]
    fn compares_with_escapes() {
        assert!(means(b"my\\x20root", b"my root"));
        assert!(means(b"my root", b"my root"));
        assert!(means(b"a\\x2fb\\x", b"a/b\\x"));
        assert!(!means(b"my\\x20root", b"my root2"));
        assert!(!means(b"my", b"m"));
        assert!(means(b"", b""));
    }

    #[test]
    fn knows_the_family_of_a_name() {
        assert_eq!(parse("/dev/vda1").map(|spec| spec.disks()), Some(Disks(1)));
        assert_eq!(parse("/dev/nvme0n1p1").map(|spec| spec.disks()), Some(Disks(2)));
        assert_eq!(parse("/dev/mapper/x").map(|spec| spec.disks()), Some(Disks(0)));
    }
}
