//! Host directories in the guest, by 9p or virtiofs.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::drive::{escape, for_machine};
use crate::server::{Server, virtiofsd};

/// A host directory that the guest can mount; by 9p and read-only unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    tag: String,
    directory: PathBuf,
    writable: bool,
    by: Protocol,
}

/// How a share is served.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// By QEMU itself.
    #[default]
    #[value(name = "9p")]
    NineP,
    /// By virtiofsd, which the harness starts beside QEMU.
    #[value(name = "virtiofs")]
    VirtioFs,
}

impl Protocol {
    /// The file system's name, as in `rootfstype=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::NineP => "9p",
            Self::VirtioFs => "virtiofs",
        }
    }
}

/// What a share is to QEMU.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub arguments: Vec<String>,
    /// Who serves it, if that is not QEMU.
    pub server: Option<Server>,
}

impl Share {
    /// The directory under the mount tag, read-only.
    pub fn new(tag: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        Self { tag: tag.into(), directory: directory.into(), writable: false, by: Protocol::NineP }
    }

    /// Lets the guest change the directory.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    /// Serves it in this way.
    #[must_use]
    pub fn by(mut self, protocol: Protocol) -> Self {
        self.by = protocol;
        self
    }

    /// Whether QEMU must let another process see the guest's memory.
    pub(crate) fn needs_shared_memory(&self) -> bool {
        self.by == Protocol::VirtioFs
    }

    /// What QEMU needs for this share, the `number`th of `machine`; sockets and logs go into `scratch`.
    pub(crate) fn attach(&self, number: usize, machine: &str, scratch: &Path) -> Result<Attachment> {
        let Self { tag, directory, writable, by } = self;
        ensure!(directory.is_dir(), "the share {tag} is no directory: {}", directory.display());
        let (backend, device, server) = match by {
            Protocol::NineP => {
                let (path, read_only) = (escape(directory), if *writable { "off" } else { "on" });
                // Of the guest's owners and modes nothing is kept; those of other file systems below may be seen.
                let backend = format!(
                    "local,id=share{number},path={path},security_model=none,readonly={read_only},multidevs=remap"
                );
                let device = format!("{},fsdev=share{number},mount_tag={tag}", for_machine("virtio-9p-pci", machine));
                (["-fsdev".into(), backend], device, None)
            }
            Protocol::VirtioFs => {
                let socket = scratch.join(format!("share{number}"));
                let backend = format!("socket,id=share{number},path={}", escape(&socket));
                let device = format!("{},chardev=share{number},tag={tag}", for_machine("vhost-user-fs-pci", machine));
                (["-chardev".into(), backend], device, Some(virtiofsd(directory, *writable, socket)?))
            }
        };
        Ok(Attachment { arguments: backend.into_iter().chain(["-device".into(), device]).collect(), server })
    }
}

/// `TAG=DIR[,writable][,9p|,virtiofs]`
impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        const FORM: &str = "a share is TAG=DIR[,writable][,virtiofs]";
        let Some((tag, mut directory)) = text.split_once('=') else { bail!(FORM) };
        let (mut writable, mut by) = (false, Protocol::NineP);
        while let Some((rest, word)) = directory.rsplit_once(',') {
            match word {
                "writable" => writable = true,
                "9p" => by = Protocol::NineP,
                "virtiofs" => by = Protocol::VirtioFs,
                // A comma of the directory's own.
                _ => break,
            }
            directory = rest;
        }
        ensure!(!tag.is_empty() && !directory.is_empty(), FORM);
        Ok(Self { writable, ..Self::new(tag, directory).by(by) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_a_tag_and_a_directory() {
        assert_eq!("host=/a=b,writable".parse::<Share>().unwrap(), Share::new("host", "/a=b").writable());
        assert_eq!("host=/a,b".parse::<Share>().unwrap(), Share::new("host", "/a,b"));
        let both = Share::new("host", "/a").writable().by(Protocol::VirtioFs);
        assert_eq!("host=/a,writable,virtiofs".parse::<Share>().unwrap(), both);
        assert_eq!("host=/a,virtiofs,writable".parse::<Share>().unwrap(), both);
        assert!(
            "/a".parse::<Share>().is_err()
                && "=/a".parse::<Share>().is_err()
                && "a=,writable".parse::<Share>().is_err()
        );
    }
}
