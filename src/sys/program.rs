//! This program as the kernel started it, and its two ends: becoming another program, or none.

use core::ffi::CStr;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::syscall::{NUMBERS, syscall};

/// The arguments and the environment, where the kernel put them.
pub struct Program {
    argv: *mut *const u8,
    envp: *const *const u8,
}

impl Program {
    /// # Safety
    /// `stack` must be the stack pointer that the kernel started this program with, and used for this once only.
    pub unsafe fn from_stack(stack: *mut usize) -> Program {
        // Safety: there stand the count of arguments, that many pointers, a null pointer, and the environment.
        unsafe {
            let count = *stack;
            let argv = stack.add(1);
            Program { argv: argv.cast(), envp: argv.add(count + 1).cast::<*const u8>() }
        }
    }

    /// What this program was called as, and with which arguments.
    pub fn arguments(&self) -> Arguments {
        Arguments { next: self.argv }
    }

    /// What this program was called as, without directories.
    pub fn name(&self) -> &'static [u8] {
        let path = self.arguments().next().map_or(&b""[..], CStr::to_bytes);
        base_name(path)
    }

    /// Forgets the arguments, all but `argv[0]`: they were meant for the real init.
    pub fn drop_arguments(&mut self) {
        // Safety: behind `argv[0]` is another argument or the null pointer that ends them.
        unsafe { *self.argv.add(1) = core::ptr::null() };
    }

    /// Becomes the program at `path`: with the arguments and the environment of this one, except for `argv[0]`, which
    /// is `path`. Comes back only with an error.
    pub fn become_other(&mut self, path: &CStr) -> Errno {
        // Safety: `argv` has at least one place: the kernel starts no program with fewer arguments than one, and
        // behind the last stands the null pointer. Both arrays end in null and are valid for as long as we run.
        let result = unsafe {
            *self.argv = path.as_ptr().cast();
            syscall(NUMBERS.execve, path.as_ptr() as usize, self.argv as usize, self.envp as usize, 0)
        };
        // `execve` returns only errors, as negative numbers.
        Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(0))
    }
}

/// The arguments of a program, `argv[0]` first.
#[derive(Clone)]
pub struct Arguments {
    next: *const *const u8,
}

impl Iterator for Arguments {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // Safety: `next` points to an argument or to the null pointer that ends them, and is not moved past that. The
        // arguments end in NUL and stay for as long as the program runs; nobody writes to them.
        unsafe {
            let argument = *self.next;
            if argument.is_null() {
                return None;
            }
            self.next = self.next.add(1);
            Some(CStr::from_ptr(argument.cast()))
        }
    }
}

/// The last part of a path.
#[inline(never)]
pub fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// The text up to its first NUL; empty if it does not end in one. The library's own way is vectorised, and ten times as
/// large.
pub fn c_str(bytes: &[u8]) -> &CStr {
    match bytes.last() {
        // Safety: there is a NUL within the bytes, their last if no other, and they stay as long as what is returned.
        Some(0) => unsafe { CStr::from_ptr(bytes.as_ptr().cast()) },
        _ => c"",
    }
}

/// Standard error. The kernel opens the console as all three streams of `/init`.
pub fn console() -> BorrowedFd<'static> {
    // Safety: nothing here closes standard error, and the handoff replaces it without closing it. Should the kernel
    // have opened none, for want of a console, calls fail and do no harm.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Standard output.
pub fn output() -> BorrowedFd<'static> {
    // Safety: nothing here closes it; should it not be open, calls fail and do no harm.
    unsafe { BorrowedFd::borrow_raw(1) }
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    loop {
        // Safety: the call ends all of the process, and touches no memory of it.
        unsafe { syscall(NUMBERS.exit_group, usize::from(status), 0, 0, 0) };
    }
}
