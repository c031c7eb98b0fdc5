//! What differs between the machines that QEMU emulates, chosen by the kernel image to boot.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tool::Tool;

/// One architecture's QEMU.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    pub qemu: Tool,
    /// The machine unless another is asked for.
    pub machine: &'static str,
    /// The kernel command-line word for the serial console.
    pub console: &'static str,
    /// What is at which places of its kernel images: of each form that the harness can boot.
    forms: &'static [&'static [(usize, &'static [u8])]],
}

/// 64-bit PCs: a bzImage by its setup header (Documentation/arch/x86/boot.rst), and vmlinux, an ELF file for `EM_X86_64`.
pub(crate) const X86_64: Platform = Platform {
    qemu: Tool::new("qemu-system-x86_64", "qemu-system-x86"),
    machine: "q35",
    console: "console=ttyS0",
    forms: &[&[(0x202, b"HdrS")], &[(0, b"\x7fELF"), (18, b"\x3e\0")]],
};

/// How much of a kernel image must be read to see its form.
const HEAD: u64 = 0x210;

impl Platform {
    /// The platform of a kernel image.
    pub fn of(kernel: &Path) -> Result<&'static Self> {
        let mut head = Vec::new();
        File::open(kernel)
            .and_then(|file| file.take(HEAD).read_to_end(&mut head))
            .with_context(|| format!("cannot read the kernel {}", kernel.display()))?;
        let is_there =
            |&(offset, bytes): &(usize, &[u8])| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
        if X86_64.forms.iter().any(|form| form.iter().all(is_there)) {
            return Ok(&X86_64);
        }
        bail!(
            "{} is no kernel image that the harness can boot: it boots bzImage and vmlinux of x86_64",
            kernel.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_its_header() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("vmlinuz");
        let mut bytes = vec![0; 0x300];
        bytes[0x202..0x206].copy_from_slice(b"HdrS");
        std::fs::write(&image, &bytes).unwrap();
        assert_eq!(Platform::of(&image).unwrap(), &X86_64);
        std::fs::write(&image, &bytes[..0x204]).unwrap();
        assert!(Platform::of(&image).unwrap_err().to_string().contains("no kernel image"));
        std::fs::write(&image, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0").unwrap();
        assert_eq!(Platform::of(&image).unwrap(), &X86_64);
        std::fs::write(&image, b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0").unwrap();
        assert!(Platform::of(&image).is_err());
    }
}
