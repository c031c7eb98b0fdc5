//! Waiting for the root: bounded, and never silent.

use core::time::Duration;

use crate::cmdline::Patience;
use crate::report::{Level, Line, Log};
use crate::sys::Instant;

/// How often a wait says that it goes on.
const NOTICE: Duration = Duration::from_secs(5);

/// A wait that has begun.
pub struct Wait {
    begun: Instant,
    patience: Patience,
    notice: Duration,
}

impl Wait {
    /// Begins to wait.
    pub fn begin(patience: Patience) -> Wait {
        Wait { begun: Instant::now(), patience, notice: Duration::ZERO }
    }

    /// How long to wait for the next event; none when patience has run out. Says what is awaited from time to time.
    pub fn next(&mut self, root: &[u8], log: &mut Log) -> Option<Duration> {
        let waited = Instant::now().since(self.begun);
        let left = match self.patience {
            Patience::Forever => NOTICE,
            Patience::For(limit) => limit.checked_sub(waited).filter(|left| !left.is_zero())?,
        };
        if waited >= self.notice {
            self.say(root, waited, log);
            self.notice = waited + NOTICE;
        }
        Some(left.min(self.notice - waited))
    }

    fn say(&self, root: &[u8], waited: Duration, log: &mut Log) {
        let mut line = Line::of(&[b"waiting for root=", root]);
        if !waited.is_zero() {
            line.push(b" for ");
            line.push_number(waited.as_secs());
            line.push(b" s");
        }
        if let Patience::For(limit) = self.patience {
            line.push(b" (at most ");
            line.push_number(limit.as_secs());
            line.push(b" s)");
        }
        log.say(Level::Error, &[line.as_bytes()]);
    }
}
