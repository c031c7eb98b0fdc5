//! What a user puts into an image beside modules: programs and data (`--file`), an early archive.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use object::elf::{FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};

use crate::FileSpec;
use crate::archive::{self, Archive, Node};

impl FileSpec {
    /// Reads `SRC[:DEST]`. A path with a ':' in it that exists is taken whole.
    pub fn parse(text: &str) -> FileSpec {
        let whole = || FileSpec { source: text.into(), dest: None };
        match text.rsplit_once(':') {
            Some((source, dest)) if !Path::new(text).exists() && !source.is_empty() && !dest.is_empty() => {
                FileSpec { source: source.into(), dest: Some(dest.into()) }
            }
            _ => whole(),
        }
    }

    /// The path in the image: what was asked for, the source's name being added where that ends with a '/'; else the
    /// path of the source if that is absolute, else its name. A source that itself ends with a '/' is what is in it.
    fn path(&self) -> Result<String> {
        let name = || {
            let name = self.source.file_name().with_context(|| format!("{} has no name", self.source.display()))?;
            text(name.as_ref()).map(str::to_string)
        };
        match &self.dest {
            Some(dest) if dest.ends_with('/') && !text(&self.source)?.ends_with('/') => {
                Ok(format!("{dest}{}", name()?))
            }
            Some(dest) => Ok(dest.clone()),
            None if self.source.is_absolute() => Ok(text(&self.source)?.to_string()),
            None => name(),
        }
    }

    /// Puts the file into `archive`, a directory with all that is in it. A link given here is followed, one found in
    /// a directory stays a link.
    pub fn add_to(&self, archive: &mut Archive) -> Result<()> {
        let metadata = std::fs::metadata(&self.source).context("cannot be read");
        let added = metadata.and_then(|metadata| add(archive, &self.source, &self.path()?, &metadata));
        added.with_context(|| format!("--file {}", self.source.display()))
    }
}

fn add(archive: &mut Archive, source: &Path, path: &str, metadata: &std::fs::Metadata) -> Result<()> {
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_file() {
        let content = std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?;
        return archive.add(path, Node::File { mode, content });
    }
    if metadata.is_symlink() {
        return archive.add(path, Node::Symlink(text(&std::fs::read_link(source)?)?.to_string()));
    }
    ensure!(metadata.is_dir(), "{}: neither a file, a directory nor a symbolic link", source.display());
    if !path.trim_matches('/').is_empty() {
        archive.add(path, Node::Directory { mode })?;
    }
    let entries = std::fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))?;
    for entry in entries {
        let entry = entry?;
        let below = format!("{}/{}", path.trim_end_matches('/'), text(entry.file_name().as_ref())?);
        add(archive, &entry.path(), &below, &entry.metadata()?)?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{}: a name that is not UTF-8", path.display()))
}

/// The programs in `archive` whose interpreter (the dynamic linker) is not in it: each with the interpreter's path.
/// They cannot start.
pub fn without_interpreter(archive: &Archive) -> Vec<(String, String)> {
    let missing = archive.nodes().filter_map(|(path, node)| match node {
        Node::File { content, .. } => Some((format!("/{path}"), missing_interpreter(content, archive)?)),
        _ => None,
    });
    missing.collect()
}

/// The interpreter of a program, if `archive` does not have it.
pub fn missing_interpreter(program: &[u8], archive: &Archive) -> Option<String> {
    interpreter(program).filter(|interpreter| !archive.reaches(interpreter))
}

/// The interpreter that an ELF program asks for.
fn interpreter(content: &[u8]) -> Option<String> {
    match FileKind::parse(content) {
        Ok(FileKind::Elf32) => interpreter_of::<FileHeader32<Endianness>>(content),
        Ok(FileKind::Elf64) => interpreter_of::<FileHeader64<Endianness>>(content),
        _ => None,
    }
}

fn interpreter_of<H: FileHeader<Endian = Endianness>>(content: &[u8]) -> Option<String> {
    let header = H::parse(content).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, content).ok()?;
    let path = segments.iter().find_map(|segment| segment.interpreter(endian, content).ok().flatten())?;
    Some(String::from_utf8_lossy(path).into_owned())
}

/// Reads an archive that is to stand before ours, as the kernel wants microcode: uncompressed cpio and nothing else.
pub fn read_early(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("--early {}", path.display());
    let bytes = std::fs::read(path).with_context(context)?;
    if let Some(format) = crate::compression::Format::of(&bytes) {
        bail!("{}: it is {}-compressed; the kernel reads an early archive only uncompressed", context(), format.name());
    }
    let archives = archive::read(&bytes).with_context(context)?;
    ensure!(!archives.is_empty(), "{}: it is empty", context());
    Ok(bytes)
}
