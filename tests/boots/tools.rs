//! The tools on a live kernel, next to kmod's own: the same calls by both, one set after the other, in one guest. What
//! they print, how they end and what the kernel has after each call must be the same.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap_initramfs::FileSpec;
use modstrap_initramfs::contents::Contents;
use modstrap_qemu::FileSystem::Ext4;
use modstrap_qemu::tool::Tool;
use modstrap_qemu::tree::{self, MARKER, add_program};
use modstrap_qemu::{Bus, Recipe};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

const KMOD: Tool = Tool::new("kmod", "kmod");
const DEPMOD: Tool = Tool::new("depmod", "kmod");
const LDD: Tool = Tool::new("ldd", "libc-bin");

/// The names of the tools.
const TOOLS: [&str; 5] = ["modprobe", "insmod", "rmmod", "lsmod", "modinfo"];

/// The modules that the tools have to do with, each with all that it needs.
const MODULES: [&str; 6] = ["8021q", "dummy", "loop", "binfmt_misc", "nls_utf8", "squashfs"];

/// What the command line says to the tools.
const WORDS: &str = "modprobe.blacklist=dummy,nls-utf8 loop.max_part=7 dummy.numdummies=3";

/// The calls after which kmod has more to show, on purpose, and what a line of that begins with.
const LESS: [(&str, &str); 2] = [
    // kmod takes '-' and '_' for the same everywhere but in `modprobe.blacklist=`: its list keeps no `nls-utf8` out.
    (DASHED, "nls_utf8 "),
    // The table knows what is built in by its names alone: the rest would be for nobody's boot.
    (BUILT_IN, "author:"),
];

const DASHED: &str = "a blacklisted name with '-' and '_'";
const BUILT_IN: &str = "asking for what is built in";

/// The calls, each with its name. What a call loads, a later one takes out, so that both sets of tools begin alike.
/// `$MODULES` is the directory of the kernel's modules.
const CALLS: &[(&str, &str)] = &[
    ("loading with dependencies", "modprobe -v 8021q"),
    ("listing", "lsmod"),
    ("loading what is there", "modprobe 8021q"),
    ("loading what is there for the first time", "modprobe --first-time 8021q"),
    ("removing what one module uses", "rmmod stp"),
    ("removing several that are in use", "rmmod mrp garp"),
    ("unloading what is in use", "modprobe -r garp"),
    ("unloading what is in use, quietly", "modprobe -q -r garp"),
    ("removing one of two", "rmmod nosuch 8021q"),
    ("removing by file", "rmmod $MODULES/kernel/net/802/garp.ko.xz"),
    ("loading again", "modprobe 8021q"),
    // kmod tries each dependency once, those that others need before these, and so leaves some behind.
    ("unloading with dependencies", "modprobe -r 8021q; rmmod stp llc 2>/run/ignored; true"),
    ("unloading what is absent", "modprobe -r 8021q"),
    ("unloading what is absent for the first time", "modprobe -r --first-time 8021q"),
    ("removing what is absent", "rmmod 8021q"),
    ("showing a plan", "modprobe -D 8021q"),
    ("a dry run", "modprobe -n 8021q"),
    ("a dry run that tells", "modprobe -nv 8021q"),
    ("a dry run of what is absent", "modprobe -n nosuch"),
    ("an unknown name", "modprobe nosuch"),
    ("an unknown name, quietly", "modprobe -q nosuch"),
    ("unknown names", "modprobe -a nosuch dummy neither"),
    ("unloading an unknown name", "modprobe -r nosuch"),
    ("parameters of the command line", "ls /sys/class/net"),
    ("resolving", "modprobe -R dummy"),
    ("resolving an alias", "modprobe -R fs-squashfs"),
    ("resolving several", "modprobe --all --resolve-alias loop fs-squashfs nosuch"),
    ("unloading several", "modprobe -r -a dummy loop"),
    (
        "parameters",
        "modprobe loop max_loop=3; cat /sys/module/loop/parameters/max_loop /sys/module/loop/parameters/max_part",
    ),
    ("unloading it", "modprobe --remove loop"),
    ("a blacklisted alias", "modprobe rtnl-link-dummy"),
    ("a blacklisted name", "modprobe -b dummy"),
    (DASHED, "modprobe --use-blacklist nls_utf8"),
    ("a blacklist is no mask", "modprobe nls-utf8"),
    ("removing with '-'", "rmmod nls-utf8"),
    ("inserting a compressed file", "insmod $MODULES/kernel/drivers/net/dummy.ko.xz numdummies=2; ls /sys/class/net"),
    ("inserting what is there", "insmod $MODULES/kernel/drivers/net/dummy.ko.xz"),
    ("removing it", "rmmod dummy"),
    ("inserting without dependencies", "insmod $MODULES/kernel/net/802/garp.ko.xz"),
    ("inserting no module", "insmod /etc/inittab"),
    ("inserting no file", "insmod /nowhere/dummy.ko"),
    ("inserting nothing", "insmod"),
    ("a wrong parameter", "modprobe loop max_loop=many"),
    ("loading for a mount", "modprobe binfmt_misc; mkdir -p /run/misc; mount -t binfmt_misc none /run/misc"),
    ("removing what a mount uses", "rmmod binfmt_misc"),
    ("unloading what a mount uses", "modprobe -r binfmt_misc"),
    ("removing after the mount", "umount /run/misc; rmmod -v binfmt_misc"),
    ("loading what is built in", "modprobe virtio_pci"),
    ("loading what is built in for the first time", "modprobe --first-time virtio_pci"),
    ("unloading what is built in", "modprobe -r virtio_pci"),
    ("removing what is built in", "rmmod virtio_pci"),
    ("loading nothing", "modprobe"),
    ("removing nothing", "rmmod"),
    ("asking for nothing", "modinfo"),
    ("asking for parameters", "modinfo -p loop"),
    ("asking for one field", "modinfo -F depends 8021q"),
    ("asking for a file", "modinfo -n dummy squashfs"),
    ("asking for what is unknown", "modinfo nosuch"),
    (BUILT_IN, "modinfo virtio_pci"),
];

