//! How many instructions one lookup takes and how many lines of cache it touches, in a table of fifty aliases and in one
//! of a whole tree.
//!
//! `cargo bench -p modstrap-initramfs` counts with callgrind, in a process that repeats the lookup, less what the same
//! process takes without it. The tree is the largest in the cache of set-up. The loader's code is compiled for its size,
//! as in the loader (see the profile in the workspace's manifest).

#[path = "../tests/common/cache.rs"]
mod cache;
#[path = "common/callgrind.rs"]
mod callgrind;

use std::ffi::OsStr;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use modstrap::store;
use modstrap::table::{Table, glob};
use modstrap_initramfs::table::{Builtin, Entry, Input, write};
use modstrap_initramfs::tree::Tree;

/// One name for each bus that matters, and for what is no bus.
const NAMES: [&str; 14] = [
    "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00",
    "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02",
    "usb:v046DpC52Bd1211dc00dsc00dp00ic03isc01ip01in00",
    "usb:v1D6Bp0104d0100dc00dsc00dp00ic08isc06ip50in00",
    "of:NmmcT(null)Crockchip,rk3288-dw-mshc",
    "acpi:PNP0C0A:PNP0C0B:",
    "hid:b0003g0001v0000046Dp0000C52B",
    "virtio:d00000002v00001AF4",
    "scsi:t-0x00",
    "platform:dwmmc_rockchip",
    "ext4",
    "crypto-crc32c",
    "dmi:bvnDellInc.:bvr1.2:bd01/02/2020:svnDellInc.:pnLatitude7400:pvr:rvnDellInc.:rn0ABC:rvrA00:cvnDellInc.:ct10:cvr:",
    "cpu:type:x86,ven0000fam0006mod008F:feature:,0000,0001,0002,0018,001A,0081,0089,0093,0094,0099,00E1,0125",
];

/// How often a lookup is repeated to be counted.
const TIMES: u64 = 100;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["repeat", times, table, name] => repeat(times.parse()?, table, name),
        // Without the word that `cargo bench` adds it is a test run, which has nothing to do here.
        [.., "--bench"] | ["--bench", ..] => measure(),
        _ => Ok(()),
    }
}

fn repeat(times: u64, table: &str, name: &str) -> Result<()> {
    let bytes = store::map(b"", table)?;
    let table = Table::view(&bytes).ok().context("no table")?;
    let mut name = name.as_bytes().to_vec();
    glob::normalise(&mut name);
    let mut found = 0;
    for _ in 0..times {
        table.lookup(black_box(&name), &mut |module| found += module.0 as usize);
    }
    black_box(found);
    Ok(())
}

fn measure() -> Result<()> {
    let (directory, release) = largest_tree()?;
    let whole = input(&Tree::read(&directory, &release, &ProgressBar::hidden())?);
    let scratch = tempfile::tempdir()?;
    let tables = [("fifty", fifty(&whole)), ("whole", whole)].map(|(name, input)| {
        let aliases: usize = input.modules.iter().map(|entry| 1 + entry.aliases.len()).sum();
        let path = scratch.path().join(name);
        write(&input).and_then(|bytes| Ok(std::fs::write(&path, bytes)?)).map(|()| (path, aliases))
    });
    let [fifty, whole] = tables;
    let ((fifty, few), (whole, many)) = (fifty?, whole?);
    println!("{release}: one lookup with {few} and with {many} names and aliases");
    println!("instructions     lines of cache");
    for name in NAMES {
        let (few, many) = (Cost::of(&fifty, name)?, Cost::of(&whole, name)?);
        println!("{:>7} {:>8} {:>6} {:>7}  {name}", few.instructions, many.instructions, few.lines, many.lines);
    }
    Ok(())
}

/// What one lookup takes.
struct Cost {
    instructions: u64,
    /// The lines of memory that the first lookup of a process touches, of those that it has not touched yet.
    lines: u64,
}

impl Cost {
    fn of(table: &Path, name: &str) -> Result<Cost> {
        // A process that does so many lookups.
        let count = |count: fn(&[&OsStr]) -> Result<u64>, times: u64| {
            count(&["repeat".as_ref(), times.to_string().as_ref(), table.as_os_str(), name.as_ref()])
        };
        let instructions = count(callgrind::instructions, TIMES)? - count(callgrind::instructions, 0)?;
        let lines = count(callgrind::lines, 1)? - count(callgrind::lines, 0)?;
        Ok(Cost { instructions: instructions / TIMES, lines })
    }
}

fn largest_tree() -> Result<(PathBuf, String)> {
    let kernels = cache::kernels();
    let trees = std::fs::read_dir(&kernels).with_context(|| format!("{}: run qemu/setup first", kernels.display()))?;
    let size = |path: &PathBuf| walk(path);
    let largest = trees.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).max_by_key(size);
    let largest = largest.with_context(|| format!("{} holds no tree: run qemu/setup first", kernels.display()))?;
    let release = largest.file_name().context("a tree without a name")?.to_string_lossy().into_owned();
    Ok((largest, release))
}

/// How many files lie below a directory.
fn walk(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() && !path.is_symlink() { walk(&path) } else { 1 }).sum()
}

/// A whole tree.
fn input(tree: &Tree) -> Input {
    let modules = tree.modules.iter().map(|module| entry(&module.name, module.aliases.clone()));
    let builtin = tree.builtin.modules().map(|(name, aliases)| Builtin { name, aliases });
    Input { modules: modules.collect(), builtin: builtin.collect(), ..Input::default() }
}

fn entry(name: &str, aliases: Vec<String>) -> Entry {
    Entry { aliases, ..Entry::new(name) }
}

/// About fifty of the aliases: those that the names ask for, and some of the others.
fn fifty(whole: &Input) -> Input {
    let names: Vec<Vec<u8>> = NAMES.iter().map(|name| normal(name)).collect();
    let all: usize = whole.modules.iter().map(|entry| 1 + entry.aliases.len()).sum();
    let mut modules = Vec::new();
    let mut count = 0;
    for module in &whole.modules {
        let mut taken: Vec<String> = Vec::new();
        for alias in &module.aliases {
            count += 1;
            let pattern = normal(alias);
            let asked = names.iter().any(|name| !name.starts_with(b"cpu") && glob::matches(&pattern, name));
            if asked || count % (all / 20) == 0 {
                taken.push(alias.clone());
            }
        }
        if !taken.is_empty() || names.contains(&normal(&module.name)) {
            modules.push(entry(&module.name, taken));
        }
    }
    Input { modules, ..Input::default() }
}

fn normal(text: &str) -> Vec<u8> {
    let mut text = text.as_bytes().to_vec();
    glob::normalise(&mut text);
    text
}
