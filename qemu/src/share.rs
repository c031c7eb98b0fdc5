//! Host directories in the guest, by 9p.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::drive::{escape, for_machine};

/// A host directory that the guest can mount by 9p; read-only unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    tag: String,
    directory: PathBuf,
    writable: bool,
}

impl Share {
    /// The directory under the mount tag, read-only.
    pub fn new(tag: impl Into<String>, directory: impl Into<PathBuf>) -> Self {
        Self { tag: tag.into(), directory: directory.into(), writable: false }
    }

    /// Lets the guest change the directory.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.writable = true;
        self
    }
}

impl Share {
    /// What QEMU needs for this share, the `number`th of `machine`.
    pub(crate) fn arguments(&self, number: usize, machine: &str) -> Result<[String; 4]> {
        let Self { tag, directory, writable } = self;
        ensure!(directory.is_dir(), "the share {tag} is no directory: {}", directory.display());
        let read_only = if *writable { "off" } else { "on" };
        let path = escape(directory);
        let device = for_machine("virtio-9p-pci", machine);
        Ok([
            "-fsdev".into(),
            format!("local,id=share{number},path={path},security_model=none,readonly={read_only}"),
            "-device".into(),
            format!("{device},fsdev=share{number},mount_tag={tag}"),
        ])
    }
}

/// `TAG=DIR[,writable]`
impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (tag, directory) = text.split_once('=').context("a share is TAG=DIR or TAG=DIR,writable")?;
        ensure!(!tag.is_empty() && !directory.is_empty(), "a share is TAG=DIR or TAG=DIR,writable");
        Ok(match directory.strip_suffix(",writable") {
            Some(directory) => Self::new(tag, directory).writable(),
            None => Self::new(tag, directory),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_a_tag_and_a_directory() {
        assert_eq!("host=/a=b,writable".parse::<Share>().unwrap(), Share::new("host", "/a=b").writable());
        assert!("/a".parse::<Share>().is_err() && "=/a".parse::<Share>().is_err());
    }
}
