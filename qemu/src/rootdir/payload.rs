//! What the guest's init is told: it stands behind the program in its own file, in an archive of its own that the kernel
//! unpacks after the image.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Result, ensure};
use modstrap_initramfs::archive::{Archive, Node};

#[path = "../../guest/src/call.rs"]
#[allow(dead_code, reason = "the guest reads it, here it is only tested")]
mod call;

/// The init itself, made by build.rs.
static GUEST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/guest"));

/// Where it is in the image.
pub(super) const PATH: &str = "/modstrap/guest";

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its lines.
    pub rows: u16,
    /// What each holds.
    pub columns: u16,
}

/// What to run; see the guest's `call.rs` for how it is written.
pub(super) struct Payload<'a> {
    pub place: &'a Path,
    pub terminal: Option<Terminal>,
    pub modules: &'a str,
    pub command: &'a [OsString],
    pub environment: &'a [OsString],
}

/// The archive.
pub(super) fn archive(payload: &Payload) -> Result<Vec<u8>> {
    let content = [GUEST, &payload.bytes()?].concat();
    let mut archive = Archive::default();
    archive.add(PATH, Node::File { mode: 0o755, content })?;
    let mut bytes = Vec::new();
    archive.write(&mut bytes, 0)?;
    Ok(bytes)
}

impl Payload<'_> {
    fn bytes(&self) -> Result<Vec<u8>> {
        let size = self.terminal.map(|Terminal { rows, columns }| format!("{rows} {columns}")).unwrap_or_default();
        let count = self.command.len().to_string();
        let head = [self.place.as_os_str().as_bytes(), size.as_bytes(), self.modules.as_bytes(), count.as_bytes()];
        let texts = self.command.iter().chain(self.environment).map(|text| text.as_bytes());
        let mut bytes = Vec::new();
        for text in head.into_iter().chain(texts) {
            ensure!(!text.contains(&0), "a NUL stands in {}", text.escape_ascii());
            bytes.extend(text);
            bytes.push(0);
        }
        bytes.extend(u32::try_from(bytes.len())?.to_le_bytes());
        bytes.extend(call::MAGIC);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::call::Call;
    use super::*;

    fn payload(command: &[&str], environment: &[&str]) -> Result<Vec<u8>> {
        let owned = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
        let terminal = Some(Terminal { rows: 24, columns: 80 });
        let (command, environment) = (owned(command), owned(environment));
        Payload { place: Path::new("/tmp"), terminal, modules: "", command: &command, environment: &environment }
            .bytes()
    }

    #[test]
    fn the_guest_reads_what_is_written() {
        let bytes = payload(&["sh", "-c", "a b\n\"c\"", ""], &["PATH=/bin:/sbin", "EMPTY="]).unwrap();
        let file = [b"\x7fELF and so on".as_slice(), &bytes].concat();
        let call = Call::parse(&file).unwrap();
        assert_eq!((call.directory, call.terminal, call.modules), (&b"/tmp"[..], &b"24 80"[..], &b""[..]));
        assert_eq!(call.arguments, 4);
        let arguments: Vec<_> = call.all().take(4).collect();
        assert_eq!(arguments, [&b"sh\0"[..], b"-c\0", b"a b\n\"c\"\0", b"\0"]);
        assert_eq!(call.variable(b"PATH"), Some(&b"/bin:/sbin"[..]));
        assert_eq!((call.variable(b"EMPTY"), call.variable(b"PA")), (Some(&b""[..]), None));
    }

    #[test]
    fn the_guest_refuses_what_is_damaged() {
        let bytes = payload(&["sh"], &[]).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(Call::parse(&bytes[..end]), None);
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            // Whatever it is taken for, nothing panics.
            let _ = Call::parse(&damaged).map(|call| call.all().count());
        }
        assert!(payload(&["a\0b"], &[]).is_err());
    }
}
