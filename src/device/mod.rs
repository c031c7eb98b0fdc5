//! The machine: its devices as sysfs shows them, events of their coming and going, and its block devices.

mod block;
mod coldplug;
mod uevent;

pub use block::{Disk, DiskName, disks};
pub use coldplug::{Driverless, Reach, Stage, driverless, is_beside_the_point, load_next_driver, processor, undriven};
pub use uevent::{Events, News};
