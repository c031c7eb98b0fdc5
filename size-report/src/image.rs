//! An image's bytes by part: early archive, loader, table, blobs, other files, and what cpio itself takes.
//!
//! An image is one or more newc archives in a row (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//! What stands before the archive with `/init` is the early part: microcode and the like.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cpio::newc::Reader;
use serde::Serialize;

use crate::Bytes;

/// The archives before the loader's own, with all their headers and padding.
pub const EARLY: &str = "early";
/// Archive headers, names, padding and ends.
pub const HEADERS: &str = "headers";
/// Files with a part of their own; every other file counts as [`FILES`].
const PARTS: [(&str, &str); 3] = [("init", "loader"), ("modstrap/table", "table"), ("modstrap/blobs", "blobs")];
/// All other files: firmware, `--file`, the targets of symbolic links.
pub const FILES: &str = "files";

/// The whole report on an image: what `size-report --image IMAGE --json` prints. The field names are kept.
#[derive(Debug, Serialize)]
pub struct ImageReport {
    /// The image's numbers.
    pub image: Image,
}

/// The numbers of one image.
#[derive(Debug, Serialize)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Bytes by part: `early`, `loader`, `table`, `blobs`, `files`, `headers`; they add up to the size.
    pub parts: Bytes,
}

impl Image {
    /// Reads an image. Refuses what is compressed, cut off, or holds no loader.
    pub fn read(path: &Path) -> Result<Image> {
        let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parts = parts(&data).with_context(|| format!("{} is not an image of modstrap", path.display()))?;
        Ok(Image { path: path.to_owned(), bytes: data.len() as u64, parts })
    }
}

fn parts(data: &[u8]) -> Result<Bytes> {
    let names = PARTS.iter().map(|&(_, part)| part).chain([EARLY, FILES, HEADERS]);
    let mut parts: Bytes = names.map(|name| (name.to_owned(), 0)).collect();
    let mut at = 0;
    let mut has_loader = false;
    while at < data.len() {
        let archive = Archive::read(data, at)?;
        has_loader |= archive.files.iter().any(|file| file.name == PARTS[0].0);
        if has_loader {
            archive.count(&mut parts);
        } else {
            add(&mut parts, EARLY, archive.bytes);
        }
        at += archive.bytes;
    }
    ensure!(has_loader, "it has no /init");
    Ok(parts)
}

fn add(parts: &mut Bytes, part: &str, bytes: usize) {
    *parts.entry(part.to_owned()).or_default() += bytes as u64;
}

/// One archive of an image.
struct Archive {
    /// From its first header to the start of the next archive.
    bytes: usize,
    files: Vec<File>,
}

/// What an archive says of one file.
struct File {
    name: String,
    bytes: usize,
}

impl Archive {
    /// Reads the archive at `start`, and the zeros that follow it.
    fn read(data: &[u8], start: usize) -> Result<Archive> {
        let mut rest = Cursor::new(data);
        rest.set_position(start as u64);
        let mut files = Vec::new();
        let end = loop {
            let at = rest.position();
            let mut reader = Reader::new(rest).with_context(|| no_header(data, at))?;
            let (name, bytes) = (plain_name(reader.entry().name()).to_owned(), reader.entry().file_size() as usize);
            ensure!(reader.offset()? as usize + bytes <= data.len(), "it is cut off within /{name}");
            let is_trailer = reader.entry().is_trailer();
            rest = reader.skip()?;
            if is_trailer {
                break data.len().min(rest.position() as usize);
            }
            files.push(File { name, bytes });
        };
        let zeros = data[end..].iter().take_while(|&&byte| byte == 0).count();
        Ok(Archive { bytes: end + zeros - start, files })
    }

    /// Adds the archive's files to their parts, and what is left of it to the headers.
    fn count(&self, parts: &mut Bytes) {
        for file in &self.files {
            let part = PARTS.iter().find(|&&(name, _)| name == file.name).map_or(FILES, |&(_, part)| part);
            add(parts, part, file.bytes);
        }
        let of_files: usize = self.files.iter().map(|file| file.bytes).sum();
        add(parts, HEADERS, self.bytes - of_files);
    }
}

/// A name without what archivers put before it: `./init` and `/init` are `init`.
fn plain_name(name: &str) -> &str {
    name.trim_start_matches("./").trim_start_matches('/')
}

fn no_header(data: &[u8], at: u64) -> String {
    if at as usize >= data.len() {
        return format!("it ends at byte {at} without an archive's end");
    }
    format!("at byte {at} there is no newc header (an image is not compressed, nor is what stands before or behind it)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::{Builder, trailer};
    use std::io::Write;

    fn archive(files: &[(&str, usize)]) -> Vec<u8> {
        let mut out = Vec::new();
        for &(name, bytes) in files {
            let mut file = Builder::new(name).mode(0o100_755).write(&mut out, bytes as u32);
            file.write_all(&vec![1; bytes]).unwrap();
            file.finish().unwrap();
        }
        trailer(&mut out).unwrap();
        out
    }

    fn image() -> Vec<u8> {
        archive(&[("init", 1001), ("modstrap/table", 2002), ("modstrap/blobs", 3003), ("bin/sh", 404)])
    }

    #[track_caller]
    fn refused(data: &[u8], message: &str) {
        let error = format!("{:#}", parts(data).unwrap_err());
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn parts_add_up_to_the_image() {
        let data = image();
        let parts = parts(&data).unwrap();
        assert_eq!(
            [parts["loader"], parts["table"], parts["blobs"], parts[FILES], parts[EARLY]],
            [1001, 2002, 3003, 404, 0]
        );
        assert_eq!(parts.values().sum::<u64>(), data.len() as u64);
    }

    #[test]
    fn what_stands_before_the_loaders_archive_is_early() {
        let mut early = archive(&[("kernel/x86/microcode/GenuineIntel.bin", 555)]);
        early.resize(early.len().next_multiple_of(512), 0);
        let both = [&early[..], &image()].concat();
        let parts = parts(&both).unwrap();
        assert_eq!(parts[EARLY], early.len() as u64);
        assert_eq!(parts["loader"], 1001);
        assert_eq!(parts.values().sum::<u64>(), both.len() as u64);
    }

    #[test]
    fn other_files_are_refused() {
        refused(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "at byte 0 there is no newc header");
        refused(&archive(&[("bin/sh", 10)]), "it has no /init");
        refused(&[], "it has no /init");
    }

    #[test]
    fn cut_off_image_is_refused_wherever_it_is_cut() {
        let data = image();
        refused(&data[..data.len() / 2], "it is cut off within /modstrap/blobs");
        let trailer = data.windows(10).position(|window| window == b"TRAILER!!!").unwrap();
        for end in 1..trailer {
            assert!(parts(&data[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn compressed_archive_behind_an_early_one_is_refused() {
        let mut data = archive(&[("kernel/x86/microcode/AuthenticAMD.bin", 4)]);
        let at = data.len();
        data.extend([0x28, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]);
        refused(&data, &format!("at byte {at} there is no newc header"));
    }
}
