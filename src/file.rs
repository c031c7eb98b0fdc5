//! Small files and directories, as /proc and /sys are full of them.

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{self, Access, CWD, Mode, OFlags, RawDir, RawDirEntry, readlinkat_raw};
use rustix::io::{self, Errno};

use crate::sys::Buffer;
use crate::text::Text;

/// A path or a name; none that the loader makes is longer.
pub type Path = Text<256>;

/// Room for what a symbolic link of sysfs holds: a path through all hubs and bridges to a device.
pub const LINK: usize = 1024;

/// More than /proc/modules can be: 1 KiB for each of [`MAX_MODULES`](crate::table::MAX_MODULES). Memory that nothing is
/// written to takes none.
const WHOLE: usize = 16 << 20;

/// What a directory is read through, a buffer at a time.
const DIRECTORY_BUFFER: usize = 2048;

/// Reads a file from its start into `buffer`, as far as it fits. One that cannot be read is as good as empty.
#[inline(never)]
pub fn read<'b>(path: &CStr, buffer: &'b mut [u8]) -> &'b [u8] {
    match open(path) {
        Ok(file) => read_on(&file, buffer),
        Err(_) => b"",
    }
}

/// Reads an open file from where it stands, as far as it fits and does not have to be waited for.
#[inline(never)]
pub fn read_on<'b>(file: &OwnedFd, buffer: &'b mut [u8]) -> &'b [u8] {
    let mut length = 0;
    while let Some(space) = buffer.get_mut(length..) {
        match io::read(file, space) {
            Ok(count) if count > 0 => length += count,
            _ => break,
        }
    }
    buffer.get(..length).unwrap_or_default()
}

/// Opens a file for reading.
pub fn open(path: &CStr) -> io::Result<OwnedFd> {
    open_as(path, OFlags::RDONLY)
}

/// Opens a file in this way, for this program alone; one that is created is everybody's to read.
#[inline(never)]
pub fn open_as(path: &CStr, flags: OFlags) -> io::Result<OwnedFd> {
    fs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
}

/// Reads all of a file, up to [`WHOLE`] of one that does not tell its size, as those of /proc do not.
#[inline(never)]
pub fn whole(path: &CStr) -> io::Result<Buffer> {
    let size = usize::try_from(fs::stat(path)?.st_size).map_err(|_| Errno::FBIG)?;
    let mut buffer = Buffer::new(size.max(WHOLE))?;
    let length = read(path, &mut buffer).len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Writes to a setting of the kernel; one that is not there, or may not be changed, stays as it is.
pub fn write(path: &CStr, value: &[u8]) {
    if let Ok(file) = open_as(path, OFlags::WRONLY) {
        let _ = io::write(&file, value);
    }
}

/// Where a symbolic link leads; nowhere if it is none, or longer than the buffer.
pub fn link<'b>(path: &CStr, buffer: &'b mut [u8; LINK]) -> &'b [u8] {
    let length = readlinkat_raw(CWD, path, &mut buffer[..]).unwrap_or(0);
    buffer.get(..length).filter(|link| link.len() < LINK).unwrap_or_default()
}

/// Whether there is something at this path.
pub fn exists(path: &CStr) -> bool {
    fs::access(path, Access::EXISTS).is_ok()
}

/// Calls `visit` for each name in a directory, in the kernel's order, until it returns false. A directory that cannot
/// be read has no names.
pub fn list(path: &CStr, visit: &mut dyn FnMut(&[u8]) -> bool) {
    if let Ok(directory) = open_directory(path) {
        entries(&directory, &mut |entry| visit(entry.file_name().to_bytes()));
    }
}

/// Opens a directory.
pub fn open_directory(path: &CStr) -> io::Result<OwnedFd> {
    open_as(path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Calls `visit` for each entry of a directory but itself and its parent, in the kernel's order, until it returns false.
#[inline(never)]
pub fn entries(directory: &OwnedFd, visit: &mut dyn FnMut(&RawDirEntry) -> bool) {
    let mut buffer = [core::mem::MaybeUninit::uninit(); DIRECTORY_BUFFER];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") && !visit(&entry) {
            return;
        }
    }
}
