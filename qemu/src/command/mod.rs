//! The subcommands: each is its arguments and a `run`.

pub mod bench;
pub mod boot;
pub mod demo;
pub mod disk;
mod repeat;
pub mod tree;
