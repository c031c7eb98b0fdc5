//! What a module is to a boot: the builder says it of each, and the loader decides by it what to load when.

use super::glob;

/// What a module is to a boot. The command line decides which classes a boot needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Finds further devices: a bus, a host controller's bus side, a supplier of clocks or power.
    Bus = 0,
    /// Makes block devices, or hosts them.
    Block = 1,
    /// A file system.
    Fs = 2,
    /// The way to a directory of the host: a transport of 9p or virtiofs.
    Share = 3,
    /// A network device, or what a network root needs.
    Net = 4,
    /// Only ever a dependency: libraries and cryptography.
    Library = 5,
    /// Everything else: left to the real init.
    Other = 6,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Class; 7] =
        [Class::Bus, Class::Block, Class::Fs, Class::Share, Class::Net, Class::Library, Class::Other];

    /// The class with this number; a number that no class has reads as [`Class::Other`].
    pub fn from_number(number: u8) -> Class {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Class::Other)
    }

    /// The word for it in summaries and in the builder's data file.
    pub fn name(self) -> &'static str {
        ["bus", "block", "fs", "share", "net", "library", "other"][self as usize]
    }
}

/// When a driver is a candidate: the steps of a boot, cheapest first. One step begins only when the root has not
/// appeared after the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// At once: it only makes further devices visible.
    Always = 0,
    /// Cheap buses and what hangs on them: virtio, NVMe, MMC.
    Cheap = 1,
    /// AHCI and all else that libata drives: all disks are known once such a driver is inserted.
    Ata = 2,
    /// SCSI hosts.
    Scsi = 3,
    /// USB.
    Usb = 4,
    /// Suppliers (clocks, regulators, pins, GPIO, I2C): first where a device tree describes the machine, else last.
    Supplier = 5,
}

impl Step {
    /// Every step, in the order of their numbers.
    pub const ALL: [Step; 6] = [Step::Always, Step::Cheap, Step::Ata, Step::Scsi, Step::Usb, Step::Supplier];

    /// The step with this number; a number that no step has reads as the last.
    pub fn from_number(number: u8) -> Step {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Step::Supplier)
    }

    /// The word for it in the builder's data file.
    pub fn name(self) -> &'static str {
        ["always", "cheap", "ata", "scsi", "usb", "supplier"][self as usize]
    }
}

/// The families of disk names that a driver can bring about, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disks(pub u8);

impl Disks {
    /// The families, by the bit that stands for each.
    pub const NAMES: [&'static str; 8] = ["vd", "nvme", "mmcblk", "sd", "xvd", "sr", "pmem", "hd"];

    /// The family that a disk's name belongs to, as a set; empty where it is none of [`Self::NAMES`].
    pub fn of_name(name: &[u8]) -> Disks {
        // In the order of the names.
        const PATTERNS: &[u8] =
            b"vd[a-z]*\0nvme[0-9]*\0mmcblk[0-9]*\0sd[a-z]*\0xvd[a-z]*\0sr[0-9]*\0pmem[0-9]*\0hd[a-z]*";
        let family = PATTERNS.split(|&byte| byte == 0).position(|pattern| glob::matches(pattern, name));
        Disks(family.map_or(0, |bit| 1 << bit))
    }

    /// Whether the two sets share a family.
    pub fn intersects(self, other: Disks) -> bool {
        self.0 & other.0 != 0
    }
}
