//! Hand-made kernels and modules that link: symbol tables as modpost and the kernel's linker script make them.

use std::path::Path;
use std::process::Command;

use super::{RELEASE, compile_with};

/// The options of every hand-made version magic.
pub const OPTIONS: &str = "SMP preempt mod_unload modversions";

/// An exported symbol: name, checksum, for the GPL only, namespace.
pub type Export = (&'static str, u32, bool, &'static str);

/// What the hand-made kernel exports.
pub const KERNEL: [Export; 5] = [
    ("_printk", 0x1111, false, ""),
    ("kmalloc", 0x2222, false, ""),
    ("module_layout", 0x3333, false, ""),
    ("gpl_call", 0x4444, true, ""),
    ("spaced", 0x5555, true, "SPACE"),
];

/// How the records of a symbol table are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointers {
    Relative,
    Absolute,
}

/// A module in the making.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub name: &'static str,
    pub release: Option<&'static str>,
    pub info: Vec<&'static str>,
    /// Symbols that it takes, with the versions it was built with.
    pub imports: Vec<(&'static str, u32)>,
    /// Symbols that may be missing.
    pub weak: Vec<&'static str>,
    pub exports: Vec<Export>,
    /// Without any versions.
    pub unversioned: bool,
    /// With its versions in the sections for long names, as since 6.14.
    pub extended: bool,
}

impl Plan {
    /// A free module that takes these symbols.
    pub fn new(name: &'static str, imports: &[(&'static str, u32)]) -> Plan {
        Plan { name, info: vec!["license=GPL"], imports: imports.to_vec(), ..Plan::default() }
    }

    pub fn exporting(self, exports: &[Export]) -> Plan {
        Plan { exports: exports.to_vec(), ..self }
    }

    /// With these lines of modinfo and no others.
    pub fn saying(self, info: &[&'static str]) -> Plan {
        Plan { info: info.to_vec(), ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let imports = self.imports.iter().map(|(name, _)| format!(".quad {name}\n"));
        let weak = self.weak.iter().map(|name| format!(".weak {name}\n.quad {name}\n"));
        let mut assembly: String = [".section .data\n".to_string()].into_iter().chain(imports).chain(weak).collect();
        let versions = [("module_layout", 0x3333)].into_iter().chain(self.imports.iter().copied());
        if self.extended {
            let (names, crcs): (Vec<&str>, Vec<u32>) = versions.unzip();
            assembly += ".section __version_ext_crcs, \"a\"\n";
            assembly.extend(crcs.iter().map(|crc| format!(".long {crc:#x}\n")));
            assembly += ".section __version_ext_names, \"a\"\n";
            assembly.extend(names.iter().map(|name| format!(".asciz \"{name}\"\n")));
        } else if !self.unversioned {
            assembly += ".section __versions, \"a\"\n";
            assembly
                .extend(versions.map(|(name, crc)| format!(".quad {crc:#x}\n0: .asciz \"{name}\"\n.org 0b + 56\n")));
        }
        assembly += &tables(&self.exports, Pointers::Relative, !self.unversioned);
        let code = format!("__asm__({assembly:?});");
        compile_with(self.name, self.release.unwrap_or(RELEASE), &self.info, &code, &[])
    }
}

/// The tables of exported symbols, in assembly.
fn tables(exports: &[Export], pointers: Pointers, with_crcs: bool) -> String {
    let mut exports = exports.to_vec();
    exports.sort();
    let mut text = String::new();
    let reference = |label: &str| match pointers {
        Pointers::Relative => format!(".long {label} - .\n"),
        Pointers::Absolute => format!(".quad {label}\n"),
    };
    for (suffix, gpl) in [("", false), ("_gpl", true)] {
        for (name, crc, _, namespace) in exports.iter().filter(|export| export.2 == gpl) {
            text += &format!(
                ".section .text\n.globl {name}\n{name}: nop\n\
                 .section __ksymtab_strings, \"aMS\", %progbits, 1\n\
                 .Lname_{name}: .asciz \"{name}\"\n.Lspace_{name}: .asciz \"{namespace}\"\n\
                 .section __ksymtab{suffix}, \"a\"\n{}{}{}",
                reference(name),
                reference(&format!(".Lname_{name}")),
                reference(&format!(".Lspace_{name}")),
            );
            if with_crcs {
                text += &format!(".section __kcrctab{suffix}, \"a\"\n.long {crc:#x}\n");
            }
        }
    }
    text
}

/// A kernel that exports these symbols: an ELF file, its tables in the order of the kernel's linker script.
pub fn vmlinux(directory: &Path, exports: &[Export], pointers: Pointers) -> Vec<u8> {
    let (source, script, elf) = (directory.join("kernel.S"), directory.join("kernel.ld"), directory.join("vmlinux"));
    let banner = format!(
        ".section .rodata\n.asciz \"Linux version {RELEASE} (gcc) #1 SMP\"\n.asciz \"{RELEASE} {OPTIONS} \"\n.balign 8\n"
    );
    std::fs::write(&source, banner + &tables(exports, pointers, true)).unwrap();
    let order = ["__ksymtab", "__ksymtab_gpl", "__kcrctab", "__kcrctab_gpl", "__ksymtab_strings"];
    let order = order.map(|name| format!("{name} : {{ *({name}) }}\n")).concat();
    let sections = format!(
        "SECTIONS {{ . = 0xffff800081000000;\n.text : {{ *(.text) }}\n.rodata : ALIGN(4096) {{ *(.rodata) }}\n{order}\
         /DISCARD/ : {{ *(.note*) *(.comment) }} }}"
    );
    std::fs::write(&script, sections).unwrap();
    run(Command::new("gcc")
        .args(["-nostdlib", "-static", "-no-pie", "-Wl,-e,0,-z,max-page-size=4096", "-o"])
        .arg(&elf)
        .arg(&source)
        .arg("-T")
        .arg(&script));
    std::fs::read(elf).unwrap()
}

/// The same kernel as it lies in memory, with nothing that tells of sections.
pub fn raw_image(directory: &Path, exports: &[Export], pointers: Pointers) -> Vec<u8> {
    vmlinux(directory, exports, pointers);
    let (elf, raw) = (directory.join("vmlinux"), directory.join("Image"));
    run(Command::new("objcopy").args(["-O", "binary"]).arg(elf).arg(&raw));
    std::fs::read(raw).unwrap()
}

/// A bzImage around a packed kernel.
pub fn bzimage(payload: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x440];
    image[0x1f1] = 1;
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
    image[0x248..0x24c].copy_from_slice(&64_u32.to_le_bytes());
    image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image[0x300..0x300 + RELEASE.len()].copy_from_slice(RELEASE.as_bytes());
    image[0x300 + RELEASE.len()] = b' ';
    image.extend(payload);
    image
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install gcc and binutils"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
