//! Why the kernel refused a module: what it wrote in its log, or where it kept silent, its settings and the error
//! number; and what these mean to the user.

use rustix::io::Errno;

use crate::file::Path;
use crate::report::{Line, push_errno, push_number, push_sentence};
use crate::table::{Name, Table, glob};
use crate::text::{entries, split};

/// Patterns of lines, and behind them, marked by a `\x01`, what such lines mean; the meaning that stands first counts
/// most. The line follows where a meaning has `%`.
///
/// The lines are of kernel/module/ (main.c, version.c, signing.c), kernel/params.c and security/ (lockdown, loadpin,
/// integrity/ima); those that begin with the module's name stand here without it. Settings are lines too.
const REFUSALS: &[u8] = b"\
Unknown symbol * (err -2)\0\x01it needs the symbol %, which & provides\0\
version magic *\0disagrees about version *\0no symbol version *\0*.gnu.linkonce.this_module *\0\
\x01it was built for another kernel: %\0\
module uses symbol *\0gave up waiting *\0exports duplicate *\0\x01its symbols do not fit those that are there: %\0\
`*' * for parameter `*\0\x01a parameter is wrong: %\0\
Invalid *\0\x01it is damaged, or no module for this machine: %\0\
Loading of * rejected\0\x01the kernel enforces signatures (module.sig_enforce): %\0\
Lockdown: *\0\x01the kernel is locked down (lockdown=, Secure Boot): %\0\
LoadPin: *denied*\0\x01LoadPin refuses modules from memory: boot with loadpin.exclude=kernel-module\0\
ima: impossible *\0\x01the IMA policy refuses modules from memory: boot with module.sig_enforce=1\0\
1\0\x01modules are switched off (nomodule, kernel.modules_disabled)\0\
Module *blacklisted\0*capability,*\0\x01the policy of the kernel forbids it: %";

/// What an error number means.
const MEANINGS: &[u8] = b"\
\x04it did not come up in time\0\
\x08it is no module for this kernel\0\
\x10it, or something it needs, was just being loaded and did not come up\0\
\x11its start found something of the same name already there\0\
\x13it found no device of its kind\0\
\x4aits signature is damaged\0\
\x7ethe kernel does not know the key of its signature\0\
\x81its signature is wrong";

/// The place of the meaning that names a symbol.
const UNKNOWN_SYMBOL: usize = 1;

/// Calls its argument for each line that may say why.
pub type Evidence<'a> = &'a dyn Fn(&mut dyn FnMut(&[u8]));

/// Adds why the kernel has just refused the module.
pub fn push_refusal(line: &mut Line, name: &[u8], errno: Errno, table: &Table, evidence: Evidence) {
    if !cfg!(feature = "reasons") {
        return push_number(line, errno);
    }
    let mut found = Found { name, place: usize::MAX, meaning: b"", text: Line::new() };
    evidence(&mut |text| found.see(text));
    let mut subject = found.text.as_bytes();
    let mut provider = Name::of(&[b"nothing that is loaded"]);
    if found.place == UNKNOWN_SYMBOL {
        subject = split(subject, b' ').nth(2).unwrap_or_default();
        // Only images whose modules were not proven to link tell which module exports what.
        if let Some(module) = table.find(Path::of(&[b"symbol:", subject]).as_bytes()) {
            provider = table.name(module);
        }
    }
    if !found.meaning.is_empty() {
        push_sentence(line, found.meaning, subject, provider.as_bytes());
        return push_number(line, errno);
    }
    push_errno(line, MEANINGS, errno);
    if !subject.is_empty() {
        push_sentence(line, b"; the kernel says: %", subject, b"");
    }
}

/// What has been found among the lines so far.
struct Found<'a> {
    name: &'a [u8],
    /// The place of the best meaning in the list.
    place: usize,
    meaning: &'static [u8],
    /// The last line that means it; without any meaning the last that begins with the module's name.
    text: Line,
}

