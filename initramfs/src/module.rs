//! One kernel module, read from its own bytes: its name, what it needs, what it answers to, which machine it is for.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use modstrap::table::{fold, glob};
use object::elf;
use object::{Object, ObjectKind, ObjectSection};
use serde::{Deserialize, Serialize};

use crate::asks::{self, Ask};
use crate::cache::Identity;
use crate::compression::Format;
use crate::proof::linkage::Linkage;

/// What a module file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// The name the kernel knows it by, from `.gnu.linkonce.this_module`; '-' is '_'.
    pub name: String,
    /// The file, below the tree's directory.
    pub path: PathBuf,
    /// Its place in the kernel's sources, `drivers/ata/ahci`, with '_' for '-'; none for a module whose path tells of no
    /// such place, as those of DKMS and the like.
    pub place: Option<String>,
    /// How long it is in bytes, its signature included, when it is not compressed.
    pub size: u64,
    /// The checksum of these bytes (`modstrap::table::fold`).
    pub checksum: u64,
    /// The machine it is for.
    pub machine: Machine,
    /// What it cannot be loaded without.
    pub depends: Vec<String>,
    /// To be loaded before it if it can be, from every `softdep` line.
    pub soft_before: Vec<String>,
    /// To be loaded after it if it can be.
    pub soft_after: Vec<String>,
    /// What it may ask the kernel for while it runs (`weakdep`, and `softdep` words that say neither pre nor post):
    /// to be at hand, not to be loaded.
    pub weak: Vec<String>,
    /// What it answers to.
    pub aliases: Vec<String>,
    /// The firmware files it may ask for.
    pub firmware: Vec<String>,
    /// What its code asks the kernel to load while it runs.
    pub asks: Vec<Ask>,
    /// The kernel it was built for: the release, then the options that must agree.
    pub vermagic: String,
    /// What it takes and gives when it is linked.
    pub linkage: Linkage,
}

/// What a `softdep` line names, in .modinfo and in modprobe.d alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftDependencies {
    /// `pre:`, to be loaded before.
    pub before: Vec<String>,
    /// `post:`, to be loaded after.
    pub after: Vec<String>,
    /// What stands before either word, and what `weakdep` names: kmod loads it neither before nor after.
    pub neither: Vec<String>,
}

impl SoftDependencies {
    /// Reads what follows `softdep`, in modprobe.d also the module's name.
    pub fn parse(text: &str) -> SoftDependencies {
        let mut dependencies = SoftDependencies::default();
        let mut list = &mut dependencies.neither;
        for word in text.split_whitespace() {
            match word {
                "pre:" => list = &mut dependencies.before,
                "post:" => list = &mut dependencies.after,
                name => list.push(normal(name)),
            }
        }
        dependencies
    }

    /// These and `other` ones.
    pub(crate) fn and(mut self, other: &SoftDependencies) -> SoftDependencies {
        self.before.extend_from_slice(&other.before);
        self.after.extend_from_slice(&other.after);
        self.neither.extend_from_slice(&other.neither);
        self
    }
}

impl Module {
    /// Reads the module in `bytes` (no longer compressed), the content of `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Module> {
        let machine = Machine::of(bytes).context("it is no ELF file")?;
        let file = object::File::parse(bytes).context("its ELF headers are damaged")?;
        ensure!(file.kind() == ObjectKind::Relocatable, "it is an ELF file, but no relocatable one as modules are");
        for section in file.sections() {
            let name = section.name().context("its section names are damaged")?;
            section.data().with_context(|| format!("its section {name} lies outside the file"))?;
        }
        let name = name(&file, machine)?;
        let mut module = Module {
            place: place(path, &name),
            name,
            path: path.to_path_buf(),
            size: bytes.len() as u64,
            checksum: fold(bytes),
            machine,
            depends: Vec::new(),
            soft_before: Vec::new(),
            soft_after: Vec::new(),
            weak: Vec::new(),
            aliases: Vec::new(),
            firmware: Vec::new(),
            asks: asks::read(&file),
            vermagic: String::new(),
            linkage: Linkage::parse(&file, bytes)?,
        };
        let info = section(&file, ".modinfo")?;
        for line in info.split(|&byte| byte == 0).filter(|line| !line.is_empty()) {
            module.read_info(&String::from_utf8_lossy(line));
        }
        Ok(module)
    }

    /// Takes one `key=value` of `.modinfo`; keys of no interest are passed over.
    fn read_info(&mut self, line: &str) {
        let Some((key, value)) = line.split_once('=') else { return };
        match key {
            "depends" => self.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(normal)),
            "softdep" => self.add_soft(&SoftDependencies::parse(value)),
            "weakdep" => self.weak.extend(value.split_whitespace().map(normal)),
            "alias" => self.aliases.push(value.to_string()),
            "firmware" => self.firmware.push(value.to_string()),
            "vermagic" => self.vermagic = value.trim_end().to_string(),
            "import_ns" => self.linkage.namespaces.push(value.into()),
            "license" => self.linkage.license = self.linkage.license.take().or_else(|| Some(value.into())),
            _ => {}
        }
    }

    /// Adds soft dependencies to those that it has.
    pub(crate) fn add_soft(&mut self, dependencies: &SoftDependencies) {
        self.soft_before.extend_from_slice(&dependencies.before);
        self.soft_after.extend_from_slice(&dependencies.after);
        self.weak.extend_from_slice(&dependencies.neither);
    }

    /// A module called as its file is, that states nothing but this.
    #[cfg(test)]
    pub(crate) fn sample(path: &Path, depends: &[&str], aliases: &[&str]) -> Module {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let name = normal(file.split('.').next().unwrap());
        let texts = |texts: &[&str]| texts.iter().map(|text| text.to_string()).collect();
        Module {
            place: place(path, &name),
            name,
            path: path.to_path_buf(),
            size: 0,
            checksum: 0,
            machine: Machine { class: 2, data: 1, machine: elf::EM_X86_64 },
            depends: texts(depends),
            soft_before: Vec::new(),
            soft_after: Vec::new(),
            weak: Vec::new(),
            aliases: texts(aliases),
            firmware: Vec::new(),
            asks: Vec::new(),
            vermagic: String::new(),
            linkage: Linkage::default(),
        }
    }

    /// What stands for its bytes.
    pub fn identity(&self) -> Identity {
        Identity { checksum: self.checksum, length: self.size }
    }

    /// The release of the kernel that it was built for.
    pub fn release(&self) -> &str {
        self.vermagic.split(' ').next().unwrap_or_default()
    }
}

