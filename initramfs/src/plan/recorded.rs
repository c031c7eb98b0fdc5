//! A machine of which only a record is there: devices appear when everything above them has its driver, and what the
//! kernel would do with a module or a mount is known from the record and the table.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CStr;

use modstrap::cmdline::CommandLine;
use modstrap::device::Disk;
use modstrap::failure::Problem;
use modstrap::machine::{Machine, Presence, Refusal, Why};
use modstrap::module::Blob;
use modstrap::net::lease::role;
use modstrap::net::remote::Remote;
use modstrap::net::{Address, Lease, Trouble};
use modstrap::report::{Line, Log};
use modstrap::root::RootSpec;
use modstrap::root::superblock::FsKind;
use modstrap::table::{Class, ModuleId, Table};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::{Load, Reason, text};
use crate::hardware::capture::is_above;
use crate::hardware::{self, Device, Driver, Record, SHARE_DRIVERS};
use crate::module::normal;

/// A recorded machine on its way through a boot.
pub struct Recorded<'a> {
    record: &'a Record,
    table: &'a Table<'a>,
    blobs: &'a [u8],
    /// When a root comes whatever else happens, in milliseconds; never, if there is none.
    arrival: Option<u64>,
    /// Whether the record was captured under the image's kernel.
    is_same_kernel: bool,
    clock: u64,
    inserted: BTreeSet<String>,
    /// The modules that are for this processor, where it is known.
    suited: Option<BTreeSet<ModuleId>>,
    /// Why each module is loaded, by its name, as told last.
    reasons: HashMap<String, (ModuleId, Reason)>,
    loads: Vec<Load>,
    mounted: Option<(String, String)>,
}

impl<'a> Recorded<'a> {
    /// The machine of a record, before the boot of an image with this table and these blobs.
    pub fn new(record: &'a Record, table: &'a Table<'a>, blobs: &'a [u8], arrival: Option<u64>) -> Self {
        let suited = record.processor.as_ref().map(|modalias| {
            let mut suited = BTreeSet::new();
            table.lookup(normal(modalias).as_bytes(), &mut |module| {
                suited.insert(module);
            });
            suited
        });
        Recorded {
            record,
            table,
            blobs,
            arrival,
            is_same_kernel: record.kernel.as_ref().is_some_and(|kernel| kernel.release.as_bytes() == table.release()),
            clock: 0,
            inserted: BTreeSet::new(),
            suited,
            reasons: HashMap::new(),
            loads: Vec::new(),
            mounted: None,
        }
    }

    /// What was loaded, in order.
    pub fn loads(&self) -> &[Load] {
        &self.loads
    }

    /// What was mounted as the root, and its file system.
    pub fn mounted(&self) -> Option<&(String, String)> {
        self.mounted.as_ref()
    }

