//! `modstrap`: builds and inspects initramfs images, from the command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use modstrap_initramfs::hardware::capture;
use modstrap_initramfs::inspect::Inspection;
use modstrap_initramfs::plan::{Given, plan};
use modstrap_initramfs::proof::check::{Modules, Question};
use modstrap_initramfs::why::why;
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
    /// Print what a boot of an image would load, in order, and whether it would reach its root: by the loader's own
    /// code, on the record of a machine. Fails where the boot would
    Plan(PlanArguments),
    /// Record this machine's devices for `plan` and for `build --hardware`: one small text file without serial numbers, UUIDs, labels, addresses or
    /// names of hosts
    Hardware {
        /// Where to write the record, instead of printing it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Of another machine, from a copy of its /sys; which disk holds the root is not known then
        #[arg(long, value_name = "DIR")]
        sysfs: Option<PathBuf>,
    },
    /// Prove that a kernel loads all modules of a tree, or of an image in its order
    #[command(override_usage = "modstrap check [OPTIONS] --kernel <VMLINUZ> <--modules <DIR>|IMAGE>")]
    Check(CheckArguments),
    /// Say through which chain a module got into an image: from it to what was asked for
    Why {
        /// The image
        image: PathBuf,
        /// The module's name, or an alias
        #[arg(value_name = "MODULE")]
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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
    /// Name each missing firmware file, and each modalias of the hardware that nothing answers to
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Args)]
struct PlanArguments {
    /// The image
    image: PathBuf,
    #[command(flatten)]
    machine: MachineArguments,
    /// The machine's kernel command line. A record holds no UUIDs and labels: any root= that compares with one means the
    /// disk that the record marks as the root
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct MachineArguments {
    /// The record of the machine, made by `modstrap hardware`
    #[arg(long, value_name = "FILE")]
    hardware: Option<PathBuf>,
    /// A device instead of a machine: what it would load before a root came
    #[arg(long, value_name = "MODALIAS")]
    modalias: Vec<String>,
}

impl PlanArguments {
    /// The plan, and whether it is one of a boot that succeeds.
    fn run(&self) -> Result<(String, bool)> {
        let given = match &self.machine.hardware {
            Some(record) => Given::Record(record.clone()),
            None => Given::Modaliases(self.machine.modalias.clone()),
        };
        let plan = plan(&self.image, &given, &self.cmdline)?;
        let succeeds = plan.failure.is_none();
        Ok((if self.json { json(&plan)? } else { plan.to_string() }, succeeds))
    }
}

/// Captures a record; the text to print, which is none where it went into a file.
fn hardware(output: Option<&Path>, sysfs: Option<&Path>) -> Result<String> {
    let record = sysfs.map_or_else(capture::running, capture::copied)?.to_string();
    let Some(output) = output else { return Ok(record.trim_end().to_string()) };
    std::fs::write(output, record).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(String::new())
}

impl BuildArguments {
    fn run(&self) -> Result<String> {
        let request = self.options.request(&self.kernel, &self.modules, Compress::Best);
        let summary = modstrap_initramfs::build(&request, &self.output)?;
        if self.json {
            return json(&summary);
        }
        let mut text = String::new();
        if self.verbose {
            text.extend(summary.missing_firmware.iter().map(|missing| format!("missing   {missing}\n")));
            text.extend(summary.unanswered.iter().map(|modalias| format!("unknown   {modalias}\n")));
        }
        Ok(format!("{text}{summary}"))
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
    fn run(&self) -> Result<(String, bool)> {
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
        Ok((if self.json { json(&answer)? } else { answer.to_string() }, answer.holds))
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).context("cannot write JSON")
}

/// Does what a command says: the text to print, and whether it is good news.
fn run(command: &Command) -> Result<(String, bool)> {
    let text = match command {
        Command::Build(arguments) => arguments.run()?,
        Command::Check(arguments) => return arguments.run(),
        Command::Plan(arguments) => return arguments.run(),
        Command::Hardware { output, sysfs } => hardware(output.as_deref(), sysfs.as_deref())?,
        Command::Why { image, name, json: true } => json(&why(image, name)?)?,
        Command::Why { image, name, json: false } => why(image, name)?.to_string(),
        Command::Inspect { image, json: true } => json(&Inspection::read(image)?)?,
        Command::Inspect { image, json: false } => Inspection::read(image)?.to_string(),
    };
    Ok((text, true))
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok((text, is_good)) => {
            use std::io::Write;
            if !text.is_empty() {
                // A reader that has seen enough, as `head` does, is no failure.
                let _ = writeln!(std::io::stdout(), "{text}");
            }
            if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("modstrap: {error:#}");
            ExitCode::FAILURE
        }
    }
}
