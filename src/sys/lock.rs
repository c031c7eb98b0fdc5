//! Locks on parts of files, which rustix knows for whole files only.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};

use super::syscall::{NUMBERS, syscall};

/// `struct flock` with 64-bit offsets (include/uapi/asm-generic/fcntl.h).
#[repr(C)]
struct Range {
    kind: i16,
    whence: i16,
    start: i64,
    length: i64,
    process: i32,
}

/// Locks one byte of a file, there or not, against all other processes until this one ends; it does not wait. If
/// another process has it locked, that process.
pub fn lock_byte(file: BorrowedFd, byte: u16) -> Result<(), u32> {
    const F_GETLK: usize = if cfg!(target_pointer_width = "64") { 5 } else { 12 };
    const F_SETLK: usize = F_GETLK + 1;
    const F_WRLCK: i16 = 1;
    let mut range = Range { kind: F_WRLCK, whence: 0, start: byte.into(), length: 1, process: 0 };
    let file = file.as_fd().as_raw_fd() as usize;
    // Safety: the kernel reads the structure, the second call also writes it, and no reference to it is kept.
    unsafe {
        if syscall(NUMBERS.fcntl, file, F_SETLK, &raw mut range as usize, 0) == 0 {
            return Ok(());
        }
        syscall(NUMBERS.fcntl, file, F_GETLK, &raw mut range as usize, 0);
    }
    Err(range.process.unsigned_abs())
}
