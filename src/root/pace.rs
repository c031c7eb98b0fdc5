//! The pace of a search for the root: stage after stage, each as long as its devices need to settle, and then a wait,
//! bounded and never silent. Times are in milliseconds, by the machine's clock.

use crate::cmdline::Patience;
use crate::device::{Stage, load_next_driver};
use crate::machine::Machine;
use crate::module::Modules;
use crate::report::{Level, Line, Log};
use crate::table::Step;

/// Where a search stands.
pub struct Pace {
    stage: Stage,
    /// When all that was loaded has had its time.
    settled: u64,
    /// When drivers were looked for last.
    looked: u64,
    patience: Patience,
    wait: Option<Wait>,
}

impl Pace {
    /// Begins with the first stage.
    pub fn begin(first: Stage, patience: Patience) -> Pace {
        Pace { stage: first, settled: 0, looked: 0, patience, wait: None }
    }

    /// Loads the drivers of the next step that has any, if they may be loaded by now: they may bring devices at once, or by
    /// and by. All of the step, so that it is no matter of time which are loaded. Whether there was any.
    pub fn load_drivers(&mut self, modules: &mut Modules<impl Machine>, log: &mut Log) -> bool {
        let (last, now) = (self.stage.last(), modules.machine().now());
        self.looked = now;
        let (mut was_any, mut is_more) = (false, true);
        while is_more && let Some(others) = load_next_driver(&last, |step| self.reaches(step, now), modules, log) {
            self.settled = modules.machine().now() + self.stage.settling();
            (was_any, is_more) = (true, others);
        }
        was_any
    }

    /// Whether a driver of this step may be loaded by now. When all that was loaded has had its time, the search goes on to
    /// the stage of the next driver.
    fn reaches(&mut self, step: Step, now: u64) -> bool {
        if !self.stage.is_in(step) && self.settled <= now {
            self.stage.step = step;
        }
        self.stage.is_in(step)
    }

    /// How many milliseconds to wait for the next event, when no driver may be loaded; none when patience has run out.
    /// When all that was loaded has had its time all disks count, whatever the root is called; after that the root must
    /// come by itself, or by somebody's hand. It is the last look at the drivers that tells: what settled since may let
    /// another step begin.
    pub fn next(&mut self, now: u64, root: &[u8], log: &mut Log) -> Option<u64> {
        if let Some(wait) = &mut self.wait {
            return wait.next(now, root, log);
        }
        if self.settled <= self.looked {
            match self.stage.for_all_disks() {
                Some(next) => self.stage = next,
                None => self.wait = Some(Wait { begun: now, patience: self.patience, notice: 0 }),
            }
        }
        Some(self.settled.saturating_sub(now))
    }
}

/// How often a wait says that it goes on, in milliseconds.
const NOTICE: u64 = 5000;

/// A wait that has begun.
struct Wait {
    begun: u64,
    patience: Patience,
    notice: u64,
}

impl Wait {
    /// How many milliseconds to wait for the next event; none when patience has run out. Says what is awaited from time
    /// to time.
    fn next(&mut self, now: u64, root: &[u8], log: &mut Log) -> Option<u64> {
        let waited = now.saturating_sub(self.begun);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Reach;
    use crate::root::RootSpec;

    #[test]
    fn what_settles_after_a_look_at_the_drivers_is_looked_at_again() {
        let spec = RootSpec::parse(b"LABEL=root", None).expect("a label");
        let mut pace = Pace::begin(Stage::first(&spec, Reach::Machine, false), Patience::For(1000));
        let mut log = Log::begin();
        // The machine was so slow that the time came between the look and the question.
        (pace.settled, pace.looked) = (20, 15);
        assert_eq!(pace.next(19, b"", &mut log), Some(1));
        assert_eq!(pace.next(25, b"", &mut log), Some(0));
        assert!(pace.wait.is_none(), "the drivers of the next step come before the wait for what has none");
        pace.looked = 26;
        assert_eq!(pace.next(27, b"", &mut log), Some(0));
        assert!(pace.wait.is_some(), "there was no driver left");
    }
}