    /// The disks of the record that a `root=` may mean, whether they are there by now or not. What is compared with is
    /// private but for names and numbers: for the rest the mark decides.
    pub fn meant(&self, root: &RootSpec) -> impl Iterator<Item = &'a hardware::Disk> {
        self.record.disks.iter().filter(move |disk| match root {
            RootSpec::Name(name) => Disk::called(name).name() == disk.name.as_bytes(),
            RootSpec::Number { major, minor } => disk.number == Some(format!("{major}:{minor}")),
            RootSpec::Share { .. } | RootSpec::Nfs { .. } => false,
            _ => disk.is_root,
        })
    }

    /// The devices above a path that have no driver yet, and will have one: what is below is not there before.
    pub fn undriven_above(&self, path: &str) -> impl Iterator<Item = (&'a Device, &'a Driver)> {
        let above = self.record.devices.iter().filter(move |device| is_above(&device.path, path));
        let undriven = above.filter(|device| !self.is_driven(device));
        undriven.filter_map(|device| Some((device, device.driver.as_ref()?)))
    }

    fn is_visible(&self, path: &str) -> bool {
        self.undriven_above(path).next().is_none()
    }

    /// Whether a device has its driver by now. A driver may be built into the record's kernel and a module of the
    /// image's, and some do not say what they are part of: they are there when a module is that answers to the device, or
    /// if there is no such module.
    fn is_driven(&self, device: &Device) -> bool {
        let Some(driver) = &device.driver else { return false };
        if driver.module.as_deref().is_some_and(|module| self.presence(normal(module).as_bytes()) == Presence::Live) {
            return true;
        }
        if driver.module.is_some() && (!driver.is_builtin || self.is_same_kernel) {
            return driver.is_builtin;
        }
        let takers = self.takers(device);
        takers.is_empty() || takers.into_iter().any(|id| self.is_live(id))
    }

    /// Whoever answers to a device.
    pub fn takers(&self, device: &Device) -> Vec<ModuleId> {
        device.modalias.as_deref().map(|modalias| self.ids(modalias)).unwrap_or_default()
    }

    fn is_live(&self, id: ModuleId) -> bool {
        self.presence(self.table.name(id).as_bytes()) == Presence::Live
    }

    /// Whoever answers to a name.
    fn ids(&self, name: &str) -> Vec<ModuleId> {
        let mut ids = Vec::new();
        self.table.lookup(normal(name).as_bytes(), &mut |id| ids.push(id));
        ids
    }

    fn has_arrived(&self) -> bool {
        self.arrival.is_some_and(|arrival| self.clock >= arrival)
    }

    fn disk(&self, disk: &Disk) -> Option<&'a hardware::Disk> {
        self.record.disks.iter().find(|other| other.name.as_bytes() == disk.name())
    }

    /// Whether the kernel has this file system by now.
    fn knows(&self, kind: &str) -> bool {
        let names = [format!("fs-{kind}"), kind.to_string()];
        let is_live = |name: &String| self.ids(name).into_iter().any(|id| self.is_live(id));
        names.iter().any(is_live) || self.presence(kind.as_bytes()) == Presence::Live
    }

    /// Whether a network device has its driver by now: links, servers and what they say are taken to be as they must.
    fn has_network(&self) -> bool {
        let is_for_it = |id: ModuleId| self.table.module(id).class == Class::Net && self.is_live(id);
        let is_link =
            |device: &&Device| self.takers(device).into_iter().any(is_for_it) && self.is_visible(&device.path);
        self.has_arrived() || self.record.devices.iter().any(|device| is_link(&device))
    }

    /// Whether a directory of the host is there by now: each device of its kind may be the one with the tag.
    fn has_share(&self, kind: &str) -> bool {
        let is_for_it = |driver: &Driver| SHARE_DRIVERS.contains(&(kind, driver.name.as_str()));
        let mut devices = self.record.devices.iter().filter(|device| device.driver.as_ref().is_some_and(is_for_it));
        self.has_arrived() || devices.any(|device| self.is_driven(device) && self.is_visible(&device.path))
    }
}

/// Whether a disk with one file system can be mounted as the other.
fn mounts(found: FsKind, kind: &str) -> bool {
    match found {
        FsKind::Ext2 | FsKind::Ext3 if kind == "ext4" => true,
        FsKind::Vfat if kind == "msdos" => true,
        found => found.name() == kind,
    }
}

