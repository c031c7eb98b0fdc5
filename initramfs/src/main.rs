//! `modstrap`: builds and inspects initramfs images, from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use modstrap_initramfs::inspect::Inspection;
use modstrap_initramfs::{Compress, Options};

#[derive(Parser)]
#[command(
    version,
    about = "Builds and inspects initramfs images that load just what stands between a kernel and its root"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build an image from a kernel and its modules
    Build(Box<BuildArguments>),
    /// List what an image holds
    Inspect {
        /// The image
        image: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct BuildArguments {
    /// The kernel image: vmlinuz, Image or vmlinux
    #[arg(long, value_name = "VMLINUZ")]
    kernel: PathBuf,
    /// Its modules: /lib/modules/RELEASE, or a directory with lib/modules/RELEASE or RELEASE in it
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Where to write the image
    #[arg(short, long, value_name = "IMAGE")]
    output: PathBuf,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Name each missing firmware file
    #[arg(short, long)]
    verbose: bool,
}

impl BuildArguments {
    fn run(&self) -> Result<String> {
        let request = self.options.request(&self.kernel, &self.modules, Compress::Best);
        let summary = modstrap_initramfs::build(&request, &self.output)?;
        if self.json {
            return json(&summary);
        }
        let missing = summary.missing_firmware.iter().filter(|_| self.verbose);
        let missing: String = missing.map(|name| format!("missing   {name}\n")).collect();
        Ok(format!("{missing}{summary}"))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).context("cannot write JSON")
}

fn run(command: &Command) -> Result<String> {
    match command {
        Command::Build(arguments) => arguments.run(),
        Command::Inspect { image, json: true } => json(&Inspection::read(image)?),
        Command::Inspect { image, json: false } => Ok(Inspection::read(image)?.to_string()),
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(text) => {
            use std::io::Write;
            // A reader that has seen enough, as `head` does, is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("modstrap: {error:#}");
            ExitCode::FAILURE
        }
    }
}
