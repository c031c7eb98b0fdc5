//! The monotonic clock, as a system call: the fast way through the vDSO would cost 2.5 KiB of parser. Times are in
//! milliseconds, which is all that a boot needs to tell.

use rustix::time::Timespec;

use super::syscall::{NUMBERS, syscall};

/// Milliseconds since power-on.
pub fn now() -> u64 {
    let (seconds, nanoseconds) = clock();
    seconds * 1000 + u64::from(nanoseconds / 1_000_000)
}

/// Seconds and nanoseconds since power-on.
pub fn clock() -> (u64, u32) {
    const CLOCK_MONOTONIC: usize = 1;
    // As the kernel writes it on 64-bit machines, and by the 64-bit call on 32-bit ones: two times 64 bits.
    let mut time = [0_u64; 2];
    // Safety: the call writes these 16 bytes and nothing else.
    unsafe { syscall(NUMBERS.clock_gettime, CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0) };
    (time[0], time[1] as u32)
}

/// So many milliseconds as the kernel takes them.
pub fn timespec(milliseconds: u64) -> Timespec {
    Timespec { tv_sec: (milliseconds / 1000) as _, tv_nsec: (milliseconds % 1000 * 1_000_000) as _ }
}

/// Sleeps for so many milliseconds, signals or not.
pub fn sleep(milliseconds: u64) {
    let end = now().saturating_add(milliseconds);
    while let Some(left) = end.checked_sub(now()).filter(|left| *left > 0) {
        let _ = rustix::thread::nanosleep(&timespec(left));
    }
}
