//! The description of a directory tree that `mkfs.xfs -p` reads (mkfs.xfs(8), "-p protofile").
//!
//! Its grammar is words between white space without quoting, so such names cannot be described, and its mode
//! has no sticky bit.

use std::fmt::Write;
use std::fs::{FileType, Metadata, read_link};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::filesystem::children;

/// The protofile of `directory`. Owners are kept for root, otherwise everything belongs to root.
pub(super) fn describe(directory: &Path) -> Result<String> {
    let keep_owners = rustix::process::geteuid().is_root();
    // The first two lines are history: the boot file and the sizes, which the options of today give.
    let mut text = String::from("/\n0 0\n");
    let meta = directory.metadata().with_context(|| format!("cannot read {}", directory.display()))?;
    let mut writer = Writer { text: &mut text, keep_owners };
    writer.directory("", directory, &meta)?;
    Ok(text)
}

struct Writer<'a> {
    text: &'a mut String,
    keep_owners: bool,
}

impl Writer<'_> {
    fn directory(&mut self, name: &str, path: &Path, meta: &Metadata) -> Result<()> {
        self.line(name, meta, "")?;
        for child in children(path)? {
            let meta = child.symlink_metadata().with_context(|| format!("cannot read {}", child.display()))?;
            let name = word(Path::new(child.file_name().unwrap_or_default()))?;
            self.entry(&name, &child, &meta)?;
        }
        self.text.push_str("$\n");
        Ok(())
    }

    fn entry(&mut self, name: &str, path: &Path, meta: &Metadata) -> Result<()> {
        let kind = meta.file_type();
        if kind.is_dir() {
            self.directory(name, path, meta)
        } else if kind.is_symlink() {
            self.line(name, meta, &word(&read_link(path)?)?)
        } else if kind.is_file() {
            self.line(name, meta, &word(path)?)
        } else if kind.is_char_device() || kind.is_block_device() {
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            self.line(name, meta, &format!("{major} {minor}"))
        } else {
            self.line(name, meta, "")
        }
    }

    fn line(&mut self, name: &str, meta: &Metadata, rest: &str) -> Result<()> {
        let mode = meta.mode();
        let (uid, gid) = if self.keep_owners { (meta.uid(), meta.gid()) } else { (0, 0) };
        let set_uid = if mode & 0o4000 != 0 { 'u' } else { '-' };
        let set_gid = if mode & 0o2000 != 0 { 'g' } else { '-' };
        let kind = letter(meta.file_type());
        writeln!(self.text, "{name} {kind}{set_uid}{set_gid}{:03o} {uid} {gid} {rest}", mode & 0o777)?;
        Ok(())
    }
}

fn letter(kind: FileType) -> char {
    match () {
        () if kind.is_dir() => 'd',
        () if kind.is_symlink() => 'l',
        () if kind.is_char_device() => 'c',
        () if kind.is_block_device() => 'b',
        () if kind.is_fifo() => 'p',
        () => '-',
    }
}

fn word(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_whitespace) => Ok(text.to_owned()),
        _ => bail!("mkfs.xfs cannot take {}: its protofile has no names with white space", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_tree_is_described_line_by_line() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.join("bin")).unwrap();
        fs::set_permissions(root.join("bin"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::write(root.join("bin/su"), "x").unwrap();
        fs::set_permissions(root.join("bin/su"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("bin/su", root.join("link")).unwrap();
        let expected = format!(
            "/\n0 0\n d--755 0 0 \nbin d--750 0 0 \nsu -u-755 0 0 {}\n$\nlink l--777 0 0 bin/su\n$\n",
            root.join("bin/su").display()
        );
        assert_eq!(describe(root).unwrap(), expected);
    }

    #[test]
    fn white_space_in_a_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("two words"), "").unwrap();
        assert!(describe(directory.path()).unwrap_err().to_string().contains("two words"));
    }
}
