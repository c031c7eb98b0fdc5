//! The boot harness: what the tests, the demo and a curious user need to see a kernel reach its real init.
//!
//! - [`disk`]: disk images with a file system and a partition table, made without root rights by the real tools.
//! - [`bench`]: what boots cost, in instructions.
//! - [`tree`]: the root file system of the tests, whose init says that it runs and what it found.
//! - [`rootdir`]: a directory of the host as the root, and one command as the init.
//! - [`boot`]: one boot in QEMU, from the command line of the guest to its [`Outcome`].
//! - [`network`]: network cards, and [`server`]: what they reach.
//! - [`kernels`]: the kernels that `qemu/setup` put into the cache.
//! - [`image`]: the initramfs image, by the builder's library.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use modstrap_qemu::{Boot, Bus, Drive, Recipe, FileSystem, kernels};
//!
//! let kernel = kernels::find("6.12", "amd64")?;
//! Recipe::new(FileSystem::Ext4).label("root").write("root.img")?;
//! let finished = Boot::new(&kernel.image, "initramfs.img")
//!     .drive(Drive::new("root.img", Bus::Nvme))
//!     .append("root=LABEL=root")
//!     .run()?;
//! let report = finished.real_init()?;
//! assert!(report.line("mounts")?.contains("/proc"));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod bench;
pub mod boot;
pub mod disk;
pub mod drive;
mod entry;
pub mod finished;
mod guest;
pub mod image;
pub mod kernels;
pub mod network;
pub mod outcome;
mod plan;
mod platform;
mod process;
mod qmp;
pub mod report;
pub mod rootdir;
mod run;
pub mod server;
pub mod share;
pub mod tool;
pub mod tree;

pub use boot::{ACCELERATOR, Background, Boot};
pub use disk::{FileSystem, Recipe, Table};
pub use drive::{Bus, Drive};
pub use finished::Finished;
pub use network::{Model, Nic};
pub use outcome::Outcome;
pub use report::Report;
pub use rootdir::RootDir;
pub use share::{Protocol, Share};
