//! One boot that is counted, and what its log tells.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{Bench, Root, UUID};
use crate::drive::{Bus, Drive};
use crate::{Boot, Finished, Outcome, tree};

/// How the kernel announces /init, and how the floor's init announces itself.
const BEGIN: &str = "Run /init as init process";
const END: &str = "bench: the real init runs";
/// What the floor's init tells last.
const LAST: &str = "bench: the end";

/// Counting is slow: some 15 to 60 s for each boot on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(600);

/// In MiB.
const MEMORY: u32 = 512;

/// What one boot cost, in millions of instructions.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// From power-on to /init.
    pub to_init: f64,
    /// From /init to the real init.
    pub to_real_init: f64,
    /// From power-on to the real init.
    pub total: f64,
    /// The modules that were loaded, in their order.
    pub loaded: Vec<String>,
}

impl Figures {
    fn of(finished: &Finished) -> Result<Figures> {
        ensure!(finished.outcome == Outcome::RealInit, "{}\n{}", finished.outcome, finished.tail());
        let time = |text: &str| -> Result<f64> {
            let line = finished.console.lines().find(|line| line.contains(text));
            let time = line.and_then(|line| line.strip_prefix('[')?.split_once(']')?.0.trim().parse::<f64>().ok());
            // Seconds of the guest are thousands of millions of instructions.
            Ok(time.with_context(|| format!("the log does not tell when: {text}"))? * 1000.0)
        };
        let (begin, end) = (time(BEGIN)?, time(END)?);
        // The kernel lists the latest first.
        let mut loaded: Vec<String> = facts(finished, "loaded").map(str::to_string).collect();
        loaded.reverse();
        Ok(Figures { to_init: begin, to_real_init: end - begin, total: end, loaded })
    }
}

/// Where the instructions from /init to the real init go, in millions.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Split {
    /// Inflating modules.
    pub inflate: f64,
    /// Undoing the filter.
    pub filter: f64,
    /// Checking the table and the packed modules.
    pub checksum: f64,
    /// Looking up each device that no driver has taken, and the modules by their names.
    pub lookup: f64,
    /// All the rest: the kernel, and what of the loader is none of these.
    pub kernel: f64,
}

impl Split {
    fn of(finished: &Finished, to_real_init: f64) -> Result<Split> {
        ensure!(finished.outcome == Outcome::RealInit, "{}\n{}", finished.outcome, finished.tail());
        let cost = |part: &str| -> Result<f64> {
            let text = facts(finished, "cost").find_map(|fact| fact.strip_prefix(part));
            let text = text.with_context(|| format!("the count does not tell of {part}"))?;
            Ok(text.trim().parse::<f64>().with_context(|| format!("{part}: {text}"))? / 1e6)
        };
        let [inflate, filter, checksum, lookup] =
            [cost("inflate")?, cost("filter")?, cost("checksum")?, cost("lookup")?];
        let kernel = to_real_init - inflate - filter - checksum - lookup;
        Ok(Split { inflate, filter, checksum, lookup, kernel })
    }
}

/// What the floor told under this word.
fn facts<'a>(finished: &'a Finished, word: &'a str) -> impl Iterator<Item = &'a str> {
    let facts = finished.console.lines().filter_map(|line| line.split_once("bench: "));
    facts.filter_map(move |(_, fact)| fact.strip_prefix(word)?.strip_prefix(' ')).map(str::trim)
}

impl Bench {
    /// Counts one boot.
    pub(super) fn measure(&self, image: &Path, bus: Bus, root: Root) -> Result<Figures> {
        Figures::of(&counted(self.boot(image, bus, root, MEMORY, &[])).run()?)
    }

    /// The boot of several that cost least.
    pub(super) fn measure_least(&self, image: &Path, bus: Bus, root: Root) -> Result<Figures> {
        let mut least = self.measure(image, bus, root)?;
        for _ in 1..self.boots {
            let figures = self.measure(image, bus, root)?;
            if figures.to_real_init < least.to_real_init {
                least = figures;
            }
        }
        Ok(least)
    }

    /// Counts where the instructions of such a boot went, by an image that is made for it.
    pub(super) fn split(&self, image: &Path, bus: Bus, figures: &Figures) -> Result<Split> {
        let finished = counted(self.boot(image, bus, Root::Name, MEMORY, &figures.loaded)).run()?;
        Split::of(&finished, figures.to_real_init)
    }

    /// The least memory with which an image boots, in MiB, to a multiple of four.
    pub(super) fn least_memory(&self, image: &Path, bus: Bus, root: Root) -> Result<u32> {
        let boots = |memory: u32| -> Result<bool> {
            let finished = self.boot(image, bus, root, memory, &[]).run()?;
            Ok(finished.outcome == Outcome::RealInit)
        };
        let (mut too_little, mut enough) = (10, MEMORY / 4);
        while too_little + 1 < enough {
            let middle = (too_little + enough) / 2;
            if boots(middle * 4)? { enough = middle } else { too_little = middle }
        }
        Ok(enough * 4)
    }

    /// The record of the machine with its disk on this bus, made where it boots this image; the record's file.
    pub(super) fn record(&self, image: &Path, bus: Bus) -> Result<PathBuf> {
        let path = |what: &str| self.work.path().join(format!("{}.{what}", bus.name()));
        let (disk, record) = (path("disk"), path("hardware"));
        let tree = tempfile::tempdir_in(&self.work)?;
        tree::write(tree.path())?;
        tree::add_recorder(tree.path())?;
        super::write_disk(tree.path(), &disk)?;
        let boot = Boot::new(&self.kernel.image, image).drive(Drive::new(disk, bus)).processors(1);
        let finished = boot.append(format!("root=UUID={UUID}")).run()?;
        let text = finished.real_init()?.section("hardware")?.join("\n");
        fs::write(&record, text).context("cannot write the record of the machine")?;
        Ok(record)
    }

    fn boot(&self, image: &Path, bus: Bus, root: Root, memory: u32, modules: &[String]) -> Boot {
        let node = match bus {
            Bus::VirtioBlk => "/dev/vda1",
            Bus::Nvme => "/dev/nvme0n1p1",
            Bus::Sdhci => "/dev/mmcblk0p1",
            _ => "/dev/sda1",
        };
        let root = match root {
            Root::Name => format!("root={node}"),
            Root::Uuid => format!("root=UUID={UUID}"),
        };
        Boot::new(&self.kernel.image, image)
            .as_is(true)
            // They run beside /init, and for as long as it takes.
            .without_self_tests()
            .drive(Drive::new(&self.disk, bus))
            // The floor reads its arguments, the real init none.
            .append(format!("{root} -- {node} ext4 {}", modules.join(" ")))
            .processors(1)
            .memory(memory)
            .marker(LAST)
    }
}

/// A boot whose clock counts instructions: a nanosecond for each, of any processor, and the host's time while all of them wait.
#[must_use]
pub fn counted(boot: Boot) -> Boot {
    boot.argument("-icount").argument("shift=0,sleep=on").timeout(TIMEOUT)
}
