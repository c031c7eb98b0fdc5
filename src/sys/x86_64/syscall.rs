//! The system call instruction on x86_64, and the numbers of the calls that rustix lacks (arch/x86/entry/syscalls/syscall_64.tbl).

use super::Numbers;

/// The calls' numbers.
pub const NUMBERS: Numbers = Numbers { execve: 59, exit_group: 231, clock_gettime: 228 };

/// A system call of up to three arguments; its result is negative for an error.
///
/// # Safety
/// That of the call that `number` stands for.
pub unsafe fn syscall(number: usize, first: usize, second: usize, third: usize) -> isize {
    let result;
    // Safety: the kernel preserves all registers but those named; what the call does is the caller's.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
