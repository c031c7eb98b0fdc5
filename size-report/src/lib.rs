//! Where every byte of the loader and of an image goes.
//!
//! - [`loader`]: a loader's bytes by section, by crate, for our own crate by source module, and by [`function`]
//! - [`origin`]: which crate and module a symbol comes from
//! - [`freestanding`]: is the loader static, without an interpreter and without libc?
//! - [`budget`]: the most it may take
//! - [`against`]: an earlier loader, of a report or of a [`revision`]; [`delta`]: what changed since
//! - [`image`]: an image's bytes by part, module, kind of [`section`] and stage of the codec; [`cost`]: what a section costs
//!   once it is packed
//! - [`packed`]: loaders with fewer features, and as images hold them
//! - [`make`]: building the loader, as it ships and with symbols
//! - [`elf`]: the ELF reading that the others share; [`text`]: the reports for people
//! - [`treemap`]: what takes bytes as areas; [`drawing`]: these as SVG
#![forbid(unsafe_code)]

pub mod against;
pub mod budget;
pub mod cost;
pub mod delta;
pub mod drawing;
pub mod elf;
pub mod freestanding;
pub mod function;
pub mod image;
pub mod loader;
pub mod make;
pub mod origin;
pub mod packed;
pub mod revision;
pub mod section;
pub mod text;
pub mod treemap;

#[cfg(test)]
mod assemble;

use std::collections::BTreeMap;

/// Bytes by name, in the order of the names.
pub type Bytes = BTreeMap<String, u64>;

/// The whole report on a loader: what `size-report --json` prints. The field names are kept.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// The loader's own numbers.
    pub loader: loader::Loader,
    /// The budget of its architecture, and whether it is kept.
    pub budget: budget::Verdict,
    /// The loaders that the budget limits as images hold them; none where a given file was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packed: Vec<packed::Sizes>,
    /// The change since what `--against` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<delta::Delta>,
}
