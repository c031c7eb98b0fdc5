//! The kernel command line: what the user asked for.
//!
//! Words, quotes and the end at `--` are those of the kernel's own parser (lib/cmdline.c, `next_arg`; init/main.c).
//! Words of the kernel keep the kernel's meaning; ours begin with `modstrap.`.

use crate::text::{parse_number, place};

/// The longest command line in bytes: twice the most that any architecture takes from a boot loader (4 KiB), since a
/// boot configuration may add to it.
pub const COMMAND_LINE: usize = 8192;

/// One word: `key` or `key=value`, its quotes taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// What stands before the first '='.
    pub key: &'a [u8],
    /// What stands behind it.
    pub value: Option<&'a [u8]>,
}

/// The words of one command line, up to `--`.
#[derive(Clone)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Words { rest: text }
    }

    /// The next word that gives a module a parameter; the word is what follows the module's name and the dot.
    #[inline(never)]
    fn next_of(&mut self, module: &[u8]) -> Option<Word<'a>> {
        self.find_map(|Word { key, value }| {
            let dot = key.iter().position(|&byte| byte == b'.')?;
            let (name, key) = (key.get(..dot)?, key.get(dot + 1..)?);
            (same_name(name, module) && !key.is_empty()).then_some(Word { key, value })
        })
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let text = self.rest.trim_ascii_start();
        let mut quoted = false;
        let end = text.iter().position(|&byte| {
            quoted ^= byte == b'"';
            byte.is_ascii_whitespace() && !quoted
        });
        let (word, rest) = text.split_at_checked(end.unwrap_or(text.len()))?;
        self.rest = rest;
        if word.is_empty() || word == b"--" {
            self.rest = &[];
            return None;
        }
        // A quote before the key belongs to one behind the value.
        let word = unquoted(word);
        let equals = word.iter().position(|&byte| byte == b'=');
        let (key, value) = word.split_at_checked(equals.unwrap_or(word.len()))?;
        Some(Word { key, value: value.get(1..).map(unquoted) })
    }
}

/// How a boot that cannot go on ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFail {
    /// PID 1 ends, so that the kernel panics, and `panic=`, kdump and pstore do their work.
    #[default]
    Panic,
    /// The machine starts again.
    Reboot,
    /// The machine is switched off.
    PowerOff,
    /// The machine stops where it is.
    Halt,
    /// The shell that the image holds.
    Shell,
}

impl OnFail {
    fn from_place(place: Option<usize>) -> OnFail {
        let ends = [OnFail::Panic, OnFail::Reboot, OnFail::PowerOff, OnFail::Halt, OnFail::Shell];
        place.and_then(|place| ends.get(place).copied()).unwrap_or_default()
    }
}

/// How long the root is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// So many milliseconds after the last driver was asked.
    For(u64),
    /// `rootwait`: for ever.
    Forever,
}

/// How long the root is waited for when nothing is said: the time initramfs-tools gives it.
const PATIENCE: u64 = 30_000;

/// What the command line says. The last of several equal words counts.
#[derive(Clone, Debug)]
pub struct CommandLine<'a> {
    text: &'a [u8],
    /// `root=`.
    pub root: Option<&'a [u8]>,
    /// `rootfstype=`: one or several types, comma-separated.
    pub root_type: Option<&'a [u8]>,
    /// `rootflags=`.
    pub root_flags: &'a [u8],
    /// `ro` or `rw`, `ro` being the default.
    pub read_only: bool,
    /// `rootwait`, `rootwait=SECONDS`.
    pub patience: Patience,
    /// `rootdelay=SECONDS`: a pause before the root is mounted, in milliseconds.
    pub root_delay: u64,
    /// `init=`.
    pub init: Option<&'a [u8]>,
    /// `modstrap.onfail=`.
    pub on_fail: OnFail,
    /// `modstrap.anykernel`: the table may belong to another kernel.
    pub any_kernel: bool,
}

/// The words that are read, each at the place of its number in [`CommandLine::take`].
const WORDS: &[u8] =
    b"root\0rootfstype\0rootflags\0ro\0rw\0rootwait\0rootdelay\0init\0modstrap.onfail\0modstrap.anykernel";

/// The values of `modstrap.onfail=`, in the order of [`OnFail`].
const ON_FAIL: &[u8] = b"panic\0reboot\0poweroff\0halt\0shell";

impl<'a> CommandLine<'a> {
    /// Reads a command line.
    pub fn parse(text: &'a [u8]) -> Self {
        let mut line = CommandLine {
            text,
            root: None,
            root_type: None,
            root_flags: b"",
            read_only: true,
            patience: Patience::For(PATIENCE),
            root_delay: 0,
            init: None,
            on_fail: OnFail::Panic,
            any_kernel: false,
        };
        for word in Words::new(text) {
            line.take(word);
        }
        line
    }

