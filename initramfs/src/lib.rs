//! The builder: makes initramfs images from a kernel's own modules, and inspects them.
//!
//! [`build`] tells the story; each step has a file of its own:
//! [`kernel`] and [`tree`] read what the distribution ships, [`asks`] what modules' code asks for, [`config`] what the
//! administrator says; [`knowledge`] and [`requests`] add what no module says of itself, [`select`] and [`closure`]
//! choose and order, [`proof`] proves that the kernel takes it, [`pack`] compresses, [`table`] writes what the loader
//! looks things up in, [`archive`] and [`image`] put it all into the file that the kernel unpacks.
//!
//! [`contents`] takes an image apart again, for those who ask of it: [`inspect`] what it holds, [`why`] why it does so,
//! [`plan`] what a boot on the machine of a [`hardware`] record would load.

pub mod aliases;
pub mod archive;
pub mod asks;
pub mod builtin;
pub mod cache;
pub mod cause;
pub mod closure;
pub mod compression;
pub mod config;
pub mod contents;
pub mod digest;
pub mod files;
pub mod filter;
pub mod firmware;
pub mod hardware;
pub mod image;
pub mod inspect;
pub mod kernel;
pub mod knowledge;
pub mod loader;
pub mod module;
pub mod options;
pub mod pack;
pub mod pattern;
pub mod plan;
pub mod proof;
pub mod requests;
pub mod search;
pub mod select;
pub mod similar;
pub mod summary;
pub mod table;
pub mod tree;
pub mod why;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use modstrap::cmdline::{COMMAND_LINE, Words};
use modstrap::table::Class;
use serde::Serialize;

use crate::archive::Archive;
use crate::cache::{Cache, Identity};
use crate::cause::{Cause, Causes};
use crate::closure::Link;
use crate::config::Config;
use crate::kernel::Kernel;
use crate::knowledge::Knowledge;
use crate::loader::Loader;
pub use crate::options::Options;
use crate::proof::{Case, Proof};
use crate::select::{Member, Selection};
pub use crate::summary::Summary;
use crate::tree::Tree;

/// What to build.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The kernel image: vmlinuz, Image, vmlinux.
    pub kernel: PathBuf,
    /// /lib/modules/RELEASE itself, or a directory that holds lib/modules/RELEASE, usr/lib/modules/RELEASE or RELEASE.
    pub modules: PathBuf,
    /// Which drivers.
    pub hardware: Hardware,
    /// Network devices and network file systems too.
    pub with_net: bool,
    /// Modules to add, by name or alias.
    pub include: Vec<String>,
    /// Directories of modprobe.d, or files as they hold; of two files of one name that of the first counts.
    pub modprobe_d: Vec<PathBuf>,
    /// Where firmware files lie, as /lib/firmware; none are put in without.
    pub firmware: Option<PathBuf>,
    /// Further files.
    pub files: Vec<FileSpec>,
    /// An uncompressed cpio archive to stand first, such as microcode.
    pub early: Option<PathBuf>,
    /// Command-line words that the machine's own command line overrides.
    pub cmdline: String,
    /// How to pack the modules.
    pub compress: Compress,
    /// Pack every module anew, and keep nothing for later builds.
    pub no_cache: bool,
    /// A loader to take instead of the one that is part of this program.
    pub loader: Option<PathBuf>,
    /// What unpacks the loader, instead of the stub that is part of this program.
    pub stub: Option<PathBuf>,
    /// Module.symvers or System.map, to take the kernel's symbols from instead of its image.
    pub symbols: Option<PathBuf>,
    /// Refuse an image of which the proof of linking has so much as a warning.
    pub strict: bool,
    /// Make an image that the proof of linking refuses.
    pub force: bool,
    /// Show progress on standard error, if that is a terminal.
    pub progress: bool,
}

/// Which drivers an image holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Hardware {
    /// Every block device, file system and bus.
    #[default]
    Generic,
    /// What virtual machines have.
    Virtual,
    /// Every module of the tree.
    All,
    /// The modules named in a file, one name or modalias in a line, and what they need; or those for the machine of which
    /// the file is a [`hardware`] record.
    Names(PathBuf),
}

/// How modules are packed.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compress {
    /// As small as possible, in three times the work of fast
    #[default]
    Best,
    /// Quickly, and about 4 % larger
    Fast,
    /// Not at all: three times as large, for images that are then compressed as a whole
    Store,
    /// Neither compressed nor filtered: nothing is left for the boot to do
    None,
}

impl Compress {
    /// Whether the loader is packed too.
    fn packs_loader(self) -> bool {
        matches!(self, Compress::Best | Compress::Fast)
    }

    /// Its name and what it costs, for people.
    fn cost(self) -> &'static str {
        match self {
            Compress::Best => "best; fast takes a third of the time for 4 % more",
            Compress::Fast => "fast; best is 4 % smaller in three times the time",
            Compress::Store => "not compressed, for an image that will be as a whole; best is a third of that",
            Compress::None => "modules as they are, for the least work at boot; best is a sixth of that",
        }
    }
}

