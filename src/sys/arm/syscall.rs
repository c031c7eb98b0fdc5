//! The system call instruction on 32-bit ARM, and the numbers of the calls that rustix lacks (arch/arm/tools/syscall.tbl; the clock's 64-bit form).

use super::Numbers;

/// The calls' numbers.
pub const NUMBERS: Numbers = Numbers {
    execve: 11,
    exit_group: 248,
    clock_gettime: 403,
    rt_sigaction: 174,
    setitimer: 104,
    fcntl: 221,
    clone: 120,
};

/// A system call of up to four arguments; its result is negative for an error.
///
/// # Safety
/// That of the call that `number` stands for.
pub unsafe fn syscall(number: usize, first: usize, second: usize, third: usize, fourth: usize) -> isize {
    let result;
    // Safety: the kernel preserves all registers but those named; what the call does is the caller's.
    unsafe {
        core::arch::asm!(
            "mov {saved}, r7",
            "mov r7, {number}",
            "svc 0",
            "mov r7, {saved}",
            saved = out(reg) _,
            number = in(reg) number,
            inlateout("r0") first => result,
            in("r1") second,
            in("r2") third,
            in("r3") fourth,
            options(nostack),
        );
    }
    result
}

/// The kernel brings along the code to return from a signal handler.
pub const SA_RESTORER: usize = 0;

/// Never called.
pub unsafe extern "C" fn restorer() {}

/// Enters a program at its entry point, with the stack as the kernel gives it to programs.
///
/// # Safety
/// `entry` is the entry point of a program that is mapped, and `stack` such a stack. Nothing here is used any more.
pub unsafe fn enter(entry: usize, stack: *const usize) -> ! {
    // Safety: the caller's.
    unsafe { core::arch::asm!("mov sp, {}", "bx {}", in(reg) stack, in(reg) entry, options(noreturn)) }
}