    /// All words.
    pub fn words(&self) -> Words<'a> {
        Words::new(self.text)
    }

    /// Whether `modprobe.blacklist=` names the module.
    pub fn blacklists(&self, module: &[u8]) -> bool {
        self.parameters(b"modprobe").any(|word| {
            let names = if word.key == b"blacklist" { word.value.unwrap_or_default() } else { b"" };
            names.split(|&byte| byte == b',').any(|name| same_name(name, module))
        })
    }

    /// The parameters given to a module as `module.parameter` or `module.parameter=value`.
    pub fn parameters<'m>(&self, module: &'m [u8]) -> impl Iterator<Item = Word<'a>> + use<'a, 'm> {
        let mut words = self.words();
        core::iter::from_fn(move || words.next_of(module))
    }

    #[inline(never)]
    fn take(&mut self, word: Word<'a>) {
        let seconds = |text: &[u8]| parse_number(text)?.checked_mul(1000);
        let has_value = word.value.is_some();
        let value = word.value.unwrap_or_default();
        match (place(WORDS, word.key), has_value) {
            (Some(0), true) => self.root = Some(value),
            (Some(1), true) => self.root_type = Some(value),
            (Some(2), true) => self.root_flags = value,
            (Some(3), false) => self.read_only = true,
            (Some(4), false) => self.read_only = false,
            (Some(5), false) => self.patience = Patience::Forever,
            (Some(5), true) => self.patience = seconds(value).map_or(self.patience, Patience::For),
            (Some(6), true) => self.root_delay = seconds(value).unwrap_or(self.root_delay),
            (Some(7), true) => self.init = Some(value),
            (Some(8), true) => self.on_fail = OnFail::from_place(place(ON_FAIL, value)),
            (Some(9), _) => self.any_kernel = value != b"0",
            _ => {}
        }
    }
}

/// A text without the quotes around it; the second may be missing.
#[inline(never)]
pub fn unquoted(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"\"") {
        Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
        None => text,
    }
}

/// Whether two names are one to the module system: '-' and '_' are the same.
pub fn same_name(left: &[u8], right: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
    left.iter().map(fold).eq(right.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(&str, Option<&str>)> {
        let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
        Words::new(text.as_bytes()).map(|word| (text_of(word.key), word.value.map(text_of))).collect()
    }

    #[test]
    fn splits_as_the_kernel_does() {
        assert_eq!(words("  a  b=c \t d=\n"), [("a", None), ("b", Some("c")), ("d", Some(""))]);
        assert_eq!(words("root=\"LABEL=my root\" x"), [("root", Some("LABEL=my root")), ("x", None)]);
        assert_eq!(words("\"root=LABEL=my root\" x"), [("root", Some("LABEL=my root")), ("x", None)]);
        assert_eq!(words("mod.dyndbg=\"file a +p\""), [("mod.dyndbg", Some("file a +p"))]);
        assert_eq!(words("a=b=c"), [("a", Some("b=c"))]);
        assert_eq!(words("a -- b=c root=x"), [("a", None)]);
        assert_eq!(words("open=\"x y"), [("open", Some("x y"))]);
        assert_eq!(words(""), []);
    }

    #[test]
    fn the_last_word_counts() {
        let line = CommandLine::parse(b"root=/dev/sda1 rw init=/a root=UUID=x ro root=/dev/vda -- root=/dev/no");
        assert_eq!(line.root, Some(b"/dev/vda".as_slice()));
        assert!(line.read_only);
        assert_eq!(line.init, Some(b"/a".as_slice()));
        assert_eq!(line.patience, Patience::For(PATIENCE));
    }

    #[test]
    fn reads_waits() {
        let line = |text| CommandLine::parse(text);
        assert_eq!(line(b"rootwait").patience, Patience::Forever);
        assert_eq!(line(b"rootwait=7").patience, Patience::For(7000));
        assert_eq!(line(b"rootwait=x").patience, Patience::For(PATIENCE));
        assert_eq!(line(b"rootdelay=3").root_delay, 3000);
        assert_eq!(line(b"modstrap.onfail=poweroff").on_fail, OnFail::PowerOff);
    }

    #[test]
    fn finds_parameters_and_blacklists() {
        let line = CommandLine::parse(
            b"usb-storage.delay_use=3 modprobe.blacklist=floppy,pcspkr modprobe.blacklist=i2c-i801 usb_storage.quirks=1:2:u usb_storage.x . a.",
        );
        let given: Vec<_> = line.parameters(b"usb_storage").collect();
        assert_eq!(given.len(), 3);
        assert_eq!(given[0], Word { key: b"delay_use", value: Some(b"3") });
        assert_eq!(given[2], Word { key: b"x", value: None });
        for name in ["floppy", "pcspkr", "i2c_i801"] {
            assert!(line.blacklists(name.as_bytes()), "{name}");
        }
        assert!(!line.blacklists(b"i801"));
    }
}
