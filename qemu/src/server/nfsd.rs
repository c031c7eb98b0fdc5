//! The programs around the NFS server that is in the kernel, for a guest that serves: they run there and not on the host.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::unpacked;
use crate::kernels;
use crate::tool::Tool;

/// What answers who asks for ports, tells the kernel who may have which directory, answers who mounts, and starts the
/// kernel's own threads.
const PROGRAMS: [Tool; 4] = [
    Tool::new("rpcbind", "rpcbind"),
    Tool::new("exportfs", "nfs-kernel-server"),
    Tool::new("rpc.mountd", "nfs-kernel-server"),
    Tool::new("rpc.nfsd", "nfs-kernel-server"),
];

/// Where `qemu/setup` unpacks them, among the cache's tools.
const UNPACKED: &str = "nfsd";

/// Tells which libraries a program is loaded with.
const LDD: Tool = Tool::new("ldd", "libc-bin");

/// Tells RPC which kinds of sockets there are.
const NETCONFIG: &str = "etc/netconfig";

/// Puts the programs into a root tree, with their libraries.
pub fn install(tree: &Path) -> Result<()> {
    for program in PROGRAMS {
        let (path, directory) = unpacked(UNPACKED, program)?;
        copy(&path, &tree.join("sbin").join(program.program))?;
        for library in libraries(&path, &directory)? {
            copy(&library, &place(tree, &library))?;
        }
    }
    let netconfig = [kernels::cache()?.join("tools").join(UNPACKED).join(NETCONFIG), Path::new("/").join(NETCONFIG)];
    let netconfig = netconfig.iter().find(|path| path.is_file()).context("no netconfig: install libtirpc-common")?;
    copy(netconfig, &tree.join(NETCONFIG))
}

/// Where a library is found in a tree: the loader of programs under its own name, all others in `/lib`.
fn place(tree: &Path, library: &Path) -> PathBuf {
    let directory = if library.starts_with("/lib64") { "lib64" } else { "lib" };
    tree.join(directory).join(library.file_name().unwrap_or_default())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))
        .and_then(|()| fs::copy(from, to))
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// The libraries of a program, the dynamic loader among them; those of `directory` go before the machine's own.
fn libraries(program: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    let directory = directory.to_str().context("the cache's path is no text")?;
    let said = LDD.command()?.arg(program).env("LD_LIBRARY_PATH", directory).run()?;
    // `NAME => PATH (ADDRESS)`, or the loader's `PATH (ADDRESS)`; the kernel's own has no path.
    let path = |line: &str| {
        let (line, _) = line.rsplit_once(" (")?;
        Some(line.rsplit_once(" => ").map_or(line, |(_, path)| path).trim().to_owned())
    };
    let missing = said.lines().find(|line| line.ends_with("not found"));
    anyhow::ensure!(missing.is_none(), "{} lacks a library: {}", program.display(), missing.unwrap_or_default().trim());
    Ok(said.lines().filter_map(path).filter(|path| path.starts_with('/')).map(PathBuf::from).collect())
}
