//! What an image of ours measures that has the drivers of another program's image.

use anyhow::Result;
use serde::Serialize;

use super::peers::{PEERS, Peer};
use super::{Bench, image, is_selected};

/// The image of another program for any machine, beside ours.
#[derive(Clone, Debug, Serialize)]
pub struct Size {
    /// What made the other image.
    pub name: &'static str,
    /// Its bytes.
    pub bytes: u64,
    /// How many modules it holds.
    pub modules: usize,
    /// Those of them that ours has too, with all that they need.
    pub drivers: Vec<String>,
    /// The bytes of ours.
    pub our_bytes: u64,
}

/// Where a kernel has what is no block, file system or bus driver: what is left to the real init; and libraries and
/// cryptography, which come along where a driver needs them. All else in an image counts.
const LEFT_OUT: [&str; 13] = [
    "kernel/arch/",
    "kernel/crypto/",
    "kernel/drivers/bluetooth/",
    "kernel/drivers/gpu/",
    "kernel/drivers/hid/",
    "kernel/drivers/infiniband/",
    "kernel/drivers/input/",
    "kernel/drivers/media/",
    "kernel/drivers/net/",
    "kernel/drivers/video/",
    "kernel/lib/",
    "kernel/net/",
    "kernel/sound/",
];

/// Compares ours with each program that makes images for any machine, as far as those can be made.
pub(super) fn compare(bench: &Bench, only: &[String]) -> Result<Vec<Size>> {
    // One that cannot be made has a row that says why.
    let selected = |peer: &&Peer| peer.is_generic && is_selected(peer.name, only);
    PEERS
        .iter()
        .filter(selected)
        .filter_map(|peer| peer.image(&bench.kernel, &[]).ok().map(|made| (peer, made)))
        .map(|(peer, made)| {
            let is_driver = |path: &&String| !LEFT_OUT.iter().any(|place| path.contains(place));
            let drivers: Vec<String> = made.modules.iter().filter(is_driver).map(|path| name(path)).collect();
            let ours = image::of_modules(bench, &format!("drivers of {}", peer.name), &drivers)?;
            Ok(Size {
                name: peer.name,
                bytes: made.image.bytes()?,
                modules: made.image.modules,
                drivers,
                our_bytes: ours.bytes()?,
            })
        })
        .collect()
}

/// The name of the module at this path.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split('.').next().unwrap_or(file).replace('-', "_")
}
