//! One boot that is counted, and what its log tells.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{Bench, Root, UUID};
use crate::drive::{Bus, Drive};
use crate::{Boot, Finished, Outcome};

/// How the kernel announces /init, and how the floor's init announces itself.
const BEGIN: &str = "Run /init as init process";
const END: &str = "bench: the real init runs";

/// The kernel tests cryptographic algorithms beside /init, by itself and for as long as it takes.
const WORDS: &str = "cryptomgr.notests";

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
    /// The modules that were loaded, in their order, where the image's program tells.
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
        let loaded =
            finished.console.lines().filter_map(|line| line.split_once("modstrap: loaded ")).map(|(_, name)| name);
        let loaded = loaded.map(|line| line.split(',').next().unwrap_or(line).to_string()).collect();
        Ok(Figures { to_init: begin, to_real_init: end - begin, total: end, loaded })
    }
}

impl Bench {
    /// Counts one boot.
    pub(super) fn measure(&self, image: &Path, bus: Bus, root: Root) -> Result<Figures> {
        Figures::of(&self.boot(image, bus, root, MEMORY).run()?)
    }

    /// The least memory with which an image boots, in MiB, to a multiple of four.
    pub(super) fn least_memory(&self, image: &Path, bus: Bus, root: Root) -> Result<u32> {
        let boots = |memory: u32| -> Result<bool> {
            let finished = self.boot(image, bus, root, memory).run()?;
            Ok(finished.outcome == Outcome::RealInit)
        };
        let (mut too_little, mut enough) = (10, MEMORY / 4);
        while too_little + 1 < enough {
            let middle = (too_little + enough) / 2;
            if boots(middle * 4)? { enough = middle } else { too_little = middle }
        }
        Ok(enough * 4)
    }

    fn boot(&self, image: &Path, bus: Bus, root: Root, memory: u32) -> Boot {
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
            .drive(Drive::new(&self.disk, bus))
            // The floor reads its arguments, the real init none.
            .append(format!("{root} {WORDS} -- {node} ext4"))
            .accelerator("tcg,thread=single")
            .argument("-icount")
            .argument("shift=0,sleep=off")
            .processors(1)
            .memory(memory)
            .marker(END)
            .timeout(TIMEOUT)
    }
}
