//! The root: what `root=` means, finding it, and mounting it.

pub mod mount;
pub mod partition;
pub mod search;
pub mod spec;
pub mod superblock;
pub mod uuid;
mod wait;

pub use search::Search;
pub use spec::RootSpec;
pub use wait::Wait;
