//! The tools on the host, next to kmod's own: the same calls on the same modules print the same lines and end the same.
//!
//! [`calls`] makes them on a small tree of our own, [`trees`] on whole trees of real kernels. What a call does to a live
//! kernel is seen in guests (`tests/boots/tools.rs`).

#[path = "common/cache.rs"]
mod cache;
#[path = "tools/calls.rs"]
mod calls;
mod common;
#[path = "tools/trees.rs"]
mod trees;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap_initramfs::contents::Contents;

/// A root with both: our tools in /ours with an image's table and blobs in /modstrap, and below /lib/modules the modules
/// themselves, for kmod.
pub struct Both<'r> {
    root: &'r Path,
    release: &'r str,
    /// modprobe.d for kmod; in the table it stands already.
    config: PathBuf,
}

/// How a call went.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The exit status.
    pub status: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

impl<'r> Both<'r> {
    /// Puts the parts of an image into a root that has the modules, and has depmod index these.
    pub fn new(root: &'r Path, release: &'r str, image: &[u8], config: Option<&Path>) -> Both<'r> {
        let contents = Contents::of(image).unwrap();
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        for directory in ["ours", "modstrap"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        fs::write(below(TABLE_PATH), contents.table).unwrap();
        fs::write(below(BLOBS_PATH), contents.blobs).unwrap();
        let loader = root.join("ours/loader");
        fs::write(&loader, contents.loader).unwrap();
        fs::set_permissions(&loader, fs::Permissions::from_mode(0o755)).unwrap();
        for tool in ["modprobe", "insmod", "rmmod", "lsmod", "modinfo"] {
            symlink("loader", root.join("ours").join(tool)).unwrap();
        }
        let config = config.map_or_else(|| root.join("no.conf"), Path::to_path_buf);
        // The machine's own configuration is none of this tree's.
        let depmod = Command::new("depmod").arg("-b").arg(root).arg("-C").arg(root.join("lib")).arg(release).output();
        let depmod = depmod.expect("depmod runs; install kmod");
        assert!(depmod.status.success(), "depmod: {}", String::from_utf8_lossy(&depmod.stderr));
        Both { root, release, config }
    }

    /// Calls our tool.
    pub fn ours(&self, tool: &str, arguments: &[&str]) -> Outcome {
        self.call(self.root.join("ours").join(tool).as_os_str().to_str().unwrap(), tool, arguments)
    }

    /// Calls kmod's.
    pub fn kmod(&self, tool: &str, arguments: &[&str]) -> Outcome {
        self.call(tool, tool, arguments)
    }

    /// Asserts that both tools do the same.
    #[track_caller]
    pub fn agree(&self, tool: &str, arguments: &[&str]) -> Outcome {
        let (ours, kmod) = (self.ours(tool, arguments), self.kmod(tool, arguments));
        assert_eq!(ours, kmod, "{tool} {arguments:?}: ours and kmod's");
        ours
    }

    fn call(&self, program: &str, tool: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(program);
        match tool {
            "modprobe" => command.arg("-d").arg(self.root).args(["-S", self.release]),
            "modinfo" => command.arg("-b").arg(self.root).args(["-k", self.release]),
            _ => &mut command,
        };
        if program == "modprobe" {
            command.arg("-C").arg(&self.config);
        }
        let output = command.args(arguments).env_remove("MODPROBE_OPTIONS").output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; install kmod"));
        Outcome {
            status: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The output of modinfo without what our tool leaves out: it does not take signatures apart.
pub fn without_signature(output: &str) -> String {
    const LABELS: [&str; 5] = ["sig_id:", "signer:", "sig_key:", "sig_hashalgo:", "signature:"];
    let is_kept = |line: &&str| !LABELS.iter().any(|label| line.starts_with(label)) && !line.starts_with("\t\t");
    output.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}
