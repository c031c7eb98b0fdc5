//! The root: what `root=` means, finding it, and mounting it.

mod finder;
pub mod mount;
pub mod overlay;
mod pace;
pub mod partition;
mod search;
pub mod spec;
pub mod superblock;
pub mod uuid;

pub use finder::{Finder, describe};
pub use pace::Pace;
pub use search::Search;
pub use spec::RootSpec;
