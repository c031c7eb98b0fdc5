//! A boot on its way: the console is read, prompts are answered, disks are plugged in, until the outcome is known.

/// A boot on its way.
struct Run<'a> {
    boot: &'a Boot,
    guest: Guest,
    watcher: Watcher,
    log: Option<File>,
    started: Instant,
    loader_since: Option<Instant>,
    command_line: String,
    late: Vec<(Duration, Device)>,
    answered: usize,
    searched: usize,
}

impl Run<'_> {
    fn finish(mut self, monitor: &Path) -> Result<Finished> {
        let limit = self.started + self.boot.timeout;
        let outcome = loop {
            self.plug_in_what_is_due(monitor)?;
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
            command_line: self.command_line,
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

    fn plug_in_what_is_due(&mut self, monitor: &Path) -> Result<()> {
        let since = self.loader_since.unwrap_or(self.started + SILENT_START);
        let is_due = |(after, _): &mut (Duration, Device)| Instant::now() >= since + *after;
        let due: Vec<_> = self.late.extract_if(.., is_due).collect();
        for (_, device) in due {
            Monitor::connect(monitor)?.execute("device_add", &device.json())?;
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

