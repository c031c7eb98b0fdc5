//! nfs-ganesha, an NFS server in user space: each on a port of its own, with its own exports, as an ordinary process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{await_port, free_port};
use crate::kernels;
use crate::process::{Process, watched};
use crate::tool::Tool;

const GANESHA: Tool = Tool::new("ganesha.nfsd", "nfs-ganesha nfs-ganesha-vfs");

/// A directory that is exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The directory of the host.
    pub directory: PathBuf,
    /// Where clients see it.
    pub path: String,
    /// Whether they may write.
    pub writable: bool,
    /// Who may have it: an address, a network, or `*`.
    pub clients: String,
    /// How clients prove who they are: `sys`, `krb5`.
    pub security: String,
}

impl Export {
    /// A directory that everybody may read.
    pub fn new(directory: impl Into<PathBuf>, path: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            path: path.into(),
            writable: false,
            clients: "*".into(),
            security: "sys".into(),
        }
    }

    fn block(&self, number: usize) -> String {
        let Self { directory, path, writable, clients, security } = self;
        let access = if *writable { "RW" } else { "RO" };
        format!(
            "EXPORT {{ Export_Id = {number}; Path = \"{}\"; Pseudo = \"{path}\"; Access_Type = None; \
             Squash = No_Root_Squash; SecType = {security}; Protocols = 4; Transports = TCP; FSAL {{ Name = VFS; }} \
             CLIENT {{ Clients = {clients}; Access_Type = {access}; }} }}\n",
            directory.display()
        )
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Ganesha {
    _child: Process,
    port: u16,
    _files: TempDir,
}

impl Ganesha {
    /// Starts a server for these exports, by version 4 of NFS, in all its minor versions.
    pub fn start(exports: &[Export]) -> Result<Self> {
        let files = tempfile::tempdir().context("cannot make a temporary directory")?;
        let port = free_port()?;
        let (program, libraries) = find()?;
        let log = files.path().join("log");
        fs::write(files.path().join("conf"), configuration(exports, port, files.path(), &libraries))?;
        let mut command = watched(&program);
        command.arg("-F").arg("-f").arg(files.path().join("conf")).arg("-L").arg(&log);
        command.arg("-p").arg(files.path().join("pid"));
        if let Some(libraries) = &libraries {
            let paths = [libraries.join("x86_64-linux-gnu"), libraries.join("ganesha")];
            command.env("LD_LIBRARY_PATH", std::env::join_paths(paths)?);
        }
        let output = File::create(files.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = Process::start(&mut command, &program)?;
        await_port(&mut child, port, &log)?;
        Ok(Self { _child: child, port, _files: files })
    }

    /// Its port of TCP.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// The server's program and, if it is the one that `qemu/setup` unpacked into the cache, where its libraries are.
fn find() -> Result<(PathBuf, Option<PathBuf>)> {
    let cached = kernels::cache()?.join("tools/ganesha/usr");
    let program = cached.join("bin").join(GANESHA.program);
    if program.is_file() {
        return Ok((program, Some(cached.join("lib"))));
    }
    Ok((GANESHA.find()?, None))
}

fn configuration(exports: &[Export], port: u16, files: &Path, libraries: &Option<PathBuf>) -> String {
    let plugins = libraries
        .as_ref()
        .map(|libraries| format!("Plugins_Dir = \"{}\"; ", libraries.join("x86_64-linux-gnu/ganesha").display()));
    let blocks: String = exports.iter().zip(1..).map(|(export, number)| export.block(number)).collect();
    format!(
        "NFS_CORE_PARAM {{ NFS_Port = {port}; NFS_Protocols = 4; {}Bind_addr = 127.0.0.1; Enable_NLM = false; \
         Enable_RQUOTA = false; Enable_UDP = false; }}\n\
         NFSV4 {{ Graceless = true; UseGetpwnam = true; Only_Numeric_Owners = true; RecoveryRoot = \"{}\"; }}\n{blocks}",
        plugins.unwrap_or_default(),
        files.display()
    )
}
