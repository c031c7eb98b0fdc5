//! Damaged bytes: whatever is cut off or changed, the answer is an error or a finding, never a panic.

use std::path::Path;

use modstrap_initramfs::kernel::Kernel;
use modstrap_initramfs::module::Module;

use crate::common::link::{KERNEL, Plan, Pointers, bzimage, raw_image, vmlinux};

/// A generator of numbers that look random (xorshift), the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed | 1)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

/// Calls `try_one` with `bytes` changed in `count` ways: some bytes at one place, or all behind it gone.
pub fn mutate(bytes: &[u8], count: usize, mut try_one: impl FnMut(&[u8])) {
    let mut dice = Dice::new(bytes.len() as u64);
    for _ in 0..count {
        let mut damaged = bytes.to_vec();
        let at = dice.roll(bytes.len());
        match dice.roll(3) {
            0 => damaged.truncate(at),
            1 => damaged[at] = dice.roll(256) as u8,
            _ => {
                let end = bytes.len().min(at + 8);
                damaged[at..end].fill([0, 0xff, 0x7f, 0x80][dice.roll(4)]);
            }
        }
        try_one(&damaged);
    }
}

fn kernel(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinuz");
    std::fs::write(&path, bytes).unwrap();
    let _ = Kernel::read(&path);
}

#[test]
fn damaged_modules() {
    let plan = Plan::new("a", &[("_printk", 1), ("kmalloc", 2)]);
    let bytes = plan.exporting(&[("one", 1, false, "SPACE"), ("two", 2, true, "")]).bytes();
    let module = Module::parse(Path::new("a.ko"), &bytes).unwrap();
    assert_eq!((module.linkage.imports.len(), module.linkage.exports.len()), (2, 2));
    for length in 0..bytes.len() {
        let _ = Module::parse(Path::new("a.ko"), &bytes[..length]);
    }
    mutate(&bytes, 20_000, |damaged| drop(Module::parse(Path::new("a.ko"), damaged)));
}

#[test]
fn damaged_kernels() {
    let directory = tempfile::tempdir().unwrap();
    for pointers in [Pointers::Relative, Pointers::Absolute] {
        let elf = vmlinux(directory.path(), &KERNEL, pointers);
        mutate(&elf, 1000, kernel);
        mutate(&bzimage(&elf), 500, kernel);
        mutate(&raw_image(directory.path(), &KERNEL, pointers), 500, kernel);
    }
}
