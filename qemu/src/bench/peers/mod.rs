//! Images of other programs, made in a Debian (or Ubuntu) of their own by the set-up: a script for each, run there by
//! chroot. It gets `$release`, `$modules` (what the machine needs, in an order in which it loads) and an empty working
//! directory, and writes a cpio archive, which is then packed by zstd -19. Images are kept until the script, the kernel or
//! those modules change.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use modstrap::table::fold;
use modstrap_initramfs::archive;
use modstrap_initramfs::compression::Format;

use super::image::Image;
use crate::kernels::{Kernel, cache};
use crate::tool::Tool;

/// Another program's way to make an image.
#[derive(Debug)]
pub(super) struct Peer {
    pub name: &'static str,
    /// Whether its image is for any machine.
    pub is_generic: bool,
    script: &'static str,
}

const fn peer(name: &'static str, is_generic: bool, script: &'static str) -> Peer {
    Peer { name, is_generic, script }
}

pub(super) static PEERS: [Peer; 6] = [
    peer("initramfs-tools, list", false, include_str!("initramfs-tools-list.sh")),
    peer("initramfs-tools, most", true, include_str!("initramfs-tools-most.sh")),
    peer("dracut, minimal", false, include_str!("dracut-minimal.sh")),
    peer("dracut, generic", true, include_str!("dracut-generic.sh")),
    peer("tiny-initramfs", false, include_str!("tiny-initramfs.sh")),
    peer("busybox, coldplug", true, include_str!("busybox-coldplug.sh")),
];

/// What each script runs between: its archive goes to the third stream, what programs print to the second.
const BEGIN: &str = include_str!("begin.sh");

/// Puts a kernel into the chroot.
const KERNEL: &str = include_str!("kernel.sh");

/// The set-up, which makes the chroot.
const SETUP: &str = include_str!("../../../setup");

/// An image of a peer, and the paths of the modules in it.
pub(super) struct Made {
    pub image: Image,
    pub modules: Vec<String>,
}

impl Peer {
    /// Its image for a machine that needs these modules, out of the cache if it was made before.
    pub fn image(&self, kernel: &Kernel, needed: &[String]) -> Result<Made> {
        let needed = if self.is_generic { "" } else { &needed.join(" ") };
        let script = format!("release='{}' modules='{needed}'\n{BEGIN}{}", kernel.release, self.script);
        let directory = cache()?.join("peers/images");
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let file = directory.join(format!("{}-{:016x}.img", self.name.replace(", ", "-"), fold(script.as_bytes())));
        if !file.is_file() {
            let partial = file.with_extension("partial");
            in_chroot(kernel, &script, &partial)?;
            fs::rename(partial, &file)?;
        }
        let modules = modules(&file).with_context(|| format!("{}: no image", file.display()))?;
        Ok(Made { image: Image { file, modules: modules.len() }, modules })
    }
}

/// Runs a script in the chroot, which is made where it is missing; what it writes goes to a file.
fn in_chroot(kernel: &Kernel, script: &str, output: &Path) -> Result<()> {
    let root = chroot()?;
    let place = [root.as_path(), &kernel.modules, &kernel.image].map(|path| path.as_os_str());
    run(as_root("sh")?.args(["-euc", KERNEL, &kernel.release]).args(place), Stdio::null())?;
    let output = fs::File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    run(as_root("chroot")?.arg(root).args(["sh", "-euc", script]), OwnedFd::from(output).into())
}

fn chroot() -> Result<PathBuf> {
    let root = cache()?.join("peers/root");
    if !root.is_dir() {
        let mut setup = Command::new("sh");
        run(setup.args(["-c", SETUP, "setup", "peers"]), Stdio::null())
            .context("cannot make a chroot for the peers")?;
    }
    Ok(root)
}

/// A command of the administrator's.
fn as_root(program: &'static str) -> Result<Command> {
    let program = Tool::new(program, "coreutils").find()?;
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new(Tool::new("sudo", "sudo").find()?);
    command.arg(program);
    Ok(command)
}

/// Runs a command; where it fails, its last words tell why.
fn run(command: &mut Command, output: Stdio) -> Result<()> {
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn()?;
    let output = output.wait_with_output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it does not say why");
    ensure!(output.status.success(), "{last}");
    Ok(())
}

/// The paths of the modules in an image.
fn modules(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file)?;
    let archive = Format::of(&bytes).context("it is not packed")?.decompress(&bytes)?;
    let entries = archive::read(&archive)?.into_iter().flatten();
    let is_module = |path: &String| path.ends_with(".ko") || path.contains(".ko.");
    Ok(entries.map(|entry| entry.path).filter(is_module).collect())
}