boots! {
    a_live_kernel_sees_no_difference_to_kmod: compare();
    an_emergency_shell_has_the_tools: in_emergency();
}

fn compare() -> Result<()> {
    let scratch = Scratch::new()?;
    let drive = scratch.drive(&Recipe::new(Ext4).from(tree_with_both(&scratch, amd64()?)?), Bus::VirtioBlk)?;
    let words = format!("root=/dev/vda init=/etc/tools {WORDS}");
    let finished = amd64()?.boot().drive(drive).append(words).run()?;
    let report = finished.reached("/dev/vda (ext4)");
    let mut differences = String::new();
    for (name, call) in CALLS {
        // Modules that do not need each other may be loaded in any order.
        let lines = |set: &str| -> Result<Vec<String>> {
            let mut lines = report.section(&format!("{set} {name}"))?.to_vec();
            lines.sort();
            Ok(lines)
        };
        let (ours, theirs) = (lines("ours")?, lines("kmod")?);
        let is_as_meant = match LESS.iter().find(|(less, _)| less == name) {
            Some((_, more)) => {
                let begins = |line: &String| line.starts_with(more);
                ours.iter().all(|line| theirs.contains(line)) && theirs.iter().any(begins) && !ours.iter().any(begins)
            }
            None => ours == theirs,
        };
        if !is_as_meant {
            let (ours, theirs) = (ours.join("\n"), theirs.join("\n"));
            differences += &format!("{name}: {call}\n--- kmod\n{theirs}\n--- ours\n{ours}\n\n");
        }
    }
    assert!(differences.is_empty(), "{differences}");
    Ok(())
}

/// A root with both sets of tools: ours in /ours, with the modules in /modstrap; kmod's in /kmod, with the modules where
/// kmod has them.
fn tree_with_both(scratch: &Scratch, image: &Image) -> Result<std::path::PathBuf> {
    let tree = scratch.tree()?;
    add_ours(scratch, image, &tree)?;
    add_kmod(&tree)?;
    add_modules(image, &tree)?;
    add_program(&tree, "etc/tools", script(&image.kernel.release))?;
    Ok(tree)
}

/// The loader under the tools' names, and as its store what the builder makes of the whole kernel for these modules.
fn add_ours(scratch: &Scratch, image: &Image, tree: &Path) -> Result<()> {
    let hardware = scratch.hardware(&MODULES)?;
    let store = Image::build(&image.kernel, scratch.path(), |request| request.hardware = hardware)?;
    let bytes = fs::read(&store.file)?;
    let contents = Contents::of(&bytes)?;
    ["ours", "modstrap"].iter().try_for_each(|name| fs::create_dir(tree.join(name)))?;
    add_program(tree, "ours/loader", contents.loader)?;
    fs::write(tree.join(TABLE_PATH.trim_start_matches('/')), contents.table)?;
    fs::write(tree.join(BLOBS_PATH.trim_start_matches('/')), contents.blobs)?;
    TOOLS.iter().try_for_each(|tool| symlink("loader", tree.join("ours").join(tool)))?;
    Ok(())
}

