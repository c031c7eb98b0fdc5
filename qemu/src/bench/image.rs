//! The images of the benchmark.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use indicatif::ProgressBar;
use modstrap_initramfs::archive::{Archive, Node};
use modstrap_initramfs::digest::{alias, signed_by};
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Hardware, Request, image};

use super::{Bench, FLOOR};
use crate::drive::Bus;

/// An image to be measured.
pub(super) struct Image {
    pub file: PathBuf,
    /// How many modules it holds.
    pub modules: usize,
}

/// A bus as the command line has it.
pub(super) fn title(bus: Bus) -> String {
    bus.to_possible_value().map(|value| value.get_name().to_string()).unwrap_or_default()
}

/// Writes a program that may be run.
pub(super) fn write_program(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// An image of ours, as the builder makes it.
pub(super) fn ours(bench: &Bench, name: &str, hardware: Hardware) -> Result<Image> {
    let file = bench.work.path().join(format!("{name}.img"));
    let request = Request {
        kernel: bench.kernel.image.clone(),
        modules: bench.kernel.modules.clone(),
        compress: bench.compress,
        hardware,
        progress: true,
        ..Request::default()
    };
    let summary = crate::image::build(&request, &file)?;
    Ok(Image { file, modules: summary.modules })
}

/// The images of the floors for a machine that needs these modules, given in an order in which they load: the smart one,
/// where a digest's provider is among them, and the naive one, which leaves that out.
pub(super) fn floors(bench: &Bench, loaded: &[String]) -> Result<(Option<Image>, Image)> {
    let tree = Tree::read(&bench.kernel.modules, &bench.kernel.release, &ProgressBar::hidden())?;
    let digest = tree.modules.iter().find_map(signed_by).map(|digest| tree.find(&alias(digest)).modules);
    let providers: Vec<&str> = digest.iter().flatten().map(|&index| &*tree.modules[index].name).collect();
    let (digest, plain): (Vec<&String>, Vec<&String>) =
        loaded.iter().partition(|name| providers.contains(&name.as_str()));
    let naive = floor(bench, &tree, "naive", &plain)?;
    let smart = match digest.is_empty() {
        true => None,
        false => Some(floor(bench, &tree, "smart", &[digest, plain].concat())?),
    };
    Ok((smart, naive))
}

fn floor(bench: &Bench, tree: &Tree, name: &str, modules: &[&String]) -> Result<Image> {
    let mut archive = Archive::default();
    archive.add("/init", Node::File { mode: 0o755, content: FLOOR.to_vec() })?;
    // The kernel gives the console to /init only where there is a node for it.
    archive.add("/dev/console", Node::Device { mode: 0o600, number: (5, 1) })?;
    for (number, module) in modules.iter().enumerate() {
        let index = tree.by_name(module).with_context(|| format!("the tree has no module {module}"))?;
        archive.add(&format!("/modules/{number}"), Node::File { mode: 0o644, content: tree.content(index)? })?;
    }
    let file = bench.work.path().join(format!("{name}.img"));
    image::write(&file, &[], &archive, 0)?;
    Ok(Image { file, modules: modules.len() })
}
