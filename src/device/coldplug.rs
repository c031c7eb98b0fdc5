//! Coldplug: for each device that has no driver yet, the modules that its modalias asks for.
//!
//! sysfs is read anew each time, so that nothing need be remembered of devices, and lost events cost nothing.

use core::cmp::Ordering;

use crate::file::{self, Path};
use crate::machine::{Machine, Why};
use crate::module::Modules;
use crate::report::Log;
use crate::root::RootSpec;
use crate::table::{Class, Disks, Module, ModuleId, Name, Step, glob};
use crate::text::{Text, place, split};

/// The kernel's buffer for all variables of one event (include/linux/kobject.h, `UEVENT_BUFFER_SIZE`).
const VARIABLES: usize = 2048;

/// The variable that says what a device is.
const MODALIAS: &[u8] = b"MODALIAS=";

/// What may be loaded now. Stages follow one another until the root is there; each includes all that came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Drivers up to this step.
    pub step: Step,
    /// Only drivers that can produce disks of these names, where names are given.
    pub disks: Disks,
    /// Suppliers come first: a device tree describes the machine.
    pub suppliers_first: bool,
    /// The classes that this root needs.
    pub classes: &'static [Class],
}

/// How far a boot has to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the disks of this machine.
    Machine,
    /// To the network, for what is there.
    Network,
    /// To the disks of this machine, and the network besides.
    Both,
}

impl Stage {
    /// The first stage on the way to a root: of the drivers that can produce the name it was given, where it was given
    /// one, those that cost nothing.
    pub fn first(spec: &RootSpec, reach: Reach, has_device_tree: bool) -> Stage {
        let everything = Stage::everything(spec, reach, has_device_tree);
        Stage { step: Step::Always, disks: spec.disks(), ..everything }
    }

    /// The last stage for disks of these names.
    pub fn last(self) -> Stage {
        let step = if self.disks == Disks::default() { Step::Supplier } else { Step::Usb };
        Stage { step, ..self }
    }

    /// The first stage after the last for disks of some names: that for all disks.
    pub fn for_all_disks(self) -> Option<Stage> {
        (self.disks != Disks::default()).then_some(Stage { step: Step::Always, disks: Disks::default(), ..self })
    }

    /// The last stage, which admits whatever this root may need.
    pub fn everything(spec: &RootSpec, reach: Reach, has_device_tree: bool) -> Stage {
        // The classes of what is on the way, and last that of the network, which not everybody needs.
        let classes: &[Class] = match spec {
            _ if reach == Reach::Network => &[Class::Bus, Class::Net],
            RootSpec::Share { .. } => &[Class::Bus, Class::Share, Class::Net],
            _ => &[Class::Bus, Class::Block, Class::Net],
        };
        let is_local = reach == Reach::Machine;
        let classes = if is_local { classes.strip_suffix(&[Class::Net]).unwrap_or(classes) } else { classes };
        Stage { step: Step::Supplier, disks: Disks::default(), suppliers_first: has_device_tree, classes }
    }

    /// How long, in milliseconds, devices have to appear once drivers were asked in this stage: what probes in the
    /// background (NVMe, MMC, SCSI and USB do) would otherwise seem not to be there, and the next stage begin.
    pub fn settling(&self) -> u64 {
        // A link has its carrier within some seconds, and then a server is asked.
        const LINK: u64 = 5000;
        match self.step {
            Step::Cheap if self.classes.contains(&Class::Net) => LINK,
            // The kernel has looked at every port before a driver counts as inserted (drivers/ata/libata-core.c,
            // `async_port_probe`; kernel/module/main.c, `do_init_module`).
            Step::Always | Step::Ata => 20,
            Step::Cheap => 200,
            Step::Scsi => 600,
            Step::Usb => 2500,
            Step::Supplier => 100,
        }
    }

    /// Whether it admits a module.
    pub fn admits(&self, module: &Module) -> bool {
        // A bus produces no disk by itself, but what hangs on it may; and a network has none.
        let is_free = matches!(module.class, Class::Bus | Class::Net) && module.disks == Disks::default();
        let produces = self.disks == Disks::default() || is_free || module.disks.intersects(self.disks);
        self.is_in(module.step) && produces && self.classes.contains(&module.class)
    }

    /// Whether it admits modules of a step.
    pub fn is_in(&self, step: Step) -> bool {
        step <= self.step || self.suppliers_first && step == Step::Supplier
    }
}