fn add_kmod(tree: &Path) -> Result<()> {
    let kmod = fs::canonicalize(KMOD.find()?)?;
    fs::create_dir(tree.join("kmod"))?;
    fs::copy(&kmod, tree.join("kmod/kmod"))?;
    TOOLS.iter().try_for_each(|tool| symlink("kmod", tree.join("kmod").join(tool)))?;
    // Each line names a library by its path, some after an arrow.
    let libraries = LDD.command()?.arg(&kmod).run()?;
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = tree.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().context("a directory")?)?;
        fs::copy(library, &to).with_context(|| format!("cannot copy {library}"))?;
    }
    Ok(())
}

/// All modules' files would be too many for a small disk: those that the tools have to do with, and depmod's indexes.
fn add_modules(image: &Image, tree: &Path) -> Result<()> {
    let directory = tree.join("lib/modules").join(&image.kernel.release);
    let wanted = ["8021q", "garp", "mrp", "stp", "llc", "dummy", "loop", "binfmt_misc", "nls_utf8", "squashfs"];
    let source = modstrap_initramfs::tree::Tree::read(
        &image.kernel.modules,
        &image.kernel.release,
        &indicatif::ProgressBar::hidden(),
    )?;
    for module in source.modules.iter().filter(|module| wanted.contains(&module.name.as_str())) {
        let to = directory.join(&module.path);
        fs::create_dir_all(to.parent().context("a directory")?)?;
        fs::copy(source.directory.join(&module.path), to)?;
    }
    for file in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(source.directory.join(file), directory.join(file))?;
    }
    DEPMOD.command()?.arg("-b").arg(tree).arg(&image.kernel.release).run()?;
    Ok(())
}

/// An init that makes the calls and reports each.
fn script(release: &str) -> String {
    let calls = |set: &str| -> String {
        let call = |(name, call): &(&str, &str)| format!("report '{set} {}' '{call}'\n", name.replace('\'', "'\\''"));
        format!("set={set}\n{}", CALLS.iter().map(call).collect::<String>())
    };
    // As a function a tool comes before what busybox itself has under that name.
    let functions: String = TOOLS.map(|tool| format!("{tool}() {{ /$set/{tool} \"$@\"; }}\n")).concat();
    format!(
        "#!/bin/busybox sh\n\
         busybox() {{ /bin/busybox \"$@\"; }}\n\
         busybox dmesg -n 1\n\
         {functions}\
         MODULES=/lib/modules/{release}\n\
         report() {{\n\
             echo \"== $1\"\n\
             eval \"$2\" 2>&1\n\
             echo \"status $?\"\n\
             busybox cut -d ' ' -f 1,3,4 /proc/modules\n\
         }}\n\
         echo '{MARKER}'\n\
         {}{}\
         echo '== mounts'; busybox cat /proc/mounts\n\
         echo '== kmsg'; busybox dmesg | busybox grep 'modstrap: '\n\
         echo '== end'\n\
         busybox poweroff -f\n",
        calls("ours"),
        calls("kmod"),
    )
}

/// The shell of an image whose boot cannot go on.
fn in_emergency() -> Result<()> {
    let scratch = Scratch::new()?;
    let hardware = scratch.hardware(&MODULES)?;
    let image = Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        let dest = Some("/bin/sh".into());
        request.files = vec![FileSpec { source: tree::static_busybox().expect("a static busybox"), dest }];
    })?;
    let calls = "/sbin/modprobe 8021q && /sbin/lsmod && /sbin/modinfo -F depends garp && /sbin/rmmod stp; \
                 /sbin/modprobe -r 8021q; /sbin/modprobe dummy; \
                 echo $(($(/sbin/lsmod | wc -l) - 1)) are left\n";
    let finished = image.boot().append("modstrap.onfail=shell modstrap.mask=dummy").answer(" # ", calls).run()?;
    finished.says("cannot boot: the command line has no root=; starting a shell");
    for line in ["garp                   16384  1 8021q", "rmmod: ERROR: Module stp is in use by: garp", "0 are left"] {
        finished.expect(finished.console.contains(line), format!("the console does not show `{line}`"));
    }
    // In which order a module names what it needs is its maker's affair.
    let depends = |line: &str| matches!(line.trim_end(), "llc,stp" | "stp,llc");
    finished.expect(finished.console.lines().any(depends), "the console does not show what garp needs".to_string());
    Ok(())
}
