//! Disks in the guest: on which bus they sit, and what QEMU must be told for it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Map, Value};

/// The ways a disk can be connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Bus {
    /// virtio block device: `/dev/vda`.
    #[default]
    VirtioBlk,
    /// SCSI disk behind a virtio adapter.
    VirtioScsi,
    /// NVMe controller with one namespace: `/dev/nvme0n1`.
    Nvme,
    /// SATA disk behind an AHCI controller.
    Ahci,
    /// IDE disk behind a PIIX4 controller.
    Ide,
    /// USB mass storage behind xHCI.
    Usb,
    /// USB mass storage behind EHCI.
    UsbEhci,
    /// USB attached SCSI behind xHCI.
    Uas,
    /// SD card behind an SDHCI controller: `/dev/mmcblk0`.
    Sdhci,
    /// SCSI disk behind an LSI MegaRAID adapter.
    Megasas,
    /// SCSI disk behind a VMware paravirtual adapter.
    Pvscsi,
    /// SCSI disk behind an LSI 53C895A adapter.
    Lsi,
}

/// How QEMU makes a disk of one bus; `{n}` stands for the drive's number.
struct Wiring {
    /// Devices that must be there first, as arguments of `-device`.
    controllers: &'static [&'static str],
    /// The disk itself, likewise.
    disk: &'static str,
    hotplug: Hotplug,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hotplug {
    /// QEMU cannot add such a disk to a running machine.
    Never,
    /// The disk is a PCI device: a machine with PCI Express needs a free root port for it.
    Pci,
    /// The bus of the controller takes it.
    Bus,
}

impl Bus {
    fn wiring(self) -> Wiring {
        use Hotplug::{Bus, Never, Pci};
        let wire = |controllers, disk, hotplug| Wiring { controllers, disk, hotplug };
        let scsi_disk = "scsi-hd,bus=bus{n}.0";
        match self {
            Self::VirtioBlk => wire(&[], "virtio-blk-pci", Pci),
            Self::VirtioScsi => wire(&["virtio-scsi-pci,id=bus{n}"], scsi_disk, Bus),
            Self::Nvme => wire(&[], "nvme,serial=disk{n}", Pci),
            Self::Ahci => wire(&["ahci,id=bus{n}"], "ide-hd,bus=bus{n}.0", Never),
            Self::Ide => wire(&["piix4-ide,id=bus{n}"], "ide-hd,bus=bus{n}.0", Never),
            Self::Usb => wire(&["qemu-xhci,id=bus{n}"], "usb-storage,bus=bus{n}.0", Bus),
            Self::UsbEhci => wire(&["usb-ehci,id=bus{n}"], "usb-storage,bus=bus{n}.0", Bus),
            Self::Uas => wire(&["qemu-xhci,id=host{n}", "usb-uas,id=bus{n},bus=host{n}.0"], scsi_disk, Bus),
            Self::Sdhci => wire(&["sdhci-pci,id=bus{n}"], "sd-card,bus=sd-bus", Never),
            Self::Megasas => wire(&["megasas,id=bus{n}"], scsi_disk, Never),
            Self::Pvscsi => wire(&["pvscsi,id=bus{n}"], scsi_disk, Bus),
            Self::Lsi => wire(&["lsi53c895a,id=bus{n}"], scsi_disk, Never),
        }
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// A disk image in the guest. It is never changed unless [`Drive::writable`] says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    pub(crate) file: PathBuf,
    pub(crate) bus: Bus,
    pub(crate) hotplug: Option<Duration>,
    format: String,
    read_only: bool,
    snapshot: bool,
    throttle: Option<u64>,
    properties: Vec<(String, String)>,
}

impl Drive {
    /// A raw disk image on a bus, there from the start.
    pub fn new(file: impl Into<PathBuf>, bus: Bus) -> Self {
        Self {
            file: file.into(),
            bus,
            hotplug: None,
            format: "raw".into(),
            read_only: false,
            snapshot: true,
            throttle: None,
            properties: Vec::new(),
        }
    }

    /// Plugs the disk in only this long after the loader's first sign on the console.
    #[must_use]
    pub fn hotplug(mut self, after: Duration) -> Self {
        self.hotplug = Some(after);
        self
    }

