//! Servers for guests. Here, processes of the host that serve a guest through a socket: started before QEMU, ended with it.
//! Beside them real servers that a guest reaches by QEMU's own network, and a peer that speaks DHCP on a wire of its own,
//! well or badly.

mod dhcp;
mod diod;
mod ganesha;
mod nbd;
pub mod nfsd;
mod peer;

pub use dhcp::{Behaviour, Dhcp};
pub use diod::Diod;
pub use ganesha::{Export, Ganesha};
pub use nbd::{NbdServer, Played, QemuNbd};
pub use peer::{Handler, Peer};

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::kernels;
use crate::process::{Process, watched};
use crate::tool::{Tool, find_program};

/// Serves directories by virtiofs (https://virtio-fs.gitlab.io).
const VIRTIOFSD: &str = "virtiofsd";

/// Where distributions keep it, beside the directories of programs that users call. What older QEMUs brought along
/// themselves, in /usr/lib/qemu, is another program with other options.
const LIBRARIES: [&str; 2] = ["/usr/libexec", "/usr/lib"];

/// How long a server has to open its socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it has to listen at its port of TCP.
const START: Duration = Duration::from_secs(30);

/// A server to start.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    arguments: Vec<OsString>,
    socket: PathBuf,
}

/// A server that runs; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    child: Process,
    log: PathBuf,
}

/// virtiofsd for this directory. It needs no rights but those of the user, whose files the guest then has: with a
/// sandbox it would want root's, or a range of user ids.
pub(crate) fn virtiofsd(directory: &Path, writable: bool, socket: PathBuf) -> Result<Server> {
    let program = find_virtiofsd().with_context(|| {
        format!(
            "{VIRTIOFSD} is not installed: run `qemu/setup tests`, install a package of that name, \
             or `cargo install virtiofsd` (with libcap-ng-dev and libseccomp-dev)"
        )
    })?;
    let mut arguments: Vec<OsString> = vec!["--sandbox".into(), "none".into()];
    arguments.extend(["--socket-path".into(), socket.clone().into()]);
    arguments.extend(["--shared-dir".into(), directory.into()]);
    if !writable {
        // What is only read is taken not to change meanwhile: else each start of a program reads its file anew.
        arguments.extend(["--cache".into(), "always".into()]);
        // Older ones leave that to the guest's mount.
        arguments.extend(knows(&program, "--readonly").then(|| "--readonly".into()));
    }
    // An overlay finds its way through no directory that the guest would have to mount first (overlayfs: EREMOTE).
    if knows(&program, "--no-announce-submounts") {
        arguments.push("--no-announce-submounts".into());
    }
    Ok(Server { program, arguments, socket })
}

/// The machine's own virtiofsd, or the one in the cache.
pub fn find_virtiofsd() -> Option<PathBuf> {
    let cached = kernels::cache().ok().map(|cache| cache.join("tools/bin"));
    let elsewhere = LIBRARIES.iter().map(PathBuf::from).chain(cached).map(|directory| directory.join(VIRTIOFSD));
    find_program(VIRTIOFSD).or_else(|| elsewhere.into_iter().find(|path| path.is_file()))
}

/// Whether a program's help tells of an option.
fn knows(program: &Path, option: &str) -> bool {
    let help = Command::new(program).arg("--help").output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains(option))
}

impl Server {
    /// Starts it, and waits until it listens.
    pub fn start(&self) -> Result<Running> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = self.socket.with_extension("log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = watched(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = Process::start(&mut command, &self.program)?;
        let mut running = Running { name, child, log };
        let limit = Instant::now() + PATIENCE;
        while !self.socket.exists() {
            if let Some(status) = running.ended()? {
                bail!("{} ended with {status} at its start: {}", running.name, running.said());
            }
            if Instant::now() > limit {
                bail!("{} opened no socket within {} s: {}", running.name, PATIENCE.as_secs(), running.said());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(running)
    }
}

impl Running {
    /// What it had to say, behind its name; nothing if it said nothing.
    pub fn report(&self) -> Option<String> {
        let said = self.said();
        (!said.is_empty()).then(|| format!("{}:\n{said}", self.name))
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))
    }

    fn said(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).trim().to_owned()).unwrap_or_default()
    }
}

/// A port that nobody has at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until a server listens at its port of TCP. One that does not start has said why in its log.
fn await_port(child: &mut Process, port: u16, log: &Path) -> Result<()> {
    let limit = Instant::now() + START;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait()?.is_some() || Instant::now() > limit {
            bail!("a server does not start: {}", fs::read_to_string(log).unwrap_or_default());
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The program of a tool that `qemu/setup` has unpacked into this directory of the cache's tools, or the machine's own; and
/// the directory of libraries that the former needs.
fn unpacked(directory: &str, tool: Tool) -> Result<(PathBuf, PathBuf)> {
    let directory = kernels::cache()?.join("tools").join(directory);
    let program = directory.join("sbin").join(tool.program);
    let program = if program.is_file() { program } else { tool.find()? };
    Ok((program, directory.join("lib")))
}
