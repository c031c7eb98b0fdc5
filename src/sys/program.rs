//! This program as the kernel started it, and its two ends: becoming another program, or none.

use core::ffi::CStr;

use rustix::fd::BorrowedFd;
use rustix::io::{self, Errno};
use rustix::process::Pid;

use super::map::Buffer;
use super::syscall::{NUMBERS, enter, syscall};

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

    /// Becomes the program whose entry point is at `entry`, with the arguments and the environment of this one.
    ///
    /// # Safety
    /// It must be mapped, as a program that needs nothing else of the kernel.
    pub unsafe fn enter(&self, entry: usize) -> ! {
        // The count of arguments stands before them.
        let stack = self.argv.cast::<usize>().wrapping_sub(1);
        // Safety: the caller's; and this is the stack as the kernel left it, but for what is forgotten.
        unsafe { enter(entry, stack) }
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
        errno(result)
    }
}

/// Becomes the program at `path`. `texts` are the arguments, so many of them, and then the environment, each text with a
/// NUL behind it. Comes back only with an error.
pub fn become_program(path: &CStr, texts: &[u8], arguments: usize) -> Errno {
    if texts.last().is_none_or(|last| *last != 0) {
        return Errno::INVAL;
    }
    let count = texts.iter().filter(|byte| **byte == 0).count();
    // Both lists of pointers end in null, as this memory is where nothing is written.
    let mut pointers = match Buffer::new((count + 2) * size_of::<usize>()) {
        Ok(pointers) => pointers,
        Err(errno) => return errno,
    };
    let texts = texts.split_inclusive(|byte| *byte == 0).map(|text| text.as_ptr() as usize);
    // The null pointer behind the arguments has a place of its own.
    let mut places = pointers.chunks_exact_mut(size_of::<usize>()).enumerate().filter(|(place, _)| *place != arguments);
    for (text, (_, place)) in texts.zip(&mut places) {
        place.copy_from_slice(&text.to_ne_bytes());
    }
    drop(places);
    let argv = pointers.as_ptr() as usize;
    let envp = argv + (arguments.min(count) + 1) * size_of::<usize>();
    // Safety: both lists are valid and end in null, each text ends in NUL, and all of them outlive the call.
    let result = unsafe { syscall(NUMBERS.execve, path.as_ptr() as usize, argv, envp, 0) };
    errno(result)
}

/// Makes a copy of this process; returns the copy's number, and nothing in the copy itself.
pub fn fork() -> io::Result<Option<Pid>> {
    const SIGCHLD: usize = 17;
    // Safety: the copy has memory of its own, and this program no threads that it would lack.
    let result = unsafe { syscall(NUMBERS.clone, SIGCHLD, 0, 0, 0) };
    match i32::try_from(result) {
        Ok(number) if number >= 0 => Ok(Pid::from_raw(number)),
        _ => Err(errno(result)),
    }
}

/// The error of a system call that has failed: its result is the number, negative.
fn errno(result: isize) -> Errno {
    Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(0))
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
