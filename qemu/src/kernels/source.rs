//! What people call a kernel: a release, a package, a directory that one was unpacked into, a build tree, an image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Kernel, all, cache, installed, unpacked, version_key};
use crate::tool::Tool;

const DPKG_DEB: Tool = Tool::new("dpkg-deb", "dpkg");
/// Writes what modprobe reads; a package leaves it to its installation.
const DEPMOD: Tool = Tool::new("depmod", "kmod");

/// Where a build leaves its image, below its own directory.
const BUILT: &str = "arch/x86/boot/bzImage";

/// Where modules are kept, below the root of a system or a package.
const CONTAINERS: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// The kernel that a user means by `given`: several Debian packages of one kernel, or one of
///
/// - a directory that a package was unpacked into, or that `make install modules_install` filled,
/// - a build tree, as `make` leaves it,
/// - a kernel image, whose modules are beside it, in its build tree, or installed,
/// - a release such as `6.12.95-amd64`, or its beginning, of the cache or the machine,
/// - nothing: the running kernel, if it is installed, else the newest of the cache, else of the machine.
pub fn resolve(given: &[PathBuf]) -> Result<Kernel> {
    match given {
        [] => newest(),
        packages if packages.iter().all(|path| path.extension().is_some_and(|end| end == "deb")) => {
            of_packages(packages)
        }
        [directory] if directory.is_dir() => of_directory(directory),
        [image] if image.is_file() => of_image(image),
        [name] => of_release(name),
        _ => bail!("several kernels are given; only the packages (.deb) of one kernel may be several"),
    }
}

fn newest() -> Result<Kernel> {
    let running = rustix::system::uname().release().to_string_lossy().into_owned();
    let own = installed();
    let found = own.iter().find(|kernel| kernel.release == running).cloned();
    let found = found.map_or_else(all, |kernel| Ok(vec![kernel]))?.into_iter().chain(own).next();
    found.context("there is no kernel to boot: give one with --kernel, or run `qemu/setup demo`")
}

fn of_release(name: &Path) -> Result<Kernel> {
    let release = name.to_string_lossy();
    let kernels: Vec<Kernel> = installed().into_iter().chain(all()?).collect();
    let exact = kernels.iter().find(|kernel| kernel.release == release);
    let found = exact.or_else(|| kernels.iter().find(|kernel| kernel.is_of(&release)));
    found.cloned().with_context(|| {
        let known: Vec<&str> = kernels.iter().map(|kernel| kernel.release.as_str()).collect();
        format!("{release} is neither a file nor a directory nor a kernel that is here: {}", known.join(" "))
    })
}

fn of_directory(directory: &Path) -> Result<Kernel> {
    let image = directory.join(BUILT);
    if image.is_file() {
        return Ok(Kernel { release: release(&image)?, image, modules: directory.into() });
    }
    let mut kernels: Vec<Kernel> = Vec::new();
    for container in CONTAINERS {
        let trees = fs::read_dir(directory.join(container)).into_iter().flatten().flatten();
        for tree in trees {
            let name = tree.file_name();
            let candidates =
                [directory.join("boot").join(format!("vmlinuz-{}", name.display())), tree.path().join("vmlinuz")];
            if let Some(image) = candidates.into_iter().find(|path| path.is_file()) {
                kernels.push(Kernel { release: name.to_string_lossy().into_owned(), image, modules: tree.path() });
            }
        }
    }
    kernels.sort_by_cached_key(|kernel| version_key(&kernel.release));
    kernels.pop().or_else(|| unpacked(directory)).with_context(|| {
        format!(
            "{} holds no kernel: neither {BUILT}, as a build leaves it, nor boot/vmlinuz-RELEASE with lib/modules/RELEASE, \
             as packages have it",
            directory.display()
        )
    })
}

