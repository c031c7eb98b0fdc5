//! Where QEMU enters the kernel. A bzImage unpacks itself in the guest, which takes two of the six or seven seconds that an
//! emulated boot lasts. What is in it, vmlinux, has an entry for hypervisors by which QEMU starts it at once: PVH
//! (docs/misc/pvh.pandoc of Xen; the note XEN_ELFNOTE_PHYS32_ENTRY of include/xen/interface/elfnote.h; `CONFIG_PVH`).

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use modstrap_initramfs::kernel::image;
use object::LittleEndian;
use object::elf::{FileHeader64, NoteType};
use object::read::elf::{FileHeader, ProgramHeader};

/// The note with the physical address to enter the kernel at, in 32-bit mode.
const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

/// The file to give to QEMU for a kernel image: vmlinux, unpacked into the directory `scratch`, where that can be entered;
/// else the image itself.
pub(crate) fn enterable(kernel: &Path, scratch: &Path) -> Result<PathBuf> {
    let packed = fs::read(kernel).with_context(|| format!("cannot read the kernel {}", kernel.display()))?;
    let vmlinux = image::unwrapped(&packed);
    match (has_entry(&vmlinux), vmlinux) {
        (true, Cow::Owned(vmlinux)) => {
            let file = scratch.join("vmlinux");
            fs::write(&file, vmlinux).context("cannot unpack the kernel into a temporary file")?;
            Ok(file)
        }
        (false, Cow::Borrowed(vmlinux)) if vmlinux.starts_with(b"\x7fELF") => bail!(
            "{} has no entry for QEMU: give its bzImage (arch/x86/boot/bzImage), or build it with CONFIG_PVH=y",
            kernel.display()
        ),
        _ => Ok(kernel.into()),
    }
}

/// Whether a kernel has an entry for hypervisors, which its notes tell.
fn has_entry(vmlinux: &[u8]) -> bool {
    let Ok(header) = FileHeader64::<LittleEndian>::parse(vmlinux) else { return false };
    let segments = header.program_headers(LittleEndian, vmlinux).unwrap_or_default();
    let notes = segments.iter().filter_map(|segment| segment.notes(LittleEndian, vmlinux).ok().flatten());
    notes
        .flatten()
        .filter_map(Result::ok)
        .any(|note| note.name() == b"Xen" && note.n_type(LittleEndian) == XEN_ELFNOTE_PHYS32_ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// An ELF file of one segment, which is one note of this type.
    fn vmlinux(kind: u32) -> Vec<u8> {
        let note = [&[4_u32, 4, kind].map(u32::to_le_bytes).concat()[..], b"Xen\0", &[0, 0, 0, 1]].concat();
        let half = u16::to_le_bytes;
        let word = u32::to_le_bytes;
        let long = u64::to_le_bytes;
        let header = [
            &b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..],
            &[half(2), half(62)].concat(),
            &word(1),
            &[long(0x100_0000), long(64), long(0)].concat(),
            &word(0),
            &[half(64), half(56), half(1), half(64), half(0), half(0)].concat(),
        ];
        let length = note.len() as u64;
        let segment = [
            &[word(4), word(4)].concat()[..],
            &[long(120), long(0), long(0), long(length), long(length), long(4)].concat(),
        ];
        [header.concat(), segment.concat(), note].concat()
    }

    #[test]
    fn a_kernel_with_an_entry_is_given_unpacked() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let [kernel, packed] = ["kernel", "kernel.gz"].map(|name| directory.path().join(name));
        let pack = |bytes: &[u8]| {
            fs::write(&kernel, bytes).unwrap();
            assert!(Command::new("gzip").arg("-kf").arg(&kernel).status().unwrap().success());
        };

        pack(&vmlinux(18));
        assert_eq!(enterable(&kernel, scratch.path()).unwrap(), kernel);
        let given = enterable(&packed, scratch.path()).unwrap();
        assert_eq!(given, scratch.path().join("vmlinux"));
        assert_eq!(fs::read(given).unwrap(), vmlinux(18));

        pack(&vmlinux(17));
        let error = enterable(&kernel, scratch.path()).unwrap_err().to_string();
        assert!(error.contains("CONFIG_PVH"), "{error}");
        assert_eq!(enterable(&packed, scratch.path()).unwrap(), packed);

        pack(b"no kernel at all");
        assert_eq!(enterable(&packed, scratch.path()).unwrap(), packed);
    }
}
