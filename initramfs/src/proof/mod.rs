//! Proof of linking: that the kernel would take every module, before there is a boot in which it does not.
//!
//! [`linkage`] reads a module's side, [`crate::kernel`] the kernel's; [`rules`] are the kernel's own (kernel/module/),
//! applied to each module after those that are loaded before it. [`subjects`] says which those are, in a tree, in a
//! selection and in an image. What is wrong is a [`Finding`].

pub mod check;
mod finding;
pub mod linkage;
mod policy;
mod rules;
pub mod signature;
pub mod subjects;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::mem::{Discriminant, discriminant};

use rayon::prelude::*;
use serde::Serialize;

pub use self::finding::{Finding, Kind, Nearest, Provider, Severity};
use self::rules::Rules;
use self::subjects::Subject;
use crate::kernel::Kernel;
use crate::module::Module;

/// As many findings of one kind about one module are told in full.
const TOLD: usize = 3;

/// What is to be proven.
#[derive(Debug)]
pub struct Case<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The words it is started with, as far as they are known.
    pub cmdline: &'a str,
    /// The modules that it is to load.
    pub subjects: Vec<Subject<'a>>,
    /// Modules that are not there to be loaded, but may explain what is missing.
    pub others: Vec<&'a Module>,
    /// The modules that are part of the kernel itself.
    pub builtin: &'a BTreeSet<String>,
}

/// The outcome of a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Proof {
    /// What was found, in the order of the modules.
    pub findings: Vec<Finding>,
}

impl Proof {
    /// Applies the kernel's rules to every subject.
    pub fn of(case: &Case) -> Proof {
        let rules = Rules::new(case);
        let examined: Vec<Vec<Finding>> =
            (0..case.subjects.len()).into_par_iter().map(|index| rules.examine(index)).collect();
        let kernel = rules.kernel_finding().map(|kind| Finding { module: None, kind });
        Proof { findings: kernel.into_iter().chain(examined.into_iter().flatten()).collect() }
    }

    /// The same with what was found in another way.
    pub fn and(mut self, findings: impl IntoIterator<Item = Finding>) -> Proof {
        self.findings.extend(findings);
        self
    }

    /// The release of each module that was built for another one than the kernel's.
    pub fn other_releases(&self) -> impl Iterator<Item = &str> {
        self.findings.iter().filter_map(|finding| match &finding.kind {
            Kind::OtherRelease { module, .. } => Some(module.as_str()),
            _ => None,
        })
    }

    /// Whether nothing speaks against loading the modules; with `strict`, not even a warning.
    pub fn holds(&self, strict: bool) -> bool {
        let worst = self.findings.iter().map(Finding::severity).max();
        worst.is_none_or(|worst| worst == Severity::Warning && !strict)
    }
}

/// Findings of one kind about one module.
type Group<'a> = (Option<&'a str>, Discriminant<Kind>);

fn group(finding: &Finding) -> Group<'_> {
    (finding.module.as_deref(), discriminant(&finding.kind))
}

/// One line for each finding; of many of one kind about one module, the first few and how many more there are.
impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut total: HashMap<Group, usize> = HashMap::new();
        self.findings.iter().for_each(|finding| *total.entry(group(finding)).or_default() += 1);
        let mut told: HashMap<Group, usize> = HashMap::new();
        for finding in &self.findings {
            let word = match finding.severity() {
                Severity::Refused => "refused",
                Severity::Warning => "warning",
            };
            let (told, total) = (told.entry(group(finding)).or_default(), total[&group(finding)]);
            *told += 1;
            if *told <= TOLD {
                writeln!(f, "{word}   {finding}")?;
            } else if *told == total {
                let module = finding.module.as_deref().unwrap_or_default();
                writeln!(f, "{word}   module {module}: {} more like this", total - TOLD)?;
            }
        }
        Ok(())
    }
}
