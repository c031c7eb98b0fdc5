//! `modstrap-qemu`: makes disks, boots them, says how it ended.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use command::{bench, boot, demo, disk, tree};

/// The boot harness of modstrap: disks without root rights, boots in QEMU, outcomes.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a disk image with a file system in it
    Disk(disk::Arguments),
    /// Make the root tree of the tests: busybox and an init that reports
    Tree(tree::Arguments),
    /// Boot a kernel with an image and disks; exits 0 only when the real init spoke
    Boot(Box<boot::Arguments>),
    /// Count the instructions of boots: ours, and those of programs that know everything beforehand
    Bench(bench::Arguments),
    /// Boot a stock kernel to a real init and sum up in one line; run qemu/demo, which also sets up
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Disk(arguments) => disk::run(arguments),
        Command::Tree(arguments) => tree::run(&arguments),
        Command::Boot(arguments) => boot::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        eprintln!("modstrap-qemu: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_words_of_the_command_line_fit_together() {
        super::Cli::command().debug_assert();
    }
}
