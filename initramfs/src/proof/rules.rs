//! The kernel's rules for loading a module, in the order in which it applies them: kernel/module/signing.c, main.c
//! (`early_mod_check`, `simplify_symbols`, `complete_formation`) and version.c.

use std::collections::{HashMap, HashSet};

use super::linkage::Import;
use super::policy::Policy;
use super::signature::Signature;
use super::subjects::Subject;
use super::{Case, Finding, Kind, Nearest, Provider, Severity};
use crate::kernel::exports::{Export, Exports};
use crate::module::Module;
use crate::similar::similar;

/// The symbol whose version stands for the kernel's structures.
const LAYOUT: &str = "module_layout";

/// The rules for one kernel and the modules around the one in question.
pub(super) struct Rules<'a> {
    case: &'a Case<'a>,
    policy: Policy,
    /// What the kernel exports; none where that is not known.
    kernel: Option<&'a Exports>,
    /// What a module's version magic must be.
    vermagic: Option<&'a str>,
    /// The kernel compares versions of symbols (`CONFIG_MODVERSIONS`).
    versions: bool,
    /// A module that was certainly built with the kernel.
    sample: Option<&'a Module>,
    /// The subjects that export a symbol.
    exporters: HashMap<&'a str, Vec<(usize, &'a Export)>>,
    /// The first subject of each name.
    first_of_name: HashMap<&'a str, usize>,
    /// Why a subject counts as proprietary.
    proprietary: HashMap<usize, String>,
}

