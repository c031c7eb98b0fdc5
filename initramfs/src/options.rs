//! The words of a command line that describe an image: one set, for `modstrap build` and for whoever builds on the way.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::{Compress, FileSpec, Hardware, Request};

/// What goes into an image, and how.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Which drivers: generic, virtual, all modules there are, or what a file says: a module name or modalias in each line,
    /// or the record of a machine, made by `modstrap hardware`
    #[arg(long, value_name = "generic|virtual|all|FILE", default_value = "generic", value_parser = parse_hardware)]
    hardware: Hardware,
    /// Add network devices and network file systems
    #[arg(long, value_name = "WHAT")]
    with: Vec<With>,
    /// Add a module and what it needs
    #[arg(long, value_name = "NAME")]
    include: Vec<String>,
    /// Heed what modprobe.d says: parameters, aliases, blacklists and soft dependencies from this directory or file, such
    /// as /etc/modprobe.d. Of two files of one name the first counts. Nothing is read unless given
    #[arg(long, value_name = "DIR")]
    modprobe_d: Vec<PathBuf>,
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
    #[arg(long, value_name = "HOW")]
    compress: Option<Compress>,
    /// Pack every module anew, and keep nothing for later builds
    #[arg(long)]
    no_cache: bool,
    /// Take another loader, as for another architecture
    #[arg(long, value_name = "FILE")]
    loader: Option<PathBuf>,
    /// Take another stub to unpack the loader, as for another architecture
    #[arg(long, value_name = "FILE", requires = "loader")]
    stub: Option<PathBuf>,
    /// Take the kernel's symbols from here instead of its image
    #[arg(long, value_name = "Module.symvers|System.map")]
    symbols: Option<PathBuf>,
    /// Refuse an image of which the proof of linking has so much as a warning
    #[arg(long)]
    strict: bool,
    /// Make the image even if the kernel would refuse modules in it, and leave out what cannot be taken or ordered
    #[arg(long, conflicts_with = "strict")]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum With {
    Net,
}

fn parse_hardware(text: &str) -> Result<Hardware, Infallible> {
    Ok(match text {
        "generic" => Hardware::Generic,
        "virtual" => Hardware::Virtual,
        "all" => Hardware::All,
        file => Hardware::Names(file.into()),
    })
}

impl Options {
    /// The request for an image of this kernel, packed as `compress` says where the user does not.
    pub fn request(&self, kernel: &Path, modules: &Path, compress: Compress) -> Request {
        Request {
            kernel: kernel.into(),
            modules: modules.into(),
            hardware: self.hardware.clone(),
            with_net: self.with.contains(&With::Net),
            include: self.include.clone(),
            modprobe_d: self.modprobe_d.clone(),
            firmware: self.firmware.clone(),
            files: self.file.iter().map(|text| FileSpec::parse(text)).collect(),
            early: self.early.clone(),
            cmdline: self.cmdline.clone(),
            compress: self.compress.unwrap_or(compress),
            no_cache: self.no_cache,
            loader: self.loader.clone(),
            stub: self.stub.clone(),
            symbols: self.symbols.clone(),
            strict: self.strict,
            force: self.force,
            progress: true,
        }
    }
}
