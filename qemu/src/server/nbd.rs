//! Servers of NBD: the two that everybody has, each on a port of its own; and one that does what it is told to.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{free_port, unpacked};
use crate::process::{Process, watched};
use crate::tool::Tool;

const NBD_SERVER: Tool = Tool::new("nbd-server", "nbd-server");
const QEMU_NBD: Tool = Tool::new("qemu-nbd", "qemu-utils");

/// How often clocks and flags are looked at.
const TICK: Duration = Duration::from_millis(20);

/// nbd-server with one export; it ends when this is dropped.
#[derive(Debug)]
pub struct NbdServer {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _files: TempDir,
}

impl NbdServer {
    /// Starts a server of a disk image, under a name. What clients write is lost.
    ///
    /// As a process that does not detach itself it serves one client, and then ends: it is started again for the next.
    pub fn start(name: &str, image: &Path, read_only: bool) -> Result<Self> {
        let files = tempfile::tempdir().context("cannot make a temporary directory")?;
        let port = free_port()?;
        let configuration = files.path().join("conf");
        let content = format!(
            "[generic]\nport = {port}\nlistenaddr = 127.0.0.1\nallowlist = true\n\
             [{name}]\nexportname = {}\nreadonly = {read_only}\ncopyonwrite = {}\n",
            image.display(),
            !read_only
        );
        fs::write(&configuration, content)?;
        let (program, _) = unpacked("nbd", NBD_SERVER)?;
        let log = files.path().join("log");
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = move || serve_one(&program, &configuration, &log);
        let mut child = spawn()?;
        let is_stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !is_stopped.load(Ordering::Relaxed) {
                thread::sleep(TICK);
                if matches!(child.try_wait(), Ok(Some(_))) {
                    let Ok(next) = spawn() else { return };
                    child = next;
                }
            }
        });
        Ok(Self { port, stop, thread: Some(thread), _files: files })
    }

    /// Its port of TCP.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for NbdServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve_one(program: &Path, configuration: &Path, log: &Path) -> Result<Process> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = watched(program);
    command.arg("-C").arg(configuration).arg("-d");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Process::start(&mut command, program)
}

/// qemu-nbd with one export; it ends when this is dropped.
#[derive(Debug)]
pub struct QemuNbd {
    _process: Process,
    port: u16,
}

impl QemuNbd {
    /// Starts a server of a disk image, under a name, for several clients at once. What clients write is lost.
    pub fn start(name: &str, image: &Path) -> Result<Self> {
        let port = free_port()?;
        let program = QEMU_NBD.find()?;
        let mut command = watched(&program);
        command.args(["--persistent", "--shared=8", "--snapshot", "--format=raw", "--bind=127.0.0.1"]);
        command.arg(format!("--export-name={name}")).arg(format!("--port={port}")).arg(image);
        let process = Process::start(command.stdin(Stdio::null()), &program)?;
        Ok(Self { _process: process, port })
    }

    /// Its port of TCP.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// What a played server does on one connection, the number of which it is told.
type Play = dyn Fn(usize, TcpStream) + Send + Sync;

/// A server that is played; it takes no more connections once this is dropped.
#[derive(Debug)]
pub struct Played {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Played {
    /// Says these bytes to everybody, whatever is asked, and then nothing more; or it hangs up.
    pub fn says(bytes: Vec<u8>, and_hangs_up: bool) -> Result<Self> {
        Self::start(Box::new(move |_, mut client| {
            // A client that does not listen to the end is what is tested.
            let _ = client.write_all(&bytes);
            if !and_hangs_up {
                let _ = client.read_to_end(&mut Vec::new());
            }
        }))
    }

    /// Passes on what another server of this host says, and breaks the first connection off once it has said so many
    /// bytes: it hangs up, or falls silent.
    pub fn breaks_off(port: u16, after: usize, silently: bool) -> Result<Self> {
        Self::start(Box::new(move |number, client| {
            let limit = if number == 0 { after } else { usize::MAX };
            // What becomes of a connection is the client's to tell.
            let _ = relay(client, port, limit, silently);
        }))
    }

    /// Its port of TCP.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn start(play: Box<Play>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let (is_stopped, play) = (stop.clone(), Arc::new(play));
        thread::spawn(move || {
            let mut count = 0;
            while !is_stopped.load(Ordering::Relaxed) {
                let Ok((client, _)) = listener.accept() else {
                    thread::sleep(TICK);
                    continue;
                };
                let (play, number) = (play.clone(), count);
                count += 1;
                if client.set_nonblocking(false).is_ok() {
                    thread::spawn(move || play(number, client));
                }
            }
        });
        Ok(Self { port, stop })
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn relay(mut client: TcpStream, port: u16, limit: usize, silently: bool) -> Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut asks, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut asks, &mut to_server));
    let mut buffer = [0; 4096];
    let mut left = limit;
    while left > 0 {
        let length = server.read(&mut buffer[..left.min(4096)])?;
        if length == 0 {
            break;
        }
        client.write_all(&buffer[..length])?;
        left -= length;
    }
    if silently {
        // What is said from here on is lost, until the client has enough of it.
        std::io::copy(&mut server, &mut std::io::sink())?;
    }
    server.shutdown(Shutdown::Both)?;
    client.shutdown(Shutdown::Both)?;
    Ok(())
}