impl Machine for Recorded<'_> {
    fn undriven(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for device in &self.record.devices {
            let Some(modalias) = &device.modalias else { continue };
            if !self.is_driven(device) && self.is_visible(&device.path) {
                visit(device.path.as_bytes(), normal(modalias).as_bytes());
            }
        }
    }

    fn processor(&self, visit: &mut dyn FnMut(&[u8])) {
        if let Some(modalias) = &self.record.processor {
            visit(normal(modalias).as_bytes());
        }
    }

    fn has_device_tree(&self) -> bool {
        self.record.has_device_tree
    }

    fn presence(&self, name: &[u8]) -> Presence {
        let is_builtin = || self.table.builtin().any(|id| self.table.name(id).as_bytes() == name);
        match self.inserted.contains(&text(name)) || is_builtin() {
            true => Presence::Live,
            false => Presence::Absent,
        }
    }

    fn claim(&self, _: ModuleId) -> Result<(), u32> {
        Ok(())
    }

    fn progress(&self, _: u32) -> u64 {
        0
    }

    fn insert(&mut self, name: &[u8], blob: u64, parameters: &CStr) -> Result<(), Refusal> {
        let name = text(name);
        let (id, reason) = self.reasons.get(&name).cloned().unzip();
        // Such a module looks at the processor when it starts.
        let is_for_another =
            |(id, suited): (ModuleId, &BTreeSet<ModuleId>)| self.table.module(id).processor && !suited.contains(&id);
        let result = if Blob::at(self.blobs, blob).is_none() {
            Err(Refusal::Corrupt)
        } else if id.zip(self.suited.as_ref()).is_some_and(is_for_another) {
            Err(Refusal::Kernel(Errno::NODEV))
        } else {
            self.inserted.insert(name.clone());
            Ok(())
        };
        self.loads.push(Load {
            module: name,
            reason,
            parameters: parameters.to_string_lossy().into_owned(),
            loaded: result.is_ok(),
        });
        result
    }

    fn explain(&mut self, module: ModuleId, why: Why) {
        let name = |id| text(self.table.name(id).as_bytes());
        let reason = match why {
            Why::Device(path) => {
                let path = text(path);
                let device = self.record.devices.iter().find(|device| device.path == path);
                Reason::Device { modalias: device.and_then(|device| device.modalias.clone()).unwrap_or_default(), path }
            }
            Why::Name(alias) => Reason::Alias { alias: text(alias) },
            Why::Choice(of, alias) => Reason::Choice { of: name(of), alias: text(alias) },
            Why::Dependency(of) => Reason::Dependency { of: name(of) },
            Why::Soft(of) => Reason::SoftDependency { of: name(of) },
        };
        self.reasons.insert(name(module), (module, reason));
    }

    fn listen(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn wait(&mut self, limit: u64) {
        self.clock += limit;
    }

    fn sleep(&mut self, time: u64) {
        self.clock += time;
    }

    fn now(&self) -> u64 {
        self.clock
    }

    fn find(&mut self, root: &RootSpec) -> Option<Disk> {
        let found = self.meant(root).find(|disk| self.is_visible(&disk.path));
        match (found, root) {
            (Some(disk), _) => Some(Disk::called(disk.name.as_bytes())),
            (None, RootSpec::Name(name)) if self.has_arrived() => Some(Disk::called(name)),
            (None, _) => self.has_arrived().then(|| Disk::called(b"root")),
        }
    }

    fn disks(&self, visit: &mut dyn FnMut(&Disk) -> bool) {
        let visible = self.record.disks.iter().filter(|disk| self.is_visible(&disk.path));
        let _ = visible.map(|disk| Disk::called(disk.name.as_bytes())).all(|disk| visit(&disk));
    }

    fn file_system(&self, disk: &Disk) -> Option<FsKind> {
        self.disk(disk)?.file_system
    }

    fn describe(&self, disk: &Disk) -> Line {
        let kind = self.file_system(disk).map_or("what is on it is not recorded", FsKind::name);
        Line::of(&[disk.node().as_bytes(), b": ", kind.as_bytes()])
    }

    fn network(&mut self, _: &CommandLine, _: bool, lease: &mut Lease, _: &mut Log) -> Result<bool, Errno> {
        lease.set(role::SERVER, Address::of(&[10, 0, 2, 2]));
        Ok(self.has_network())
    }

    fn survey_network(&self, _: &mut Log) -> Problem {
        Problem::NoLink
    }

    fn ask(&mut self, _: &Address, _: u16, _: &[u8], _: &mut [u8]) -> Result<usize, Errno> {
        // No call of NFS is answered so: the kernel's mount is left to tell.
        Err(Errno::NOSYS)
    }

    fn attach(&mut self, _: &Remote, _: &CommandLine, words: &mut Line) -> Result<(), Trouble> {
        // The record tells nothing of servers: what the root is on is taken as theirs.
        let root = self.record.disks.iter().find(|disk| disk.is_root);
        *words = Line::of(&[root.map_or(&b"nbd0"[..], |disk| disk.name.as_bytes())]);
        Ok(())
    }

    fn mount(&mut self, source: &CStr, kind: &CStr, _: MountFlags, _: &CStr) -> Result<(), Errno> {
        let (source, kind) = (text(source.to_bytes()), text(kind.to_bytes()));
        if !self.knows(&kind) {
            return Err(Errno::NODEV);
        }
        // What lies below it was mounted before, and is the root that counts.
        if kind == "overlay" {
            return Ok(());
        }
        match source.strip_prefix("/dev/") {
            None if kind.starts_with("nfs") => {}
            None if !self.has_share(&kind) => return Err(Errno::NOENT),
            None => {}
            Some(name) => {
                let found = self.file_system(&Disk::called(name.as_bytes()));
                if found.is_some_and(|found| !mounts(found, &kind)) {
                    return Err(Errno::INVAL);
                }
            }
        }
        self.mounted = Some((source, kind));
        Ok(())
    }
}
