//! The same boot again and again: whether all come to the same.
//!
//! Several processors, and the machine's own time: what is counted elsewhere has but one order. What counts is what the
//! real init finds, and not what the console shows of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::TempDir;

use crate::{Boot, Finished, Outcome};

/// How the loader's lines begin.
const LOADER: &str = "modstrap: ";

/// What the loader says of a boot that goes well. What the kernel's own tests ask for beside it is theirs.
const USUAL: [&str; 4] = ["loaded ", "root /dev/", "nobody answers the kernel's request for ", "the real init speaks"];

/// What no kernel says of such a boot.
const ODD: [&str; 6] = ["EBUSY", "errno 16", "Unknown symbol", "WARNING: ", "BUG: ", "Call Trace:"];

/// What a boot came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// How it ended: an [`Outcome`]'s name, or `qemu-ended` where that is all there is to say.
    pub outcome: &'static str,
    /// What was mounted as the root, and as which file system.
    pub root: String,
    /// The modules that were there.
    pub modules: BTreeSet<String>,
    /// The lines of the log that no such boot has.
    pub odd: BTreeSet<String>,
}

/// One of the boots.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The words that this boot had and others had not.
    pub words: String,
    /// What it came to.
    #[serde(flatten)]
    pub found: Found,
    /// The milliseconds from the loader's start to its root, by its own word.
    pub to_root: Option<u64>,
    /// The file of its console, kept where it came to something else than the first, or to nothing good.
    pub console: Option<PathBuf>,
}

impl Found {
    /// What the console tells.
    pub fn of(finished: &Finished) -> Found {
        let report = finished.real_init();
        let section = |name| report.as_ref().ok().and_then(|report| report.section(name).ok()).unwrap_or_default();
        let root = section("mounts").iter().find_map(|line| {
            let mut words = line.split(' ');
            let (source, place, kind) = (words.next()?, words.next()?, words.next()?);
            (place == "/" && kind != "rootfs").then(|| format!("{source} ({kind})"))
        });
        let lines = finished.console.lines().map(|line| line.split_once("] ").map_or(line, |(_, text)| text));
        Found {
            outcome: finished.outcome.name(),
            root: root.unwrap_or_default(),
            modules: section("modules").iter().cloned().collect(),
            odd: lines.filter(|line| is_odd(line)).map(str::to_string).collect(),
        }
    }

    /// Whether nothing went wrong.
    pub fn is_good(&self) -> bool {
        self.outcome == Outcome::RealInit.name() && self.odd.is_empty() && !self.root.is_empty()
    }
}

fn is_odd(line: &str) -> bool {
    let said = line.strip_prefix(LOADER);
    let is_unusual = |said: &str| {
        !USUAL.iter().any(|usual| said.starts_with(usual)) && !said.contains("requests of the kernel had no answer")
    };
    said.is_some_and(is_unusual) || ODD.iter().any(|odd| line.contains(odd))
}

/// Boots so many times with each of these words on the kernel command line, in turn, so that what else the host does meets all
/// of them; `tell` hears of each boot when it has ended. A boot that does not end well is an outcome too.
pub fn repeat(boot: &Boot, times: usize, words: &[&str], mut tell: impl FnMut(&Run)) -> Result<Vec<Run>> {
    let kept = tempfile::Builder::new().prefix("modstrap-repeat-").tempdir().context("cannot make a directory")?;
    let mut runs: Vec<Run> = Vec::new();
    for (number, words) in (0..times).flat_map(|_| words).enumerate() {
        let (found, text, to_root) = match boot.clone().append(*words).run() {
            Ok(finished) => {
                let to_root = finished.summary.as_deref().and_then(milliseconds);
                (Found::of(&finished), finished.console, to_root)
            }
            // What cannot be started at all is no boot; what ends later is one of them.
            Err(error) if number == 0 => return Err(error),
            Err(error) => (Found { outcome: "qemu-ended", ..Found::default() }, format!("{error:#}\n"), None),
        };
        let is_another = runs.first().is_some_and(|first| first.found != found);
        // The first is kept as well, to be compared with.
        let console = kept.path().join(format!("{}.log", number + 1));
        std::fs::write(&console, text).context("cannot keep a console")?;
        let console = (is_another || !found.is_good()).then_some(console);
        let run = Run { words: words.to_string(), found, to_root, console };
        tell(&run);
        runs.push(run);
    }
    keep(kept, &runs);
    Ok(runs)
}

