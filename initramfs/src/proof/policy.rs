//! What a kernel tolerates, from its configuration and its command line.

use modstrap::cmdline::Words;

use crate::kernel::config::Config;

/// What a kernel tolerates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    /// It looks at signatures at all (`CONFIG_MODULE_SIG`).
    pub checks_signatures: bool,
    /// The word or option by which it refuses modules without one.
    pub enforces_signatures: Option<String>,
    /// It loads modules that lack versions, and taints itself (`CONFIG_MODULE_FORCE_LOAD`).
    pub tolerates_no_versions: bool,
    /// It lets modules use namespaces that they do not import (`CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS`).
    pub tolerates_namespaces: bool,
}

impl Policy {
    /// The policy of a kernel that is given the words of `cmdline`. One whose configuration is not known is taken for a
    /// strict one that does not enforce signatures.
    pub fn new(config: Option<&Config>, cmdline: &str) -> Policy {
        let has = |option: &str| config.is_some_and(|config| config.has(option));
        let may_have = |option: &str| config.is_none_or(|config| config.has(option));
        let checks_signatures = may_have("MODULE_SIG");
        let by_word =
            || Words::new(cmdline.as_bytes()).find_map(|word| Self::enforcing(word.key, word.value, may_have));
        let options =
            ["MODULE_SIG_FORCE", "LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY"];
        let by_option = options.into_iter().find(|option| has(option)).map(|option| format!("CONFIG_{option}"));
        Policy {
            checks_signatures,
            enforces_signatures: by_option.or_else(by_word).filter(|_| checks_signatures),
            tolerates_no_versions: has("MODULE_FORCE_LOAD"),
            tolerates_namespaces: has("MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS"),
        }
    }

    /// The word, if it has the kernel enforce signatures (kernel/module/signing.c, security/lockdown/lockdown.c).
    fn enforcing(key: &[u8], value: Option<&[u8]>, may_have: impl Fn(&str) -> bool) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
        let enforces = match (key, value.as_deref()) {
            ("module.sig_enforce", None) => true,
            ("module.sig_enforce", Some(value)) => {
                value.starts_with(['1', 'y', 'Y', 't', 'T']) || value.eq_ignore_ascii_case("on")
            }
            ("lockdown", Some("integrity" | "confidentiality")) => may_have("SECURITY_LOCKDOWN_LSM"),
            _ => false,
        };
        enforces.then(|| value.map_or_else(|| key.to_string(), |value| format!("{key}={value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_enforce_signatures_as_the_kernel_reads_them() {
        let enforced = |cmdline: &str| Policy::new(None, cmdline).enforces_signatures;
        assert_eq!(enforced("quiet module.sig_enforce"), Some("module.sig_enforce".into()));
        assert_eq!(enforced("module.sig_enforce=Y"), Some("module.sig_enforce=Y".into()));
        assert_eq!(enforced("lockdown=integrity"), Some("lockdown=integrity".into()));
        for cmdline in ["", "module.sig_enforce=0", "lockdown=none", "lockdown", "-- module.sig_enforce"] {
            assert_eq!(enforced(cmdline), None, "{cmdline}");
        }
    }

    #[test]
    fn options_decide_where_they_are_known() {
        let policy = |text: &str, cmdline: &str| Policy::new(Config::parse(text).as_ref(), cmdline);
        let forced = policy("CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n", "");
        assert_eq!(forced.enforces_signatures.as_deref(), Some("CONFIG_MODULE_SIG_FORCE"));
        let without = policy("CONFIG_MODULES=y\n", "module.sig_enforce");
        assert!(!without.checks_signatures && without.enforces_signatures.is_none());
        let tolerant = policy("CONFIG_MODULE_FORCE_LOAD=y\nCONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS=y\n", "");
        assert!(tolerant.tolerates_no_versions && tolerant.tolerates_namespaces);
        assert_eq!(policy("CONFIG_MODULE_SIG=y\n", "lockdown=integrity").enforces_signatures, None);
    }
}
