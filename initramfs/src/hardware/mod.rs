//! The record of a machine: one small text file with what a boot needs to know of it, and nothing private.
//!
//! [`capture`] makes it on the machine itself, [`needs`] says what an image for the machine holds, [`crate::plan`] boots on
//! it. A line is a word for what it speaks of and `key=value` words, with quotes as on a kernel command line:
//!
//! ```text
//! modstrap-hardware 1
//! kernel release=6.12.95+deb12-amd64 machine=x86_64
//! processor modalias=cpu:type:x86,ven0000fam000Fmod006B:feature:,0000,0001
//! device path=pci0000:00/0000:00:03.0 modalias=pci:v00001AF4d00001001... driver=virtio-pci builtin=virtio_pci
//! device path=pci0000:00/0000:00:03.0/virtio0 modalias=virtio:d00000002v00001AF4 driver=virtio_blk module=virtio_blk
//! disk name=vda path=pci0000:00/0000:00:03.0/virtio0/block/vda number=254:0 fs=ext4 root
//! ```

pub mod capture;
pub mod needs;
mod private;
mod root;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use modstrap::cmdline::{Word, Words};
use modstrap::root::superblock::FsKind;

/// What the first line of a record begins with; the version of the format follows.
const HEADER: &str = "modstrap-hardware";

/// The version of the format.
const VERSION: u32 = 1;

/// Virtio's drivers for directories of the host, by the file system that they serve.
pub(crate) const SHARE_DRIVERS: [(&str, &str); 2] = [("9p", "9pnet_virtio"), ("virtiofs", "virtiofs")];

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The kernel that ran when it was captured, if that is known.
    pub kernel: Option<Kernel>,
    /// Whether a device tree describes it.
    pub has_device_tree: bool,
    /// The modalias of its processors.
    pub processor: Option<String>,
    /// Its devices, in the order of their paths.
    pub devices: Vec<Device>,
    /// Its disks and their partitions, in the order of their names.
    pub disks: Vec<Disk>,
}

/// A kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its release, as `uname -r` prints it.
    pub release: String,
    /// The machine it is for, as `uname -m` prints it.
    pub machine: String,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its path below /sys/devices.
    pub path: String,
    /// What it is, as the kernel writes it.
    pub modalias: Option<String>,
    /// Who drives it.
    pub driver: Option<Driver>,
}

/// A driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// The module that it is part of, also where that is part of the kernel itself; not every driver says.
    pub module: Option<String>,
    /// Whether that module is part of the kernel itself.
    pub is_builtin: bool,
}

/// A disk or a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Its name.
    pub name: String,
    /// Its path below /sys/devices.
    pub path: String,
    /// Its device number, as `MAJOR:MINOR`.
    pub number: Option<String>,
    /// What is on it, if that was found out.
    pub file_system: Option<FsKind>,
    /// Whether the root is on it.
    pub is_root: bool,
}

impl Record {
    /// Reads a record from a file.
    pub fn read(path: &Path) -> Result<Record> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8(bytes).map_err(|_| anyhow!("it is no text"));
        text.and_then(|text| text.parse()).with_context(|| format!("{}: no hardware record", path.display()))
    }

    /// Whether a text means to be a record.
    pub fn is_begun_by(text: &str) -> bool {
        text.starts_with(HEADER)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let (kind, words) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let mut fields = Fields::read(words)?;
        match kind {
            "kernel" => {
                self.kernel = Some(Kernel { release: fields.need("release")?, machine: fields.need("machine")? });
            }
            "device-tree" => self.has_device_tree = true,
            "processor" => self.processor = Some(fields.need("modalias")?),
            "device" => self.devices.push(Device {
                path: fields.need("path")?,
                modalias: fields.take("modalias")?,
                driver: fields.driver()?,
            }),
            "disk" => self.disks.push(Disk {
                name: fields.need("name")?,
                path: fields.need("path")?,
                number: fields.take("number")?,
                file_system: fields.file_system()?,
                is_root: fields.flag("root"),
            }),
            kind => bail!("{kind:?} is nothing that a record speaks of"),
        }
        fields.end(kind)
    }
}

