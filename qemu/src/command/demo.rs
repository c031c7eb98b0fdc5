//! todo
use std::process::ExitCode;
use anyhow::Result;
use clap::Args;
#[derive(Args, Debug)]
pub struct Arguments {}
pub fn run(_: &Arguments) -> Result<ExitCode> { Ok(ExitCode::SUCCESS) }
