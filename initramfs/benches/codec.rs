//! What modules measure packed and how many instructions it takes to unpack them, next to zstd and xz.
//!
//! `cargo bench -p modstrap-initramfs --bench codec` takes the modules of a boot from an NVMe disk with ext4 or xfs, out
//! of the tree of set-up. `-- TREE LIST` behind it takes those whose names the file LIST has, out of another tree; and
//! `--sizes` leaves the instructions away. Each module is packed by itself, headers counted, and unpacked as a whole
//! into memory that is ready. The loader's code is compiled as it is in the loader (see the profile in the workspace's
//! manifest), the other decoders for speed.

#[path = "../tests/common/cache.rs"]
mod cache;
#[path = "common/callgrind.rs"]
mod callgrind;
#[path = "../tests/common/modules.rs"]
mod modules;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use liblzma::stream::{Action, Check, Stream};
use modstrap::module::{Blob, PADDING};
use modstrap_initramfs::Compress;
use modstrap_initramfs::cache::Cache;
use modstrap_initramfs::pack::pack_contents;
use rayon::prelude::*;

/// What a boot from such a disk loads.
const BOOT: &str = "nvme_core nvme ext4 jbd2 mbcache crc16 crc32c_intel crc32c_generic xfs libcrc32c";

/// What xz's `-e` adds to a level (`LZMA_PRESET_EXTREME`).
const EXTREME: u32 = 1 << 31;

/// What all the modules of a list may measure.
const MEMORY: usize = 1 << 30;

/// A way to pack modules.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// What the builder does, and so the loader; stored: by the filter alone.
    Ours(Compress),
    Zstd,
    Xz,
}

/// All of them, by the names that they are printed with.
const WAYS: [(&str, Way); 5] = [
    ("modstrap, best", Way::Ours(Compress::Best)),
    ("modstrap, fast", Way::Ours(Compress::Fast)),
    ("the filter alone", Way::Ours(Compress::Store)),
    ("zstd -19", Way::Zstd),
    ("xz -9e", Way::Xz),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["unpack", way, file] = arguments[..] {
        return repeat(way, Path::new(file));
    }
    // Without the word that `cargo bench` adds it is a test run, which has nothing to do here.
    if !arguments.contains(&"--bench") {
        return Ok(());
    }
    let with_instructions = !arguments.contains(&"--sizes");
    match arguments.into_iter().filter(|argument| !argument.starts_with("--")).collect::<Vec<_>>()[..] {
        [] => measure(&cache::kernels().join(cache::reference()), BOOT, with_instructions),
        [tree, list] => {
            let list = std::fs::read_to_string(list).with_context(|| list.to_string())?;
            measure(Path::new(tree), &list, with_instructions)
        }
        _ => bail!("usage: cargo bench -p modstrap-initramfs --bench codec [-- [TREE LIST] [--sizes]]"),
    }
}

/// Prints a line for each way.
fn measure(tree: &Path, list: &str, with_instructions: bool) -> Result<()> {
    let wanted: BTreeSet<String> = list.split_whitespace().map(normal).collect();
    let mut paths = modules::paths(tree);
    paths.retain(|path| modules::name(path).is_some_and(|name| wanted.contains(&name)));
    let raw: Vec<Vec<u8>> = paths.par_iter().map(|path| modules::read(path)).collect();
    let total: usize = raw.iter().map(Vec::len).sum();
    ensure!(total > 0, "{}: none of these modules is there", tree.display());
    println!("{}: {} modules of {} named, {total} bytes", tree.display(), raw.len(), wanted.len());
    let scratch = tempfile::tempdir()?;
    for (name, way) in WAYS {
        let packed: Vec<Vec<u8>> = raw.par_iter().map(|raw| way.pack(raw)).collect::<Result<_>>()?;
        let size: usize = packed.iter().map(|packed| packed.len() - way.padding()).sum();
        print!("{name:<16} {size:>10} bytes {:>5.1} %", 100.0 * size as f64 / total as f64);
        if with_instructions {
            let file = scratch.path().join("packed");
            std::fs::write(&file, archive(&raw, &packed))?;
            let count = |way: &str| {
                callgrind::instructions(
                    &["unpack", way].map(OsStr::new).into_iter().chain([file.as_os_str()]).collect::<Vec<_>>(),
                )
            };
            print!("  {:>6.2} instructions a byte", (count(name)? - count("none")?) as f64 / total as f64);
        }
        println!();
    }
    Ok(())
}

fn normal(name: &str) -> String {
    name.strip_suffix(".ko").unwrap_or(name).replace('-', "_")
}

/// The length of each module, that of its packed form, and this.
fn archive(raw: &[Vec<u8>], packed: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (raw, packed) in raw.iter().zip(packed) {
        archive.extend([raw.len(), packed.len()].map(|length| (length as u64).to_le_bytes()).concat());
        archive.extend(packed);
    }
    archive
}

/// Unpacks all that is in an archive.
fn repeat(way: &str, archive: &Path) -> Result<()> {
    let archive = std::fs::read(archive)?;
    let way = WAYS.iter().find(|(name, _)| *name == way).map(|(_, way)| *way);
    // Memory is ready in the loader too, as the kernel gives it. Here it is one piece, so that no allocator clears it.
    let (mut memory, mut scratch) = (vec![0; MEMORY], vec![0; MEMORY]);
    let mut free = memory.as_mut_slice();
    let mut rest = archive.as_slice();
    while let Some((lengths, behind)) = rest.split_first_chunk::<16>() {
        let [raw, packed] = [0, 8].map(|at| u64::from_le_bytes(*lengths[at..].first_chunk().unwrap()) as usize);
        let (packed, behind) = behind.split_at(packed);
        rest = behind;
        let (image, others) = free.split_at_mut_checked(raw).context("too many modules at once")?;
        free = others;
        if let Some(way) = way {
            way.unpack(packed, image, &mut scratch)?;
        }
    }
    Ok(())
}

impl Way {
    fn pack(self, raw: &[u8]) -> Result<Vec<u8>> {
        Ok(match self {
            Way::Ours(how) => pack_contents(&[raw.to_vec()], how, &Cache::none())?.bytes,
            Way::Zstd => zstd::bulk::compress(raw, 19)?,
            Way::Xz => {
                let encoder = Stream::new_easy_encoder(9 | EXTREME, Check::Crc32)?;
                let mut packed = Vec::new();
                liblzma::read::XzEncoder::new_stream(raw, encoder).read_to_end(&mut packed)?;
                packed
            }
        })
    }

    /// What stands behind all the blobs of an image once.
    fn padding(self) -> usize {
        if matches!(self, Way::Ours(_)) { PADDING } else { 0 }
    }

    fn unpack(self, packed: &[u8], image: &mut [u8], streams: &mut [u8]) -> Result<()> {
        let whole = match self {
            Way::Ours(_) => {
                let blob = Blob::at(packed, 0).context("a damaged blob")?;
                blob.unpack::<true>(image, streams).is_ok()
            }
            Way::Zstd => zstd::bulk::decompress_to_buffer(packed, image)? == image.len(),
            Way::Xz => {
                let mut decoder = Stream::new_stream_decoder(u64::MAX, 0)?;
                decoder.process(packed, image, Action::Finish)?;
                decoder.total_out() == image.len() as u64
            }
        };
        ensure!(whole, "a module is not whole");
        Ok(())
    }
}
