//! Workers: processes that decode modules ahead of their turn, and insert them as soon as they may.
//!
//! A worker decides nothing and says nothing. What it cannot do is done again by the boot itself, in its turn, as if
//! there had been no worker: so what the kernel refuses is told as ever.

use rustix::fd::OwnedFd;
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::sys::{exit, fork};

/// A process that has one module in hand.
pub struct Worker {
    process: Pid,
    gate: OwnedFd,
}

impl Worker {
    /// Starts one: it prepares `work`, and does it once it may. None where the system has no room for it.
    #[inline(never)]
    pub fn start<T>(prepare: impl FnOnce() -> Option<T>, work: impl FnOnce(T) -> bool) -> Option<Worker> {
        let (inner, gate) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        if let Some(process) = fork().ok()? {
            return Some(Worker { process, gate });
        }
        let mut word = [Word::End as u8];
        let is_done = prepare().is_some_and(|prepared| {
            let _ = read(&inner, &mut word);
            word == [Word::Go as u8] && work(prepared)
        });
        exit(u8::from(!is_done))
    }

    /// Lets it do its work.
    pub fn go(&self) {
        self.tell(Word::Go);
    }

    /// Has it end, without its work if that was not let yet. Whether it did it.
    #[inline(never)]
    pub fn end(self) -> bool {
        self.tell(Word::End);
        let ended = waitpid(Some(self.process), WaitOptions::empty());
        matches!(ended, Ok(Some((_, status))) if status.exit_status() == Some(0))
    }

    fn tell(&self, word: Word) {
        let _ = write(&self.gate, &[word as u8]);
    }
}

/// What a worker is told; the first word counts.
#[derive(Clone, Copy)]
enum Word {
    End,
    Go,
}
