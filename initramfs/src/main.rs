//! `modstrap`: builds and inspects initramfs images, from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use modstrap_initramfs::inspect::Inspection;
use modstrap_initramfs::{Compress, FileSpec, Hardware, Request};

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
    /// Which drivers: generic, virtual, or a file with a module name or modalias in each line
    #[arg(long, value_name = "generic|virtual|NAME-LIST-FILE", default_value = "generic", value_parser = parse_hardware)]
    hardware: Hardware,
    /// Add network devices and network file systems
    #[arg(long, value_name = "WHAT")]
    with: Vec<With>,
    /// Add a module and what it needs
    #[arg(long, value_name = "NAME")]
    include: Vec<String>,
    /// Add the firmware that the modules may ask for, from here
    #[arg(long, value_name = "DIR")]
    firmware: Option<PathBuf>,
    /// Add a file or directory
    #[arg(long, value_name = "SRC[:DEST]")]
    file: Vec<String>,
    /// Put this uncompressed archive (microcode) first
    #[arg(long, value_name = "CPIO")]
    early: Option<PathBuf>,
    /// Command-line words that the machine's own command line overrides
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// How to pack modules: smallest, quickly, or not at all
    #[arg(long, value_enum, default_value_t = Level::Best)]
    compress: Level,
    /// Take another loader, as for another architecture
    #[arg(long, value_name = "FILE")]
    loader: Option<PathBuf>,
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum With {
    Net,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    Best,
    Fast,
    Store,
}

fn parse_hardware(text: &str) -> Result<Hardware, std::convert::Infallible> {
    Ok(match text {
        "generic" => Hardware::Generic,
        "virtual" => Hardware::Virtual,
        file => Hardware::Names(file.into()),
    })
}

impl BuildArguments {
    fn request(&self) -> Request {
        Request {
            kernel: self.kernel.clone(),
            modules: self.modules.clone(),
            hardware: self.hardware.clone(),
            with_net: self.with.contains(&With::Net),
            include: self.include.clone(),
            firmware: self.firmware.clone(),
            files: self.file.iter().map(|text| FileSpec::parse(text)).collect(),
            early: self.early.clone(),
            cmdline: self.cmdline.clone(),
            compress: match self.compress {
                Level::Best => Compress::Best,
                Level::Fast => Compress::Fast,
                Level::Store => Compress::Store,
            },
            loader: self.loader.clone(),
            progress: true,
        }
    }

    fn run(&self) -> Result<String> {
        let summary = modstrap_initramfs::build(&self.request(), &self.output)?;
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
