//! The kernel command line: what the user asked for.
//!
//! Words of the kernel keep the kernel's meaning, those of kmod kmod's; ours begin with `modstrap.`.

mod words;

use crate::text::{parse_number, place, split};

pub use words::{Parameter, Word, Words, same_name, unquoted};

/// The longest command line in bytes: twice the most that any architecture takes from a boot loader (4 KiB), since a
/// boot configuration may add to it.
pub const COMMAND_LINE: usize = 8192;

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
    /// What a value of `modstrap.onfail=` means.
    fn from_value(value: &[u8]) -> Option<OnFail> {
        const VALUES: &[u8] = b"panic\0reboot\0poweroff\0halt\0shell";
        let ends = [OnFail::Panic, OnFail::Reboot, OnFail::PowerOff, OnFail::Halt, OnFail::Shell];
        ends.get(place(VALUES, value)?).copied()
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
    /// `modstrap.expect=`: the type that the root most likely has.
    pub expected_type: Option<&'a [u8]>,
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
    /// `modstrap.init=`: an init that the image brings along.
    pub image_init: Option<&'a [u8]>,
    /// `modstrap.overlay=`: the root stays as it is, and what is written goes elsewhere.
    pub overlay: Option<&'a [u8]>,
    /// `modstrap.onfail=`.
    pub on_fail: OnFail,
    /// `modstrap.anykernel`: the table may belong to another kernel.
    pub any_kernel: bool,
    /// `modstrap.serial`: modules are loaded one by one.
    pub serial: bool,
    /// A word that is read here, or that looks as if it were, but has no meaning: one of them, the last.
    pub odd: Option<&'a [u8]>,
    /// `module_blacklist=`, the kernel's own (kernel/module/main.c, `blacklisted`).
    module_blacklist: &'a [u8],
    /// Whether there is any `modstrap.mask=`.
    masks: bool,
    /// Whether there is any `modstrap.load=`.
    pub loads: bool,
}

/// The words that are read, each at the place of its number in [`CommandLine::take`].
const WORDS: &[u8] = b"root\0rootfstype\0rootflags\0ro\0rw\0rootwait\0rootdelay\0init\0module_blacklist\0\
    modstrap.onfail\0modstrap.anykernel\0modstrap.mask\0modstrap.init\0modstrap.overlay\0modstrap.load\0\
    modstrap.serial\0modstrap.expect";

/// What words of our own begin with.
const OURS: &[u8] = b"modstrap.";

impl<'a> CommandLine<'a> {
    /// Reads a command line.
    pub fn parse(text: &'a [u8]) -> Self {
        let mut line = CommandLine {
            text,
            root: None,
            root_type: None,
            expected_type: None,
            root_flags: b"",
            read_only: true,
            patience: Patience::For(PATIENCE),
            root_delay: 0,
            init: None,
            image_init: None,
            overlay: None,
            on_fail: OnFail::Panic,
            any_kernel: false,
            serial: false,
            odd: None,
            module_blacklist: b"",
            masks: false,
            loads: false,
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

    /// What `root=` says, or, where there is none, an `nfsroot=`, with the kernel's meaning (fs/nfs/nfsroot.c).
    pub fn root(&self) -> Option<&'a [u8]> {
        let by_nfsroot = || self.last(b"nfsroot").filter(|_| cfg!(feature = "network")).map(|_| &b"/dev/nfs"[..]);
        self.root.or_else(by_nfsroot)
    }

    /// The values of the words with one of these keys, which are a list as for [`place`]; empty where a word has none.
    pub fn values(&self, keys: &'static [u8]) -> Values<'a> {
        Values { words: self.words(), keys }
    }

    /// The last of them.
    #[inline(never)]
    pub fn last(&self, keys: &'static [u8]) -> Option<&'a [u8]> {
        self.values(keys).last()
    }

    /// Whether `modprobe.blacklist=` names the module.
    pub fn blacklists(&self, module: &[u8]) -> bool {
        self.lists(b"modprobe.blacklist", module)
    }

    /// What keeps the module out whatever asks for it, if anything does: the word and its verb.
    pub fn masks(&self, module: &[u8]) -> Option<&'static [u8]> {
        // The kernel takes names literally.
        if split(self.module_blacklist, b',').any(|name| name == module) {
            Some(b"module_blacklist= forbids")
        } else if self.masks && self.lists(b"modstrap.mask", module) {
            Some(b"modstrap.mask= masks")
        } else {
            None
        }
    }

    /// The parameters given to a module, in their order.
    pub fn parameters<'m>(&self, module: &'m [u8]) -> impl Iterator<Item = Parameter<'a>> + use<'a, 'm> {
        self.words().filter_map(move |word| word.parameter_of(module))
    }

    /// Whether `modstrap.load=` wants the module, whatever the root needs.
    pub fn wants(&self, module: &[u8]) -> bool {
        self.lists(b"modstrap.load", module)
    }

    /// Whether one of the words with this key has the module in its list.
    #[inline(never)]
    fn lists(&self, key: &'static [u8], module: &[u8]) -> bool {
        self.values(key).any(|names| split(names, b',').any(|name| same_name(name, module)))
    }