/// Leaves the consoles where one of them is worth a look.
fn keep(directory: TempDir, runs: &[Run]) {
    if runs.iter().any(|run| run.console.is_some()) {
        let _ = directory.keep();
    }
}

/// The time in `root /dev/vda (ext4) mounted after 412 ms, 7 modules loaded`.
fn milliseconds(summary: &str) -> Option<u64> {
    summary.split_once(" mounted after ")?.1.split_once(" ms")?.0.parse().ok()
}

/// How often each outcome came with each of the words, as a table in Markdown, and the times.
pub fn table(runs: &[Run]) -> String {
    let mut kinds: Vec<(&str, &Found, Vec<Option<u64>>)> = Vec::new();
    for Run { words, found, to_root, .. } in runs {
        let place = kinds.iter().position(|(others, other, _)| *others == words && *other == found);
        let place = place.unwrap_or_else(|| {
            kinds.push((words, found, Vec::new()));
            kinds.len() - 1
        });
        kinds[place].2.push(*to_root);
    }
    let mut text = "| boots | with | outcome | root | modules | odd lines | ms to the root: least | median | most |\n\
                    |---:|---|---|---|---:|---:|---:|---:|---:|\n"
        .to_string();
    for (words, found, mut times) in kinds {
        times.sort_unstable();
        let time = |place: usize| times[place].map_or("none".into(), |time| time.to_string());
        text += &format!(
            "| {} | {words} | {} | {} | {} | {} | {} | {} | {} |\n",
            times.len(),
            found.outcome,
            found.root,
            found.modules.len(),
            found.odd.len(),
            time(0),
            time(times.len() / 2),
            time(times.len() - 1)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_boot_that_goes_well_are_not_odd() {
        for line in [
            "modstrap: loaded crc32_generic, as the kernel asks for crypto-crc32",
            "modstrap: root /dev/sda (ext4) mounted after 930 ms, 10 modules loaded",
            "modstrap: 3 requests of the kernel had no answer: crypto-a crypto-b crypto-c",
            "EXT4-fs (vda1): mounted filesystem",
        ] {
            assert!(!is_odd(line), "{line}");
        }
        for line in [
            "modstrap: module jbd2: busy (errno 16)",
            "modstrap: waiting for root=/dev/sda (at most 30 s)",
            "jbd2: Unknown symbol crc32c (err -2)",
        ] {
            assert!(is_odd(line), "{line}");
        }
        assert_eq!(milliseconds("root /dev/sda (ext4) mounted after 930 ms, 10 modules loaded"), Some(930));
    }

    #[test]
    fn outcomes_are_told_apart() {
        let run = |words: &str, root: &str, to_root| Run {
            words: words.into(),
            found: Found { outcome: "real-init", root: root.into(), modules: BTreeSet::new(), odd: BTreeSet::new() },
            to_root: Some(to_root),
            console: None,
        };
        let table = table(&[
            run("", "/dev/sda (ext4)", 7),
            run("", "/dev/sdb (ext4)", 5),
            run("quiet", "/dev/sda (ext4)", 9),
            run("", "/dev/sda (ext4)", 3),
        ]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "| 2 |  | real-init | /dev/sda (ext4) | 0 | 0 | 3 | 7 | 7 |",
                "| 1 |  | real-init | /dev/sdb (ext4) | 0 | 0 | 5 | 5 | 5 |",
                "| 1 | quiet | real-init | /dev/sda (ext4) | 0 | 0 | 9 | 9 | 9 |"
            ]
        );
    }
}