impl FromStr for Record {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Record> {
        let mut lines = text.lines().zip(1..);
        let header = lines.next().and_then(|(line, _)| line.strip_prefix(HEADER)).map(str::trim);
        let version = header.with_context(|| format!("line 1 is not `{HEADER} {VERSION}`"))?;
        ensure!(
            version.parse() == Ok(VERSION),
            "line 1: it is of format {version:?}, where this program knows {VERSION}"
        );
        let mut record = Record::default();
        for (line, number) in lines {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                record.take(line).with_context(|| format!("line {number}"))?;
            }
        }
        record.devices.sort_by(|a, b| a.path.cmp(&b.path));
        record.disks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(record)
    }
}

/// The `key=value` words of a line.
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    fn read(words: &str) -> Result<Fields> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let words = Words::new(words.as_bytes()).map(|Word { key, value, .. }| (text(key), value.map(text)));
        let fields: Vec<_> = words.collect();
        for (at, (key, _)) in fields.iter().enumerate() {
            ensure!(!fields[..at].iter().any(|(other, _)| other == key), "`{key}` occurs twice");
        }
        Ok(Fields(fields))
    }

    /// The value of a field, if the line has it.
    fn take(&mut self, key: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|(other, _)| other == key) else { return Ok(None) };
        let value = self.0.remove(at).1.filter(|value| !value.is_empty());
        value.map(Some).with_context(|| format!("`{key}=` has no value"))
    }

    fn need(&mut self, key: &str) -> Result<String> {
        self.take(key)?.with_context(|| format!("there is no `{key}=`"))
    }

    /// Whether the line has this word, which takes no value.
    fn flag(&mut self, key: &str) -> bool {
        let count = self.0.len();
        self.0.retain(|(other, value)| other != key || value.is_some());
        self.0.len() < count
    }

    fn driver(&mut self) -> Result<Option<Driver>> {
        let (name, module, builtin) = (self.take("driver")?, self.take("module")?, self.take("builtin")?);
        let Some(name) = name else {
            ensure!(module.is_none() && builtin.is_none(), "a module without a `driver=`");
            return Ok(None);
        };
        ensure!(module.is_none() || builtin.is_none(), "`module=` and `builtin=` exclude each other");
        let is_builtin = builtin.is_some();
        Ok(Some(Driver { name, module: module.or(builtin), is_builtin }))
    }

    fn file_system(&mut self) -> Result<Option<FsKind>> {
        let Some(name) = self.take("fs")? else { return Ok(None) };
        FsKind::from_name(&name).map(Some).with_context(|| format!("`fs={name}` is no file system that is known here"))
    }

    /// Fails if a word is left.
    fn end(self, kind: &str) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((key, None)) => bail!("`{key}` says nothing of a {kind}"),
            Some((key, Some(_))) => bail!("`{key}=` says nothing of a {kind}"),
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER} {VERSION}")?;
        if let Some(Kernel { release, machine }) = &self.kernel {
            writeln!(f, "kernel {} {}", Field("release", release), Field("machine", machine))?;
        }
        if self.has_device_tree {
            writeln!(f, "device-tree")?;
        }
        if let Some(modalias) = &self.processor {
            writeln!(f, "processor {}", Field("modalias", modalias))?;
        }
        for Device { path, modalias, driver } in &self.devices {
            write!(f, "device {}", Field("path", path))?;
            if let Some(modalias) = modalias {
                write!(f, " {}", Field("modalias", modalias))?;
            }
            if let Some(Driver { name, module, is_builtin }) = driver {
                write!(f, " {}", Field("driver", name))?;
                if let Some(module) = module {
                    write!(f, " {}", Field(if *is_builtin { "builtin" } else { "module" }, module))?;
                }
            }
            writeln!(f)?;
        }
        for Disk { name, path, number, file_system, is_root } in &self.disks {
            write!(f, "disk {} {}", Field("name", name), Field("path", path))?;
            if let Some(number) = number {
                write!(f, " {}", Field("number", number))?;
            }
            if let Some(kind) = file_system {
                write!(f, " {}", Field("fs", kind.name()))?;
            }
            writeln!(f, "{}", if *is_root { " root" } else { "" })?;
        }
        Ok(())
    }
}

