//! A window on a device: a few KiB of it at a time, read into one buffer, and the numbers in them.
//!
//! Superblocks and partition tables are read through this. What lies outside the window or past the device's end reads
//! as zero, so that no accessor can fail and nothing hostile can point out of it.

use embedded_io::{Read, Seek, SeekFrom};

/// Bytes in a window. One superblock fits with its labels (the largest, f2fs, ends at 0x87c), and so does one sector
/// of any disk; the loader's stack holds it easily.
pub const SIZE: usize = 4096;

/// A part of a device.
pub struct Window {
    device_size: u64,
    start: u64,
    bytes: [u8; SIZE],
}

impl Window {
    /// A window on a device of so many bytes, which shows nothing yet.
    pub fn new(device_size: u64) -> Self {
        Self { device_size, start: u64::MAX, bytes: [0; SIZE] }
    }

    /// Moves the window to an offset of the device, in bytes. One that is there already is not read again.
    pub fn load<D: Read + Seek>(&mut self, device: &mut D, start: u64) -> Result<(), D::Error> {
        if start == self.start {
            return Ok(());
        }
        self.start = u64::MAX;
        self.bytes.fill(0);
        // Linux refuses to seek past the end of a block device.
        if start < self.device_size {
            device.seek(SeekFrom::Start(start))?;
            let mut filled: usize = 0;
            while let Some(rest @ [_, ..]) = self.bytes.get_mut(filled..) {
                match device.read(rest)? {
                    0 => break,
                    count => filled = filled.saturating_add(count),
                }
            }
        }
        self.start = start;
        Ok(())
    }

    /// The size of the device in bytes.
    pub fn device_size(&self) -> u64 {
        self.device_size
    }

    /// Where in the device the window lies, in bytes.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The bytes at an offset in the window; none where they do not all lie in it.
    pub fn slice(&self, at: usize, length: usize) -> &[u8] {
        self.bytes.get(at..).and_then(|tail| tail.get(..length)).unwrap_or_default()
    }

    /// So many bytes at an offset in the window.
    pub fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    /// The byte at an offset in the window.
    pub fn byte(&self, at: usize) -> u8 {
        u8::from_le_bytes(self.array(at))
    }

    /// The little-endian 16-bit number at an offset in the window.
    pub fn le16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    /// The little-endian 32-bit number at an offset in the window.
    pub fn le32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    /// The little-endian 64-bit number at an offset in the window.
    pub fn le64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }
}
