//! The root: what `root=` means, finding it, and mounting it.

pub mod mount;
mod pace;
pub mod partition;
pub mod search;
pub mod spec;
pub mod superblock;
pub mod uuid;

pub use pace::Pace;
pub use search::Search;
pub use spec::RootSpec;