/// A field as it is written.
struct Field<'a>(&'a str, &'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Field(key, value) = self;
        if value.contains(char::is_whitespace) { write!(f, "{key}=\"{value}\"") } else { write!(f, "{key}={value}") }
    }
}

/// Whether a text can stand in a record: a quote or a control character cannot.
fn is_writable(text: &str) -> bool {
    !text.is_empty() && !text.contains(|character: char| character == '"' || character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "\
modstrap-hardware 1
kernel release=6.12.95 machine=x86_64
device-tree
processor modalias=cpu:type:x86,ven0000fam000Fmod006B:feature:,0000
device path=pci0000:00/0000:00:03.0 modalias=pci:v00001AF4d00001001sv0 driver=virtio-pci builtin=virtio_pci
device path=pci0000:00/0000:00:03.0/virtio0 modalias=virtio:d00000002v00001AF4 driver=virtio_blk module=virtio_blk
device path=\"platform/Fixed MDIO bus.0\" modalias=\"platform:Fixed MDIO bus\" driver=fixed
disk name=vda path=pci0000:00/0000:00:03.0/virtio0/block/vda number=254:0 fs=ext4 root
disk name=vdb path=pci0000:00/0000:00:04.0/virtio1/block/vdb
";

    #[test]
    fn reads_what_it_writes() {
        let record: Record = RECORD.parse().unwrap();
        assert_eq!(record.to_string(), RECORD);
        assert_eq!(record.devices[2].modalias.as_deref(), Some("platform:Fixed MDIO bus"));
        let driver = Driver { name: "fixed".into(), module: None, is_builtin: false };
        assert_eq!(record.devices[2].driver, Some(driver));
        assert!(record.disks[0].is_root && record.disks[0].file_system == Some(FsKind::Ext4));
    }

    #[test]
    fn comments_and_empty_lines_are_passed_over() {
        let record: Record = "modstrap-hardware 1\r\n# mine\n\n  device path=a\n".parse().unwrap();
        assert_eq!(record.devices, [Device { path: "a".into(), ..Device::default() }]);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| format!("{:#}", text.parse::<Record>().unwrap_err());
        assert_eq!(error(""), "line 1 is not `modstrap-hardware 1`");
        assert_eq!(error("ahci\n"), "line 1 is not `modstrap-hardware 1`");
        assert_eq!(error("modstrap-hardware 7\n"), "line 1: it is of format \"7\", where this program knows 1");
        let line = |text: &str| error(&format!("modstrap-hardware 1\n#\n{text}\n"));
        assert_eq!(line("disc name=a"), "line 3: \"disc\" is nothing that a record speaks of");
        assert_eq!(line("disk name=a"), "line 3: there is no `path=`");
        assert_eq!(line("disk name=a path="), "line 3: `path=` has no value");
        assert_eq!(line("disk name=a path=b color=red"), "line 3: `color=` says nothing of a disk");
        assert_eq!(line("device path=b root"), "line 3: `root` says nothing of a device");
        assert_eq!(line("disk name=a path=b fs=zfs"), "line 3: `fs=zfs` is no file system that is known here");
        assert_eq!(line("device path=a path=b"), "line 3: `path` occurs twice");
        assert_eq!(line("device path=a module=b"), "line 3: a module without a `driver=`");
        assert_eq!(
            line("device path=a driver=d module=b builtin=c"),
            "line 3: `module=` and `builtin=` exclude each other"
        );
    }
}
