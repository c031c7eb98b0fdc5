//! What a proof finds: one sentence for each thing that would keep a module from being loaded, or that might.

use std::fmt;

use serde::{Serialize, Serializer};

/// Something that a proof found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The module; none where it is about the kernel.
    pub module: Option<String>,
    /// What it is.
    pub kind: Kind,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The kernel loads the module, but something is amiss.
    Warning,
    /// The kernel will refuse the module, or nothing can be said.
    Refused,
}

/// Who gives a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// The kernel itself.
    Kernel,
    /// A module.
    Module(String),
}

/// Where a symbol that is missing could come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nearest {
    /// From a module that is at hand, but not loaded before.
    NotNeeded(String),
    /// From a module of the tree that is not in the image.
    NotTaken(String),
    /// From nowhere; names that look like it.
    Nowhere(Vec<String>),
}

/// What a finding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// No symbol table of the kernel could be read.
    NoKernelSymbols,
    /// Of the kernel's symbols only the names are known.
    NamesOnly,
    /// No module can be read from its file.
    Damaged {
        /// The file, below the tree's directory.
        path: String,
        /// In words.
        reason: String,
        /// A better file of its name is there.
        spare: bool,
    },
    /// What should be its file is none.
    NoFile {
        /// Below the tree's directory.
        path: String,
        /// What it is instead, in words.
        what: &'static str,
    },
    /// The module is not made as the kernel's loader wants it.
    Flaw {
        /// In words.
        reason: String,
    },
    /// It is for another kind of machine.
    Machine {
        /// Its own.
        module: String,
        /// That of the kernel's other modules.
        kernel: String,
    },
    /// It has a signature that cannot be verified.
    BrokenSignature {
        /// In words.
        reason: String,
    },
    /// It has no signature.
    Unsigned {
        /// The word or option by which the kernel wants one.
        enforced_by: Option<String>,
    },
    /// Its version magic is not the kernel's.
    Vermagic {
        /// Its own; empty where it states none.
        module: String,
        /// The kernel's.
        kernel: String,
    },
    /// It was built for another release, but its symbol versions decide.
    OtherRelease {
        /// Its own.
        module: String,
        /// The kernel's.
        kernel: String,
    },
    /// Its `struct module` is not as long as the kernel's.
    Structure {
        /// Its own length in bytes.
        module: u64,
        /// The kernel's.
        kernel: u64,
    },
    /// It states no versions of the symbols that it needs or gives, and the kernel has them.
    Unversioned {
        /// What lacks them: `needs` or `exports`.
        what: &'static str,
        /// The kernel takes it all the same.
        tolerated: bool,
    },
    /// It was built with another version of a symbol.
    Version {
        /// The symbol.
        symbol: String,
        /// Who gives it.
        provider: Provider,
        /// The checksum that the module has; none where it names no version of this symbol.
        module: Option<u32>,
        /// The provider's.
        given: u32,
    },
    /// Nobody who is there before it gives a symbol.
    Missing {
        /// The symbol.
        symbol: String,
        /// Where it could come from.
        nearest: Nearest,
    },
    /// It uses what its licence does not let it use.
    GplOnly {
        /// The symbol.
        symbol: String,
        /// Who gives it.
        provider: Provider,
        /// Why it counts as proprietary.
        because: String,
    },
    /// It uses a symbol of a namespace that it does not import.
    Namespace {
        /// The symbol.
        symbol: String,
        /// Who gives it.
        provider: Provider,
        /// The namespace.
        namespace: String,
        /// The kernel takes it all the same.
        tolerated: bool,
    },
    /// It gives a symbol that is there already.
    ExportedTwice {
        /// The symbol.
        symbol: String,
        /// Who else gives it.
        provider: Provider,
    },
    /// Another module has its name.
    NamedTwice,
    /// A module of its name is part of the kernel.
    BuiltIn,
    /// What it depends on is not there.
    NoDependency {
        /// The name in its `depends`.
        name: String,
        /// The file from which it cannot be taken.
        unusable: Option<String>,
    },
    /// It depends on itself.
    Loop {
        /// The way round.
        through: Vec<String>,
    },
    /// Its load order has a module before what that one needs.
    Order {
        /// The module that comes too early; perhaps itself.
        module: String,
        /// What does not come before.
        needs: String,
    },
}