    #[inline(never)]
    fn take(&mut self, word: Word<'a>) {
        let milliseconds = || parse_number(word.value?)?.checked_mul(1000);
        match (place(WORDS, word.key), word.value) {
            (Some(0), Some(value)) => self.root = Some(value),
            (Some(1), Some(value)) => self.root_type = Some(value),
            (Some(2), Some(value)) => self.root_flags = value,
            (Some(3), None) => self.read_only = true,
            (Some(4), None) => self.read_only = false,
            (Some(5), None) => self.patience = Patience::Forever,
            (Some(5), _) => match milliseconds() {
                Some(time) => self.patience = Patience::For(time),
                None => self.odd = Some(word.text),
            },
            (Some(6), _) => match milliseconds() {
                Some(time) => self.root_delay = time,
                None => self.odd = Some(word.text),
            },
            (Some(7), Some(value)) => self.init = Some(value),
            (Some(8), Some(value)) => self.module_blacklist = value,
            (Some(9), value) => match OnFail::from_value(value.unwrap_or_default()) {
                Some(end) => self.on_fail = end,
                None => self.odd = Some(word.text),
            },
            (Some(10), value) => self.any_kernel = value != Some(b"0"),
            (Some(11), Some(_)) => self.masks = true,
            (Some(12..=14), _) if !cfg!(feature = "overlay") => self.odd = Some(word.text),
            (Some(12), Some(value)) => self.image_init = Some(value),
            (Some(13), Some(value)) => self.overlay = Some(value),
            (Some(14), Some(_)) => self.loads = true,
            (Some(15), value) => self.serial = value != Some(b"0"),
            (Some(16), Some(value)) => self.expected_type = Some(value),
            (None, _) if !word.key.starts_with(OURS) => {}
            _ => self.odd = Some(word.text),
        }
    }
}

/// See [`CommandLine::values`].
pub struct Values<'a> {
    words: Words<'a>,
    keys: &'static [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let keys = self.keys;
        self.words.find(|word| place(keys, word.key).is_some()).map(|word| word.value.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn tells_of_words_without_meaning() {
        let odd =
            |text: &'static str| CommandLine::parse(text.as_bytes()).odd.map(|word| word.escape_ascii().to_string());
        for fine in ["rootwait rootwait=3 rootdelay=0 ro rw quiet", "modstrap.onfail=halt modstrap.anykernel", "x.y=z"]
        {
            assert_eq!(odd(fine), None, "{fine}");
        }
        for wrong in
            ["rootwait=abc", "rootdelay=", "rootdelay", "modstrap.onfail=frob", "modstrap.onfail", "ro=1", "root"]
        {
            assert_eq!(odd(wrong), Some(wrong.into()));
        }
        assert_eq!(odd("modstrap.onfial=halt modstrap.mask=a"), Some("modstrap.onfial=halt".into()));
        let line = CommandLine::parse(b"rootwait=9 rootwait=abc modstrap.onfail=halt modstrap.onfail=frob");
        assert_eq!((line.patience, line.on_fail), (Patience::For(9000), OnFail::Halt));
    }

    #[test]
    fn finds_blacklists() {
        let line =
            CommandLine::parse(b"modprobe.blacklist=floppy,pcspkr modprobe.blacklist=i2c-i801 modprobe.blacklist");
        for name in ["floppy", "pcspkr", "i2c_i801"] {
            assert!(line.blacklists(name.as_bytes()), "{name}");
            assert_eq!(line.masks(name.as_bytes()), None);
        }
        assert!(!line.blacklists(b"i801"));
    }

    #[test]
    fn finds_masks() {
        let line =
            CommandLine::parse(b"modstrap.mask=ahci,virtio-blk modstrap.mask=jbd2 module_blacklist=xhci_pci,nvme");
        for name in ["ahci", "virtio_blk", "jbd2"] {
            assert_eq!(line.masks(name.as_bytes()), Some(b"modstrap.mask= masks".as_slice()), "{name}");
        }
        for name in ["xhci_pci", "nvme"] {
            assert_eq!(line.masks(name.as_bytes()), Some(b"module_blacklist= forbids".as_slice()), "{name}");
        }
        for name in ["ext4", "jbd"] {
            assert_eq!(line.masks(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn finds_what_is_to_be_loaded_all_the_same() {
        let line = CommandLine::parse(b"modstrap.load=loop,,dm-mod modstrap.load= modstrap.load=virtio_console");
        for name in ["loop", "dm_mod", "virtio_console"] {
            assert!(line.loads && line.wants(name.as_bytes()), "{name}");
        }
        assert!(!line.wants(b"dm") && !line.wants(b"ext4"));
        assert_eq!(line.odd, None);
    }

    #[test]
    fn the_kernels_blacklist_is_read_as_the_kernel_reads_it() {
        let line = CommandLine::parse(b"module_blacklist=ahci module_blacklist=virtio-blk,nvme");
        assert_eq!(line.masks(b"ahci"), None, "the last word counts");
        assert_eq!(line.masks(b"virtio_blk"), None, "names are literal");
        assert!(line.masks(b"nvme").is_some());
    }
}
