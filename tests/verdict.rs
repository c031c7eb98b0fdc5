//! What a boot must have come to. Each question of [`Verdict`] fails the test with the end of the console.

use std::collections::BTreeSet;
use std::fmt::Display;

use anyhow::Result;
use modstrap_qemu::tree::MARKER;
use modstrap_qemu::{Finished, Outcome, Report};

use crate::Image;

/// How the loader's lines begin.
const PREFIX: &str = "modstrap: ";

/// How its last line begins when it gives up.
const FAILURE: &str = "cannot boot: ";

/// What the kernel says when process 1 has ended with status 1.
pub const PANIC: &str = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100";

/// The questions that tests ask of a boot.
pub trait Verdict {
    /// Fails with `what` and the end of the console unless `condition` holds.
    #[track_caller]
    fn expect(&self, condition: bool, what: impl Display);

    /// The real init spoke, and its root is `root`, as in `/dev/vda (ext4)`: by the loader's word and by /proc/mounts.
    #[track_caller]
    fn reached(&self, root: &str) -> Report;

    /// The loader gave up for exactly this reason, said so in its last line, and the kernel panicked.
    #[track_caller]
    fn gave_up(&self, reason: &str);

    /// The loader's lines on the console, up to the real init's first.
    fn messages(&self) -> Vec<&str>;

    /// The loader wrote exactly this line, once, on the console.
    #[track_caller]
    fn says(&self, message: &str);
}

impl Verdict for Finished {
    fn expect(&self, condition: bool, what: impl Display) {
        assert!(condition, "{what}\n{}", quote(self));
    }

    fn reached(&self, root: &str) -> Report {
        self.expect(self.outcome == Outcome::RealInit, &self.outcome);
        let report = self.real_init().unwrap_or_else(|error| panic!("{error:#}\n{}", quote(self)));
        let lines = report.section("kmsg").unwrap_or_default();
        let mounted = format!("{PREFIX}root {root} mounted after ");
        self.expect(lines.iter().any(|line| line.contains(&mounted)), format!("the root is not {root}"));
        let (source, kind) = root.trim_end_matches(')').split_once(" (").unwrap_or((root, ""));
        let mounts = report.section("mounts").unwrap_or_default();
        let is_root = |line: &String| line.starts_with(&format!("{source} / {kind} "));
        self.expect(mounts.iter().any(is_root), format!("/proc/mounts has no root {root}: {mounts:#?}"));
        report
    }

    fn gave_up(&self, reason: &str) {
        let expected = Outcome::LoaderFailure(reason.into());
        self.expect(self.outcome == expected, format!("expected: {expected}\nbut {}", self.outcome));
        let (_, rest) = self.console.rsplit_once(&format!("{PREFIX}{FAILURE}{reason}")).unwrap_or_default();
        self.expect(!rest.contains(PREFIX), "the reason is not the loader's last line");
        self.expect(rest.contains(PANIC), "the kernel did not panic");
    }

    fn messages(&self) -> Vec<&str> {
        let console = self.console.split_once(MARKER).map_or(self.console.as_str(), |(before, _)| before);
        console.lines().filter_map(|line| Some(line.split_once(PREFIX)?.1)).collect()
    }

    fn says(&self, message: &str) {
        let count = self.messages().iter().filter(|line| **line == message).count();
        self.expect(count == 1, format!("expected the line `{message}` once, not {count} times"));
    }
}

/// The loader's lines stand apart, since a panicking kernel writes much behind them.
fn quote(finished: &Finished) -> String {
    let Finished { command_line, .. } = finished;
    let messages = finished.messages().join("\n");
    format!("command line: {command_line}\nthe loader:\n{messages}\nthe end of the console:\n{}", finished.tail())
}

/// Fails unless these modules were loaded, and beside them only what they need.
#[track_caller]
pub fn loaded_exactly(image: &Image, report: &Report, modules: &[&str]) -> Result<()> {
    loaded_with(image, report, modules, &[])
}

/// Fails unless these modules were loaded, and beside them only what they and those need that may be `tried`, and what
/// the kernel asked for; and unless it got all it asked for that its module tree has.
#[track_caller]
pub fn loaded_with(image: &Image, report: &Report, modules: &[&str], tried: &[&str]) -> Result<()> {
    let loaded: BTreeSet<String> = report.section("modules")?.iter().cloned().collect();
    let missing: Vec<_> = modules.iter().filter(|module| !loaded.contains(**module)).collect();
    let requested = lines(report, "loaded ")?.filter_map(|line| Some(line.split_once(", as the kernel asks for ")?.0));
    let requested: Vec<&str> = requested.collect();
    let allowed = image.closure(&[modules, tried, &requested].concat())?;
    let needless: Vec<_> = loaded.difference(&allowed).collect();
    for name in lines(report, "nobody answers the kernel's request for ")? {
        assert!(!image.tree_has(name)?, "the kernel asked in vain for what its tree has: {name}");
    }
    assert!(missing.is_empty() && needless.is_empty(), "not loaded: {missing:?}; loaded needlessly: {needless:?}");
    Ok(())
}

/// What the loader's lines in the kernel log go on with, of those that begin so.
fn lines<'r>(report: &'r Report, begin: &'r str) -> Result<impl Iterator<Item = &'r str>> {
    let lines = report.section("kmsg")?.iter().filter_map(|line| Some(line.split_once(PREFIX)?.1));
    Ok(lines.filter_map(move |line| line.strip_prefix(begin)))
}
