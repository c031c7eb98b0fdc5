//! The one use of signals: to end waits in the kernel that would have no end.

use super::syscall::{NUMBERS, SA_RESTORER, restorer, syscall};

/// `struct sigaction` as the kernel takes it (include/linux/signal_types.h).
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    #[cfg(not(target_arch = "riscv64"))]
    restorer: usize,
    mask: u64,
}

extern "C" fn nothing(_signal: i32) {}

/// Interrupts this process after so many seconds, and then again and again: a system call that waits comes back with
/// `EINTR`, as far as its wait can be interrupted at all.
pub fn interrupt_every(seconds: usize) {
    const SIGALRM: usize = 14;
    const ITIMER_REAL: usize = 0;
    let action = Action {
        handler: nothing as extern "C" fn(i32) as usize,
        flags: SA_RESTORER,
        #[cfg(not(target_arch = "riscv64"))]
        restorer: restorer as unsafe extern "C" fn() as usize,
        mask: 0,
    };
    // The interval and the time until the first, each in seconds and microseconds.
    let timer = [seconds, 0, seconds, 0];
    // Safety: the kernel reads the two structures and keeps no reference to them; the handler touches nothing.
    unsafe {
        syscall(NUMBERS.rt_sigaction, SIGALRM, &raw const action as usize, 0, size_of::<u64>());
        syscall(NUMBERS.setitimer, ITIMER_REAL, timer.as_ptr() as usize, 0, 0);
    }
}
