//! A boot on its way: the console is read, prompts are answered, disks are plugged in, until the outcome is known.

use std::fs::File;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boot::Boot;
use crate::drive::Device;
use crate::finished::{Finished, tail};
use crate::guest::{Guest, Heard};
use crate::outcome::{Milestones, Outcome, Watcher};
use crate::plan::Plan;
use crate::qmp::Monitor;
use crate::server::{self, Server};

/// Hot-plug clocks begin with the loader's first sign on the console, or after this time when it shows none.
const SILENT_START: Duration = Duration::from_secs(15);

/// The longest wait for the console: so often the clocks are looked at.
const TICK: Duration = Duration::from_millis(100);

/// A boot on its way.
pub(crate) struct Run<'a> {
    boot: &'a Boot,
    plan: Plan,
    guest: Guest,
    servers: Vec<server::Running>,
    watcher: Watcher,
    log: Option<File>,
    started: Instant,
    /// When the loader showed itself.
    loader_since: Option<Instant>,
    milestones: Milestones,
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
        let servers = plan.servers.iter().map(Server::start).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            boot,
            servers,
            log: log.transpose()?,
            guest: Guest::start(&plan.program, &plan.arguments)?,
            plan,
            watcher: Watcher::new(&boot.marker),
            started: Instant::now(),
            loader_since: None,
            milestones: Milestones::default(),
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
                Heard::Silence if Instant::now() >= limit || self.is_stopped() => {
                    break Outcome::Timeout(self.last_line());
                }
                Heard::Silence => (),
            }
        };
        let seconds = self.started.elapsed().as_secs_f64();
        let rest = match &outcome {
            Outcome::Timeout(_) => None,
            Outcome::RealInit if self.boot.to_the_end => self.hear_until(limit)?,
            _ => {
                self.hear_until(Instant::now() + self.boot.grace)?;
                None
            }
        };
        Ok(Finished {
            outcome,
            rest,
            started: self.started,
            milestones: self.milestones,
            seconds,
            modules: self.watcher.modules(),
            summary: self.watcher.summary.clone(),
            console: self.watcher.console().to_owned(),
            servers: self.reports(),
            command_line: self.plan.command_line,
        })
    }

    fn is_stopped(&self) -> bool {
        self.boot.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
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
        self.note_milestones();
        if self.watcher.loader_seen && self.loader_since.is_none() {
            self.loader_since = Some(Instant::now());
        }
        self.answer_prompts()?;
        Ok(outcome)
    }

    fn note_milestones(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let note = |milestone: &mut Option<f64>, is_there| {
            if is_there && milestone.is_none() {
                *milestone = Some(seconds);
            }
        };
        note(&mut self.milestones.kernel, self.watcher.kernel_seen);
        note(&mut self.milestones.loader, self.watcher.loader_seen);
        note(&mut self.milestones.root, self.watcher.summary.is_some());
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

    /// Hears the rest of the console; what it came to, if that is worse than an end.
    fn hear_until(&mut self, limit: Instant) -> Result<Option<Outcome>> {
        let mut rest = None;
        loop {
            match self.guest.listen(limit) {
                Heard::Bytes(bytes) => {
                    rest = rest.or(self.take(&bytes)?.filter(|outcome| *outcome != Outcome::RealInit))
                }
                Heard::End => return Ok(rest),
                Heard::Silence => return Ok(rest.or_else(|| Some(Outcome::Timeout(self.last_line())))),
            }
        }
    }

    fn ended_silently(&mut self) -> Result<Outcome> {
        let (status, complaints) = self.guest.wait()?;
        if !status.success() {
            bail!("QEMU ended with {status}: {complaints}\n{}", tail(self.watcher.console(), &self.reports()));
        }
        Ok(Outcome::Exited(self.last_line()))
    }

    /// What the processes beside QEMU said.
    fn reports(&self) -> Vec<String> {
        self.servers.iter().filter_map(server::Running::report).collect()
    }

    fn last_line(&self) -> String {
        self.watcher.last_line().to_owned()
    }
}
