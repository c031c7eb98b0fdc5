//! What the machine of a record needs in an image: drivers for its devices, and its file systems.

use std::collections::BTreeSet;

use modstrap::root::superblock::FsKind;

use super::capture::is_above;
use super::{Device, Disk, Record, SHARE_DRIVERS};
use crate::tree::{Found, Tree};

/// What a machine needs of a tree.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Modules of the tree by index, each with what it is needed for.
    pub modules: Vec<(usize, String)>,
    /// Parts of the kernel itself.
    pub builtin: BTreeSet<String>,
    /// Modules that nobody has, each with what it is to the machine.
    pub missing: Vec<(String, &'static str)>,
    /// Modaliases to which nobody answers.
    pub unanswered: Vec<String>,
    /// Those of `modules` that drive nothing above a disk, as far as devices tell.
    pub idle: BTreeSet<usize>,
    /// Which file systems it has does not show.
    pub any_file_system: bool,
}

impl Needs {
    /// What the machine of `record` needs of `tree`. Of the modules that answer to its devices and its processor those
    /// count of which `leads_to_root` is true; what drives a device above a disk counts whatever it is.
    pub fn of(record: &Record, tree: &Tree, leads_to_root: impl Fn(usize) -> bool) -> Needs {
        let mut needs = Needs::default();
        for device in &record.devices {
            let Some(modalias) = &device.modalias else { continue };
            let found = tree.find(modalias);
            // Few parts of the kernel itself say what they answer to.
            let driver = device.driver.as_ref().and_then(|driver| driver.module.as_ref());
            if found.is_empty() && driver.is_none_or(|driver| tree.find(driver).is_empty()) {
                needs.unanswered.push(modalias.clone());
            }
            needs.take(modalias, found, &leads_to_root);
        }
        if let Some(modalias) = &record.processor {
            needs.take(modalias, tree.find(modalias), &leads_to_root);
        }
        let drivers = record.drivers_above_disks();
        for name in &drivers {
            needs.take_named(name, tree.find(name), "which drives what is above a disk of the record");
        }
        let used = record
            .above_disks()
            .filter_map(|device| device.modalias.as_deref())
            .flat_map(|alias| tree.find(alias).modules);
        let used: BTreeSet<usize> = used.chain(drivers.iter().filter_map(|name| tree.by_name(name))).collect();
        needs.idle = needs.modules.iter().map(|(index, _)| *index).filter(|index| !used.contains(index)).collect();
        let file_systems = record.file_systems();
        needs.any_file_system = file_systems.is_none();
        for name in file_systems.unwrap_or_default() {
            let found = Some(tree.find(&format!("fs-{name}"))).filter(|found| !found.is_empty());
            needs.take_named(name, found.unwrap_or_else(|| tree.find(name)), "a file system of the record");
        }
        needs.unanswered.sort();
        needs.unanswered.dedup();
        needs
    }

    fn take_named(&mut self, name: &str, found: Found, what: &'static str) {
        if found.is_empty() {
            self.missing.push((name.to_string(), what));
        }
        self.take(name, found, |_| true);
    }

    fn take(&mut self, name: &str, found: Found, counts: impl Fn(usize) -> bool) {
        let modules = found.modules.into_iter().filter(|&index| counts(index));
        self.modules.extend(modules.map(|index| (index, name.to_string())));
        self.builtin.extend(found.builtin);
    }
}

impl Record {
    /// The devices above its disks.
    fn above_disks(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| self.disks.iter().any(|disk| is_above(&device.path, &disk.path)))
    }

    /// The modules that drive what is above its disks.
    fn drivers_above_disks(&self) -> BTreeSet<&str> {
        let drivers = self.above_disks().filter_map(|device| device.driver.as_ref());
        drivers.filter(|driver| !driver.is_builtin).filter_map(|driver| driver.module.as_deref()).collect()
    }

    /// The file systems of its disks and shares; none where that of the root does not show.
    fn file_systems(&self) -> Option<BTreeSet<&'static str>> {
        let kind = |disk: &Disk| disk.file_system.filter(|kind| kind.is_mountable()).map(|kind| kind.name());
        let drivers = || self.devices.iter().filter_map(|device| device.driver.as_ref());
        let shares = SHARE_DRIVERS.iter().filter(|(_, name)| drivers().any(|driver| driver.name == *name));
        let kinds: BTreeSet<&str> = self.disks.iter().filter_map(kind).chain(shares.map(|(kind, _)| *kind)).collect();
        let root_shows = self.disks.iter().filter(|disk| disk.is_root).all(|disk| kind(disk).is_some());
        (root_shows && !kinds.is_empty()).then_some(kinds)
    }

    /// The file system of its root, where that shows and can be mounted as it is.
    pub fn root_file_system(&self) -> Option<FsKind> {
        let mut kinds = self.disks.iter().filter(|disk| disk.is_root).map(|disk| disk.file_system);
        let kind = kinds.next().flatten().filter(|kind| kind.is_mountable())?;
        kinds.all(|other| other == Some(kind)).then_some(kind)
    }
}
