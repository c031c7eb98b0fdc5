//! Why an image holds its modules: what [`crate::select`] notes of each as it chooses. The image keeps it in a small file
//! beside the table, of which the loader knows nothing, and [`crate::why`] reads it.

use std::fmt;
use std::io::{Read, Write};

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use modstrap::table::MAX_MODULES;
use serde::{Deserialize, Serialize};

use crate::select::Selection;
use crate::{Hardware, Request};

/// Why an image holds a module. Where another one brought it in, that is named, so causes make chains; they are the
/// shortest there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It belongs to the set of hardware that was asked for.
    Hardware,
    /// The user named it so, in the list of modules or with `--include`.
    Named(String),
    /// The record of the machine has it: a modalias, a driver or a file system.
    Recorded(String),
    /// This module cannot be loaded without it.
    Dependency(String),
    /// This module is better loaded with it.
    SoftDependency(String),
    /// This module says that it may want it (`weakdep`).
    WeakDependency(String),
    /// The builder knows that this module is no use without it.
    Companion(String),
    /// With it the signature of this module, which is a large one, is checked faster.
    Digest(String),
    /// This module, or part of the kernel, may ask for it while it runs, with this request.
    Answer {
        /// Who asks.
        to: String,
        /// What it asks for, as the kernel's source has it.
        request: String,
    },
}

impl Cause {
    /// The module, or part of the kernel, that brought it in.
    pub fn of(&self) -> Option<&str> {
        match self {
            Cause::Hardware | Cause::Named(_) | Cause::Recorded(_) => None,
            Cause::Dependency(of) | Cause::SoftDependency(of) | Cause::WeakDependency(of) => Some(of),
            Cause::Companion(of) | Cause::Digest(of) | Cause::Answer { to: of, .. } => Some(of),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Hardware => write!(f, "the hardware that was asked for"),
            Cause::Named(name) => write!(f, "named as {name}"),
            Cause::Recorded(name) => write!(f, "recorded of the machine: {name}"),
            Cause::Dependency(of) => write!(f, "dependency of {of}"),
            Cause::SoftDependency(of) => write!(f, "soft dependency of {of}"),
            Cause::WeakDependency(of) => write!(f, "weak dependency of {of}"),
            Cause::Companion(of) => write!(f, "companion of {of}"),
            Cause::Digest(of) => write!(f, "provider of the digest by which {of} is signed"),
            Cause::Answer { to, request } => write!(f, "answer to {request}, which {to} may ask the kernel for"),
        }
    }
}

/// Where an image holds the file: JSON, packed by zlib.
pub const CAUSES_PATH: &str = "/modstrap/causes";

/// The most that the file may measure unpacked, in bytes: no damaged image fills the memory.
const MOST: u64 = MAX_MODULES as u64 * 512;

/// Why an image holds its modules.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes {
    /// The set of hardware that was asked for.
    pub hardware: String,
    /// What brought each module in, in the order of the table.
    pub modules: Vec<Cause>,
}

impl Causes {
    /// The causes of a selection.
    pub fn of(request: &Request, selection: &Selection) -> Causes {
        let hardware = match &request.hardware {
            Hardware::All => "all",
            Hardware::Generic => "generic",
            Hardware::Virtual => "virtual",
            // All else has been named or recorded.
            Hardware::Names(_) => "net",
        };
        let modules = selection.members.values().map(|member| member.cause.clone());
        Causes { hardware: hardware.into(), modules: modules.collect() }
    }

    /// The file.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&serde_json::to_vec(self)?)?;
        Ok(encoder.finish()?)
    }

    /// Reads the file of an image with so many modules.
    pub fn unpack(packed: &[u8], modules: usize) -> Result<Causes> {
        let mut json = Vec::new();
        ZlibDecoder::new(packed).take(MOST).read_to_end(&mut json).context("it does not unpack")?;
        let causes: Causes = serde_json::from_slice(&json).context("it holds no causes")?;
        ensure!(causes.modules.len() == modules, "it is for {} modules, not {modules}", causes.modules.len());
        Ok(causes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_packs_and_survives_damage() {
        let answer = Cause::Answer { to: "vfat".into(), request: "nls_*".into() };
        let causes = Causes { hardware: "generic".into(), modules: vec![Cause::Hardware, answer] };
        let packed = causes.pack().unwrap();
        assert_eq!(Causes::unpack(&packed, 2).unwrap(), causes);
        assert_eq!(Causes::unpack(&packed, 3).unwrap_err().to_string(), "it is for 2 modules, not 3");
        for length in 0..packed.len() {
            assert!(Causes::unpack(&packed[..length], 2).is_err(), "cut to {length}");
        }
    }
}
