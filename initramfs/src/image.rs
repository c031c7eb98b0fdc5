//! The image as a file: what every image holds, and writing it so that a failure leaves no half of one behind.

use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};

use crate::archive::{Archive, Node};
use crate::cause::CAUSES_PATH;

/// Where the loader is: the program that the kernel starts.
pub const LOADER_PATH: &str = "/init";
/// What else the loader is called: the kernel's own requests go to the first, a shell may call the others.
const TOOLS: [&str; 5] = ["modprobe", "insmod", "rmmod", "lsmod", "modinfo"];
/// Where they are.
const TOOLS_DIRECTORY: &str = "/sbin";
/// What must be there before the loader has mounted anything, and to mount on.
const DIRECTORIES: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o555), ("root", 0o700), ("run", 0o755), ("sys", 0o555)];
/// The kernel opens it as the standard streams of /init (`console_on_rootfs` in init/main.c).
const CONSOLE: (&str, u32, (u32, u32)) = ("dev/console", 0o600, (5, 1));
/// What an archive that stands before ours is padded to.
const BLOCK: usize = 512;

/// What makes an archive one of our images.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The program at [`LOADER_PATH`].
    pub loader: &'a [u8],
    /// The module table.
    pub table: &'a [u8],
    /// The blob file.
    pub blobs: &'a [u8],
    /// Why it holds its modules.
    pub causes: &'a [u8],
}

/// Puts into `archive` what every image holds.
pub fn add_skeleton(archive: &mut Archive, parts: &Parts) -> Result<()> {
    for (path, mode) in DIRECTORIES {
        archive.add(path, Node::Directory { mode })?;
    }
    let (path, mode, number) = CONSOLE;
    archive.add(path, Node::Device { mode, number })?;
    let files = [
        (LOADER_PATH, 0o755, parts.loader),
        (TABLE_PATH, 0o444, parts.table),
        (BLOBS_PATH, 0o444, parts.blobs),
        (CAUSES_PATH, 0o444, parts.causes),
    ];
    for (path, mode, content) in files {
        archive.add(path, Node::File { mode, content: content.to_vec() })?;
    }
    for tool in TOOLS {
        // The user may have put other tools there, or a link that leads elsewhere in place of the directory.
        let path = archive.real(&format!("{TOOLS_DIRECTORY}/{tool}"));
        if archive.get(&path).is_none() {
            archive.add(&path, Node::Symlink(LOADER_PATH.into()))?;
        }
    }
    Ok(())
}

/// Refuses, before any work is done, an output that could not be written in the end.
pub fn check_output(output: &Path) -> Result<()> {
    if let Ok(metadata) = std::fs::metadata(output) {
        ensure!(!metadata.is_dir(), "{} is a directory; name a file to write the image to", output.display());
        ensure!(metadata.is_file(), "{} is not a regular file; the image would replace it", output.display());
    }
    temporary(output).map(drop)
}

/// The time that files in the image have: SOURCE_DATE_EPOCH (reproducible-builds.org), else 0.
pub fn source_date_epoch() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(0),
        Ok(text) => {
            text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text}: not a number of seconds below 2^32"))
        }
    }
}

/// Writes `early` and then `archive` to `output`, all or nothing; returns the size in bytes.
pub fn write(output: &Path, early: &[u8], archive: &Archive, mtime: u32) -> Result<u64> {
    let context = || format!("cannot write {}", output.display());
    let mut file = temporary(output)?;
    let mut buffered = BufWriter::new(&mut file);
    let padding = vec![0; early.len().next_multiple_of(BLOCK) - early.len()];
    buffered.write_all(early).and_then(|()| buffered.write_all(&padding)).with_context(context)?;
    let length = archive.write(&mut buffered, mtime).with_context(context)?;
    buffered.flush().with_context(context)?;
    drop(buffered);
    file.persist(output).with_context(context)?;
    Ok((early.len() + padding.len()) as u64 + length)
}

/// A file beside `output`, to be renamed to it.
fn temporary(output: &Path) -> Result<tempfile::NamedTempFile> {
    let directory = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What remains of it is for the umask to say, as with any file.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().prefix(".modstrap-").permissions(permissions).tempfile_in(directory);
    file.with_context(|| format!("cannot write {}: no file can be made in {}", output.display(), directory.display()))
}
