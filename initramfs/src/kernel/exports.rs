//! The symbols that a kernel exports to modules, and the two listings of them that a kernel's build leaves behind:
//! Module.symvers (Documentation/kbuild/modules.rst) and System.map.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// What a kernel exports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    symbols: HashMap<Box<str>, Export>,
    /// Whether nothing but the names is known, as from System.map.
    pub names_only: bool,
}

/// What is said of an exported symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The checksum of its type; none without `CONFIG_MODVERSIONS`.
    pub crc: Option<u32>,
    /// Only for modules with a licence compatible with the GPL.
    pub gpl_only: bool,
    /// The namespace that a module must import to use it.
    pub namespace: Option<Box<str>>,
}

impl Exports {
    /// Adds a symbol. Of one that comes twice the first counts: the kernel searches its tables in their order.
    pub(super) fn add(&mut self, name: &str, export: Export) {
        self.symbols.entry(name.into()).or_insert(export);
    }

    /// The symbol of this name.
    pub fn get(&self, name: &str) -> Option<&Export> {
        self.symbols.get(name)
    }

    /// Every name, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.symbols.keys().map(|name| &**name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Reads Module.symvers or System.map, whichever `path` is by its content.
    pub fn read(path: &Path) -> Result<Exports> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&text);
        let is_symvers = text.trim_start().starts_with("0x");
        let exports = if is_symvers { Self::parse_symvers(&text) } else { Self::parse_map(&text) };
        exports.with_context(|| format!("{}: neither a Module.symvers nor a System.map", path.display()))
    }

    /// Lines of CRC, symbol, module, kind and namespace, between tabs; up to 5.6 the namespace stood third.
    fn parse_symvers(text: &str) -> Result<Exports> {
        let mut exports = Exports::default();
        for (index, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
            let (crc, name, module, kind, namespace) = match fields[..] {
                [crc, name, namespace, module, kind] if kind.starts_with("EXPORT_") => {
                    (crc, name, module, kind, namespace)
                }
                [crc, name, module, kind, ref rest @ ..] if kind.starts_with("EXPORT_") => {
                    (crc, name, module, kind, rest.first().copied().unwrap_or_default())
                }
                _ => bail!("line {}: not CRC, symbol, module and kind of export: {line}", index + 1),
            };
            let crc = crc.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
            let crc = crc.with_context(|| format!("line {}: it begins with no CRC: {line}", index + 1))?;
            if module == "vmlinux" {
                let namespace = (!namespace.is_empty()).then(|| namespace.into());
                let crc = (crc != 0).then_some(crc);
                exports.add(name, Export { crc, gpl_only: kind.starts_with("EXPORT_SYMBOL_GPL"), namespace });
            }
        }
        ensure!(!exports.is_empty(), "it lists no symbol of vmlinux");
        Ok(exports)
    }

    /// Lines of address, kind and symbol; each export has a symbol `__ksymtab_NAME` of its own.
    fn parse_map(text: &str) -> Result<Exports> {
        let mut exports = Exports { names_only: true, ..Exports::default() };
        for line in text.lines() {
            let name = line.split_whitespace().nth(2).and_then(|symbol| symbol.strip_prefix("__ksymtab_"));
            if let Some(name) = name {
                exports.add(name, Export::default());
            }
        }
        ensure!(
            !exports.is_empty(),
            "it lists no symbol __ksymtab_NAME (distributions often ship a stub of System.map)"
        );
        Ok(exports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(crc: u32, gpl_only: bool, namespace: Option<&str>) -> Export {
        Export { crc: Some(crc), gpl_only, namespace: namespace.map(Into::into) }
    }

    #[test]
    fn reads_module_symvers_of_every_age() {
        let text = "0x00000001\tplain\tvmlinux\tEXPORT_SYMBOL\t\n\
            0x00000002\tfor_gpl\tvmlinux\tEXPORT_SYMBOL_GPL\tSPACE\n\
            0x00000003\tof_a_module\tfs/jbd2/jbd2\tEXPORT_SYMBOL\t\n\
            0x00000004\told\tOLD_SPACE\tvmlinux\tEXPORT_SYMBOL\n\
            0x00000005\tolder\tvmlinux\tEXPORT_SYMBOL\n";
        let exports = Exports::parse_symvers(text).unwrap();
        assert_eq!(exports.get("plain"), Some(&export(1, false, None)));
        assert_eq!(exports.get("for_gpl"), Some(&export(2, true, Some("SPACE"))));
        assert_eq!(exports.get("of_a_module"), None);
        assert_eq!(exports.get("old"), Some(&export(4, false, Some("OLD_SPACE"))));
        assert_eq!(exports.get("older"), Some(&export(5, false, None)));
    }

    #[test]
    fn a_system_map_gives_names_alone() {
        let exports = Exports::parse_map("ffff0000 r __ksymtab_printk\nffff0010 T printk\n").unwrap();
        assert_eq!((exports.len(), exports.names_only), (1, true));
        assert_eq!(exports.get("printk"), Some(&Export::default()));
    }

    #[test]
    fn other_texts_are_refused() {
        assert!(Exports::parse_symvers("0x1\tname\n").is_err());
        assert!(Exports::parse_symvers("0xzz\tname\tvmlinux\tEXPORT_SYMBOL\t\n").is_err());
        assert!(Exports::parse_map("ffffffffffffffff B The real System.map is in a package\n").is_err());
    }
}
