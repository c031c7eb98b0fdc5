//! Where set-up keeps kernels: the same rule as in `qemu/setup`.

use std::path::PathBuf;

/// The directory with a tree for each release.
pub fn kernels() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = || variable("HOME").expect("HOME").join(".cache");
    let base = variable("MODSTRAP_CACHE");
    base.unwrap_or_else(|| variable("XDG_CACHE_HOME").unwrap_or_else(home).join("modstrap")).join("kernels")
}