impl Kind {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Kind::NamesOnly
            | Kind::Damaged { spare: true, .. }
            | Kind::NoFile { .. }
            | Kind::Unsigned { enforced_by: None }
            | Kind::OtherRelease { .. }
            | Kind::Unversioned { tolerated: true, .. }
            | Kind::Namespace { tolerated: true, .. }
            | Kind::BuiltIn => Severity::Warning,
            _ => Severity::Refused,
        }
    }
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// The part of the sentence that follows the module's name.
    fn predicate(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::NoKernelSymbols => f.write_str(
                "the kernel image shows no table of exported symbols, so nothing can be proven; \
                 give the Module.symvers or System.map of its build with --symbols",
            ),
            Kind::NamesOnly => f.write_str(
                "of the kernel's symbols only the names are known, so versions, licences and namespaces are not proven",
            ),
            Kind::Damaged { path, reason, spare: false } => write!(f, "cannot be taken from {path}: {reason}"),
            Kind::Damaged { path, reason, spare: true } => {
                write!(f, "is taken from another file than {path}, which is damaged: {reason}")
            }
            Kind::NoFile { path, what } => write!(f, "cannot be taken from {path}, which is {what}"),
            Kind::Flaw { reason } => write!(f, "can be loaded by no kernel: {reason}"),
            Kind::Machine { module, kernel } => write!(f, "is for {module}, but the kernel is for {kernel}"),
            Kind::BrokenSignature { reason } => write!(f, "has a broken signature: {reason}"),
            Kind::Unsigned { enforced_by: None } => f.write_str(
                "is not signed: the kernel taints itself, and refuses it under lockdown (as by Secure Boot)",
            ),
            Kind::Unsigned { enforced_by: Some(word) } => {
                write!(f, "is not signed, and the kernel demands it ({word})")
            }
            Kind::Vermagic { module, kernel } if module.is_empty() => {
                write!(f, "states no vermagic, and the kernel has {kernel:?}")
            }
            Kind::Vermagic { module, kernel } => write!(f, "was built for {module:?}, but the kernel is {kernel:?}"),
            Kind::OtherRelease { module, kernel } => {
                write!(f, "was built for {module}, not for {kernel}; the versions of its symbols decide")
            }
            Kind::Structure { module, kernel } => {
                write!(f, "has a struct module of {module} bytes, where the kernel's has {kernel}")
            }
            Kind::Unversioned { what, tolerated } => {
                write!(f, "has no versions of the symbols that it {what}, ")?;
                f.write_str(match tolerated {
                    true => "which taints the kernel",
                    false => "which the kernel demands (CONFIG_MODVERSIONS)",
                })
            }
            Kind::Version { symbol, provider, module: Some(crc), given } => write!(
                f,
                "was built with another version of the symbol {symbol}: {crc:#010x}, where {provider} has {given:#010x}"
            ),
            Kind::Version { symbol, provider, module: None, .. } => {
                write!(f, "names no version of the symbol {symbol}, which {provider} exports with one")
            }
            Kind::Missing { symbol, nearest } => write!(f, "needs the symbol {symbol}, {nearest}"),
            Kind::GplOnly { symbol, provider, because } => {
                write!(f, "may not use the symbol {symbol}, which {provider} exports for the GPL only: {because}")
            }
            Kind::Namespace { symbol, provider, namespace, .. } => {
                write!(f, "uses the symbol {symbol} of {provider} without importing its namespace {namespace}")
            }
            Kind::ExportedTwice { symbol, provider } => {
                write!(f, "exports the symbol {symbol}, which {provider} exports already")
            }
            Kind::NamedTwice => f.write_str("is there twice"),
            Kind::BuiltIn => f.write_str("is also part of the kernel itself, which may refuse it for that"),
            Kind::NoDependency { name, unusable: Some(path) } => {
                write!(f, "depends on {name}, which cannot be taken from {path}")
            }
            Kind::NoDependency { name, unusable: None } => {
                write!(f, "depends on {name}, which is neither there nor built into the kernel")
            }
            Kind::Loop { through } => write!(f, "depends on itself: {}", through.join(" -> ")),
            Kind::Order { module, needs } => {
                write!(f, "has a load order in which {module} does not come after {needs}, which it needs")
            }
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module {
            write!(f, "module {module} ")?;
        }
        self.predicate(f)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provider::Kernel => f.write_str("the kernel"),
            Provider::Module(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nearest::NotNeeded(exporter) => {
                write!(f, "which {exporter} exports, but it does not depend on {exporter}")
            }
            Nearest::NotTaken(exporter) => write!(f, "which {exporter} exports, but {exporter} is not in the image"),
            Nearest::Nowhere(names) if names.is_empty() => f.write_str("which neither the kernel nor a module exports"),
            Nearest::Nowhere(names) => {
                write!(f, "which neither the kernel nor a module exports; similar: {}", names.join(", "))
            }
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shape<'a> {
            severity: Severity,
            module: &'a Option<String>,
            message: String,
            #[serde(flatten)]
            kind: &'a Kind,
        }
        let Finding { module, kind } = self;
        Shape { severity: self.severity(), module, message: self.to_string(), kind }.serialize(serializer)
    }
}
