//! The system call instruction on riscv64, and the numbers of the calls that rustix lacks (include/uapi/asm-generic/unistd.h).

use super::Numbers;

/// The calls' numbers.
pub const NUMBERS: Numbers = Numbers {
    execve: 221,
    exit_group: 94,
    clock_gettime: 113,
    rt_sigaction: 134,
    setitimer: 103,
    fcntl: 25,
    clone: 220,
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
            "ecall",
            in("a7") number,
            inlateout("a0") first => result,
            in("a1") second,
            in("a2") third,
            in("a3") fourth,
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
    unsafe { core::arch::asm!("mv sp, {}", "jr {}", in(reg) stack, in(reg) entry, options(noreturn)) }
}
