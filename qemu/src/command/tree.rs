//! `modstrap-qemu tree`: the root tree of the tests as a directory, to share by 9p or to change by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use modstrap_qemu::tree;

#[derive(Args, Debug)]
pub struct Arguments {
    /// The directory to make
    directory: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    tree::write(&arguments.directory)?;
    Ok(ExitCode::SUCCESS)
}