/// A file to put into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// A file or a directory.
    pub source: PathBuf,
    /// Where it goes in the image: the same path if none is given.
    pub dest: Option<String>,
}

/// Builds the image that `request` describes and writes it to `output`.
pub fn build(request: &Request, output: &Path) -> Result<Summary> {
    image::check_output(output)?;
    let Inputs { loader, early, mut archive, mtime } = Inputs::read(request)?;
    let kernel = Kernel::read(&request.kernel)?.with_symbols(request.symbols.as_deref())?;
    let config = Config::read(&request.modprobe_d)?;
    let cache = if request.no_cache { Cache::none() } else { Cache::of_user() };
    let mut tree = Tree::cached(&request.modules, &kernel.release, &cache, &progress(request, "reading modules"))?;
    let knowledge = Knowledge::built_in()?;
    tree.configure(config);
    tree.put_best_first(|module| knowledge.rank(module.into()));
    let selection = Selection::new(&tree, &knowledge, kernel.checks_signatures(), request)?;
    let proof = prove(request, &kernel, &tree, &selection)?;
    let loader = loader.unwrap_or_else(|| built_in_loader(request, &selection));
    loader.check(&archive, &tree, request.force)?;
    let loader = loader.into_file(request.compress.packs_loader(), request.stub.as_deref())?;

    let blobs = pack_selection(request, &tree, &selection, &cache)?;
    let table = table::write(&table_input(request, &kernel, &tree, &selection, &blobs, &proof))?;
    let firmware = selection.firmware(&tree);
    let missing_firmware = firmware::add(&mut archive, request.firmware.as_deref(), &kernel.release, &firmware)?;
    let causes = Causes::of(request, &selection).pack()?;
    let unusable = tree.unusable.iter().enumerate().filter(|(index, _)| !selection.missed.contains(index));
    let unusable = unusable.map(|(_, file)| file.finding()).collect();
    let parts = image::Parts { loader: &loader, table: &table, blobs: &blobs.bytes, causes: &causes };
    image::add_skeleton(&mut archive, &parts)?;
    let image_bytes = image::write(output, &early, &archive, mtime)?;
    Ok(Summary {
        image: output.to_path_buf(),
        release: kernel.release,
        build_id: kernel.build_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        modules: selection.members.len(),
        modules_in_tree: tree.modules.len(),
        compress: request.compress,
        raw_bytes: blobs.places.iter().map(|place| place.raw as u64).sum(),
        packed_bytes: blobs.places.iter().map(|place| place.packed as u64).sum(),
        table_bytes: table.len() as u64,
        loader_bytes: loader.len() as u64,
        early_bytes: early.len() as u64,
        image_bytes,
        unknown_requests: selection.unknown,
        builtin: selection.builtin.into_iter().collect(),
        missing_firmware,
        without_interpreter: files::without_interpreter(&archive),
        notes: tree.config.told(false),
        warnings: tree.config.told(true).into_iter().chain(selection.warnings).collect(),
        unanswered: selection.unanswered,
        duplicates: tree.duplicates,
        unusable,
        proof,
    })
}

/// What a request names beside kernel and modules, read first, since mistakes show there at once.
struct Inputs {
    /// The loader that the user gave, if any.
    loader: Option<Loader>,
    early: Vec<u8>,
    /// The user's files.
    archive: Archive,
    /// The time that files in the image have.
    mtime: u32,
}

impl Inputs {
    fn read(request: &Request) -> Result<Inputs> {
        let mut archive = Archive::default();
        check_defaults(&request.cmdline)?;
        request.files.iter().try_for_each(|file| file.add_to(&mut archive))?;
        Ok(Inputs {
            loader: request.loader.as_deref().map(Loader::read).transpose()?,
            early: request.early.as_deref().map(files::read_early).transpose()?.unwrap_or_default(),
            archive,
            mtime: image::source_date_epoch()?,
        })
    }
}

/// The machine's own words are read behind the defaults: nothing among these may swallow them.
fn check_defaults(words: &str) -> Result<()> {
    let joined = format!("{words} own");
    let last = Words::new(joined.as_bytes()).last();
    ensure!(
        last.is_some_and(|last| last.key == b"own"),
        "--cmdline {words:?}: a `--` or an open quote would swallow the words of the machine's own command line"
    );
    ensure!(
        words.len() < COMMAND_LINE,
        "--cmdline: {} bytes are more than a kernel command line can hold ({COMMAND_LINE})",
        words.len()
    );
    Ok(())
}

fn pack_selection(request: &Request, tree: &Tree, selection: &Selection, cache: &Cache) -> Result<pack::Blobs> {
    let members: Vec<usize> = selection.members.keys().copied().collect();
    let identities: Vec<Identity> = members.iter().map(|&index| tree.modules[index].identity()).collect();
    let progress = progress(request, "packing modules");
    pack::pack(&identities, request.compress, cache, &progress, |number| tree.content(members[number]))
}

