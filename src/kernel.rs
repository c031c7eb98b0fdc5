//! Whether the running kernel is the one that the table was made for.

use rustix::system::uname;

use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::file;
use crate::report::{Level, Log};
use crate::table::{Table, glob};

/// Another release ends the boot: no module would load, or worse, one would. Another build of the same release, a
/// kernel developer's everyday case, is warned of where symbol versions protect from the worst, and ends it elsewhere.
/// `modstrap.anykernel` makes warnings of both.
#[inline(never)]
pub fn check(table: &Table, cmdline: &CommandLine, log: &mut Log) -> Result<(), Failure> {
    let system = uname();
    let running = system.release().to_bytes();
    let problem = if running != table.release() {
        Problem::OtherRelease
    } else if is_other_build(table.build_id()) {
        Problem::OtherBuild
    } else {
        return Ok(());
    };
    let failure = log.fail_as(problem, table.release(), running, None);
    let protected = glob::matches(b"*modversions*", table.vermagic());
    if cmdline.any_kernel || (problem == Problem::OtherBuild && protected) {
        let reason = log.reason.clone();
        log.say(Level::Warning, &[reason.as_bytes(), b": going on"]);
        return Ok(());
    }
    Err(failure)
}

/// Whether both build ids are known, and differ.
fn is_other_build(expected: &[u8]) -> bool {
    let mut buffer = [0; 1024];
    let notes = file::read(c"/sys/kernel/notes", &mut buffer);
    !expected.is_empty() && build_id(notes).is_some_and(|running| running != expected)
}

/// The GNU build id among ELF notes (elf(5)): three words in the machine's byte order (the lengths of name and
/// description, the type), then both, each padded to four bytes.
#[inline(never)]
pub fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |at: usize| -> Option<u32> { Some(u32::from_ne_bytes(*notes.get(at..)?.first_chunk()?)) };
        let (name_length, length, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let rest = notes.get(12..)?;
        let name = rest.get(..name_length)?;
        let rest = rest.get(name_length.checked_next_multiple_of(4)?..)?;
        let description = rest.get(..length)?;
        if kind == GNU_BUILD_ID && name == b"GNU\0" {
            return Some(description);
        }
        notes = rest.get(length.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], description: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [name.len() as u32, description.len() as u32, kind] {
            note.extend(word.to_ne_bytes());
        }
        for part in [name, description] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn finds_the_build_id_behind_other_notes() {
        let mut notes = note(6, b"Xen\0", b"xyz");
        notes.extend(note(3, b"GNU\0", &[1, 2, 3, 4, 5]));
        notes.extend(note(1, b"Linux\0", b"late"));
        assert_eq!(build_id(&notes), Some([1, 2, 3, 4, 5].as_slice()));
    }

    #[test]
    fn survives_cut_and_hostile_notes() {
        let mut notes = note(6, b"Xen\0", b"xyz");
        notes.extend(note(3, b"GNU\0", &[1, 2, 3, 4, 5]));
        for length in 0..notes.len() {
            build_id(&notes[..length]);
        }
        assert_eq!(build_id(&[0xff; 64]), None);
        assert_eq!(build_id(&[]), None);
    }

    #[test]
    fn reads_this_machines_own_notes() {
        let notes = std::fs::read("/sys/kernel/notes").unwrap_or_default();
        assert_eq!(build_id(&notes).is_some(), !notes.is_empty());
    }
}
