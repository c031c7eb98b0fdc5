//! The archive that the kernel unpacks: newc cpio (Documentation/driver-api/early-userspace/buffer-format.rst),
//! written so that the same content gives the same bytes, and read back.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use anyhow::{Context, Result, bail, ensure};
use cpio::newc;

/// Archives begin at a multiple of this, as cpio itself pads them.
const BLOCK: usize = 512;
const FILE_TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// What an archive holds at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Permission bits.
        mode: u32,
        /// Its content.
        content: Vec<u8>,
    },
    /// A symbolic link and what it points to.
    Symlink(String),
    /// A character device.
    Device {
        /// Permission bits.
        mode: u32,
        /// Major and minor number.
        number: (u32, u32),
    },
}

/// An archive in the making.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// By path, without a '/' in front: sorted, so directories stand before what is in them.
    nodes: BTreeMap<String, Node>,
}

impl Archive {
    /// Puts `node` at `path`, and directories above it. A directory that is already there may come again; anything
    /// else may not.
    pub fn add(&mut self, path: &str, node: Node) -> Result<()> {
        let path = path.trim_matches('/');
        let parts: Vec<&str> = path.split('/').collect();
        ensure!(!parts.iter().any(|part| matches!(*part, "" | "." | "..")), "/{path}: not a path of an image");
        for end in 1..parts.len() {
            let parent = self.nodes.entry(parts[..end].join("/")).or_insert(Node::Directory { mode: 0o755 });
            ensure!(matches!(parent, Node::Directory { .. }), "/{path}: /{} is no directory", parts[..end].join("/"));
        }
        match (self.nodes.get(path), &node) {
            (None, _) => {}
            (Some(Node::Directory { .. }), Node::Directory { .. }) => return Ok(()),
            _ => bail!("/{path} is in the image already"),
        }
        self.nodes.insert(path.to_string(), node);
        Ok(())
    }

    /// What is at `path`.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path.trim_matches('/'))
    }

    /// Whether something is at `path`, reached through symbolic links too, as `/lib/ld.so` on a merged /usr is.
    pub fn reaches(&self, path: &str) -> bool {
        self.nodes.contains_key(&self.real(path))
    }

    /// Where `path` leads once symbolic links are followed; what is not there, nor may be, is taken as it stands.
    pub fn real(&self, path: &str) -> String {
        let parts = |path: &str| -> Vec<String> {
            path.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_string).collect()
        };
        let mut rest = parts(path);
        let mut at: Vec<String> = Vec::new();
        // As many links as the kernel follows (MAXSYMLINKS).
        let mut links = 40;
        while let Some(part) = rest.pop() {
            if part == ".." {
                at.pop();
                continue;
            }
            at.push(part);
            match self.nodes.get(&at.join("/")) {
                Some(Node::Symlink(target)) if links > 0 => {
                    links -= 1;
                    at.pop();
                    if target.starts_with('/') {
                        at.clear();
                    }
                    rest.extend(parts(target));
                }
                _ => {}
            }
        }
        at.join("/")
    }

    /// Every path and what is there, sorted.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Writes the archive. All belongs to root and has the time `mtime`, in seconds since 1970.
    pub fn write(&self, mut to: impl Write, mtime: u32) -> Result<u64> {
        let mut written = Vec::new();
        let mut total = 0;
        for (number, (path, node)) in self.nodes.iter().enumerate() {
            let entry = newc::Builder::new(path).ino(number as u32 + 1).uid(0).gid(0).mtime(mtime);
            let (entry, content): (_, &[u8]) = match node {
                Node::Directory { mode } => (entry.mode(DIRECTORY | mode).nlink(2), &[]),
                Node::File { mode, content } => (entry.mode(REGULAR | mode), content),
                Node::Symlink(target) => (entry.mode(SYMLINK | 0o777), target.as_bytes()),
                Node::Device { mode, number } => {
                    (entry.mode(CHARACTER_DEVICE | mode).rdev_major(number.0).rdev_minor(number.1), &[])
                }
            };
            let size = u32::try_from(content.len()).with_context(|| format!("/{path} is larger than 4 GiB"))?;
            let mut writer = entry.write(&mut written, size);
            writer.write_all(content)?;
            writer.finish()?;
            to.write_all(&written)?;
            total += written.len();
            written.clear();
        }
        newc::trailer(&mut written)?;
        written.resize((total + written.len()).next_multiple_of(BLOCK) - total, 0);
        to.write_all(&written)?;
        Ok((total + written.len()) as u64)
    }
}

/// An entry read from an image.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its path, as the archive states it.
    pub path: String,
    /// Its type and permission bits.
    pub mode: u32,
    /// Its content.
    pub content: &'a [u8],
}

impl Entry<'_> {
    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & FILE_TYPE == REGULAR
    }
}

/// An archive read from an image.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where in the image its first header is, in bytes.
    pub start: usize,
    /// What it holds.
    pub entries: Vec<Entry<'a>>,
}

