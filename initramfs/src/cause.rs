//! Why an image holds a module: what [`crate::select`] notes of each as it chooses.

use std::fmt;

use serde::Serialize;

/// Why an image holds a module. Where another one brought it in, that is named, so causes make chains; they are the
/// shortest there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It belongs to the set of hardware that was asked for.
    Hardware,
    /// The user named it so, in the list of modules or with `--include`.
    Named(String),
    /// This module cannot be loaded without it.
    Dependency(String),
    /// This module is better loaded with it.
    SoftDependency(String),
    /// This module says that it may want it (`weakdep`).
    WeakDependency(String),
    /// The builder knows that this module is no use without it.
    Companion(String),
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
            Cause::Hardware | Cause::Named(_) => None,
            Cause::Dependency(of) | Cause::SoftDependency(of) | Cause::WeakDependency(of) => Some(of),
            Cause::Companion(of) | Cause::Answer { to: of, .. } => Some(of),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Hardware => write!(f, "the hardware that was asked for"),
            Cause::Named(name) => write!(f, "named as {name}"),
            Cause::Dependency(of) => write!(f, "dependency of {of}"),
            Cause::SoftDependency(of) => write!(f, "soft dependency of {of}"),
            Cause::WeakDependency(of) => write!(f, "weak dependency of {of}"),
            Cause::Companion(of) => write!(f, "companion of {of}"),
            Cause::Answer { to, request } => write!(f, "answer to {request}, which {to} may ask the kernel for"),
        }
    }
}
