//! The program that the builder has appended to this one, the stub: where it is, and becoming it. Part of the stub alone,
//! since only its file has one.

#![allow(unsafe_code)]

use core::ffi::c_void;
use core::slice;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

use modstrap::packed::{HEADER, Header};
use modstrap::sys::Program;

unsafe extern "C" {
    /// The linker script's name for the end of the stub's own bytes: what the builder appends begins there.
    static payload: [u8; HEADER];
}

/// Where a program's file says where it begins, counted from the file's start (ELF's `e_entry`).
const ENTRY: usize = 24;

/// Unpacks the program that was appended and becomes it, with the arguments and the environment of this one. Comes back
/// only where that is not possible.
pub fn start(program: &Program) {
    // Safety: a stub is of no use, and started by nobody, before the builder has appended to it a header and as many bytes
    // of a stream as that says; they are part of what the kernel maps.
    let (header, stream) = unsafe {
        let header = Header::parse(&payload);
        (header, slice::from_raw_parts((&raw const payload).cast::<u8>().add(HEADER), header.packed as usize))
    };
    let (at, length) = (header.address as usize as *mut c_void, header.length as usize);
    let read_write = ProtFlags::READ | ProtFlags::WRITE;
    // Safety: the builder packs no program that belongs where the stub is, and nothing else is that low in memory.
    if unsafe { mmap_anonymous(at, length, read_write, MapFlags::PRIVATE | MapFlags::FIXED) }.is_err() {
        return;
    }
    // Safety: just mapped, readable, writable and zeroed, and nobody else's.
    let image = unsafe { slice::from_raw_parts_mut(at.cast::<u8>(), length) };
    if header.unpack(stream, image, cfg!(target_arch = "x86_64")).is_err() {
        return;
    }
    let entry = image.get(ENTRY..).and_then(<[u8]>::first_chunk).map_or(0, |entry| usize::from_ne_bytes(*entry));
    // Safety: these pages are ours, and nothing writes to them from here on.
    if unsafe { mprotect(at, length, MprotectFlags::READ | MprotectFlags::EXEC) }.is_ok() {
        // Safety: there begins the program that was packed, of which the checksum has told that it is whole.
        unsafe { program.enter(entry) }
    }
}
