//! A directory of the host as the root, one command as the init: its streams, its end, and ends that are none.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use modstrap_initramfs::module::read_file;
use modstrap_qemu::Outcome;
use modstrap_qemu::Protocol::{self, NineP, VirtioFs};
use modstrap_qemu::kernels::{self, Kernel};
use modstrap_qemu::rootdir::{End, Ended, RootDir, Streams, Terminal};
use modstrap_tests::{Scratch, boots};

use crate::{amd64, cloud};

boots! {
    streams_and_status_by_9p: streams_and_status(&amd64()?.kernel, NineP);
    streams_and_status_by_virtiofs: streams_and_status(&amd64()?.kernel, VirtioFs);
    a_kernel_with_modules_for_all_of_it: streams_and_status(&cloud()?.kernel, VirtioFs);
    every_byte_of_the_input_arrives: every_byte();
    a_command_that_is_not_there: not_there();
    a_signal_and_what_the_command_leaves_running: killed();
    a_terminal: on_terminal();
    a_command_that_takes_too_long: too_long();
    a_kernel_that_panics: panics();
    a_build_tree_as_make_leaves_it: build_tree();
}

/// A stream that is kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panics")).into_owned()
    }
}

/// A command that has been run, and what it wrote.
struct Run {
    ended: Ended,
    output: Kept,
    errors: Kept,
}

impl Run {
    #[track_caller]
    fn expect(&self, condition: bool, what: &str) {
        let Run { ended, output, errors } = self;
        let (end, tail) = (ended.end, ended.finished.tail());
        assert!(condition, "{what}\nend: {end:?}\noutput: {}\nerrors: {}\n{tail}", output.text(), errors.text());
    }
}

fn run(rootdir: &RootDir, input: &[u8], limit: u64) -> Result<Run> {
    let (output, errors) = (Kept::default(), Kept::default());
    let streams = Streams::new(Cursor::new(input.to_vec()), output.clone(), errors.clone());
    // Of several processors emulation loses timer interrupts, where many tests share few.
    let ended = rootdir.run(streams, |boot| boot.processors(1).timeout(Duration::from_secs(limit)))?;
    Ok(Run { ended, output, errors })
}

/// The test's root tree, whose shell runs this.
fn shell(scratch: &Scratch, kernel: &Kernel, script: &str) -> Result<RootDir> {
    let rootdir = RootDir::new(kernel.clone(), scratch.tree()?).by(NineP);
    Ok(rootdir.command(["sh", "-c", script]).variable("PATH=/sbin:/bin").variable("COLOUR=deep green"))
}

fn streams_and_status(kernel: &Kernel, by: Protocol) -> Result<()> {
    const SCRIPT: &str = "
        read line; echo \"read: $line\"; echo \"second\" >/dev/stdout; echo \"error\" >&2; echo \"$COLOUR\"; busybox pwd
        echo x >/written && busybox ls -d /written /run/modstrap/lower/bin; busybox cat; exit 42";
    let scratch = Scratch::new()?;
    let tree = scratch.tree()?;
    let rootdir = RootDir::new(kernel.clone(), &tree).by(by).command(["sh", "-c", SCRIPT]);
    let rootdir = rootdir.variable("PATH=/sbin:/bin").variable("COLOUR=deep green").place("/etc");
    let run = run(&rootdir, b"first\nrest", 120)?;
    run.expect(run.ended.end == Some(End::Exit(42)) && run.ended.status() == 42, "the status is not 42");
    let expected = "read: first\nsecond\ndeep green\n/etc\n/run/modstrap/lower/bin\n/written\nrest";
    run.expect(run.output.text() == expected, "the output is not as expected");
    run.expect(run.errors.text() == "error\n", "the errors are not as expected");
    run.expect(!tree.join("written").exists(), "the directory has changed");
    run.expect(run.ended.started < run.ended.stopped, "the end is not after the start");
    Ok(())
}

/// Streams are for bytes of any kind, and more than a pipe holds.
fn every_byte() -> Result<()> {
    let scratch = Scratch::new()?;
    let input: Vec<u8> = (0..400_000_u32).map(|number| (number ^ (number >> 8)) as u8).collect();
    let run = run(&shell(&scratch, &amd64()?.kernel, "busybox cat")?, &input, 120)?;
    run.expect(run.ended.end == Some(End::Exit(0)), "the status is not 0");
    assert!(*run.output.0.lock().expect("no writer panics") == input, "other bytes came back");
    Ok(())
}