/// Reads all archives in `image`, one after the other with zeros between, as the kernel does: each archive's entries.
pub fn read(image: &[u8]) -> Result<Vec<Vec<Entry<'_>>>> {
    Ok(find(image)?.into_iter().map(|archive| archive.entries).collect())
}

/// The same, with where each archive is.
pub fn find(image: &[u8]) -> Result<Vec<Found<'_>>> {
    let mut archives = Vec::new();
    let mut rest = image;
    loop {
        let zeros = rest.iter().take_while(|byte| **byte == 0).count();
        rest = &rest[zeros..];
        if rest.is_empty() {
            return Ok(archives);
        }
        let at = image.len() - rest.len();
        let (entries, tail) = read_one(rest).with_context(|| format!("no sound cpio archive (newc) at byte {at}"))?;
        archives.push(Found { start: at, entries });
        rest = tail;
    }
}

/// Reads one archive up to its trailer; the bytes behind it are returned too.
fn read_one(bytes: &[u8]) -> Result<(Vec<Entry<'_>>, &[u8])> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut cursor = Cursor::new(bytes);
    loop {
        let context = || match entries.last() {
            Some(last) => format!("damaged or cut off behind its entry {}", last.path),
            None => "its first bytes are not a newc header".to_string(),
        };
        let mut reader = newc::Reader::new(cursor).with_context(context)?;
        let start = usize::try_from(reader.offset()?)?;
        let (path, mode, size) = (reader.entry().name().to_string(), reader.entry().mode(), reader.entry().file_size());
        let is_trailer = reader.entry().is_trailer();
        cursor = reader.skip()?;
        if is_trailer {
            let end = usize::try_from(cursor.position())?;
            return Ok((entries, bytes.get(end..).unwrap_or_default()));
        }
        let content =
            bytes.get(start..start + size as usize).with_context(|| format!("its entry {path} is cut off"))?;
        entries.push(Entry { path, mode, content });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.add("/sbin/init", Node::File { mode: 0o755, content: b"#!/bin/sh\n".to_vec() }).unwrap();
        archive.add("dev/console", Node::Device { mode: 0o600, number: (5, 1) }).unwrap();
        archive.add("lib64", Node::Symlink("usr/lib64".into())).unwrap();
        archive.add("usr/lib64/ld.so", Node::File { mode: 0o644, content: vec![1; 4097] }).unwrap();
        archive.add("root", Node::Directory { mode: 0o700 }).unwrap();
        archive
    }

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        let length = archive.write(&mut bytes, 0).unwrap();
        assert_eq!(length, bytes.len() as u64);
        bytes
    }

    #[test]
    fn reads_what_it_wrote_parents_first() {
        let bytes = written(&sample());
        let archives = read(&bytes).unwrap();
        let [entries] = &archives[..] else { panic!("one archive") };
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        let expected =
            ["dev", "dev/console", "lib64", "root", "sbin", "sbin/init", "usr", "usr/lib64", "usr/lib64/ld.so"];
        assert_eq!(paths, expected);
        assert_eq!(entries[5].content, b"#!/bin/sh\n");
        assert_eq!(bytes.len() % BLOCK, 0);
    }

    #[test]
    fn cpio_reads_it() {
        let mut cpio = Command::new("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cpio; install the package cpio");
        cpio.stdin.take().unwrap().write_all(&written(&sample())).unwrap();
        let listing = String::from_utf8(cpio.wait_with_output().unwrap().stdout).unwrap();
        for line in ["crw-------   1 0        0          5,   1 Jan  1  1970 dev/console", "lib64 -> usr/lib64"] {
            assert!(listing.contains(line), "{line} in {listing}");
        }
    }

    #[test]
    fn several_archives_with_zeros_between() {
        let one = written(&sample());
        let image = [one.as_slice(), &[0; 1024], &one].concat();
        assert_eq!(read(&image).unwrap().len(), 2);
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = written(&sample());
        assert!(read(&bytes[..bytes.len() - 4700]).is_err());
        assert!(read(&[&bytes[..], b"\x1f\x8b"].concat()).is_err());
        let mut damaged = bytes.clone();
        damaged[110 + 54] = b'!';
        assert!(read(&damaged).is_err());
    }

    #[test]
    fn one_path_holds_one_thing() {
        let mut archive = sample();
        assert!(archive.add("root", Node::Directory { mode: 0o755 }).is_ok());
        for path in ["sbin/init", "sbin/init/below", "dev", "", "a/../b", "a//b"] {
            let file = Node::File { mode: 0o644, content: Vec::new() };
            assert!(archive.add(path, file).is_err(), "{path}");
        }
    }

    #[test]
    fn links_are_followed() {
        let archive = sample();
        assert!(archive.reaches("/lib64/ld.so") && archive.reaches("/usr/lib64"));
        assert!(!archive.reaches("/lib64/other.so") && !archive.reaches("/lib/ld.so"));
    }
}