/// The values of the table.
fn table_input(
    request: &Request,
    kernel: &Kernel,
    tree: &Tree,
    selection: &Selection,
    blobs: &pack::Blobs,
    proof: &Proof,
) -> table::Input {
    let numbers: HashMap<usize, usize> =
        selection.members.keys().enumerate().map(|(number, &index)| (index, number)).collect();
    let renumbered =
        |links: &[Link]| links.iter().map(|link| link.renumbered(|index| numbers[&index])).collect::<Vec<Link>>();
    let entries = selection.members.iter().zip(&blobs.places).map(|((&index, member), place)| {
        let module = &tree.modules[index];
        let further = selection.aliases.get(&index).into_iter().flatten();
        table::Entry {
            name: module.name.clone(),
            path: module.path.display().to_string(),
            class: member.nature.class,
            step: member.nature.step,
            disks: member.nature.disks,
            plan: renumbered(&member.plan),
            closure: renumbered(&member.closure),
            aliases: module.aliases.iter().chain(further).cloned().collect(),
            blacklisted: tree.config.is_blacklisted(&module.name),
            options: tree.config.options(&module.name),
            blob: place.offset,
        }
    });
    let configured = tree.config.aliases.iter().map(|alias| table::Configured {
        pattern: alias.pattern.clone(),
        module: tree.by_name(&alias.module).and_then(|index| numbers.get(&index).copied()),
    });
    table::Input {
        release: kernel.release.clone(),
        vermagic: kernel.expected_vermagic(&tree.modules).unwrap_or_default().to_string(),
        build_id: kernel.build_id.clone(),
        cmdline: defaults(&request.cmdline, selection),
        modules: entries.collect(),
        configured: configured.collect(),
        builtin: tree.builtin.modules().map(|(name, aliases)| table::Builtin { name, aliases }).collect(),
        // Where symbols will be missing the loader is to know who has them.
        symbols: if proof.holds(request.strict) { Vec::new() } else { exported(tree, selection) },
    }
}

/// The command-line words of an image: what is known of the machine's root, and then the user's, since the last counts.
fn defaults(words: &str, selection: &Selection) -> String {
    match selection.expected {
        Some(kind) => format!("modstrap.expect={} {words}", kind.name()).trim_end().to_string(),
        None => words.to_string(),
    }
}

/// The symbols that the modules of an image export, each with the module's number in the table.
fn exported(tree: &Tree, selection: &Selection) -> Vec<(String, usize)> {
    let exports = |index: &usize| tree.modules[*index].linkage.exports.iter().map(|(symbol, _)| symbol.to_string());
    let numbered = selection.members.keys().enumerate();
    numbered.flat_map(|(number, index)| exports(index).map(move |symbol| (symbol, number))).collect()
}

/// Proves that the kernel takes every selected module; without `--force`, an image that fails is not made.
fn prove(request: &Request, kernel: &Kernel, tree: &Tree, selection: &Selection) -> Result<Proof> {
    let proof = Proof::of(&Case {
        kernel,
        cmdline: &request.cmdline,
        subjects: proof::subjects::of_selection(tree, selection),
        others: proof::subjects::left_out(tree, selection),
        builtin: &tree.builtin.names,
    });
    let proof = proof.and(selection.missed.iter().map(|&index| tree.unusable[index].finding()));
    if request.force || proof.holds(request.strict) {
        return Ok(proof);
    }
    // Where all are of another kernel, that is the one thing to know.
    let releases: Vec<&str> = proof.other_releases().collect();
    let cause = match releases.first() {
        Some(release) if releases.len() >= selection.members.len() => {
            format!(": they are of {release}, and it is {}; give --modules of its own release", kernel.release)
        }
        _ => String::new(),
    };
    bail!(
        "{} would not load these modules{cause} (--force makes the image all the same):\n{}",
        request.kernel.display(),
        proof.to_string().trim_end()
    );
}

/// The loader that is part of this program, for such a selection: with network where it is to have one.
fn built_in_loader(request: &Request, selection: &Selection) -> Loader {
    // What others bring along, such as a transport of 9p, is no wish for a network.
    let is_wanted = |cause: &Cause| matches!(cause, Cause::Hardware | Cause::Named(_));
    let has_net = |member: &Member| member.nature.class == Class::Net && is_wanted(&member.cause);
    Loader::built_in(request.with_net || selection.members.values().any(has_net))
}

/// A progress bar, if the request wants one.
fn progress(request: &Request, what: &'static str) -> ProgressBar {
    if request.progress { progress_bar(what) } else { ProgressBar::hidden() }
}

/// A progress bar on standard error, if that is a terminal.
pub fn progress_bar(what: &'static str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:16} {bar:40} {pos}/{len}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style).with_message(what).with_finish(ProgressFinish::AndClear)
}
