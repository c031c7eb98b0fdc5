//! Where a symbol comes from: the crate that defines it and the source module in that crate.
//!
//! The rules, in one place:
//!
//! - A function belongs to the crate that *defines* it, whoever instantiates it: `core::slice::sort` for one of our
//!   types is core's, and so is drop glue (`core::ptr::drop_in_place<T>`).
//! - A method belongs where its `impl` block stands. The v0 mangling says so: the path of the impl comes first. The
//!   legacy mangling says so too when it prints `module::<impl Trait for Type>`; when it prints
//!   `<Type as Trait>::method`, the compiler means an impl beside the type or beside the trait. Then the crate of the
//!   two that can depend on the other is taken: ours first, then any before the standard library's.
//! - A symbol that is not mangled is compiler_builtins' if it begins with `__`, as those of the run-time support
//!   do; else it is the program start or a memory function, which is our module `sys`.
//! - `__rustc` is the compiler's name for what a program defines on its behalf: the panic handler, in our `sys`.
//! - A constant without a name of its own (`anon.*`) has no origin.

mod printed;
mod v0;

use rustc_demangle::{demangle, try_demangle};

/// The loader's library, its program, which is a crate of its own to the compiler, and what that defines for it.
const OUR_CRATES: [&str; 3] = ["modstrap", "init", "__rustc"];
/// The name under which all are reported.
pub const OURS: &str = "modstrap";
/// Crates that depend on none outside themselves.
const STANDARD: [&str; 4] = ["core", "alloc", "std", "compiler_builtins"];

/// What the compiler puts before the name of a function to name the table of its `match`.
const SWITCH_TABLE: &str = "switch.table.";

/// The crate that defines a symbol and, if that is our own, the module directly below `src`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The crate's name; [`OURS`] for all of ours.
    pub krate: String,
    /// Our module: `boot`, `table`, ...; `lib` and `main` for what stands in these files themselves.
    pub module: Option<String>,
}

impl Origin {
    /// The origin of a symbol as it is spelled in a symbol table, or none for an unnamed constant.
    pub fn of(symbol: &str) -> Option<Origin> {
        if symbol.starts_with("anon.") || symbol.starts_with(".L") {
            return None;
        }
        let symbol = symbol.strip_prefix(SWITCH_TABLE).unwrap_or(symbol);
        let Ok(demangled) = try_demangle(symbol) else {
            return Some(unmangled(symbol));
        };
        let path = v0::path(symbol).unwrap_or_else(|| {
            let text = format!("{demangled:#}");
            printed::path(&text).into_iter().map(str::to_owned).collect()
        });
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        Some(Origin::of_path(&path))
    }

    /// The origin of an item by its path: the crate, modules, the item.
    fn of_path(path: &[&str]) -> Origin {
        let krate = path.first().copied().unwrap_or("unknown");
        if !OUR_CRATES.contains(&krate) {
            return Origin { krate: krate.to_owned(), module: None };
        }
        Origin { krate: OURS.to_owned(), module: Some(our_module(krate, path).to_owned()) }
    }
}

/// The name of a symbol for people: its path, without the hash that tells copies of one function apart.
pub fn readable(symbol: &str) -> String {
    match symbol.strip_prefix(SWITCH_TABLE) {
        Some(function) => format!("{:#} (switch table)", demangle(function)),
        None => format!("{:#}", demangle(symbol)),
    }
}

/// The module below the crate's root. What follows the crate is a module if something stands in it; types, closures
/// and impls at the root stand in the root file itself. The program's module `start` is a file of `sys`.
fn our_module<'a>(krate: &str, path: &[&'a str]) -> &'a str {
    match path {
        ["init", "start", ..] | ["__rustc", ..] => "sys",
        [_, module, inner, ..] if is_module(module) && *inner != "{{closure}}" => module,
        _ if krate == "init" => "main",
        _ => "lib",
    }
}

fn is_module(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
}

