//! How a boot ended, recognised from the guest's console while it runs.

use std::fmt;

/// The loader's last words when it gives up; the reason follows on the same line.
pub const FAILURE_PREFIX: &str = "modstrap: cannot boot: ";

const PANIC_PREFIX: &str = "Kernel panic - not syncing: ";

/// The kernel's first words.
const KERNEL_SIGN: &str = "Linux version ";

/// What shows that the kernel has handed over to the loader: its announcement, or under `quiet` the loader's own line.
const LOADER_SIGNS: [&str; 2] = ["Run /init as init process", "modstrap: "];

/// How a boot ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The real init spoke.
    RealInit,
    /// The loader gave up, for this reason.
    LoaderFailure(String),
    /// The kernel panicked, for this reason.
    KernelPanic(String),
    /// The guest ended by itself with neither word nor panic; its last line.
    Exited(String),
    /// Nothing decisive within the time limit; the last line until then.
    Timeout(String),
}

impl Outcome {
    /// The name in `--json` files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RealInit => "real-init",
            Self::LoaderFailure(_) => "loader-failure",
            Self::KernelPanic(_) => "kernel-panic",
            Self::Exited(_) => "exited",
            Self::Timeout(_) => "timeout",
        }
    }

    /// The console line that tells it, where there is one.
    pub fn message(&self) -> &str {
        match self {
            Self::RealInit => "",
            Self::LoaderFailure(text) | Self::KernelPanic(text) | Self::Exited(text) | Self::Timeout(text) => text,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RealInit => f.write_str("reached the real init"),
            Self::LoaderFailure(reason) => write!(f, "the loader gave up: {reason}"),
            Self::KernelPanic(reason) => write!(f, "the kernel panicked: {reason}"),
            Self::Exited(last) => write!(f, "the guest ended without a word of the real init; its last line: {last}"),
            Self::Timeout(last) => write!(f, "the time limit passed without an outcome; the last line: {last}"),
        }
    }
}

/// What a console shows of a boot on its way, in wall-clock seconds from QEMU's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Milestones {
    /// The kernel's first line.
    pub kernel: Option<f64>,
    /// The kernel starts the loader, or under `quiet` the loader's first line.
    pub loader: Option<f64>,
    /// The root is mounted.
    pub root: Option<f64>,
}

/// Reads a console as it grows.
#[derive(Debug)]
pub(crate) struct Watcher {
    marker: String,
    /// Everything so far, as text without carriage returns.
    console: String,
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
    /// Where the first line begins that has not been judged as a whole.
    unread: usize,
    /// Whether the kernel has shown itself.
    pub kernel_seen: bool,
    /// Whether the loader has.
    pub loader_seen: bool,
    /// The loader's line about the root that it mounted.
    pub summary: Option<String>,
}

impl Watcher {
    /// A watcher for the real init's `marker`.
    pub fn new(marker: impl Into<String>) -> Self {
        Self {
            marker: marker.into(),
            console: String::new(),
            pending: Vec::new(),
            unread: 0,
            kernel_seen: false,
            loader_seen: false,
            summary: None,
        }
    }