    /// Makes the disk read-only for the guest.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Lets the guest change the image.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.snapshot = false;
        self
    }

    /// QEMU's name of the image's format, `raw` unless given.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = format.into();
        self
    }

    /// Lets so many bytes pass in a second, and no more.
    #[must_use]
    pub fn throttle(mut self, bytes_per_second: u64) -> Self {
        self.throttle = Some(bytes_per_second);
        self
    }

    /// A property of QEMU's disk device, such as `logical_block_size` = `4096` or `serial`.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// The same drive with another image.
    pub(crate) fn with_file(mut self, file: PathBuf) -> Self {
        self.file = file;
        self
    }

    /// What QEMU needs for this drive, the `number`th of `machine`.
    pub(crate) fn attach(&self, number: usize, machine: &str) -> Result<Attachment> {
        let wiring = self.bus.wiring();
        ensure!(
            self.hotplug.is_none() || wiring.hotplug != Hotplug::Never,
            "QEMU cannot plug a disk into a running machine's {} bus",
            self.bus.name()
        );
        let fill = |template: &str| for_machine(template, machine).replace("{n}", &number.to_string());
        let mut controllers: Vec<String> = wiring.controllers.iter().map(|template| fill(template)).collect();
        let mut disk = Device::parse(&fill(wiring.disk));
        if self.hotplug.is_some() && wiring.hotplug == Hotplug::Pci && machine.starts_with("q35") {
            controllers.push(fill("pcie-root-port,id=port{n},chassis={n}"));
            disk.set("bus", &fill("port{n}"));
        }
        disk.set("id", &fill("disk{n}"));
        disk.set("drive", &fill("drive{n}"));
        self.properties.iter().for_each(|(name, value)| disk.set(name, value));
        Ok(Attachment { drive: self.backend(number), controllers, disk })
    }

    fn backend(&self, number: usize) -> String {
        let switch = |on| if on { "on" } else { "off" };
        let throttle = self.throttle.map(|limit| format!("throttling.bps-total={limit},")).unwrap_or_default();
        format!(
            "if=none,id=drive{number},format={},read-only={},snapshot={},cache=unsafe,{throttle}file={}",
            self.format,
            switch(self.read_only),
            // A read-only image needs no copy of what the guest changes.
            switch(self.snapshot && !self.read_only),
            escape(&self.file)
        )
    }
}

/// `FILE[,bus=BUS][,hotplug=SECONDS][,readonly][,writable][,format=FORMAT][,PROPERTY=VALUE]...`;
/// a comma in the file's name is written twice, as everywhere in QEMU.
impl FromStr for Drive {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // NUL cannot occur in a file name: it keeps the place of the doubled comma.
        let text = text.replace(",,", "\0");
        let mut words = text.split(',').map(|word| word.replace('\0', ","));
        let file = words.next().filter(|file| !file.is_empty()).context("a disk begins with its file's name")?;
        words.try_fold(Self::new(file, Bus::default()), |drive, word| drive.with_word(&word))
    }
}

impl Drive {
    fn with_word(mut self, word: &str) -> Result<Self> {
        match word.split_once('=') {
            None if word == "readonly" => Ok(self.read_only()),
            None if word == "writable" => Ok(self.writable()),
            None => bail!("`{word}` is no option of a disk: bus=, hotplug=, readonly, writable, format=, PROPERTY="),
            Some(("bus", name)) => {
                self.bus = Bus::from_str(name, true).map_err(|_| unknown_bus(name))?;
                Ok(self)
            }
            Some(("hotplug", seconds)) => {
                let seconds: f64 = seconds.parse().with_context(|| format!("hotplug={seconds} is no time"))?;
                let after = Duration::try_from_secs_f64(seconds).context("hotplug= cannot be in the past")?;
                Ok(self.hotplug(after))
            }
            Some(("format", format)) => Ok(self.format(format)),
            Some((name, value)) => Ok(self.property(name, value)),
        }
    }
}

fn unknown_bus(name: &str) -> anyhow::Error {
    let known: Vec<String> = Bus::value_variants().iter().map(|bus| bus.name()).collect();
    anyhow::anyhow!("there is no bus `{name}`: {}", known.join(", "))
}