impl<'a> Rules<'a> {
    pub fn new(case: &'a Case<'a>) -> Rules<'a> {
        let kernel = case.kernel.exports.as_ref();
        let modules = || case.subjects.iter().map(|subject| subject.module);
        let vermagic = case.kernel.expected_vermagic(modules());
        let mut exporters: HashMap<&str, Vec<(usize, &Export)>> = HashMap::new();
        for (index, module) in modules().enumerate() {
            for (name, export) in &module.linkage.exports {
                exporters.entry(name).or_default().push((index, export));
            }
        }
        let has_versions = |exports: &Exports| exports.get(LAYOUT).is_some_and(|export| export.crc.is_some());
        let mut rules = Rules {
            case,
            policy: Policy::new(case.kernel.config.as_ref(), case.cmdline),
            kernel,
            vermagic,
            versions: match kernel {
                Some(exports) if !exports.names_only => has_versions(exports),
                _ => vermagic.is_some_and(|vermagic| vermagic.contains(" modversions")),
            },
            sample: modules().find(|module| Some(module.vermagic.as_str()) == vermagic),
            exporters,
            // The first is inserted last.
            first_of_name: modules().enumerate().map(|(index, module)| (&*module.name, index)).rev().collect(),
            proprietary: HashMap::new(),
        };
        rules.proprietary = rules.find_proprietary();
        rules
    }

    /// What is to be said of the kernel itself.
    pub fn kernel_finding(&self) -> Option<Kind> {
        let any_import = || self.case.subjects.iter().any(|subject| !subject.module.linkage.imports.is_empty());
        match self.kernel {
            None => any_import().then_some(Kind::NoKernelSymbols),
            Some(exports) => exports.names_only.then_some(Kind::NamesOnly),
        }
    }

    /// All that is to be said of one subject.
    pub fn examine(&self, index: usize) -> Vec<Finding> {
        let subject = &self.case.subjects[index];
        let module = subject.module;
        let mut kinds: Vec<Kind> = self.signature(module).into_iter().collect();
        kinds.extend(module.linkage.flaws.iter().cloned().map(|reason| Kind::Flaw { reason }));
        kinds.extend(self.machine(module));
        kinds.extend(self.identity(index, module));
        kinds.extend(self.vermagic(module));
        kinds.extend(self.layout(module));
        // The kernel looks no further than to the first of these; nor would more be worth knowing.
        if kinds.iter().all(|kind| kind.severity() == Severity::Warning) {
            kinds.extend(self.structure(module));
            kinds.extend(self.unversioned_exports(module));
            module.linkage.imports.iter().for_each(|import| kinds.extend(self.import(index, subject, import)));
            kinds.extend(self.exported_twice(index, module));
        }
        subject.findings.iter().cloned().chain(kinds).map(|kind| subject.finding(kind)).collect()
    }

    fn signature(&self, module: &Module) -> Option<Kind> {
        if !self.policy.checks_signatures {
            return None;
        }
        match &module.linkage.signature {
            Signature::Sound(_) => None,
            Signature::Broken(reason) => Some(Kind::BrokenSignature { reason: reason.clone() }),
            // Unless it is known that the kernel looks, a missing signature is nothing to talk about.
            Signature::None if self.case.kernel.config.is_none() && self.policy.enforces_signatures.is_none() => None,
            Signature::None => Some(Kind::Unsigned { enforced_by: self.policy.enforces_signatures.clone() }),
        }
    }

    fn machine(&self, module: &Module) -> Option<Kind> {
        let sample = self.sample.filter(|sample| sample.machine != module.machine)?;
        Some(Kind::Machine { module: module.machine.to_string(), kernel: sample.machine.to_string() })
    }

    fn identity(&self, index: usize, module: &Module) -> Option<Kind> {
        if self.first_of_name.get(&*module.name) != Some(&index) {
            return Some(Kind::NamedTwice);
        }
        self.case.builtin.contains(&module.name).then_some(Kind::BuiltIn)
    }

    /// `check_modinfo`: the release does not count where versions of symbols do.
    fn vermagic(&self, module: &Module) -> Option<Kind> {
        let own = module.vermagic.as_str();
        let Some(kernel) = self.vermagic else {
            let release = &self.case.kernel.release;
            return (module.release() != release)
                .then(|| Kind::Vermagic { module: own.to_string(), kernel: release.clone() });
        };
        if own == kernel {
            return None;
        }
        let options = |magic: &str| magic.split_once(' ').map(|(_, options)| options.to_string());
        let by_versions = self.versions && module.linkage.versioned;
        Some(match by_versions && options(own) == options(kernel) {
            true => Kind::OtherRelease {
                module: module.release().to_string(),
                kernel: kernel.split(' ').next().unwrap_or_default().to_string(),
            },
            false => Kind::Vermagic { module: own.to_string(), kernel: kernel.to_string() },
        })
    }

    /// `check_modstruct_version`.
    fn layout(&self, module: &Module) -> Option<Kind> {
        let given = self.kernel?.get(LAYOUT)?.crc?;
        let linkage = &module.linkage;
        if !linkage.versioned {
            return Some(Kind::Unversioned { what: "needs", tolerated: self.policy.tolerates_no_versions });
        }
        (linkage.layout != Some(given)).then(|| Kind::Version {
            symbol: LAYOUT.to_string(),
            provider: Provider::Kernel,
            module: linkage.layout,
            given,
        })
    }

    /// `elf_validity_cache_index_mod`.
    fn structure(&self, module: &Module) -> Option<Kind> {
        let kernel = self.sample?.linkage.structure;
        let module = module.linkage.structure;
        (module != kernel).then_some(Kind::Structure { module, kernel })
    }

    /// `check_export_symbol_versions`.
    fn unversioned_exports(&self, module: &Module) -> Option<Kind> {
        let lacking = self.versions && module.linkage.exports.iter().any(|(_, export)| export.crc.is_none());
        lacking.then_some(Kind::Unversioned { what: "exports", tolerated: self.policy.tolerates_no_versions })
    }

    /// `resolve_symbol`.
    fn import(&self, index: usize, subject: &Subject, import: &Import) -> Option<Kind> {
        let Some((provider, export)) = self.resolve(subject, &import.name) else {
            let symbol = import.name.to_string();
            let missing = !import.weak && self.kernel.is_some();
            return missing.then(|| Kind::Missing { nearest: self.nearest(&symbol), symbol });
        };
        let symbol = || import.name.to_string();
        let provider = || match provider {
            None => Provider::Kernel,
            Some(index) => Provider::Module(self.case.subjects[index].module.name.clone()),
        };
        if let Some(because) = self.proprietary.get(&index).filter(|_| export.gpl_only) {
            return Some(Kind::GplOnly { symbol: symbol(), provider: provider(), because: because.clone() });
        }
        if let Some(given) = export.crc.filter(|crc| import.version != Some(*crc) && subject.module.linkage.versioned) {
            return Some(Kind::Version { symbol: symbol(), provider: provider(), module: import.version, given });
        }
        let namespace =
            export.namespace.as_deref().filter(|namespace| !imports_namespace(subject.module, namespace))?;
        Some(Kind::Namespace {
            symbol: symbol(),
            provider: provider(),
            namespace: namespace.to_string(),
            tolerated: self.policy.tolerates_namespaces,
        })
    }

    /// `verify_exported_symbols`.
    fn exported_twice(&self, index: usize, module: &Module) -> Vec<Kind> {
        let mut kinds = Vec::new();
        for (name, _) in &module.linkage.exports {
            let by_kernel = self.kernel.and_then(|kernel| kernel.get(name)).map(|_| Provider::Kernel);
            let by_module = || {
                let earlier = self.exporters.get(&**name)?.iter().find(|(other, _)| *other < index)?.0;
                Some(Provider::Module(self.case.subjects[earlier].module.name.clone()))
            };
            if let Some(provider) = by_kernel.or_else(by_module) {
                kinds.push(Kind::ExportedTwice { symbol: name.to_string(), provider });
            }
        }
        kinds
    }

    /// Who gives a symbol to a subject: the kernel, else a module that is loaded before it.
    fn resolve(&self, subject: &Subject, name: &str) -> Option<(Option<usize>, &'a Export)> {
        if let Some(export) = self.kernel.and_then(|kernel| kernel.get(name)) {
            return Some((None, export));
        }
        let exporters = self.exporters.get(name)?;
        exporters
            .iter()
            .find(|(index, _)| subject.before.contains(index))
            .map(|(index, export)| (Some(*index), *export))
    }

    /// Where a symbol that is missing could come from.
    fn nearest(&self, symbol: &str) -> Nearest {
        if let Some((index, _)) = self.exporters.get(symbol).and_then(|exporters| exporters.first()) {
            return Nearest::NotNeeded(self.case.subjects[*index].module.name.clone());
        }
        let exports = |module: &&&Module| module.linkage.exports.iter().any(|(name, _)| **name == *symbol);
        if let Some(module) = self.case.others.iter().find(exports) {
            return Nearest::NotTaken(module.name.clone());
        }
        let others = self.case.others.iter().flat_map(|module| module.linkage.exports.iter().map(|(name, _)| &**name));
        let names =
            self.kernel.into_iter().flat_map(Exports::names).chain(self.exporters.keys().copied()).chain(others);
        // The measure favours names that begin alike; to take it of all the others would take long for nothing.
        let start = symbol.get(..4).unwrap_or(symbol);
        let likely = names.filter(|name| name.starts_with(start));
        Nearest::Nowhere(similar(symbol, likely).into_iter().map(str::to_string).collect())
    }

    /// The subjects that count as proprietary (`module_license_taint_check`), and those to which it passes on with the
    /// symbols that they use (`inherit_taint`).
    fn find_proprietary(&self) -> HashMap<usize, String> {
        let mut proprietary = HashMap::new();
        for (index, subject) in self.case.subjects.iter().enumerate() {
            let linkage = &subject.module.linkage;
            if !linkage.is_gpl_compatible() {
                let license = linkage.license.as_deref().unwrap_or("unspecified");
                proprietary.insert(index, format!("its licence is {license:?}"));
            }
        }
        let mut grows = !proprietary.is_empty();
        while grows {
            let before = proprietary.len();
            for (index, subject) in self.case.subjects.iter().enumerate() {
                if !proprietary.contains_key(&index)
                    && let Some(from) = self.uses_one_of(subject, &proprietary)
                {
                    proprietary.insert(index, format!("it uses symbols of the proprietary module {from}"));
                }
            }
            grows = proprietary.len() > before;
        }
        proprietary
    }

    /// One of `modules` that gives a symbol to the subject.
    fn uses_one_of(&self, subject: &Subject, modules: &HashMap<usize, String>) -> Option<&'a str> {
        let candidates: HashSet<usize> =
            subject.before.iter().copied().filter(|index| modules.contains_key(index)).collect();
        if candidates.is_empty() {
            return None;
        }
        let imports = subject.module.linkage.imports.iter();
        let mut providers = imports.filter_map(|import| self.resolve(subject, &import.name)?.0);
        let index = providers.find(|index| candidates.contains(index))?;
        Some(&self.case.subjects[index].module.name)
    }
}

/// `verify_namespace_is_imported`. A namespace may also list the modules that it is for, each perhaps with a '*' at its
/// end (since 6.16, `EXPORT_SYMBOL_FOR_MODULES`).
fn imports_namespace(module: &Module, namespace: &str) -> bool {
    if let Some(list) = namespace.strip_prefix("module:") {
        let fits = |name: &str| match name.strip_suffix('*') {
            Some(start) => module.name.starts_with(&crate::module::normal(start)),
            None => module.name == crate::module::normal(name),
        };
        return list.split(',').any(fits);
    }
    module.linkage.namespaces.iter().any(|imported| **imported == *namespace)
}