fn unmangled(symbol: &str) -> Origin {
    if symbol.starts_with("__") {
        Origin { krate: "compiler_builtins".to_owned(), module: None }
    } else {
        Origin { krate: OURS.to_owned(), module: Some("sys".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn comes_from(symbol: &str, expected: &str) {
        let origin = Origin::of(symbol).map(|origin| match origin.module {
            Some(module) => format!("{}::{module}", origin.krate),
            None => origin.krate,
        });
        assert_eq!(origin.as_deref().unwrap_or("none"), expected, "{symbol}");
    }

    // The symbols below are the compiler's own (Rust 1.95), read from binaries with `nm`.

    #[test]
    fn legacy_function() {
        comes_from("_ZN8modstrap4boot3run17haa10cac73e15b9e4E", "modstrap::boot");
        comes_from("_ZN8modstrap4root10superblock5probe17h21f1d70466771ac6E", "modstrap::root");
        comes_from("_ZN11miniz_oxide7inflate4core9init_tree17hf75cb5f12eaaced1E", "miniz_oxide");
    }

    #[test]
    fn legacy_method_of_an_impl_beside_its_type() {
        comes_from(
            "_ZN62_$LT$modstrap..table..View$u20$as$u20$core..cmp..PartialEq$GT$2eq17hb81ba8c9ae8b79d7E",
            "modstrap::table",
        );
        comes_from(
            "_ZN106_$LT$core..ops..range..Range$LT$usize$GT$$u20$as$u20$core..slice..index..SliceIndex$LT$$u5b$T$u5d$$GT$$GT$9index_mut17hf0e88c58041a9d7bE",
            "core",
        );
    }

    #[test]
    fn legacy_method_of_an_impl_elsewhere() {
        comes_from(
            "_ZN4core5array88_$LT$impl$u20$core..ops..index..IndexMut$LT$I$GT$$u20$for$u20$$u5b$T$u3b$$u20$N$u5d$$GT$9index_mut17h118f84f10372c8fdE",
            "core",
        );
    }

    #[test]
    fn own_program_and_root_file() {
        assert_eq!(Origin::of_path(&["init", "main"]).module.as_deref(), Some("main"));
        assert_eq!(Origin::of_path(&["init", "start", "begin"]).module.as_deref(), Some("sys"));
        assert_eq!(Origin::of_path(&["modstrap", "Thing", "new"]).module.as_deref(), Some("lib"));
        assert_eq!(Origin::of_path(&["modstrap", "helper", "{{closure}}"]).module.as_deref(), Some("lib"));
    }

    #[test]
    fn v0_function() {
        comes_from("_RNvNtCsgEmfK2I1SDS_4core9panicking9panic_fmt", "core");
        comes_from("_RNvNvNtCsgEmfK2I1SDS_4core5slice20copy_from_slice_impl17len_mismatch_fail", "core");
        comes_from("_RINvNtCsgEmfK2I1SDS_4core5slice20copy_from_slice_implhECsit7HCOnm8DT_11miniz_oxide", "core");
        comes_from("_RNvNtNtCs3UaCrCYivrf_8modstrap4root10superblock5COUNT.0", "modstrap::root");
    }

    #[test]
    fn v0_method() {
        comes_from("_RNvMNtCs3UaCrCYivrf_8modstrap5tableNtB2_4View3sum", "modstrap::table");
        comes_from(
            "_RNvXs_NtCs3UaCrCYivrf_8modstrap5tableNtB4_4ViewNtNtCsgEmfK2I1SDS_4core3cmp9PartialEq2eq",
            "modstrap::table",
        );
        comes_from(
            "_RNvXse_NtCsgEmfK2I1SDS_4core5arrayAhj120_INtNtNtB7_3ops5index8IndexMutINtNtBI_5range5RangejEE9index_mutCsit7HCOnm8DT_11miniz_oxide",
            "core",
        );
    }

    #[test]
    fn names_for_people_have_no_hash() {
        assert_eq!(readable("_ZN8modstrap4boot3run17haa10cac73e15b9e4E"), "modstrap::boot::run");
        assert_eq!(readable("_RNvNtCsgEmfK2I1SDS_4core9panicking9panic_fmt"), "core::panicking::panic_fmt");
        assert_eq!(
            readable("switch.table._ZN8modstrap4boot3run17haa10cac73e15b9e4E"),
            "modstrap::boot::run (switch table)"
        );
        assert_eq!(readable("memcpy"), "memcpy");
    }

    #[test]
    fn unmangled_symbols() {
        comes_from("memcpy", "modstrap::sys");
        comes_from("_start", "modstrap::sys");
        comes_from("_RNvCsfLfy6EI15iL_7___rustc17rust_begin_unwind", "modstrap::sys");
        comes_from("__udivti3", "compiler_builtins");
        comes_from("anon.b09d5e38614f8226574ec77b5cfadde0.21", "none");
    }
}