/// A drive as QEMU takes it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The argument of `-drive`.
    pub drive: String,
    /// The arguments of `-device` for what the disk sits on.
    pub controllers: Vec<String>,
    /// The disk itself, for `-device` or for `device_add`.
    pub disk: Device,
}

/// A device of QEMU: its driver and its properties.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Device {
    driver: String,
    properties: Vec<(String, String)>,
}

impl Device {
    fn parse(text: &str) -> Self {
        let mut words = text.split(',');
        let driver = words.next().unwrap_or_default().to_owned();
        let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { driver, properties: words.filter_map(pair).collect() }
    }

    fn set(&mut self, name: &str, value: &str) {
        self.properties.retain(|(existing, _)| existing != name);
        self.properties.push((name.to_owned(), value.to_owned()));
    }

    /// The argument of `-device`.
    pub fn argument(&self) -> String {
        let properties = self.properties.iter().map(|(name, value)| format!(",{name}={value}"));
        self.driver.clone() + &properties.collect::<String>()
    }

    /// The arguments of QMP's `device_add`, where numbers must be numbers.
    pub fn json(&self) -> Value {
        let mut map = Map::from_iter([("driver".to_owned(), Value::from(self.driver.as_str()))]);
        for (name, value) in &self.properties {
            let value = value.parse::<u64>().map_or_else(|_| Value::from(value.as_str()), Value::from);
            map.insert(name.clone(), value);
        }
        Value::Object(map)
    }
}

/// microvm has no PCI: its virtio devices are on virtio-mmio.
pub(crate) fn for_machine(device: &str, machine: &str) -> String {
    if machine.starts_with("microvm") && ["virtio-", "vhost-"].iter().any(|kind| device.starts_with(kind)) {
        device.replacen("-pci", "-device", 1)
    } else {
        device.to_owned()
    }
}

/// A path inside an option of QEMU.
pub(crate) fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_a_disk_is_read() {
        let drive: Drive = "a,,b.img,bus=virtio-scsi,hotplug=1.5,readonly,format=qcow2,serial=x".parse().unwrap();
        let expected = Drive::new("a,b.img", Bus::VirtioScsi)
            .hotplug(Duration::from_millis(1500))
            .read_only()
            .format("qcow2")
            .property("serial", "x");
        assert_eq!(drive, expected);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("", "file's name"),
            ("a,bus=scsi", "no bus `scsi`: virtio-blk, virtio-scsi, nvme"),
            ("a,quick", "`quick` is no option"),
            ("a,hotplug=soon", "hotplug=soon"),
            ("a,hotplug=-1", "past"),
        ] {
            let error = text.parse::<Drive>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_hotplugged_pci_disk_gets_a_port_on_q35_alone() {
        let drive = Drive::new("a", Bus::Nvme).hotplug(Duration::ZERO);
        let on_q35 = drive.attach(3, "q35").unwrap();
        assert_eq!(on_q35.controllers, ["pcie-root-port,id=port3,chassis=3"]);
        assert_eq!(on_q35.disk.argument(), "nvme,serial=disk3,bus=port3,id=disk3,drive=drive3");
        assert!(drive.attach(3, "pc").unwrap().controllers.is_empty());
    }

    #[test]
    fn a_bus_without_hotplug_says_so() {
        let drive = Drive::new("a", Bus::Ahci).hotplug(Duration::ZERO);
        assert!(drive.attach(1, "q35").unwrap_err().to_string().contains("ahci"));
    }

    #[test]
    fn numbers_are_numbers_for_qmp() {
        let drive = Drive::new("a", Bus::Usb).property("logical_block_size", "4096");
        let json = drive.attach(1, "q35").unwrap().disk.json();
        assert_eq!(json["logical_block_size"], 4096);
        assert_eq!(json["bus"], "bus1.0");
    }

    #[test]
    fn a_micro_machine_has_virtio_without_pci() {
        let attachment = Drive::new("a", Bus::VirtioScsi).attach(1, "microvm").unwrap();
        assert_eq!(attachment.controllers, ["virtio-scsi-device,id=bus1"]);
    }
}
