//! modstrap, the loader's parts: from an unpacked initramfs to the running real init.
//!
//! [`boot`] is the story; everything else is a part of it. What is pure here (the table, the command line,
//! superblocks) is shared with the host tools, so that they and their tests run the very code that boots.

#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "tools")]
pub mod applet;
pub mod boot;
pub mod cmdline;
pub mod device;
pub mod failure;
pub mod file;
pub mod handoff;
pub mod helper;
pub mod kernel;
pub mod machine;
pub mod module;
#[cfg(feature = "network")]
pub mod net;
pub mod packed;
pub mod report;
pub mod root;
pub mod store;
pub mod sys;
pub mod table;
pub mod text;
