//! The system call instruction on x86_64, and the numbers of the calls that rustix lacks (arch/x86/entry/syscalls/syscall_64.tbl).

use super::Numbers;

/// The calls' numbers.
pub const NUMBERS: Numbers =
    Numbers { execve: 59, exit_group: 231, clock_gettime: 228, rt_sigaction: 13, setitimer: 38, fcntl: 72, clone: 56 };

/// A system call of up to four arguments; its result is negative for an error.
///
/// # Safety
/// That of the call that `number` stands for.
pub unsafe fn syscall(number: usize, first: usize, second: usize, third: usize, fourth: usize) -> isize {
    let result;
    // Safety: the kernel preserves all registers but those named; what the call does is the caller's.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// The flag that says that a signal handler comes with the code to return from it: this architecture alone has none to
/// offer (arch/x86/kernel/signal_64.c).
pub const SA_RESTORER: usize = 0x0400_0000;

/// Returns from a signal handler: `rt_sigreturn`, and nothing on the stack but what the kernel put there.
#[unsafe(naked)]
pub unsafe extern "C" fn restorer() {
    core::arch::naked_asm!("mov eax, 15", "syscall")
}

/// Enters a program at its entry point, with the stack as the kernel gives it to programs.
///
/// # Safety
/// `entry` is the entry point of a program that is mapped, and `stack` such a stack. Nothing here is used any more.
pub unsafe fn enter(entry: usize, stack: *const usize) -> ! {
    // Safety: the caller's. No function is registered for the program's end, which is what rdx would tell.
    unsafe { core::arch::asm!("mov rsp, {}", "jmp {}", in(reg) stack, in(reg) entry, in("rdx") 0, options(noreturn)) }
}
