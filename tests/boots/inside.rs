//! What the real init finds: itself as the kernel would have started it, and a machine without a trace of the
//! initramfs.

use std::path::Path;

use anyhow::Result;
use modstrap_qemu::FileSystem::Ext4;
use modstrap_qemu::tool::Tool;
use modstrap_qemu::tree::MARKER;
use modstrap_qemu::{Bus, Recipe};
use modstrap_tests::{Scratch, Verdict, boots};

use crate::amd64;

const CC: Tool = Tool::new("cc", "gcc libc6-dev");

/// A static program that reports what it was given.
const INSIDE: &str = include_str!("inside.c");

boots! {
    the_real_init_finds_what_the_kernel_would_have_given_it: inside();
}

fn inside() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    compile(&tree.join("sbin/inside"))?;
    let disk = scratch.drive(&Recipe::new(Ext4).from(tree), Bus::VirtioBlk)?;
    // The kernel forgets arguments that stand before `init=`.
    let words = "root=/dev/vda init=/sbin/inside single 3 COLOUR=green panic=-1 NAME=\"two words\" -- last 4 A=b";
    let finished = amd64()?.boot().processors(2).drive(disk).append(words).run()?;
    let report = finished.reached("/dev/vda (ext4)");

    let has = |section: &str, lines: &[&str]| {
        let found = report.section(section).unwrap_or_default();
        finished.expect(found == lines, format!("{section}: {found:#?} is not {lines:#?}"));
    };
    has("argv", &["/sbin/inside", "single", "3", "last", "4", "A=b"]);
    has("envp", &["HOME=/", "TERM=linux", "COLOUR=green", "NAME=two words"]);
    has("descriptors", &["0 /dev/console", "1 /dev/console", "2 /dev/console"]);
    has("signals", &[]);
    has("process", &["pid 1, parent 0", "directory /, umask 022", "no child"]);
    has("unevictable", &["0 kB"]);
    // rc itself, which process 1 has become.
    has("processes", &["1 /bin/busybox sh /etc/rc "]);

    let mounts: Vec<_> = report.section("mounts")?.iter().map(|line| first_words(line)).collect();
    let expected =
        ["devtmpfs /dev devtmpfs", "proc /proc proc", "sysfs /sys sysfs", "tmpfs /run tmpfs", "/dev/vda / ext4"];
    finished.expect(mounts == expected, format!("mounted: {mounts:#?}"));
    for node in ["console", "kmsg", "null", "ttyS0", "urandom", "vda"] {
        finished.expect(report.section("dev")?.iter().any(|name| name == node), format!("/dev has no {node}"));
    }
    // Settings of the kernel that the loader has no business to leave changed.
    has("printk", &["ratelimit"]);
    has("modprobe", &["/sbin/modprobe"]);
    has("tainted", &["0"]);
    Ok(())
}

/// Source, place and type of a line of /proc/mounts.
fn first_words(line: &str) -> String {
    line.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn compile(output: &Path) -> Result<()> {
    let marker = format!("-DMARKER=\"{MARKER}\"");
    let compiler = CC.command()?.args(["-static", "-O", "-Wall", "-Wextra", "-Werror", &marker, "-x", "c", "-", "-o"]);
    compiler.arg(output).run_with_input(INSIDE)?;
    Ok(())
}
