//! The root: what `root=` means, finding it, and mounting it.

mod finder;
pub mod mount;
#[cfg(feature = "network")]
mod nfs;
#[cfg(feature = "network")]
mod nine_p;
pub mod overlay;
mod pace;
pub mod partition;
#[cfg(feature = "network")]
mod remote;
mod search;
#[cfg(feature = "network")]
mod server;
pub mod spec;
pub mod superblock;
pub mod uuid;

pub use finder::{Finder, describe};
pub use pace::Pace;
pub use search::Search;
pub use spec::RootSpec;
