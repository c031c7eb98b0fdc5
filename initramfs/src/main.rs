//! `modstrap`: builds and inspects initramfs images, from the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use modstrap_initramfs::inspect::Inspection;
use modstrap_initramfs::proof::check::{Modules, Question};
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
    /// Prove that a kernel loads all modules of a tree, or of an image in its order
    Check(CheckArguments),
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

#[derive(Args)]
struct CheckArguments {
    /// The kernel image: vmlinuz, Image or vmlinux
    #[arg(long, value_name = "VMLINUZ")]
    kernel: PathBuf,
    /// The modules: /lib/modules/RELEASE, or a directory with lib/modules/RELEASE or RELEASE in it
    #[arg(long, value_name = "DIR", required_unless_present = "image", conflicts_with = "image")]
    modules: Option<PathBuf>,
    /// An image, instead
    image: Option<PathBuf>,
    /// Take the kernel's symbols from here instead of its image
    #[arg(long, value_name = "Module.symvers|System.map")]
    symbols: Option<PathBuf>,
    /// The words that the kernel will be started with, which may have it demand signatures
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl CheckArguments {
    fn run(&self) -> Result<(String, ExitCode)> {
        let modules = match (&self.modules, &self.image) {
            (Some(directory), _) => Modules::Tree(directory.clone()),
            (None, image) => Modules::Image(image.clone().unwrap_or_default()),
        };
        let question = Question {
            kernel: self.kernel.clone(),
            symbols: self.symbols.clone(),
            modules,
            cmdline: self.cmdline.clone(),
            strict: self.strict,
        };
        let answer = question.answer(&modstrap_initramfs::progress_bar("reading modules"))?;
        let code = if answer.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok((if self.json { json(&answer)? } else { answer.to_string() }, code))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).context("cannot write JSON")
}

/// What a command prints, and whether that is good news.
fn run(command: &Command) -> Result<(String, ExitCode)> {
    let text = match command {
        Command::Build(arguments) => arguments.run()?,
        Command::Check(arguments) => return arguments.run(),
        Command::Inspect { image, json: true } => json(&Inspection::read(image)?)?,
        Command::Inspect { image, json: false } => Inspection::read(image)?.to_string(),
    };
    Ok((text, ExitCode::SUCCESS))
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok((text, code)) => {
            use std::io::Write;
            // A reader that has seen enough, as `head` does, is no failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            code
        }
        Err(error) => {
            eprintln!("modstrap: {error:#}");
            ExitCode::FAILURE
        }
    }
}
