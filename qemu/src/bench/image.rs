//! The images of the benchmark.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap_initramfs::archive::{Archive, Node};
use modstrap_initramfs::contents::Contents;
use modstrap_initramfs::digest::{alias, signed_by};
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Hardware, Request, image};

use super::{Bench, FLOOR};

/// An image to be measured.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub file: PathBuf,
    /// How many modules it holds.
    pub modules: usize,
}

impl Image {
    /// Its size.
    pub fn bytes(&self) -> Result<u64> {
        let metadata = fs::metadata(&self.file).with_context(|| format!("cannot read {}", self.file.display()))?;
        Ok(metadata.len())
    }
}

/// The image with the floor in the place of the loader: it then counts what the loader's parts cost.
pub(super) fn counting(image: &Image) -> Result<Image> {
    let bytes = fs::read(&image.file).with_context(|| format!("cannot read {}", image.file.display()))?;
    let contents = Contents::of(&bytes)?;
    let mut archive = Archive::default();
    let mut add = |path: &str, mode, content: &[u8]| archive.add(path, Node::File { mode, content: content.to_vec() });
    add("/init", 0o755, FLOOR)?;
    add(TABLE_PATH, 0o644, contents.table)?;
    add(BLOBS_PATH, 0o644, contents.blobs)?;
    archive.add("/dev/console", console())?;
    let file = image.file.with_extension("counting");
    image::write(&file, &[], &archive, 0)?;
    Ok(Image { file, ..image.clone() })
}

/// The kernel gives the console to /init only where there is a node for it.
fn console() -> Node {
    Node::Device { mode: 0o600, number: (5, 1) }
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

/// An image of ours with these modules and what they need.
pub(super) fn of_modules(bench: &Bench, name: &str, modules: &[String]) -> Result<Image> {
    let list = bench.work.path().join(format!("{name}.modules"));
    fs::write(&list, modules.join("\n")).context("cannot write the list of modules")?;
    ours(bench, name, Hardware::Names(list))
}

/// Which of these modules provide the digest by which modules are signed, and which do not.
pub(super) fn part_digest(tree: &Tree, loaded: &[String]) -> (Vec<String>, Vec<String>) {
    let digest = tree.modules.iter().find_map(signed_by).map(|digest| tree.find(&alias(digest)).modules);
    let providers: Vec<&str> = digest.iter().flatten().map(|&index| &*tree.modules[index].name).collect();
    loaded.iter().cloned().partition(|name| providers.contains(&name.as_str()))
}

/// The image of the floor with these modules, in an order in which they load.
pub(super) fn floor(bench: &Bench, tree: &Tree, name: &str, modules: &[String]) -> Result<Image> {
    let mut archive = Archive::default();
    archive.add("/init", Node::File { mode: 0o755, content: FLOOR.to_vec() })?;
    archive.add("/dev/console", console())?;
    for (number, module) in modules.iter().enumerate() {
        let index = tree.by_name(module).with_context(|| format!("the tree has no module {module}"))?;
        archive.add(&format!("/modules/{number}"), Node::File { mode: 0o644, content: tree.content(index)? })?;
    }
    let file = bench.work.path().join(format!("{name}.img"));
    image::write(&file, &[], &archive, 0)?;
    Ok(Image { file, modules: modules.len() })
}