    /// Takes what the console printed; the outcome, if these bytes decide it.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Outcome> {
        self.decode(bytes);
        let mut outcome = None;
        while let Some(length) = self.console[self.unread..].find('\n') {
            let line = self.console[self.unread..self.unread + length].to_owned();
            self.unread += length + 1;
            outcome = outcome.or(self.judge(&line));
        }
        // A login prompt has no end of line.
        let prompt = self.console[self.unread..].contains(&self.marker);
        outcome.or(prompt.then_some(Outcome::RealInit))
    }

    /// The last line that is not empty.
    pub fn last_line(&self) -> &str {
        self.console.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(nothing)")
    }

    /// What the console showed up to now.
    pub fn console(&self) -> &str {
        &self.console
    }

    /// How many modules the loader said it had loaded: in its line about the root, or where it did not come so far, one
    /// by one.
    pub fn modules(&self) -> Option<u32> {
        let Some(summary) = &self.summary else {
            let loaded = self.console.lines().filter(|line| line.contains("modstrap: loaded ")).count();
            return u32::try_from(loaded).ok().filter(|loaded| *loaded > 0);
        };
        let words: Vec<&str> = summary.split(' ').collect();
        let noun = words.iter().position(|word| word.starts_with("module"))?;
        words.get(noun.checked_sub(1)?)?.parse().ok()
    }

    fn decode(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes.iter().filter(|&&byte| byte != b'\r'));
        let complete = match std::str::from_utf8(&self.pending) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.pending.len(),
        };
        let rest = self.pending.split_off(complete);
        self.console.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending = rest;
    }

    fn judge(&mut self, line: &str) -> Option<Outcome> {
        self.kernel_seen |= line.contains(KERNEL_SIGN);
        self.loader_seen |= LOADER_SIGNS.iter().any(|sign| line.contains(sign));
        if line.contains(&self.marker) {
            return Some(Outcome::RealInit);
        }
        if let Some(reason) = after(line, FAILURE_PREFIX) {
            return Some(Outcome::LoaderFailure(reason));
        }
        if let Some(reason) = after(line, PANIC_PREFIX) {
            return Some(Outcome::KernelPanic(reason));
        }
        if let Some(text) = after(line, "modstrap: ").filter(|text| text.starts_with("root ")) {
            self.summary = Some(text);
        }
        None
    }
}

fn after(line: &str, prefix: &str) -> Option<String> {
    line.split_once(prefix).map(|(_, rest)| rest.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::MARKER;

    fn outcome_of(console: &str) -> Option<Outcome> {
        let mut watcher = Watcher::new(MARKER);
        // One byte at a time is the worst that a pipe can do.
        console.bytes().find_map(|byte| watcher.feed(&[byte]))
    }

    #[test]
    fn the_marker_is_the_real_init() {
        assert_eq!(outcome_of("[    1.0] x\r\nmodstrap: the real init speaks\r\n"), Some(Outcome::RealInit));
    }

    #[test]
    fn a_prompt_needs_no_end_of_line() {
        let mut watcher = Watcher::new("login: ");
        assert_eq!(watcher.feed(b"Debian GNU/Linux 12 host ttyS0\n\nhost login: "), Some(Outcome::RealInit));
    }

    #[test]
    fn a_failure_comes_before_the_panic_that_it_causes() {
        let console = "[    2.1] modstrap: cannot boot: no device with UUID=1\r\n\
                       [    2.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\r\n";
        assert_eq!(outcome_of(console), Some(Outcome::LoaderFailure("no device with UUID=1".into())));
    }

    #[test]
    fn a_panic_alone_is_a_panic() {
        let console = "[    2.2] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";
        assert_eq!(outcome_of(console), Some(Outcome::KernelPanic("VFS: Unable to mount root fs".into())));
    }

    #[test]
    fn half_a_failure_decides_nothing() {
        assert_eq!(outcome_of("modstrap: cannot boot: no dev"), None);
    }

    #[test]
    fn the_modules_are_counted_from_the_loaders_line() {
        let mut watcher = Watcher::new(MARKER);
        watcher.feed(b"[    1.9] Run /init as init process\n");
        assert!(watcher.loader_seen && watcher.modules().is_none());
        watcher.feed(b"[    2.0] modstrap: loaded virtio_blk\n[    2.1] modstrap: loaded ext4\n");
        assert_eq!(watcher.modules(), Some(2));
        watcher.feed(b"[    2.3] modstrap: root /dev/vda1 (ext4) mounted after 0.42 s, 7 modules loaded\n");
        assert_eq!(watcher.modules(), Some(7));
        assert!(watcher.last_line().ends_with("7 modules loaded"));
    }

    #[test]
    fn characters_in_two_pieces_are_whole_and_bad_bytes_are_kept_apart() {
        let mut watcher = Watcher::new(MARKER);
        watcher.feed("gr\u{fc}n".as_bytes().split_at(3).0);
        watcher.feed("gr\u{fc}n".as_bytes().split_at(3).1);
        watcher.feed(b"\xff!\n");
        assert_eq!(watcher.console(), "gr\u{fc}n\u{fffd}!\n");
    }
}