/// The directories at the top of the kernel's sources, as far as modules lie in them.
const TOPS: [&str; 13] =
    ["arch", "block", "certs", "crypto", "drivers", "fs", "kernel", "lib", "mm", "net", "security", "sound", "virt"];

/// See [`Module::place`].
pub(crate) fn place(path: &Path, name: &str) -> Option<String> {
    let directory = path.parent()?.components().map(|part| normal(&part.as_os_str().to_string_lossy()));
    let mut parts: Vec<String> = directory.collect();
    // `kernel` is both the directory of all modules and one of the sources'.
    if parts.first().is_some_and(|first| first == "kernel") {
        parts.remove(0);
    }
    let top = parts.iter().position(|part| TOPS.contains(&part.as_str()))?;
    parts.push(name.to_string());
    Some(parts[top..].join("/"))
}

/// A name with '-' and '_' made one, as the kernel and kmod do it.
pub fn normal(name: &str) -> String {
    let mut name = name.as_bytes().to_vec();
    glob::normalise(&mut name);
    String::from_utf8_lossy(&name).into_owned()
}

/// The content of a module file, unpacked if it is compressed. An error does not name the file.
pub fn read_file(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).context("it cannot be read")?;
    match Format::of(&bytes) {
        None => Ok(bytes),
        Some(format) => format
            .decompress(&bytes)
            .with_context(|| format!("its {} compression is damaged or cut off", format.name())),
    }
}

/// The kind of machine that an ELF file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `e_ident[EI_CLASS]`: 1 for 32 bits, 2 for 64.
    class: u8,
    /// `e_ident[EI_DATA]`: 1 for little-endian, 2 for big-endian.
    data: u8,
    /// `e_machine`.
    #[serde(with = "number")]
    machine: elf::Machine,
}

/// A machine's number, written down.
mod number {
    use object::elf::Machine;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(machine: &Machine, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(machine.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Machine, D::Error> {
        u16::deserialize(deserializer).map(Machine)
    }
}

impl Machine {
    /// The machine of an ELF file; none if `bytes` is no ELF file.
    pub fn of(bytes: &[u8]) -> Option<Machine> {
        let header = bytes.first_chunk::<20>().filter(|header| header.starts_with(b"\x7fELF"))?;
        let machine = [header[18], header[19]];
        let machine = if header[5] == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
        Some(Machine { class: header[4], data: header[5], machine: elf::Machine(machine) })
    }

    /// Whether it is what `uname -m` calls so.
    pub fn is_called(self, name: &str) -> bool {
        let names: &[&str] = match self.machine {
            elf::EM_386 => &["i386", "i486", "i586", "i686", "x86_64"],
            elf::EM_X86_64 => &["x86_64"],
            elf::EM_ARM => &["arm"],
            elf::EM_AARCH64 => &["aarch64", "arm64"],
            elf::EM_RISCV => &["riscv"],
            elf::EM_MIPS => &["mips"],
            elf::EM_PPC | elf::EM_PPC64 => &["ppc"],
            elf::EM_S390 => &["s390"],
            elf::EM_LOONGARCH => &["loongarch"],
            _ => &[""],
        };
        names.iter().any(|known| name.starts_with(known))
    }

    /// Whether machines of this kind are described by a device tree rather than by ACPI or a channel subsystem.
    pub fn has_device_tree(self) -> bool {
        !matches!(self.machine, elf::EM_386 | elf::EM_X86_64 | elf::EM_S390)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.machine {
            elf::EM_386 => "x86",
            elf::EM_X86_64 => "x86_64",
            elf::EM_ARM => "ARM",
            elf::EM_AARCH64 => "AArch64",
            elf::EM_RISCV => "RISC-V",
            elf::EM_MIPS => "MIPS",
            elf::EM_PPC => "PowerPC",
            elf::EM_PPC64 => "PowerPC64",
            elf::EM_S390 => "S/390",
            elf::EM_LOONGARCH => "LoongArch",
            other => return write!(f, "ELF machine {}", other.0),
        };
        let bits = if self.class == 1 { 32 } else { 64 };
        let order = if self.data == 2 { "big" } else { "little" };
        write!(f, "{name}, {bits} bits, {order}-endian")
    }
}

fn section<'a>(file: &object::File<'a>, name: &str) -> Result<&'a [u8]> {
    let section =
        file.section_by_name(name).with_context(|| format!("it has no section {name}, so it is no module"))?;
    Ok(section.data()?)
}