fn not_there() -> Result<()> {
    let scratch = Scratch::new()?;
    let rootdir = shell(&scratch, &amd64()?.kernel, "")?.command(["frobnicate", "--now"]);
    let run = run(&rootdir, b"", 120)?;
    run.expect(run.ended.status() == 127, "the status is not a shell's");
    let said = "modstrap: cannot run frobnicate: no such file or device (errno 2)\n";
    run.expect(run.errors.text() == said, "the reason is not told");
    Ok(())
}

fn killed() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = "busybox sleep 1000 & echo left; kill -9 $$";
    let run = run(&shell(&scratch, &amd64()?.kernel, script)?, b"", 120)?;
    run.expect(run.ended.end == Some(End::Signal(9)) && run.ended.status() == 137, "the signal is not told");
    run.expect(run.output.text() == "left\n", "the output is not as expected");
    Ok(())
}

fn on_terminal() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = "busybox tty; busybox stty size; read line; echo \"read: $line\"";
    let rootdir = shell(&scratch, &amd64()?.kernel, script)?.terminal(Terminal { rows: 33, columns: 99 });
    let run = run(&rootdir, b"typed\r", 120)?;
    run.expect(run.ended.end == Some(End::Exit(0)), "the status is not 0");
    let output = run.output.text();
    let lines = ["/dev/hvc0\r\n", "33 99\r\n", "read: typed\r\n"];
    run.expect(lines.iter().all(|line| output.contains(line)), "the terminal is not as expected");
    Ok(())
}

fn too_long() -> Result<()> {
    let scratch = Scratch::new()?;
    let run = run(&shell(&scratch, &amd64()?.kernel, "echo begun; busybox sleep 1000")?, b"", 45)?;
    run.expect(run.ended.status() == 124 && run.ended.started.is_some(), "the time limit is not told");
    run.expect(run.output.text() == "begun\n", "the output until then is lost");
    Ok(())
}

fn panics() -> Result<()> {
    let scratch = Scratch::new()?;
    let script = "echo begun; busybox sleep 1; echo c >/proc/sysrq-trigger";
    let run = run(&shell(&scratch, &amd64()?.kernel, script)?, b"", 120)?;
    run.expect(run.ended.status() == 125, "the status is not that of a failed boot");
    let panicked = matches!(run.ended.failure(), Outcome::KernelPanic(reason) if reason.starts_with("sysrq triggered"));
    run.expect(panicked, "the panic is not told");
    Ok(())
}

/// What such guests need, by the places of a build tree.
const BUILT: [&str; 6] = [
    "fs/netfs/netfs.ko",
    "fs/9p/9p.ko",
    "fs/overlayfs/overlay.ko",
    "net/9p/9pnet.ko",
    "net/9p/9pnet_virtio.ko",
    "fs/fuse/virtiofs.ko",
];

/// A kernel laid out as by `make`: its image and its modules among the sources, none of depmod's files.
fn build_tree() -> Result<()> {
    let scratch = Scratch::new()?;
    let kernel = &amd64()?.kernel;
    let build = scratch.path();
    copy(&kernel.image, &build.join("arch/x86/boot/bzImage"))?;
    for name in BUILT {
        let packed = kernel.modules.join("kernel").join(format!("{name}.xz"));
        if packed.exists() {
            let module = build.join(name);
            fs::create_dir_all(module.parent().context("no directory")?)?;
            fs::write(module, read_file(&packed)?)?;
        }
    }
    for name in ["modules.builtin", "modules.builtin.modinfo"] {
        copy(&kernel.modules.join(name), &build.join(name))?;
    }
    fs::write(build.join("fs/9p/vfs_super.c"), "the sources are there, too")?;
    let built = kernels::resolve(&[build])?;
    assert_eq!(built.release, kernel.release);
    let run = run(&shell(&scratch, &built, "exit 3")?, b"", 120)?;
    run.expect(run.ended.status() == 3, "the status is not 3");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no directory")?)?;
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