/// An image alone says where its modules may be: in its build tree, in the system that it is part of, or in this one.
fn of_image(image: &Path) -> Result<Kernel> {
    let image = image.canonicalize().with_context(|| format!("cannot read {}", image.display()))?;
    let release = release(&image)?;
    let above: Vec<&Path> = image.ancestors().skip(1).collect();
    let build = above.iter().find(|directory| image.ends_with(BUILT) && directory.join(BUILT) == image);
    let systems = above.get(1).copied().into_iter().chain([Path::new("/")]);
    let trees = systems.flat_map(|system| CONTAINERS.map(|container| system.join(container).join(&release)));
    let modules = build.map(|directory| directory.to_path_buf()).into_iter().chain(trees).find(|path| path.is_dir());
    let modules = modules.with_context(|| {
        format!("{} is a kernel {release}, whose modules are nowhere near: give --modules", image.display())
    })?;
    Ok(Kernel { release, image, modules })
}

/// The release that an image tells.
fn release(image: &Path) -> Result<String> {
    Ok(modstrap_initramfs::kernel::Kernel::read(image)?.release)
}

/// Unpacks packages into the cache, once for each content.
fn of_packages(packages: &[PathBuf]) -> Result<Kernel> {
    let mut name = String::new();
    for package in packages {
        let file = package.file_stem().with_context(|| format!("{} is no package", package.display()))?;
        let about = fs::metadata(package).with_context(|| format!("cannot read {}", package.display()))?;
        name = format!("{name}{}-{}-{}.", file.display(), about.len(), about.mtime());
    }
    let directory = cache()?.join("packages").join(name.trim_end_matches('.'));
    if !directory.is_dir() {
        unpack(packages, &directory)?;
    }
    of_directory(&directory).with_context(|| {
        let names: Vec<_> = packages.iter().map(|package| package.display().to_string()).collect();
        format!("{}: if its modules are in a package of their own, give that as well", names.join(", "))
    })
}

fn unpack(packages: &[PathBuf], directory: &Path) -> Result<()> {
    let parent = directory.parent().context("the cache is no directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let partial = tempfile::Builder::new().prefix(".partial-").tempdir_in(parent)?;
    for package in packages {
        DPKG_DEB.command()?.arg("-x").arg(package).arg(partial.path()).run()?;
    }
    for tree in CONTAINERS.iter().flat_map(|container| fs::read_dir(partial.path().join(container))).flatten().flatten()
    {
        // Without it the guest's own modprobe finds nothing; the boot itself needs none.
        if let Ok(depmod) = DEPMOD.command() {
            depmod.arg("-b").arg(partial.path()).arg(tree.file_name()).run()?;
        }
    }
    let partial = partial.keep();
    // Somebody else may have been faster.
    if fs::rename(&partial, directory).is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    ensure!(directory.is_dir(), "cannot make {}", directory.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(given: &[&Path]) -> String {
        let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
        format!("{:#}", resolve(&given).unwrap_err())
    }

    #[test]
    fn an_unpacked_package_is_known_by_its_layout() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path();
        for release in ["6.9.1-x", "6.12.3-x"] {
            fs::create_dir_all(place.join("usr/lib/modules").join(release)).unwrap();
            fs::create_dir_all(place.join("boot")).unwrap();
            fs::write(place.join(format!("boot/vmlinuz-{release}")), "").unwrap();
        }
        let kernel = resolve(&[place.into()]).unwrap();
        assert_eq!((kernel.release.as_str(), kernel.modules), ("6.12.3-x", place.join("usr/lib/modules/6.12.3-x")));
    }

    #[test]
    fn what_is_no_kernel_is_named() {
        let directory = tempfile::tempdir().unwrap();
        assert!(error(&[directory.path()]).contains("holds no kernel"));
        assert!(error(&[Path::new("no-such-release")]).contains("no-such-release is neither"));
        assert!(error(&[Path::new("/a"), Path::new("/b")]).contains("several kernels"));
        let package = directory.path().join("x.deb");
        assert!(error(&[&package]).contains("x.deb"));
    }
}
