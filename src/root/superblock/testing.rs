//! What the tests of superblocks and partition tables share: images made by the real tools, read through the traits
//! that the loader's block devices have.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::string::String;
use std::sync::atomic::{AtomicU32, Ordering};
use std::vec::Vec;
use std::{format, vec};

use embedded_io::ErrorKind;

/// A device of the host: a file, or bytes in memory.
pub struct Device<T>(pub T);

impl<T> embedded_io::ErrorType for Device<T> {
    type Error = ErrorKind;
}

impl<T: Read> embedded_io::Read for Device<T> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        self.0.read(buffer).map_err(|_| ErrorKind::Other)
    }
}

impl<T: Seek> embedded_io::Seek for Device<T> {
    fn seek(&mut self, position: embedded_io::SeekFrom) -> Result<u64, ErrorKind> {
        let position = match position {
            embedded_io::SeekFrom::Start(at) => io::SeekFrom::Start(at),
            embedded_io::SeekFrom::End(at) => io::SeekFrom::End(at),
            embedded_io::SeekFrom::Current(at) => io::SeekFrom::Current(at),
        };
        self.0.seek(position).map_err(|_| ErrorKind::Other)
    }
}

/// Bytes in memory as a device.
pub fn memory(bytes: &[u8]) -> Device<io::Cursor<&[u8]>> {
    Device(io::Cursor::new(bytes))
}

/// A sparse image file that goes with its value.
pub struct Image {
    directory: PathBuf,
    path: PathBuf,
}

impl Image {
    /// An empty image of so many MiB.
    pub fn new(mebibytes: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("modstrap-image-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let path = directory.join("disk");
        File::create(&path).unwrap().set_len(mebibytes << 20).unwrap();
        Self { directory, path }
    }

    /// An image of so many MiB that begins with these bytes.
    pub fn of(bytes: &[u8], mebibytes: u64) -> Self {
        let image = Self::new(mebibytes);
        image.write(0, bytes);
        image
    }

    pub fn device(&self) -> Device<File> {
        Device(File::open(&self.path).unwrap())
    }

    pub fn size(&self) -> u64 {
        fs::metadata(&self.path).unwrap().len()
    }

    /// Overwrites what lies at an offset.
    pub fn write(&self, at: u64, bytes: &[u8]) {
        let mut file = File::options().write(true).open(&self.path).unwrap();
        file.seek(io::SeekFrom::Start(at)).unwrap();
        file.write_all(bytes).unwrap();
    }

    pub fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let mut file = File::open(&self.path).unwrap();
        file.seek(io::SeekFrom::Start(at)).unwrap();
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Runs a tool of a Debian package on the image, whose path replaces the word `IMAGE`; tools that make a file system
    /// out of files find them in the directory that replaces `TREE`.
    pub fn run(&self, package: &str, command: &str) -> String {
        self.run_with_input(package, command, "")
    }

    /// The same with something to read for the tool.
    pub fn run_with_input(&self, package: &str, command: &str, input: &str) -> String {
        let tree = self.directory.join("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("file"), "content").unwrap();
        let words: Vec<_> = command
            .split(' ')
            .map(|word| match word {
                "IMAGE" => self.path.clone().into_os_string(),
                "TREE" => tree.clone().into_os_string(),
                word => word.into(),
            })
            .collect();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .env("PATH", path)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}; install the package {package}"));
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// What blkid finds on the image: its `TYPE`, `UUID` and `LABEL` among other things.
    pub fn blkid(&self) -> BTreeMap<String, String> {
        let output = self.run("util-linux", "blkid -p -o export IMAGE");
        let pairs = output.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.replace('\\', ""))).collect()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A small generator of numbers that are the same in each run (xorshift64).
pub struct Random(pub u64);

impl Random {
    /// A number below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// A byte to put in the place of another: often a value at which checks turn.
    pub fn instead_of(&mut self, byte: u8) -> u8 {
        match self.below(4) {
            0 => 0,
            1 => 0xff,
            2 => byte ^ 1 << self.below(8),
            _ => self.below(256) as u8,
        }
    }

    /// Shows a test many variants of some bytes: each with a few bytes changed within one of the regions, given as
    /// offset and length, and one in eight cut off somewhere.
    pub fn mutate(&mut self, bytes: &mut [u8], regions: &[(usize, usize)], times: usize, mut test: impl FnMut(&[u8])) {
        for _ in 0..times {
            let (start, length) = regions[self.below(regions.len())];
            let mut undo = Vec::new();
            for _ in 0..=self.below(8) {
                let at = start + self.below(length);
                undo.push((at, bytes[at]));
                bytes[at] = self.instead_of(bytes[at]);
            }
            let cut = if self.below(8) == 0 { self.below(bytes.len()) } else { bytes.len() };
            test(&bytes[..cut]);
            for (at, byte) in undo.into_iter().rev() {
                bytes[at] = byte;
            }
        }
    }
}
