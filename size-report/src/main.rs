//! `size-report`: prints where the bytes of the loader or of an image go. Exits 1 when the loader exceeds its budget
//! or is not freestanding, and on every other error.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use size_report::against::Against;
use size_report::budget::Budget;
use size_report::image::{Image, ImageReport};
use size_report::loader::Loader;
use size_report::make::{Built, Workspace};
use size_report::packed::{self, Sizes};
use size_report::treemap::Tile;
use size_report::{Report, drawing, freestanding, text};

/// Builds the loader and prints where its bytes go: by section, crate, source module and function. Fails when it is larger
/// than its budget, and when it is not a static program without interpreter and libc.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Print where the bytes of this image go instead: by part, stage of the codec, kind of section and module
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["loader", "budget", "against"])]
    image: Option<PathBuf>,
    /// Measure this file instead of building the loader (for builds that need flags of their own)
    #[arg(long, value_name = "FILE", requires = "symbols")]
    loader: Option<PathBuf>,
    /// The same code as --loader, linked with section headers and symbols
    #[arg(long, value_name = "FILE", requires = "loader")]
    symbols: Option<PathBuf>,
    /// The budget file [default: size-report/budget.toml of the workspace]
    #[arg(long, value_name = "FILE")]
    budget: Option<PathBuf>,
    /// Print what each feature adds to the loader instead: as it is linked, and packed
    #[arg(long, conflicts_with_all = ["image", "loader", "budget", "against"])]
    by_feature: bool,
    /// Show what changed since: since the report in a file, an earlier output of --json, or since a revision of git,
    /// whose loader is then built too
    #[arg(long, value_name = "FILE|REVISION")]
    against: Option<String>,
    /// How many functions to name, of the largest and of those that changed most; --json has all
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with_all = ["image", "by_feature"])]
    functions: usize,
    /// How many modules of an image to name, the largest first; --json has all
    #[arg(long, value_name = "N", default_value_t = 20, requires = "image")]
    modules: usize,
    /// Draw a treemap of the loader, or of the image, into this file too, as SVG
    #[arg(long, value_name = "FILE", conflicts_with = "by_feature")]
    svg: Option<PathBuf>,
    /// Print JSON for machines, and nothing else, on standard output
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.image {
        Some(image) => report_image(image, &arguments),
        None if arguments.by_feature => report_features(arguments.json),
        None => report_loader(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("size-report: {error:#}");
        ExitCode::FAILURE
    })
}

fn report_image(path: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let report = ImageReport { image: Image::read(path)? };
    draw(arguments, || Tile::from(&report.image))?;
    print(&report, arguments.json, |report| text::image(&report.image, arguments.modules))?;
    Ok(ExitCode::SUCCESS)
}

fn report_features(json: bool) -> Result<ExitCode> {
    print(&packed::by_feature(&Workspace::find()?)?, json, |sizes| text::features(sizes))?;
    Ok(ExitCode::SUCCESS)
}

fn report_loader(arguments: &Arguments) -> Result<ExitCode> {
    let report = measure(&Workspace::find()?, arguments)?;
    draw(arguments, || Tile::from(&report.loader))?;
    print(&report, arguments.json, |report| text::report(report, arguments.functions))?;
    if !report.budget.ok {
        eprintln!("size-report: {}", text::over_budget(&report));
    }
    for sizes in report.packed.iter().filter(|sizes| !sizes.ok()) {
        eprintln!("size-report: {}", text::over_limit(sizes));
    }
    let ok = report.budget.ok && report.packed.iter().all(Sizes::ok);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(workspace: &Workspace, arguments: &Arguments) -> Result<Report> {
    let budget = Budget::read(&arguments.budget.clone().unwrap_or_else(|| workspace.budget()))?;
    let against = arguments.against.as_deref().map(|name| Against::find(workspace, name)).transpose()?;
    let built = given(arguments).map_or_else(|| workspace.build_loader(), Ok)?;
    freestanding::check_files(&built)?;
    let loader = Loader::of(&built)?;
    let limits = budget.packed(&loader.arch)?;
    let packed = match arguments.loader {
        Some(_) => Vec::new(),
        None => packed::limited(workspace, limits)?,
    };
    let earlier = against.map(|against| against.measure(workspace, limits)).transpose()?;
    let delta = earlier.map(|earlier| earlier.compare(&loader, &packed)).transpose()?;
    Ok(Report { budget: budget.judge(&loader)?, loader, packed, delta })
}

/// The files that the user wants measured.
fn given(arguments: &Arguments) -> Option<Built> {
    Some(Built { shipped: arguments.loader.clone()?, symbols: arguments.symbols.clone()? })
}

/// Draws what was measured, if that is wanted.
fn draw(arguments: &Arguments, whole: impl FnOnce() -> Tile) -> Result<()> {
    let Some(path) = &arguments.svg else { return Ok(()) };
    fs::write(path, drawing::draw(&whole())).with_context(|| format!("cannot write {}", path.display()))
}

fn print<T: Serialize>(report: &T, json: bool, to_text: impl FnOnce(&T) -> String) -> Result<()> {
    let text = if json { serde_json::to_string_pretty(report)? + "\n" } else { to_text(report) };
    io::stdout().write_all(text.as_bytes()).context("cannot write the report")
}
