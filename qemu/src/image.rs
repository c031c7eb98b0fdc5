//! The initramfs image of a boot, made by the builder's library.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use modstrap_initramfs::{Compress, FileSpec, Hardware, Request, Summary};

/// The builder's options, as `modstrap build` takes them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Image, where none is given")]
pub struct Options {
    /// Which drivers: generic, virtual, or a file with a module name or modalias in each line
    #[arg(long, value_name = "KIND", default_value = "generic")]
    hardware: String,
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
    /// Command-line words that --append overrides
    #[arg(long, value_name = "WORDS", default_value = "", allow_hyphen_values = true)]
    cmdline: String,
    /// How to pack modules; quickly unless given, since the image is used once
    #[arg(long, value_name = "HOW", default_value = "fast")]
    compress: Packing,
    /// Take another loader
    #[arg(long, value_name = "FILE")]
    loader: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum With {
    Net,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Packing {
    Best,
    Fast,
    Store,
}

impl Options {
    /// The builder's request for this kernel.
    pub fn request(&self, kernel: &Path, modules: &Path) -> Request {
        Request {
            kernel: kernel.into(),
            modules: modules.into(),
            hardware: match self.hardware.as_str() {
                "generic" => Hardware::Generic,
                "virtual" => Hardware::Virtual,
                list => Hardware::Names(list.into()),
            },
            with_net: self.with.contains(&With::Net),
            include: self.include.clone(),
            firmware: self.firmware.clone(),
            files: self.file.iter().map(|text| FileSpec::parse(text)).collect(),
            early: self.early.clone(),
            cmdline: self.cmdline.clone(),
            compress: match self.compress {
                Packing::Best => Compress::Best,
                Packing::Fast => Compress::Fast,
                Packing::Store => Compress::Store,
            },
            loader: self.loader.clone(),
            progress: true,
        }
    }
}

/// Builds the image that `request` describes.
pub fn build(request: &Request, output: &Path) -> Result<Summary> {
    modstrap_initramfs::build(request, output)
        .with_context(|| format!("cannot build an image for {}", request.kernel.display()))
}
