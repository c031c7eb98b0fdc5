//! A loader's functions: what the symbol table calls by name.
//!
//! A generic function that was compiled for several types is one function of several copies here, as it is one in the
//! source. So the names are those that the next build has too, and two builds can be compared by them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::origin::{self, Origin};

/// A function, or a constant with a name; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its path, without the hash that tells copies apart.
    pub name: String,
    /// The crate that defines it.
    #[serde(rename = "crate")]
    pub krate: String,
    /// Its source module, if it is ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Its file bytes, those of all copies together.
    pub bytes: u64,
    /// How many copies there are.
    pub copies: u64,
}

/// Functions in the counting: bytes and copies by crate, module and name.
#[derive(Debug, Default)]
pub struct Count(BTreeMap<(String, Option<String>, String), (u64, u64)>);

impl Count {
    /// Adds a symbol and the bytes that it covers.
    pub fn add(&mut self, symbol: &str, origin: &Origin, bytes: u64) {
        let key = (origin.krate.clone(), origin.module.clone(), origin::readable(symbol));
        let (all_bytes, copies) = self.0.entry(key).or_default();
        *all_bytes += bytes;
        *copies += 1;
    }

    /// The functions, the largest first; those of one size in the order of their names.
    pub fn into_functions(self) -> Vec<Function> {
        let function = |((krate, module, name), (bytes, copies))| Function { name, krate, module, bytes, copies };
        let mut functions: Vec<Function> = self.0.into_iter().map(function).collect();
        functions.sort_by_key(|function| std::cmp::Reverse(function.bytes));
        functions
    }
}
