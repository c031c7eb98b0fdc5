//! The root file system of the tests: one static busybox, its init, and a start script that reports.
//!
//! The script (`rc`) prints [`MARKER`], then sections of facts for [`crate::Report`], and powers the machine off
//! unless the kernel command line has the word [`STAY`]; [`BRIEF`] leaves the facts out.
//!
//! busybox's init overwrites its own arguments. Tests that want to see pid 1's use `init=/bin/sh -- /etc/rc ...`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::kernels;
use crate::tool::{Tool, find_program};

/// What the real init prints first. A boot that shows it has succeeded.
pub const MARKER: &str = "modstrap: the real init speaks";

/// The kernel command-line word that keeps the guest running after its report. The dot keeps the kernel from
/// handing the word to init.
pub const STAY: &str = "modstrap-qemu.stay";

/// The kernel command-line word that leaves the report out.
pub const BRIEF: &str = "modstrap-qemu.brief";

const RC: &str = include_str!("rc");
const INITTAB: &str = include_str!("inittab");
const PROFILE: &str = include_str!("profile");
const BUSYBOX: Tool = Tool::new("busybox", "busybox-static");

/// Directories that an init expects to exist, since a read-only root leaves no second chance.
const DIRECTORIES: [&str; 8] = ["bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp"];

/// Makes the tree in `directory`, which must be empty or absent.
pub fn write(directory: &Path) -> Result<()> {
    for name in DIRECTORIES {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let busybox = static_busybox()?;
    write_file(directory, "bin/busybox", &fs::read(&busybox)?, 0o755)?;
    let words = [("@MARKER@", MARKER), ("@STAY@", STAY), ("@BRIEF@", BRIEF)];
    let rc = words.iter().fold(RC.to_owned(), |text, (place, word)| text.replace(place, word));
    write_file(directory, "etc/rc", rc.as_bytes(), 0o755)?;
    write_file(directory, "etc/inittab", INITTAB.as_bytes(), 0o644)?;
    write_file(directory, "etc/profile", PROFILE.as_bytes(), 0o644)?;
    for (link, target) in [("sbin/init", "../bin/busybox"), ("bin/sh", "busybox")] {
        symlink(target, directory.join(link)).with_context(|| format!("cannot link {link}"))?;
    }
    Ok(())
}

fn write_file(directory: &Path, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, content)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// A busybox that runs alone: the machine's own where it is static, else the one in the cache.
pub fn static_busybox() -> Result<PathBuf> {
    let cached = kernels::cache()?.join("tools/bin/busybox");
    find_program(BUSYBOX.program).into_iter().chain([cached]).find(|path| is_static(path)).with_context(|| {
        format!("there is no static busybox: run qemu/setup, or install the package {}", BUSYBOX.package)
    })
}

/// Whether the file is a 64-bit program that asks for no interpreter.
fn is_static(path: &Path) -> bool {
    has_interpreter(path).is_ok_and(|interpreter| !interpreter)
}

fn has_interpreter(path: &Path) -> Result<bool> {
    let data = fs::read(path)?;
    let header = FileHeader64::<Endianness>::parse(&*data)?;
    let endian = header.endian()?;
    Ok(header.program_headers(endian, &*data)?.iter().any(|segment| segment.p_type(endian) == PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_itself_has_an_interpreter() {
        let program = std::env::current_exe().unwrap();
        assert!(has_interpreter(&program).unwrap() && !is_static(&program));
    }

    #[test]
    fn the_tree_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        assert!(is_static(&directory.path().join("sbin/init")), "the link to busybox leads nowhere");
        let rc = fs::read_to_string(directory.path().join("etc/rc")).unwrap();
        assert!(rc.contains(MARKER) && rc.contains(STAY) && !rc.contains('@'), "{rc}");
        assert!(directory.path().join("proc").is_dir());
    }
}
