//! Waiting for the root: bounded, and never silent.

use crate::cmdline::Patience;
use crate::report::{Level, Line, Log};
use crate::sys::now;

/// How often a wait says that it goes on, in milliseconds.
const NOTICE: u64 = 5000;

/// A wait that has begun.
pub struct Wait {
    begun: u64,
    patience: Patience,
    notice: u64,
}

impl Wait {
    /// Begins to wait.
    pub fn begin(patience: Patience) -> Wait {
        Wait { begun: now(), patience, notice: 0 }
    }

    /// How many milliseconds to wait for the next event; none when patience has run out. Says what is awaited from time to time.
    pub fn next(&mut self, root: &[u8], log: &mut Log) -> Option<u64> {
        let waited = now().saturating_sub(self.begun);
        let left = match self.patience {
            Patience::Forever => NOTICE,
            Patience::For(limit) => limit.checked_sub(waited).filter(|left| *left > 0)?,
        };
        if waited >= self.notice {
            self.say(root, waited, log);
            self.notice = waited + NOTICE;
        }
        Some(left.min(self.notice - waited))
    }

    fn say(&self, root: &[u8], waited: u64, log: &mut Log) {
        let mut line = Line::of(&[b"waiting for root=", root]);
        if waited >= 1000 {
            line.push(b" for ");
            line.push_number(waited / 1000);
            line.push(b" s");
        }
        if let Patience::For(limit) = self.patience {
            line.push(b" (at most ");
            line.push_number(limit / 1000);
            line.push(b" s)");
        }
        log.say(Level::Error, &[line.as_bytes()]);
    }
}