/// `struct module` begins with its state, the two pointers of a list, and then the name (`include/linux/module.h`).
fn name(file: &object::File, machine: Machine) -> Result<String> {
    let structure = section(file, ".gnu.linkonce.this_module")?;
    let at = if machine.class == 1 { 12 } else { 24 };
    let text = structure.get(at..).ok_or_else(|| anyhow!("its section .gnu.linkonce.this_module is too short"))?;
    let name = text.split(|&byte| byte == 0).next().unwrap_or_default();
    match std::str::from_utf8(name) {
        Ok(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/') => {
            Ok(normal(name))
        }
        _ => bail!("its section .gnu.linkonce.this_module holds no module name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::{Object, SectionId};
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    fn object(architecture: Architecture, endianness: Endianness, name_at: usize) -> Vec<u8> {
        let mut object = Object::new(BinaryFormat::Elf, architecture, endianness);
        let mut section = |name: &[u8], content: &[u8]| -> SectionId {
            let id = object.add_section(Vec::new(), name.to_vec(), SectionKind::Data);
            object.append_section_data(id, content, 8);
            id
        };
        let info = b"alias=pci:v*\0\0depends=a-b,c\0softdep=x pre: p post: q-r\0softdep=pre: p2\0weakdep=w\0\
            firmware=f.bin\0parm=debug:a = b\0vermagic=6.1.0 SMP \0";
        section(b".modinfo", info);
        let structure = [&vec![0; name_at][..], b"my-name\0", &[0; 200]].concat();
        section(b".gnu.linkonce.this_module", &structure);
        object.write().unwrap()
    }

    #[test]
    fn reads_modules_of_every_width_and_byte_order() {
        let cases = [
            (Architecture::X86_64, Endianness::Little, 24, "x86_64, 64 bits, little-endian"),
            (Architecture::Aarch64, Endianness::Little, 24, "AArch64, 64 bits, little-endian"),
            (Architecture::Arm, Endianness::Little, 12, "ARM, 32 bits, little-endian"),
            (Architecture::Mips, Endianness::Big, 12, "MIPS, 32 bits, big-endian"),
            (Architecture::S390x, Endianness::Big, 24, "S/390, 64 bits, big-endian"),
        ];
        for (architecture, endianness, name_at, machine) in cases {
            let module = Module::parse(Path::new("x.ko"), &object(architecture, endianness, name_at)).unwrap();
            assert_eq!((module.name.as_str(), module.machine.to_string().as_str()), ("my_name", machine));
        }
    }

    #[test]
    fn reads_every_line_of_modinfo() {
        let bytes = object(Architecture::X86_64, Endianness::Little, 24);
        let module = Module::parse(Path::new("x.ko"), &bytes).unwrap();
        assert_eq!(module.depends, ["a_b", "c"]);
        assert_eq!(module.aliases, ["pci:v*"]);
        assert_eq!((module.soft_before, module.soft_after), (vec!["p".into(), "p2".into()], vec!["q_r".to_string()]));
        assert_eq!(module.weak, ["x", "w"]);
        assert_eq!(module.firmware, ["f.bin"]);
        assert_eq!((module.vermagic.as_str(), module.machine.has_device_tree()), ("6.1.0 SMP", false));
    }

    #[test]
    fn knows_its_place_in_the_sources() {
        let place = |path: &str| place(Path::new(path), "foo_bar");
        assert_eq!(place("kernel/drivers/scsi/foo-bar.ko.xz").as_deref(), Some("drivers/scsi/foo_bar"));
        assert_eq!(place("updates/drivers/md/dm-vdo/foo-bar.ko").as_deref(), Some("drivers/md/dm_vdo/foo_bar"));
        assert_eq!(place("kernel/kernel/foo-bar.ko").as_deref(), Some("kernel/foo_bar"));
        assert_eq!(place("updates/dkms/foo-bar.ko"), None);
        assert_eq!(place("foo-bar.ko"), None);
    }

    #[test]
    fn every_truncation_is_an_error_not_a_panic() {
        let bytes = object(Architecture::X86_64, Endianness::Little, 24);
        for length in 0..bytes.len() {
            assert!(Module::parse(Path::new("x.ko"), &bytes[..length]).is_err(), "cut to {length}");
        }
    }
}
