//! The monotonic clock, as a system call: the fast way through the vDSO would cost 2.5 KiB of parser.

use core::time::Duration;

use super::syscall::{NUMBERS, syscall};

/// A moment since power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        const CLOCK_MONOTONIC: usize = 1;
        // As the kernel writes it on 64-bit machines, and by the 64-bit call on 32-bit ones: two times 64 bits.
        let mut time = [0_u64; 2];
        // Safety: the call writes these 16 bytes and nothing else.
        unsafe { syscall(NUMBERS.clock_gettime, CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0) };
        Instant(Duration::from_secs(time[0]) + Duration::from_nanos(time[1]))
    }

    /// The time since an earlier moment; nothing if it is not earlier.
    pub fn since(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `later` than this.
    pub fn after(self, later: Duration) -> Instant {
        Instant(self.0.saturating_add(later))
    }
}

/// Sleeps, signals or not.
pub fn sleep(duration: Duration) {
    let end = Instant::now().after(duration);
    loop {
        let left = end.since(Instant::now());
        if left.is_zero() {
            return;
        }
        let request = rustix::time::Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos() as _ };
        let _ = rustix::thread::nanosleep(&request);
    }
}
