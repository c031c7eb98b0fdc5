//! The root file system of the tests: one static busybox, its init, and a start script that reports.
//!
//! The script (`rc`) prints [`MARKER`], then sections of facts for [`crate::Report`], and powers the machine off
//! unless the kernel command line has the word [`STAY`]; [`BRIEF`] leaves the facts out.
//!
//! busybox's init overwrites its own arguments. Tests that want to see pid 1's use `init=/bin/sh -- /etc/rc ...`.

use std::env;
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
const STRIP: Tool = Tool::new("strip", "binutils");
const LDD: Tool = Tool::new("ldd", "libc-bin");

/// Directories that an init expects to exist, since a read-only root leaves no second chance.
const DIRECTORIES: [&str; 8] = ["bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp"];

/// Makes the tree in `directory`, which must be empty or absent.
pub fn write(directory: &Path) -> Result<()> {
    for name in DIRECTORIES {
        let path = directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    add_program(directory, "bin/busybox", fs::read(static_busybox()?)?)?;
    let words = [("@MARKER@", MARKER), ("@STAY@", STAY), ("@BRIEF@", BRIEF)];
    let rc = words.iter().fold(RC.to_owned(), |text, (place, word)| text.replace(place, word));
    add_program(directory, "etc/rc", rc)?;
    for (name, content) in [("etc/inittab", INITTAB), ("etc/profile", PROFILE)] {
        fs::write(directory.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    for (link, target) in [("sbin/init", "../bin/busybox"), ("bin/sh", "busybox")] {
        symlink(target, directory.join(link)).with_context(|| format!("cannot link {link}"))?;
    }
    Ok(())
}

/// Puts a program into a tree.
pub fn add_program(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> Result<()> {
    let path = directory.join(name);
    fs::write(&path, content)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Puts `modstrap` into a tree, with the libraries that it wants: the report then has the section `hardware`, a record of
/// the guest.
pub fn add_recorder(directory: &Path) -> Result<()> {
    let program = recorder()?;
    let stripped = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    STRIP.command()?.arg("-o").arg(stripped.path()).arg(&program).run()?;
    add_program(directory, "bin/modstrap", fs::read(stripped.path())?)?;
    let libraries = LDD.command()?.arg(&program).run()?;
    for library in libraries.split_whitespace().filter_map(|word| word.strip_prefix('/')) {
        let content = fs::read(Path::new("/").join(library)).with_context(|| format!("cannot read /{library}"))?;
        let parent = Path::new(library).parent().unwrap_or(Path::new(""));
        fs::create_dir_all(directory.join(parent)).with_context(|| format!("cannot make {}", parent.display()))?;
        add_program(directory, library, content)?;
    }
    Ok(())
}

/// The builder's program, which is built beside this one, or beside the tests.
pub(crate) fn recorder() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find this program's own file")?;
    let mut candidates = own.ancestors().skip(1).take(2).map(|directory| directory.join("modstrap"));
    candidates.find(|program| program.is_file()).with_context(|| {
        format!("there is no modstrap beside {}: build it with `cargo build -p modstrap-initramfs`", own.display())
    })
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
