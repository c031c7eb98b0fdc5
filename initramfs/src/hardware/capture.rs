//! Capturing a record from sysfs: of the machine that this program runs on, or of a copy of another's /sys.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use modstrap::device::{self, is_beside_the_point};

use super::{Device, Disk, Driver, Kernel, Record, is_writable, private, root};

/// Captures the machine that this program runs on. File systems are recognised where disks may be read, which only root
/// may as a rule; that of the root is known anyway.
pub fn running() -> Result<Record> {
    let mut record = Sysfs(Path::new("/sys")).capture()?;
    let system = rustix::system::uname();
    record.kernel = Some(Kernel {
        release: system.release().to_string_lossy().into_owned(),
        machine: system.machine().to_string_lossy().into_owned(),
    });
    let root = root::find();
    for disk in &mut record.disks {
        disk.is_root = root.disks.contains(&disk.name);
        let superblock = device::Disk::named(disk.name.as_bytes()).and_then(|disk| disk.superblock());
        let mounted = root.file_system.filter(|_| disk.is_root);
        disk.file_system = superblock.map(|superblock| superblock.kind).or(mounted);
    }
    private::remove(&mut record)?;
    Ok(record)
}

/// Captures a machine from a copy of its /sys. Which disk holds the root, and the file systems, do not show there.
pub fn copied(sysfs: &Path) -> Result<Record> {
    let mut record = Sysfs(sysfs).capture()?;
    private::remove(&mut record)?;
    Ok(record)
}

/// A /sys.
struct Sysfs<'a>(&'a Path);

impl Sysfs<'_> {
    fn capture(&self) -> Result<Record> {
        let root = self.0;
        ensure!(root.join("bus").is_dir(), "{}: no sysfs: it has no directory bus", root.display());
        let disks = self.disks().with_context(|| format!("cannot read {}", root.join("class/block").display()))?;
        let mut record = Record {
            kernel: None,
            has_device_tree: root.join("firmware/devicetree/base/compatible").exists(),
            processor: text(&root.join("devices/system/cpu/modalias")).filter(|modalias| is_writable(modalias)),
            devices: self.devices()?.into_values().collect(),
            disks: disks.into_values().collect(),
        };
        keep_ways(&mut record);
        Ok(record)
    }

    /// The devices on all buses that the loader looks at, by their paths.
    fn devices(&self) -> Result<BTreeMap<String, Device>> {
        let mut devices = BTreeMap::new();
        let buses = self.0.join("bus");
        for bus in names(&buses).with_context(|| format!("cannot read {}", buses.display()))? {
            let directory = buses.join(&bus).join("devices");
            if is_beside_the_point(bus.as_bytes()) || !directory.is_dir() {
                continue;
            }
            for name in names(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
                let link = directory.join(name);
                if let Some(device) = self.below_devices(&link).and_then(|path| self.device(path)) {
                    devices.insert(device.path.clone(), device);
                }
            }
        }
        Ok(devices)
    }

    /// A device, as far as it can stand in a record.
    fn device(&self, path: String) -> Option<Device> {
        let place = self.0.join("devices").join(&path);
        // What the loader itself goes by: the variables of the device's events.
        let variables = text(&place.join("uevent")).unwrap_or_default();
        let variable = |name: &str| variables.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let modalias = variable("MODALIAS").filter(|modalias| is_writable(modalias)).map(str::to_string);
        let driver = variable("DRIVER").filter(|name| is_writable(name)).map(|name| {
            let module = link_name(&place.join("driver/module")).filter(|name| is_writable(name));
            let state = module.as_ref().map(|module| self.0.join("module").join(module).join("initstate"));
            // What is built in has no state.
            Driver { name: name.to_string(), is_builtin: state.is_some_and(|state| !state.exists()), module }
        });
        is_writable(&path).then_some(Device { path, modalias, driver })
    }

    /// The path below /sys/devices that a link leads to.
    fn below_devices(&self, link: &Path) -> Option<String> {
        let devices = self.0.join("devices").canonicalize().ok()?;
        Some(link.canonicalize().ok()?.strip_prefix(devices).ok()?.to_str()?.to_string())
    }

    /// The disks that hold anything, and are not made of others, by their names.
    fn disks(&self) -> Result<BTreeMap<String, Disk>> {
        let directory = self.0.join("class/block");
        let mut disks = BTreeMap::new();
        if directory.is_dir() {
            let found = names(&directory)?.into_iter().filter_map(|name| self.disk(&directory.join(&name), name));
            disks.extend(found.map(|disk| (disk.name.clone(), disk)));
        }
        Ok(disks)
    }

    fn disk(&self, link: &Path, name: String) -> Option<Disk> {
        let path = self.physical(self.below_devices(link)?)?;
        let size: u64 = text(&link.join("size"))?.trim().parse().ok()?;
        // A disk that the kernel hides, as one of several paths to an NVMe namespace, has no number.
        let number = text(&link.join("dev"))?.trim().to_string();
        let disk = Disk { name, path, number: Some(number), ..Disk::default() };
        (size > 0 && is_writable(&disk.name) && is_writable(&disk.path)).then_some(disk)
    }

    /// The place of a disk among the devices; none for one that is made by software. An NVMe namespace that may have
    /// several paths is a virtual disk (drivers/nvme/host/multipath.c), at home at the first of its controllers.
    fn physical(&self, path: String) -> Option<String> {
        let Some(below) = path.strip_prefix("virtual/") else { return Some(path) };
        let (subsystem, disk) = below.strip_prefix("nvme-subsystem/")?.split_once('/')?;
        let directory = self.0.join("devices/virtual/nvme-subsystem").join(subsystem);
        let mut controllers: Vec<String> = names(&directory).ok()?;
        controllers.sort();
        let controller = controllers.iter().filter(|name| name.starts_with("nvme"));
        let controller = controller.filter_map(|name| self.below_devices(&directory.join(name))).next()?;
        Some(format!("{controller}/{disk}"))
    }
}

/// Keeps the devices that say what they are, and those with a driver that others hang on.
fn keep_ways(record: &mut Record) {
    let mut paths: Vec<String> = record.devices.iter().map(|device| device.path.clone()).collect();
    paths.extend(record.disks.iter().map(|disk| disk.path.clone()));
    let leads_on = |path: &str| paths.iter().any(|other| is_above(path, other));
    record.devices.retain(|device| device.modalias.is_some() || device.driver.is_some() && leads_on(&device.path));
}

/// Whether one path leads to the other.
pub fn is_above(path: &str, other: &str) -> bool {
    other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
}

fn names(directory: &Path) -> std::io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// A small file as text; none where it cannot be read.
fn text(path: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(path).ok()?).trim_end().to_string();
    (!text.is_empty()).then_some(text)
}

/// The name of what a link leads to.
fn link_name(link: &Path) -> Option<String> {
    Some(fs::read_link(link).ok()?.file_name()?.to_str()?.to_string())
}
