//! Memory by the page: files mapped for reading, and buffers.

use core::ffi::CStr;
use core::ops::{Deref, DerefMut};
use core::ptr::{NonNull, null_mut};
use core::slice;

use rustix::fs;
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap, mmap_anonymous, mremap, munmap};

use crate::file;

/// A file of the initramfs, mapped for reading.
pub struct FileMap {
    start: *const u8,
    length: usize,
}

impl FileMap {
    /// Maps the whole file.
    ///
    /// The file must not change while it is mapped: files of the initramfs do not, being ours alone until the handoff.
    pub fn open(path: &CStr) -> io::Result<FileMap> {
        let file = file::open(path)?;
        let length = usize::try_from(fs::fstat(&file)?.st_size).map_err(|_| Errno::FBIG)?;
        if length == 0 {
            return Err(Errno::NODATA);
        }
        // Safety: a new mapping at an address that the kernel chooses touches nothing of ours.
        let start = unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)? };
        Ok(FileMap { start: start.cast(), length })
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // Safety: `open` mapped these bytes for reading; they stay until `drop`, and nobody changes the file.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for FileMap {
    fn drop(&mut self) {
        // Safety: the mapping is ours, and no slice of it outlives us. Failure would leave it mapped: harmless.
        let _ = unsafe { munmap(self.start.cast_mut().cast(), self.length) };
    }
}

/// Zeroed memory from the kernel, given back when dropped.
pub struct Buffer {
    start: NonNull<u8>,
    length: usize,
    mapped: usize,
}

impl Buffer {
    /// A buffer of no bytes.
    pub const fn empty() -> Buffer {
        Buffer { start: NonNull::dangling(), length: 0, mapped: 0 }
    }

    /// A buffer of this many bytes; at least one.
    pub fn new(length: usize) -> io::Result<Buffer> {
        let mut buffer = Buffer::empty();
        buffer.renew(length)?;
        Ok(buffer)
    }

    /// Makes it one of so many bytes, at least one, which are zero. The memory that it has is used again: to clear a page
    /// costs far less than to get a new one.
    #[inline(never)]
    pub fn renew(&mut self, length: usize) -> io::Result<()> {
        let length = length.max(1);
        self.length = length.min(self.mapped);
        self.fill(0);
        if length > self.mapped {
            let read_write = ProtFlags::READ | ProtFlags::WRITE;
            let start = if self.mapped == 0 {
                // Safety: a new mapping at an address that the kernel chooses touches nothing of ours.
                unsafe { mmap_anonymous(null_mut(), length, read_write, MapFlags::PRIVATE)? }
            } else {
                // Safety: the mapping is ours, and no slice of it is left while `self` is borrowed as a whole.
                unsafe { mremap(self.start.as_ptr().cast(), self.mapped, length, MremapFlags::MAYMOVE)? }
            };
            (self.start, self.mapped) = (NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, length);
            self.length = length;
        }
        Ok(())
    }

    /// Leaves all but so many bytes out of sight.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // Safety: `renew` mapped at least so many bytes, readable and zeroed, and they are ours alone; or there are none.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // Safety: as above, and writable.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Safety: the mapping is ours, and no slice of it outlives us. Failure would leave it mapped: harmless.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.mapped) };
    }
}
