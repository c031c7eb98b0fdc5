//! The kernel command line: what the user asked for.
//!
//! Words, quotes and the end at `--` are those of the kernel's own parser (lib/cmdline.c, `next_arg`; init/main.c).
//! Words of the kernel keep the kernel's meaning; ours begin with `modstrap.`.

use core::time::Duration;

use crate::text::parse_number;

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
        let word = match word.strip_prefix(b"\"") {
            Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
            None => word,
        };
        Some(match word.iter().position(|&byte| byte == b'=') {
            Some(equals) => {
                let value = word.get(equals + 1..).unwrap_or_default();
                let value = match value.strip_prefix(b"\"") {
                    Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
                    None => value,
                };
                Word { key: word.get(..equals).unwrap_or_default(), value: Some(value) }
            }
            None => Word { key: word, value: None },
        })
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

/// How long the root is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// This long after the last driver was asked.
    For(Duration),
    /// `rootwait`: for ever.
    Forever,
}

/// How long the root is waited for when nothing is said: the time initramfs-tools gives it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the command line says. The last of several equal words counts.
#[derive(Clone, Debug)]
pub struct CommandLine<'a> {
    texts: [&'a [u8]; 2],
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
    /// `rootdelay=SECONDS`: a pause before the root is looked for.
    pub root_delay: Duration,
    /// `init=`.
    pub init: Option<&'a [u8]>,
    /// `modstrap.onfail=`.
    pub on_fail: OnFail,
    /// `modstrap.anykernel`: the table may belong to another kernel.
    pub any_kernel: bool,
}

impl<'a> CommandLine<'a> {
    /// Reads the image's own words and then, since the last counts, the machine's.
    pub fn parse(defaults: &'a [u8], machine: &'a [u8]) -> Self {
        let mut line = CommandLine {
            texts: [defaults, machine],
            root: None,
            root_type: None,
            root_flags: b"",
            read_only: true,
            patience: Patience::For(PATIENCE),
            root_delay: Duration::ZERO,
            init: None,
            on_fail: OnFail::Panic,
            any_kernel: false,
        };
        line.clone().words().for_each(|word| line.take(word));
        line
    }

    /// All words, the image's own first.
    pub fn words(&self) -> impl Iterator<Item = Word<'a>> + use<'a> {
        let [defaults, machine] = self.texts;
        Words::new(defaults).chain(Words::new(machine))
    }

    /// Whether `modprobe.blacklist=` names the module.
    pub fn blacklists(&self, module: &[u8]) -> bool {
        self.words()
            .filter(|word| same_name(word.key, b"modprobe.blacklist"))
            .filter_map(|word| word.value)
            .any(|names| names.split(|&byte| byte == b',').any(|name| same_name(name, module)))
    }

    /// The parameters given to a module as `module.parameter` or `module.parameter=value`.
    pub fn parameters<'m>(&self, module: &'m [u8]) -> impl Iterator<Item = Word<'a>> + use<'a, 'm> {
        self.words().filter_map(move |word| {
            let dot = word.key.iter().position(|&byte| byte == b'.')?;
            let (name, parameter) = word.key.split_at_checked(dot)?;
            let key = parameter.get(1..)?;
            (same_name(name, module) && !key.is_empty()).then_some(Word { key, value: word.value })
        })
    }

    fn take(&mut self, word: Word<'a>) {
        let seconds = |text: &[u8]| parse_number(text).map(Duration::from_secs);
        match (word.key, word.value) {
            (b"root", Some(value)) => self.root = Some(value),
            (b"rootfstype", Some(value)) => self.root_type = Some(value),
            (b"rootflags", Some(value)) => self.root_flags = value,
            (b"ro", None) => self.read_only = true,
            (b"rw", None) => self.read_only = false,
            (b"rootwait", None) => self.patience = Patience::Forever,
            (b"rootwait", Some(value)) => self.patience = seconds(value).map_or(self.patience, Patience::For),
            (b"rootdelay", Some(value)) => self.root_delay = seconds(value).unwrap_or(self.root_delay),
            (b"init", Some(value)) => self.init = Some(value),
            (b"modstrap.onfail", Some(value)) => {
                self.on_fail = match value {
                    b"reboot" => OnFail::Reboot,
                    b"poweroff" => OnFail::PowerOff,
                    b"halt" => OnFail::Halt,
                    b"shell" => OnFail::Shell,
                    _ => OnFail::Panic,
                }
            }
            (b"modstrap.anykernel", value) => self.any_kernel = value.is_none_or(|value| value != b"0"),
            _ => {}
        }
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
    use std::vec::Vec;

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
    fn the_last_word_counts_and_the_machine_comes_last() {
        let line = CommandLine::parse(b"root=/dev/sda1 rw init=/a", b"root=UUID=x ro root=/dev/vda -- root=/dev/no");
        assert_eq!(line.root, Some(b"/dev/vda".as_slice()));
        assert!(line.read_only);
        assert_eq!(line.init, Some(b"/a".as_slice()));
        assert_eq!(line.patience, Patience::For(PATIENCE));
    }

    #[test]
    fn reads_waits() {
        let line = |text| CommandLine::parse(b"", text);
        assert_eq!(line(b"rootwait").patience, Patience::Forever);
        assert_eq!(line(b"rootwait=7").patience, Patience::For(Duration::from_secs(7)));
        assert_eq!(line(b"rootwait=x").patience, Patience::For(PATIENCE));
        assert_eq!(line(b"rootdelay=3").root_delay, Duration::from_secs(3));
        assert_eq!(line(b"modstrap.onfail=poweroff").on_fail, OnFail::PowerOff);
    }

    #[test]
    fn finds_parameters_and_blacklists() {
        let line = CommandLine::parse(
            b"usb-storage.delay_use=3",
            b"modprobe.blacklist=floppy,pcspkr modprobe.blacklist=i2c-i801 usb_storage.quirks=1:2:u usb_storage.x . a.",
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
