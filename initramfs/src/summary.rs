//! What a build tells at its end.

use std::fmt;
use std::path::PathBuf;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::Compress;
use crate::firmware::Missing;
use crate::proof::{Finding, Proof};
use crate::requests::UnknownRequest;
use crate::tree::Duplicate;

/// The result of a build.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The image.
    pub image: PathBuf,
    /// The kernel's release.
    pub release: String,
    /// The kernel's GNU build id in hexadecimal; empty where the image has none.
    pub build_id: String,
    /// How many modules the image holds.
    pub modules: usize,
    /// How many there were to choose from.
    pub modules_in_tree: usize,
    /// How they are packed.
    pub compress: Compress,
    /// What the modules measure unpacked, in bytes.
    pub raw_bytes: u64,
    /// What they measure in the image, in bytes.
    pub packed_bytes: u64,
    /// The size of the module table in bytes.
    pub table_bytes: u64,
    /// The size of the loader in bytes.
    pub loader_bytes: u64,
    /// The size of the early archive in bytes.
    pub early_bytes: u64,
    /// The size of the image in bytes.
    pub image_bytes: u64,
    /// What was asked for and is part of the kernel itself.
    pub builtin: Vec<String>,
    /// What in modprobe.d is not honoured, with file and line.
    pub notes: Vec<String>,
    /// Requests in the code of modules of which the builder knows nothing.
    pub unknown_requests: Vec<UnknownRequest>,
    /// Names that several files had, and which was taken.
    pub duplicates: Vec<Duplicate>,
    /// What is called as modules are in the tree and gives none, as far as the image was to hold none of it.
    pub unusable: Vec<Finding>,
    /// Modaliases of the list or the record of hardware to which neither a module nor the kernel answers.
    pub unanswered: Vec<String>,
    /// What else deserves attention.
    pub warnings: Vec<String>,
    /// Firmware that chosen modules may ask for and that is not in the image.
    pub missing_firmware: Vec<Missing>,
    /// Programs in the image that cannot start, each with the dynamic linker that is missing.
    pub without_interpreter: Vec<(String, String)>,
    /// What the proof of linking found: warnings, or with `--force` anything.
    pub proof: Proof,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { release, modules, modules_in_tree, .. } = self;
        writeln!(
            f,
            "kernel    {release}, {}",
            if self.build_id.is_empty() { "no build id found".into() } else { format!("build id {}", self.build_id) }
        )?;
        writeln!(
            f,
            "modules   {modules} of {modules_in_tree}, {} raw, {} packed",
            HumanBytes(self.raw_bytes),
            HumanBytes(self.packed_bytes)
        )?;
        writeln!(f, "packing   {}", self.compress.cost())?;
        if !self.builtin.is_empty() {
            writeln!(f, "built in  {}", self.builtin.join(" "))?;
        }
        for note in &self.notes {
            writeln!(f, "config    {note}")?;
        }
        for Duplicate { name, taken, passed_over } in &self.duplicates {
            let passed_over: Vec<String> = passed_over.iter().map(|path| path.display().to_string()).collect();
            writeln!(f, "duplicate {name}: {} is taken, not {}", taken.display(), passed_over.join(", "))?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning   {warning}")?;
        }
        for finding in &self.unusable {
            writeln!(f, "warning   {finding}")?;
        }
        for request in &self.unknown_requests {
            writeln!(f, "warning   {request}")?;
        }
        write!(f, "{}", self.proof)?;
        match self.missing_firmware.len() {
            0 => {}
            count => writeln!(f, "firmware  {count} files that modules may ask for are left out (-v names them)")?,
        }
        match self.unanswered.len() {
            0 => {}
            count => writeln!(f, "hardware  modaliases that nothing answers to: {count} (-v names them)")?,
        }
        for (program, interpreter) in &self.without_interpreter {
            writeln!(f, "warning   {program} cannot start: the image has no {interpreter}")?;
        }
        write!(
            f,
            "image     {}: {} bytes (loader {}, table {}, modules {})",
            self.image.display(),
            HumanCount(self.image_bytes),
            HumanCount(self.loader_bytes),
            HumanCount(self.table_bytes),
            HumanCount(self.packed_bytes)
        )
    }
}
