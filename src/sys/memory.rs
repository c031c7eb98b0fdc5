//! The memory functions that compiled code calls.
//!
//! Written as loops over volatile accesses, which the compiler cannot recognise as the very functions they define (it
//! would make `memcpy` call `memcpy`), a machine word at a time where both ends allow it. Where an architecture has
//! string instructions they are shorter and faster; words at a time here too, since not every processor, and no emulator,
//! makes bytes as fast.

use core::ptr::{read_volatile, write_volatile};

#[cfg(not(target_arch = "x86_64"))]
const WORD: usize = size_of::<usize>();

/// C's `memcpy`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // Safety: the caller vouches for both ranges; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!("rep movsq", "mov ecx, {tail:e}", "rep movsb", tail = in(reg) count % 8,
            inout("rcx") count / 8 => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let mut at = 0;
        // Safety: `at` stays below `count`, up to which the caller vouches for both; words are read and written only
        // where both addresses are aligned.
        unsafe {
            if (to as usize | from as usize).is_multiple_of(WORD) {
                while at + WORD <= count {
                    write_volatile(to.add(at).cast::<usize>(), read_volatile(from.add(at).cast::<usize>()));
                    at += WORD;
                }
            }
            while at < count {
                write_volatile(to.add(at), read_volatile(from.add(at)));
                at += 1;
            }
        }
    }
    to
}

/// C's `memmove`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // Safety: the caller's; copying forwards is right where `to` does not lie inside `from`.
        return unsafe { memcpy(to, from, count) };
    }
    let mut at = count;
    while at > 0 {
        at -= 1;
        // Safety: `at` is below `count`.
        unsafe { write_volatile(to.add(at), read_volatile(from.add(at))) };
    }
    to
}

/// C's `memset`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    #[cfg(target_arch = "x86_64")]
    // Safety: the caller vouches for the range; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!("rep stosq", "mov ecx, {tail:e}", "rep stosb", tail = in(reg) count % 8,
            inout("rcx") count / 8 => _, inout("rdi") to => _, in("rax") u64::from_ne_bytes([value as u8; 8]),
            options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let mut at = 0;
        let word = usize::from_ne_bytes([value as u8; WORD]);
        // Safety: `at` stays below `count`, and words are written only where the address is aligned.
        unsafe {
            if (to as usize).is_multiple_of(WORD) {
                while at + WORD <= count {
                    write_volatile(to.add(at).cast::<usize>(), word);
                    at += WORD;
                }
            }
            while at < count {
                write_volatile(to.add(at), value as u8);
                at += 1;
            }
        }
    }
    to
}

/// C's `memcmp`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at < count {
        // Safety: `at` is below `count`.
        let (left, right) = unsafe { (read_volatile(left.add(at)), read_volatile(right.add(at))) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
        at += 1;
    }
    0
}

/// BSD's `bcmp`: whether the ranges differ.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // Safety: the caller's.
    unsafe { memcmp(left, right, count) }
}

/// C's `strlen`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // Safety: the caller vouches for every byte up to the first NUL.
    while unsafe { read_volatile(text.add(length)) } != 0 {
        length += 1;
    }
    length
}
