//! The kernels to boot: those that `qemu/setup` unpacked into the cache, else the machine's own.

mod source;

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use modstrap_initramfs::cache::of_user;

pub use source::resolve;

/// A kernel with its modules, as its package ships them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` says: `6.12.95+deb12-amd64`.
    pub release: String,
    /// The boot image, `vmlinuz`.
    pub image: PathBuf,
    /// The module tree, `lib/modules/<release>`.
    pub modules: PathBuf,
}

impl Kernel {
    /// The distribution's name of the build: `amd64`, `cloud-amd64`, `generic`.
    pub fn flavour(&self) -> &str {
        let (_, mut rest) = self.release.split_once('-').unwrap_or_default();
        while let Some((_, after)) = rest.split_once('-').filter(|(word, _)| is_number(word)) {
            rest = after;
        }
        rest
    }

    /// Whether the release belongs to a series such as `6.12`.
    pub fn is_of(&self, series: &str) -> bool {
        self.release.strip_prefix(series).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// The harness's cache: `$MODSTRAP_CACHE`, else `modstrap` in the user's cache directory.
pub fn cache() -> Result<PathBuf> {
    of_user(|_| true).context("neither MODSTRAP_CACHE nor HOME says where the cache is")
}

/// All kernels of the cache, the newest first.
pub fn all() -> Result<Vec<Kernel>> {
    let directory = cache()?.join("kernels");
    let Ok(entries) = fs::read_dir(&directory) else { return Ok(Vec::new()) };
    let mut kernels: Vec<Kernel> = entries.filter_map(|entry| unpacked(&entry.ok()?.path())).collect();
    kernels.sort_by_cached_key(|kernel| Reverse(version_key(&kernel.release)));
    Ok(kernels)
}

/// The newest cached kernel of a series (`6.12`) and a flavour (`amd64`, `cloud-amd64`).
pub fn find(series: &str, flavour: &str) -> Result<Kernel> {
    all()?
        .into_iter()
        .find(|kernel| kernel.is_of(series) && kernel.flavour() == flavour)
        .with_context(|| format!("there is no {series} {flavour} kernel in the cache: run `qemu/setup tests`"))
}

/// The kernel of the demo: the newest for any machine (not a cloud kernel), from the cache or the machine's own.
pub fn distribution() -> Result<Kernel> {
    all()?
        .into_iter()
        .chain(installed())
        .find(|kernel| !kernel.flavour().starts_with("cloud"))
        .context("there is no kernel to boot: run `qemu/setup demo`")
}

/// A package unpacked in `directory`, whose name is the release.
fn unpacked(directory: &Path) -> Option<Kernel> {
    let release = directory.file_name()?.to_str()?.to_owned();
    let modules = ["lib/modules", "usr/lib/modules"].map(|path| directory.join(path).join(&release));
    let modules = modules.into_iter().find(|path| path.is_dir())?;
    let image = directory.join(format!("boot/vmlinuz-{release}"));
    image.is_file().then_some(Kernel { release, image, modules })
}

/// The machine's own kernels, where their images may be read.
fn installed() -> Vec<Kernel> {
    let Ok(entries) = fs::read_dir("/lib/modules") else { return Vec::new() };
    let mut kernels: Vec<Kernel> = entries.filter_map(|entry| own(entry.ok()?.path())).collect();
    kernels.sort_by_cached_key(|kernel| Reverse(version_key(&kernel.release)));
    kernels
}

fn own(modules: PathBuf) -> Option<Kernel> {
    let release = modules.file_name()?.to_str()?.to_owned();
    let candidates = [Path::new("/boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
    let image = candidates.into_iter().find(|path| fs::File::open(path).is_ok())?;
    Some(Kernel { release, image, modules })
}

/// Numbers as numbers, words as words, so that 6.12 is newer than 6.9.
fn version_key(release: &str) -> Vec<(u64, String)> {
    release
        .split(['.', '-', '+', '~', '_'])
        .map(|word| {
            let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (word[..digits].parse().unwrap_or(0), word[digits..].to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(release: &str) -> Kernel {
        Kernel { release: release.into(), image: PathBuf::new(), modules: PathBuf::new() }
    }

    #[test]
    fn the_flavour_follows_the_numbers() {
        for (release, flavour) in [
            ("6.12.95+deb12-amd64", "amd64"),
            ("6.12.95+deb12-cloud-amd64", "cloud-amd64"),
            ("6.1.0-50-cloud-amd64", "cloud-amd64"),
            ("6.8.0-31-generic", "generic"),
            ("6.18.2", ""),
        ] {
            assert_eq!(kernel(release).flavour(), flavour, "{release}");
        }
    }

    #[test]
    fn a_series_is_not_a_prefix_of_digits() {
        assert!(kernel("6.1.0-50-amd64").is_of("6.1"));
        assert!(!kernel("6.12.95-amd64").is_of("6.1"));
    }

    #[test]
    fn numbers_sort_as_numbers() {
        assert!(version_key("6.12.9+deb12-amd64") > version_key("6.9.100+deb12-amd64"));
        assert!(version_key("6.1.0-50-amd64") > version_key("6.1.0-9-amd64"));
    }
}
