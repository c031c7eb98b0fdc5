//! The other end of a guest's wire: it takes the guest's Ethernet frames, and answers them as it likes.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::network::{Model, Nic};

/// Makes the answers to a frame.
pub type Handler = Box<dyn FnMut(&[u8]) -> Vec<Vec<u8>> + Send>;

/// A peer at work; it ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    files: TempDir,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// A peer that answers each frame of the guest with what `handler` makes of it.
    pub fn start(mut handler: Handler) -> Result<Self> {
        const TICK: Duration = Duration::from_millis(50);
        let files = tempfile::tempdir().context("cannot make a temporary directory")?;
        let guest = guest(files.path());
        let socket = UnixDatagram::bind(own(files.path())).context("cannot make a socket")?;
        socket.set_read_timeout(Some(TICK))?;
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut frame = vec![0; 1 << 16];
            while !is_over.load(Ordering::Relaxed) {
                let Ok(length) = socket.recv(&mut frame) else { continue };
                for answer in handler(&frame[..length]) {
                    // A guest that is gone needs no answer.
                    let _ = socket.send_to(&answer, &guest);
                }
            }
        });
        Ok(Self { files, ends, thread: Some(thread) })
    }

    /// A card whose wire leads here.
    pub fn nic(&self, model: Model) -> Nic {
        Nic::peer(model, own(self.files.path()), guest(self.files.path()))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn own(directory: &Path) -> PathBuf {
    directory.join("peer")
}

fn guest(directory: &Path) -> PathBuf {
    directory.join("guest")
}
