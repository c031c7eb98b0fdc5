//! Signatures that cost less: the CPU's own provider of the digest, loaded before large modules.
//!
//! A kernel that looks at signatures hashes every module whole, by the generic code that is built in, until a better
//! provider is there (crypto/api.c takes the one of the highest priority). For a file system's driver that is most of
//! what its load costs; for a small module the provider, which is itself a signed module, would cost more than it saves.

use std::collections::BTreeSet;

use crate::closure::{CRYPTO, Graph};
use crate::module::Module;
use crate::proof::signature::Signature;
use crate::tree::Tree;

/// How many bytes hashed by the generic code cost as much as all that is done once for each module, the public key's
/// arithmetic above all: some 26 million instructions where a byte takes 108, measured on Debian's 6.12 for amd64.
const ONCE: u64 = 26_000_000 / 108;

/// A digest of which a boot loads a better provider first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The kernel's request for it, normalised: `crypto_sha256`.
    pub alias: String,
    /// The modules that provide it with instructions of the CPU, best first: indices of [`Tree::modules`].
    pub providers: Vec<usize>,
}

impl Digest {
    /// The digest by which `modules`, loaded together, are signed, if they are so large that a provider is worth its
    /// own load.
    pub fn for_loading(modules: &BTreeSet<usize>, tree: &Tree, graph: &Graph) -> Option<Digest> {
        let module = |index: &usize| &tree.modules[*index];
        let name = modules.iter().map(module).find_map(signed_by)?;
        let alias = alias(name);
        let mut providers = tree.find(&alias).modules;
        providers.retain(|index| is_for_cpus(module(index)) && graph.is_loadable(*index));
        let cost = ONCE + providers.iter().map(|index| module(index).size).max()?;
        let worth: u64 =
            modules.iter().map(module).filter(|module| signed_by(module) == Some(name)).map(|m| m.size).sum();
        let serves_itself = providers.iter().any(|provider| modules.contains(provider));
        (worth > cost && !serves_itself).then_some(Digest { alias, providers })
    }
}

/// The kernel's request for a digest, normalised.
pub fn alias(digest: &str) -> String {
    format!("{CRYPTO}{digest}")
}

/// The digest by which a module is signed.
pub fn signed_by(module: &Module) -> Option<&str> {
    match &module.linkage.signature {
        Signature::Sound(digest) => Some(digest),
        Signature::None | Signature::Broken(_) => None,
    }
}

/// Whether a provider is code for CPUs of the tree's architecture, and not a driver for a device of its own.
fn is_for_cpus(module: &Module) -> bool {
    let is_crypto = |place: &str| place.starts_with("arch/") && place.contains("/crypto/");
    module.place.as_deref().is_some_and(is_crypto)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::knowledge::Knowledge;

    const FASTER: &str = "kernel/arch/x86/crypto/sha256-ssse3.ko";

    /// A tree of modules with their sizes, signed with SHA-256, and the provider of that.
    fn tree(modules: &[(&str, u64)], provider: &str) -> Tree {
        let sample = |path: &str, size, aliases: &[&str]| {
            let signature = Signature::Sound("sha256".into());
            let mut module = Module { size, ..Module::sample(Path::new(path), &[], aliases) };
            module.linkage.signature = signature;
            module
        };
        let mut all: Vec<Module> =
            modules.iter().map(|(name, size)| sample(&format!("kernel/fs/{name}.ko"), *size, &[])).collect();
        all.push(sample(provider, 50_000, &["crypto-sha256", "cpu:type:x86,ven*fam*mod*:feature:*0089*"]));
        Tree::of(all)
    }

    fn digest(tree: &Tree, names: &[&str]) -> Option<Digest> {
        let knowledge = Knowledge::built_in().unwrap();
        let modules = names.iter().map(|name| tree.by_name(name).unwrap()).collect();
        Digest::for_loading(&modules, tree, &Graph::new(tree, &knowledge))
    }

    #[test]
    fn is_worth_it_for_large_modules_only() {
        let tree = tree(&[("large", 900_000), ("small", 60_000), ("other", 250_000)], FASTER);
        let faster = tree.by_name("sha256_ssse3").unwrap();
        let found = Digest { alias: "crypto_sha256".into(), providers: vec![faster] };
        assert_eq!(digest(&tree, &["large"]), Some(found.clone()));
        assert_eq!(digest(&tree, &["small"]), None);
        assert_eq!(digest(&tree, &["small", "other"]), Some(found), "what is loaded together counts together");
        assert_eq!(digest(&tree, &["large", "sha256_ssse3"]), None, "the provider is loaded in any case");
    }

    #[test]
    fn is_for_what_is_signed_and_for_cpus() {
        let mut unsigned = tree(&[("large", 900_000)], FASTER);
        unsigned.modules[0].linkage.signature = Signature::None;
        assert_eq!(digest(&unsigned, &["large"]), None);
        assert_eq!(digest(&tree(&[("large", 900_000)], "kernel/drivers/crypto/sha256-engine.ko"), &["large"]), None);
    }
}
