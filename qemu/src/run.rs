//! A boot on its way: the console is read, prompts are answered, disks are plugged in, until the outcome is known.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boot::Boot;
use crate::drive::Device;
use crate::finished::Finished;
use crate::guest::{Guest, Heard};
use crate::outcome::{Outcome, Watcher};
use crate::plan::Plan;
use crate::qmp::Monitor;

/// Hot-plug clocks begin with the loader's first sign on the console, or after this time when it shows none.
const SILENT_START: Duration = Duration::from_secs(15);

/// The longest wait for the console: so often the clocks are looked at.
const TICK: Duration = Duration::from_millis(100);

/// A boot on its way.
pub(crate) struct Run<'a> {
    boot: &'a Boot,
    plan: Plan,
    guest: Guest,
    watcher: Watcher,
    log: Option<File>,
    started: Instant,
    /// When the loader showed itself.
    loader_since: Option<Instant>,
    /// How many prompts have been answered, and how far the console has been searched for them.
    answered: usize,
    searched: usize,
}

impl<'a> Run<'a> {
    /// Starts the guest.
    pub fn start(boot: &'a Boot, plan: Plan) -> Result<Self> {
        let log = boot
            .log
            .as_ref()
            .map(|path| File::create(path).with_context(|| format!("cannot write the console log {}", path.display())));
        Ok(Self {
            boot,
            log: log.transpose()?,
            guest: Guest::start(&plan.program, &plan.arguments)?,
            plan,
            watcher: Watcher::new(&boot.marker),
            started: Instant::now(),
            loader_since: None,
            answered: 0,
            searched: 0,
        })
    }

    /// Watches the guest to its outcome, and a little longer for the rest of its console.
    pub fn finish(mut self) -> Result<Finished> {
        let limit = self.started + self.boot.timeout;
        let outcome = loop {
            self.plug_in_what_is_due()?;
            match self.guest.listen(limit.min(Instant::now() + TICK)) {
                Heard::Bytes(bytes) => {
                    if let Some(outcome) = self.take(&bytes)? {
                        break outcome;
                    }
                }
                Heard::End => break self.ended_silently()?,
                Heard::Silence if Instant::now() >= limit => break Outcome::Timeout(self.last_line()),
                Heard::Silence => (),
            }
        };
        let seconds = self.started.elapsed().as_secs_f64();
        if !matches!(outcome, Outcome::Timeout(_)) {
            self.hear_the_rest()?;
        }
        Ok(Finished {
            outcome,
            seconds,
            modules: self.watcher.modules(),
            summary: self.watcher.summary.clone(),
            console: self.watcher.console().to_owned(),
            command_line: self.plan.command_line,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<Option<Outcome>> {
        if let Some(log) = &mut self.log {
            log.write_all(bytes).context("cannot write the console log")?;
        }
        if self.boot.verbose {
            // A closed standard error is no reason to stop the boot.
            let _ = std::io::stderr().write_all(bytes);
        }
        let outcome = self.watcher.feed(bytes);
        if self.watcher.loader_seen && self.loader_since.is_none() {
            self.loader_since = Some(Instant::now());
        }
        self.answer_prompts()?;
        Ok(outcome)
    }

    fn answer_prompts(&mut self) -> Result<()> {
        while let Some((prompt, reply)) = self.boot.answers.get(self.answered) {
            let Some(found) = self.watcher.console()[self.searched..].find(prompt.as_str()) else { break };
            self.searched += found + prompt.len();
            self.answered += 1;
            self.guest.type_in(reply)?;
        }
        Ok(())
    }

    fn plug_in_what_is_due(&mut self) -> Result<()> {
        let since = self.loader_since.unwrap_or(self.started + SILENT_START);
        let is_due = |(after, _): &mut (Duration, Device)| Instant::now() >= since + *after;
        let due: Vec<_> = self.plan.late.extract_if(.., is_due).collect();
        for (_, device) in due {
            Monitor::connect(&self.plan.monitor)?.execute("device_add", &device.json())?;
        }
        Ok(())
    }

    fn hear_the_rest(&mut self) -> Result<()> {
        let limit = Instant::now() + self.boot.grace;
        while Instant::now() < limit {
            match self.guest.listen(limit) {
                Heard::Bytes(bytes) => drop(self.take(&bytes)?),
                Heard::Silence | Heard::End => break,
            }
        }
        Ok(())
    }

    fn ended_silently(&mut self) -> Result<Outcome> {
        let (status, complaints) = self.guest.wait()?;
        if !status.success() {
            bail!("QEMU ended with {status}: {complaints}");
        }
        Ok(Outcome::Exited(self.last_line()))
    }

    fn last_line(&self) -> String {
        self.watcher.last_line().to_owned()
    }
}