impl Found<'_> {
    /// Looks at one line.
    #[inline(never)]
    fn see(&mut self, text: &[u8]) {
        let own = text.strip_prefix(self.name).and_then(|rest| rest.strip_prefix(b": "));
        let text = own.unwrap_or(text);
        let mut matches = false;
        let mut found = (own.is_some() && !glob::matches(b"*taint*", text)).then_some((usize::MAX, b"".as_slice()));
        for (place, entry) in entries(REFUSALS).enumerate() {
            match entry.strip_prefix(b"\x01") {
                None => matches |= glob::matches(entry, text),
                Some(meaning) if matches => {
                    found = Some((place, meaning));
                    break;
                }
                Some(_) => {}
            }
        }
        if let Some((place, meaning)) = found.filter(|(place, _)| *place <= self.place) {
            (self.place, self.meaning, self.text) = (place, meaning, Line::of(&[text]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::layout;

    fn empty_table() -> Vec<u8> {
        let mut bytes = vec![0; layout::HEADER];
        bytes[layout::MAGIC].copy_from_slice(&layout::MAGIC_VALUE);
        bytes[layout::VERSION..][..4].copy_from_slice(&layout::VERSION_VALUE.to_le_bytes());
        bytes[layout::LENGTH..][..4].copy_from_slice(&(layout::HEADER as u32).to_le_bytes());
        bytes
    }

    #[track_caller]
    fn assert_means(lines: &'static [&'static str], errno: Errno, expected: &str) {
        let bytes = empty_table();
        let table = Table::view(&bytes).unwrap();
        let mut line = Line::new();
        let evidence = |visit: &mut dyn FnMut(&[u8])| lines.iter().for_each(|line| visit(line.as_bytes()));
        push_refusal(&mut line, b"ext4", errno, &table, &evidence);
        assert_eq!(line.as_bytes().escape_ascii().to_string().replace("\\'", "'"), expected);
    }

    #[test]
    fn names_a_missing_symbol() {
        let lines = &["ext4: Unknown symbol jbd2_journal_start (err -2)"];
        let sentence = "it needs the symbol jbd2_journal_start, which nothing that is loaded provides (errno 2)";
        assert_means(lines, Errno::NOENT, sentence);
    }

    #[test]
    fn tells_versions_apart() {
        let lines =
            &["ext4: version magic '6.12.95+deb12-amd64 SMP mod_unload ' should be '6.12.95+deb12-amd64 SMP preempt '"];
        let sentence = "it was built for another kernel: version magic '6.12.95+deb12-amd64 SMP mod_unload ' should be \
            '6.12.95+deb12-amd64 SMP preempt ' (errno 8)";
        assert_means(lines, Errno::NOEXEC, sentence);
        let lines =
            &["ext4: disagrees about version of symbol iput", "ext4: Unknown symbol iput (err -22)", "mbcache: other"];
        let sentence = "it was built for another kernel: disagrees about version of symbol iput (errno 22)";
        assert_means(lines, Errno::INVAL, sentence);
        let lines = &[
            "ext4: module uses symbol (dax_iomap_rw) from namespace DAX, but does not import it.",
            "ext4: Unknown symbol dax_iomap_rw (err -22)",
        ];
        let sentence = "its symbols do not fit those that are there: module uses symbol (dax_iomap_rw) from namespace \
            DAX, but does not import it. (errno 22)";
        assert_means(lines, Errno::INVAL, sentence);
    }

    #[test]
    fn knows_what_is_no_module() {
        let sentence =
            "it is damaged, or no module for this machine: Invalid ELF header magic: != \\\\x7fELF (errno 8)";
        assert_means(&["Invalid ELF header magic: != \\x7fELF"], Errno::NOEXEC, sentence);
        assert_means(&[], Errno::NOEXEC, "it is no module for this kernel (errno 8)");
    }

    #[test]
    fn names_a_wrong_parameter() {
        let sentence = "a parameter is wrong: `deep' invalid for parameter `queue_depth' (errno 22)";
        assert_means(&["ext4: `deep' invalid for parameter `queue_depth'"], Errno::INVAL, sentence);
        let sentence = "a parameter is wrong: `sync or so' too large for parameter `scan' (errno 28)";
        assert_means(&["ext4: `sync or so' too large for parameter `scan'"], Errno::NOSPC, sentence);
    }

    #[test]
    fn explains_policies() {
        let locked = &["Lockdown: init: unsigned module loading is restricted; see man kernel_lockdown.7", "0"];
        let sentence = "the kernel is locked down (lockdown=, Secure Boot): Lockdown: init: unsigned module loading is \
            restricted; see man kernel_lockdown.7 (errno 1)";
        assert_means(locked, Errno::PERM, sentence);
        let pinned = &["LoadPin: kernel-module old-api-denied obj=<unknown> pid=1 cmdline=\"/init\"", "0"];
        let sentence = "LoadPin refuses modules from memory: boot with loadpin.exclude=kernel-module (errno 1)";
        assert_means(pinned, Errno::PERM, sentence);
        let sentence = "modules are switched off (nomodule, kernel.modules_disabled) (errno 1)";
        assert_means(&["1", "lockdown,capability"], Errno::PERM, sentence);
        let sentence = "the policy of the kernel forbids it: lockdown,capability,ipe (errno 13)";
        assert_means(&["0", "lockdown,capability,ipe"], Errno::ACCESS, sentence);
    }

    #[test]
    fn repeats_a_modules_own_last_words() {
        let lines = &[
            "ext4: loading out-of-tree module taints kernel.",
            "other: not of interest",
            "ext4: first",
            "ext4: no such card",
            "ext4: module verification failed: signature and/or required key missing - tainting kernel",
        ];
        let sentence = "it found no device of its kind (errno 19); the kernel says: no such card";
        assert_means(lines, Errno::NODEV, sentence);
    }

    #[test]
    fn has_a_meaning_for_errors_without_words() {
        assert_means(
            &[],
            Errno::BUSY,
            "it, or something it needs, was just being loaded and did not come up (errno 16)",
        );
        assert_means(&[], Errno::KEYREJECTED, "its signature is wrong (errno 129)");
        assert_means(&["pci 0000:00:01.0: x"], Errno::NOMEM, "out of memory (errno 12)");
    }
}