/// Loads the first of the modules that devices ask for and the stage admits, by step, then in the order of sysfs paths,
/// then in the table's; unless its step is not `due` yet. Whether there are others of that step, if it did.
pub fn load_next_driver(
    stage: &Stage,
    due: impl FnOnce(Step) -> bool,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Option<bool> {
    let table = modules.table();
    let mut path = Path::new();
    let mut has_others = false;
    let mut first: Option<(Step, ModuleId)> = None;
    modules.machine().undriven(&mut |device, modalias| {
        table.lookup(modalias, &mut |module| {
            let record = table.module(module);
            let order = |(step, other): (Step, ModuleId)| {
                (record.step.cmp(&step)).then_with(|| device.cmp(path.as_bytes())).then_with(|| module.cmp(&other))
            };
            let is_later = first.is_some_and(|(step, other)| record.step > step || module == other);
            if !is_later && stage.admits(&record) && modules.is_wanted(module) {
                has_others = first.is_some_and(|(step, _)| step == record.step);
                if first.map_or(Ordering::Less, order) == Ordering::Less {
                    first = Some((record.step, module));
                    path = Path::of(&[device]);
                }
            }
        });
    });
    let (_, module) = first.filter(|(step, _)| due(*step))?;
    modules.machine_mut().explain(module, Why::Device(path.as_bytes()));
    modules.load(module, log);
    Some(has_others)
}

/// A device that no driver has taken, nor will.
pub struct Driverless<'a> {
    /// Its path below /sys/devices.
    pub path: &'a [u8],
    /// Its modalias, normalised.
    pub modalias: &'a [u8],
    /// The module that would drive it, were it not blacklisted; without one the table has none.
    pub blacklisted: Option<Name>,
}

/// Calls `visit` for each device that no module of the table may drive.
pub fn driverless(modules: &Modules<impl Machine>, visit: &mut dyn FnMut(Driverless)) {
    modules.machine().undriven(&mut |path, modalias| {
        let (mut has_module, mut blacklisted) = (false, None);
        modules.table().lookup(modalias, &mut |module| match modules.is_blacklisted(module) {
            true => blacklisted = Some(modules.table().name(module)),
            false => has_module = true,
        });
        if !has_module {
            visit(Driverless { path, modalias, blacklisted });
        }
    });
}

/// Calls `visit` with the path below /sys/devices and the normalised modalias of each device that no driver has taken.
///
/// Both are told by the variables of the device's events; not every bus has a file `modalias` (drivers/mmc/core/bus.c).
pub fn undriven(visit: &mut dyn FnMut(&[u8], &[u8])) {
    let mut variables = [0; VARIABLES];
    file::list(c"/sys/bus", &mut |bus| {
        if is_beside_the_point(bus) {
            return true;
        }
        let devices = Path::of(&[b"/sys/bus/", bus, b"/devices/"]);
        file::list(devices.as_c_str(), &mut |name| {
            let device = Path::of(&[devices.as_bytes(), name]);
            let uevent = Path::of(&[device.as_bytes(), b"/uevent"]);
            let length = file::read(uevent.as_c_str(), &mut variables).len();
            let variables = variables.get_mut(..length).unwrap_or_default();
            let is_end = |byte: &u8| *byte == b'\n';
            if !split(variables, b'\n').any(|line| line.starts_with(b"DRIVER=")) {
                for line in variables.split_mut(is_end).filter(|line| line.starts_with(MODALIAS)) {
                    let (_, modalias) = line.split_at_mut(MODALIAS.len());
                    glob::normalise(modalias);
                    let mut link = [0; file::LINK];
                    visit(below_devices(file::link(device.as_c_str(), &mut link)), modalias);
                }
            }
            true
        });
        true
    });
}

/// Buses without modaliases, some with hundreds of members, and that of the processors, whose aliases choose among
/// providers of cryptography and never load by themselves.
const BESIDE_THE_POINT: &[u8] =
    b"clockevents\0clocksource\0container\0cpu\0event_source\0machinecheck\0memory\0workqueue";

/// Whether the loader passes over the devices of this bus.
pub fn is_beside_the_point(bus: &[u8]) -> bool {
    place(BESIDE_THE_POINT, bus).is_some()
}

/// Calls `visit` with the normalised modalias of the processor (drivers/base/cpu.c, `print_cpu_modalias`), if the kernel
/// was built to tell. All processors have the same.
#[inline(never)]
pub fn processor(visit: &mut dyn FnMut(&[u8])) {
    let mut modalias = Text::<PROCESSOR>::new();
    modalias.push(file::read(c"/sys/devices/system/cpu/modalias", &mut [0; PROCESSOR - 1]).trim_ascii_end());
    if !modalias.as_bytes().is_empty() {
        glob::normalise(modalias.as_bytes_mut());
        visit(modalias.as_bytes());
    }
}

/// Room for the modalias of a processor: a page, as the kernel has it.
const PROCESSOR: usize = 4096;

/// The part of a link like `../../../devices/pci0000:00/0000:00:01.0` behind `devices/`.
fn below_devices(target: &[u8]) -> &[u8] {
    const DEVICES: &[u8] = b"/devices/";
    let start = target.windows(DEVICES.len()).position(|window| window == DEVICES);
    start.and_then(|start| target.get(start + DEVICES.len()..)).unwrap_or(target)
}
