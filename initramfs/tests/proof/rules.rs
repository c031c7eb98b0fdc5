//! One rule of the kernel broken at a time, and the sentence that says so.

use std::collections::BTreeSet;
use std::path::Path;

use modstrap_initramfs::Request;
use modstrap_initramfs::kernel::Kernel;
use modstrap_initramfs::module::Module;
use modstrap_initramfs::proof::check::{Modules, Question};
use modstrap_initramfs::proof::subjects::Subject;
use modstrap_initramfs::proof::{Case, Proof};

use crate::common::link::Plan;
use crate::{World, answer, lines};

#[test]
fn modules_that_fit_pass() {
    let world = World::new();
    world.add(&Plan::new("low", &[("_printk", 0x1111)]).exporting(&[("low_call", 0x10, false, "")]));
    let high = [("low_call", 0x10), ("kmalloc", 0x2222), ("gpl_call", 0x4444), ("spaced", 0x5555)];
    world.add(&Plan::new("high", &high).saying(&[
        "license=GPL v2",
        "depends=low",
        "import_ns=OTHER",
        "import_ns=SPACE",
    ]));
    world.passes();
}

#[test]
fn a_version_that_differs() {
    let world = World::new();
    world.add(&Plan::new("low", &[]).exporting(&[("low_call", 0x10, true, "")]));
    world.add(&Plan::new("high", &[("_printk", 0x1112), ("low_call", 0x11)]).saying(&["license=GPL", "depends=low"]));
    assert_eq!(
        world.refused(),
        [
            "module high was built with another version of the symbol _printk: 0x00001112, where the kernel has 0x00001111",
            "module high was built with another version of the symbol low_call: 0x00000011, where low has 0x00000010",
        ]
    );
}

#[test]
fn a_kernel_of_another_layout_is_all_that_is_told() {
    let other = [("_printk", 0x9999, false, ""), ("module_layout", 0x7777, false, "")];
    let world = World::with_kernel(&other);
    world.add(&Plan::new("a", &[("_printk", 0x1111), ("nowhere", 0x1)]));
    let sentence = "module a was built with another version of the symbol module_layout: 0x00003333, \
        where the kernel has 0x00007777";
    assert_eq!(world.refused(), [sentence]);
}

#[test]
fn a_version_that_is_not_there() {
    let world = World::new();
    let mut bytes = Plan::new("a", &[("_printk", 0x1111)]).bytes();
    let at = bytes.windows(16).position(|window| window == b"\x11\x11\0\0\0\0\0\0_printk\0").unwrap();
    bytes[at + 8] = b'x';
    world.add_bytes("a", bytes);
    assert_eq!(world.refused(), ["module a names no version of the symbol _printk, which the kernel exports with one"]);
}

#[test]
fn versions_of_long_names() {
    const LONG: &str = "a_symbol_whose_name_is_so_long_that_no_record_of_the_old_form_could_hold_it";
    let world = World::with_kernel(&[("module_layout", 0x3333, false, ""), (LONG, 0x1, false, "")]);
    world.add(&Plan { extended: true, ..Plan::new("a", &[(LONG, 0x1)]) });
    world.passes();
    world.add(&Plan { extended: true, ..Plan::new("a", &[(LONG, 0x2)]) });
    let sentence = format!(
        "module a was built with another version of the symbol {LONG}: 0x00000002, where the kernel has 0x00000001"
    );
    assert_eq!(world.refused(), [sentence]);
}

#[test]
fn a_module_without_versions() {
    let world = World::new();
    let plan = Plan { unversioned: true, ..Plan::new("a", &[("_printk", 0)]) };
    world.add(&plan.exporting(&[("a_call", 0, false, "")]));
    let needs = "module a has no versions of the symbols that it needs, which the kernel demands (CONFIG_MODVERSIONS)";
    assert_eq!(world.refused(), [needs]);
    world.system.write("config", "CONFIG_MODULE_FORCE_LOAD=y\n");
    assert_eq!(
        world.warnings(),
        [
            "module a has no versions of the symbols that it needs, which taints the kernel",
            "module a has no versions of the symbols that it exports, which taints the kernel",
        ]
    );
}

#[test]
fn a_symbol_that_nobody_gives() {
    let world = World::new();
    world.add(&Plan::new("low", &[]).exporting(&[("low_call", 0x10, false, "")]));
    world.add(&Plan::new("high", &[("low_call", 0x10), ("kmaloc", 1), ("qqq", 1)]));
    assert_eq!(
        world.refused(),
        [
            "module high needs the symbol low_call, which low exports, but it does not depend on low",
            "module high needs the symbol kmaloc, which neither the kernel nor a module exports; similar: kmalloc",
            "module high needs the symbol qqq, which neither the kernel nor a module exports",
        ]
    );
}

#[test]
fn a_dependency_that_is_not_there() {
    let world = World::new();
    world.add(&Plan::new("high", &[("low_call", 0x10)]).saying(&["license=GPL", "depends=low,proc"]));
    assert_eq!(
        world.refused(),
        [
            "module high depends on low, which is neither there nor built into the kernel",
            "module high needs the symbol low_call, which neither the kernel nor a module exports",
        ]
    );
}

#[test]
fn dependencies_in_a_circle() {
    let world = World::new();
    world.add(&Plan::new("a", &[]).saying(&["license=GPL", "depends=b"]));
    world.add(&Plan::new("b", &[]).saying(&["license=GPL", "depends=a"]));
    assert_eq!(world.refused(), ["module a depends on itself: a -> b -> a", "module b depends on itself: b -> a -> b"]);
}

#[test]
fn what_is_weak_may_be_missing() {
    let world = World::new();
    world.add(&Plan { weak: vec!["nowhere", "_printk"], ..Plan::new("a", &[]) });
    // What is there must fit all the same.
    assert_eq!(world.refused(), ["module a names no version of the symbol _printk, which the kernel exports with one"]);
    world.add(&Plan { weak: vec!["nowhere"], ..Plan::new("a", &[]) });
    world.passes();
}

#[test]
fn what_is_for_the_gpl_only() {
    let world = World::new();
    let uses = [("gpl_call", 0x4444), ("_printk", 0x1111)];
    world.add(&Plan::new("closed", &uses).saying(&["license=Proprietary", "license=GPL"]));
    world.add(&Plan::new("silent", &uses).saying(&[]));
    let because = "may not use the symbol gpl_call, which the kernel exports for the GPL only: its licence is";
    assert_eq!(
        world.refused(),
        [format!("module closed {because} \"Proprietary\""), format!("module silent {because} \"unspecified\"")]
    );
}

#[test]
fn what_uses_a_proprietary_module_counts_as_one() {
    let world = World::new();
    world.add(&Plan::new("closed", &[]).saying(&["license=Proprietary"]).exporting(&[("c", 1, false, "")]));
    let middle = Plan::new("middle", &[("c", 1)]).saying(&["license=GPL", "depends=closed"]);
    world.add(&middle.exporting(&[("m", 2, false, "")]));
    world.add(&Plan::new("top", &[("m", 2), ("gpl_call", 0x4444)]).saying(&["license=GPL", "depends=middle"]));
    assert_eq!(
        world.refused(),
        ["module top may not use the symbol gpl_call, which the kernel exports for the GPL only: \
            it uses symbols of the proprietary module middle"]
    );
}

#[test]
fn a_namespace_that_is_not_imported() {
    let world = World::new();
    world.add(&Plan::new("a", &[("spaced", 0x5555)]));
    let sentence = "module a uses the symbol spaced of the kernel without importing its namespace SPACE";
    assert_eq!(world.refused(), [sentence]);
    world.system.write("config", "CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS=y\n");
    assert_eq!(world.warnings(), [sentence]);
}

#[test]
fn a_namespace_that_lists_modules() {
    let world =
        World::with_kernel(&[("module_layout", 0x3333, false, ""), ("private", 0x1, true, "module:kvm-*,friend")]);
    for name in ["kvm_amd", "friend"] {
        world.add(&Plan::new(name, &[("private", 0x1)]));
    }
    world.passes();
    world.add(&Plan::new("stranger", &[("private", 0x1)]));
    assert_eq!(
        world.refused(),
        ["module stranger uses the symbol private of the kernel without importing its namespace module:kvm-*,friend"]
    );
}

#[test]
fn a_symbol_that_is_exported_twice() {
    let world = World::new();
    world.add(&Plan::new("a", &[]).exporting(&[("mine", 1, false, ""), ("_printk", 2, true, "")]));
    world.add(&Plan::new("b", &[]).exporting(&[("mine", 1, true, "")]));
    assert_eq!(
        world.refused(),
        [
            "module a exports the symbol _printk, which the kernel exports already",
            "module b exports the symbol mine, which a exports already",
        ]
    );
}

#[test]
fn a_name_that_two_modules_have() {
    let world = World::new();
    let kernel = Kernel::read(&world.system.path("vmlinuz")).unwrap();
    let module = |path: &str| Module::parse(Path::new(path), &Plan::new("a", &[]).bytes()).unwrap();
    let modules = [module("one.ko"), module("two.ko")];
    let subject = |module| Subject { module, before: Vec::new(), findings: Vec::new() };
    let subjects = modules.iter().map(subject).collect();
    let case = Case { kernel: &kernel, cmdline: "", subjects, others: Vec::new(), builtin: &BTreeSet::new() };
    assert_eq!(Proof::of(&case).to_string(), "refused   module a is there twice\n");
}

#[test]
fn a_module_that_is_built_in_too() {
    let world = World::new();
    world.add(&Plan::new("proc", &[]));
    assert_eq!(world.warnings(), ["module proc is also part of the kernel itself, which may refuse it for that"]);
}

#[test]
fn signatures_where_the_kernel_wants_them() {
    let world = World::new();
    world.add(&Plan::new("a", &[]));
    world.passes();
    let enforcing = Question { cmdline: "module.sig_enforce=1".into(), ..world.question() };
    let demanded = |word: &str| format!("module a is not signed, and the kernel demands it ({word})");
    assert_eq!(lines(&answer(&enforcing)), [demanded("module.sig_enforce=1")]);
    world.system.write("config", "CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_FORCE=y\n");
    assert_eq!(world.refused(), [demanded("CONFIG_MODULE_SIG_FORCE")]);
    world.system.write("config", "CONFIG_MODULE_SIG=y\n");
    assert_eq!(world.warnings().len(), 1);
    world.system.write("config", "CONFIG_MODULES=y\n");
    assert!(answer(&enforcing).holds, "a kernel without the code cannot enforce it");
}

#[test]
fn a_signature_that_is_cut_off() {
    let world = World::new();
    let bytes = Plan::new("a", &[]).bytes();
    let length = (bytes.len() as u32 + 1).to_be_bytes();
    world.add_bytes("a", [&bytes, &[0, 0, 2, 0, 0, 0, 0, 0][..], &length, b"~Module signature appended~\n"].concat());
    assert_eq!(world.refused(), ["module a has a broken signature: the file is shorter than its header says"]);
}

#[test]
fn another_release_counts_only_without_versions() {
    let world = World::new();
    world.add(&Plan { release: Some("6.8.0-other"), ..Plan::new("a", &[("_printk", 0x1111)]) });
    assert_eq!(
        world.warnings(),
        ["module a was built for 6.8.0-other, not for 6.9.0-test; the versions of its symbols decide"]
    );
    world.add(&Plan { release: Some("6.8.0-other"), unversioned: true, ..Plan::new("a", &[]) });
    world.system.write("config", "CONFIG_MODULE_FORCE_LOAD=y\n");
    assert!(
        world.refused()[0].starts_with("module a was built for \"6.8.0-other SMP preempt mod_unload modversions\"")
    );
}

#[test]
fn other_options_count_always() {
    let world = World::new();
    world.add(&Plan { release: Some("6.9.0-test PREEMPT_RT"), ..Plan::new("a", &[]) });
    assert_eq!(
        world.refused(),
        ["module a was built for \"6.9.0-test PREEMPT_RT SMP preempt mod_unload modversions\", \
            but the kernel is \"6.9.0-test SMP preempt mod_unload modversions\""]
    );
}

#[test]
fn listings_take_the_place_of_the_image() {
    let world = World::new();
    world.add(&Plan::new("a", &[("_printk", 0x1111)]));
    std::fs::write(world.system.path("vmlinuz"), "\0Linux version 6.9.0-test (gcc)\0").unwrap();
    assert!(world.refused()[0].contains("give the Module.symvers or System.map of its build with --symbols"));
    let with = |content: &str| {
        let symbols = Some(world.system.write("listing", content));
        answer(&Question { symbols, strict: true, ..world.question() })
    };
    let symvers =
        "0x00001111\t_printk\tvmlinux\tEXPORT_SYMBOL\t\n0x00003333\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\t\n";
    assert!(with(symvers).holds);
    let map = with("ffff8000 r __ksymtab__printk\n");
    assert_eq!(
        lines(&map),
        ["of the kernel's symbols only the names are known, so versions, licences and namespaces are not proven"]
    );
    assert_eq!(lines(&with("ffff8000 r __ksymtab_kmalloc\n")).len(), 2);
    let error = Question { symbols: Some(world.system.path("vmlinuz")), ..world.question() };
    let error = format!("{:#}", error.answer(&indicatif::ProgressBar::hidden()).unwrap_err());
    assert!(error.contains("neither a Module.symvers nor a System.map"), "{error}");
}

#[test]
fn a_build_refuses_what_would_not_load_unless_forced() {
    let world = World::new();
    world.add(&Plan::new("low", &[]).exporting(&[("low_call", 0x10, false, "")]));
    world.add(&Plan::new("high", &[("low_call", 0x10)]));
    let request = world.system.request_for("high\n");
    let failure = world.system.failure(&request);
    let sentence = "module high needs the symbol low_call, which low exports, but low is not in the image";
    assert!(failure.contains(sentence) && failure.contains("--force"), "{failure}");
    let image = world.system.build(&Request { force: true, ..request.clone() }).unwrap();
    assert!(image.summary.to_string().contains(&format!("refused   {sentence}")));
    // The image says the same of itself.
    let question = Question { modules: Modules::Image(world.system.path("image")), ..world.question() };
    assert!(lines(&answer(&question))[0].starts_with("module high needs the symbol low_call"));

    world.add(&Plan::new("high", &[("low_call", 0x10)]).saying(&["license=GPL", "depends=low"]));
    world.system.build(&Request { strict: true, ..request }).unwrap();
    assert!(answer(&Question { strict: true, ..question }).holds);
}

#[test]
fn an_image_may_bring_the_word_that_demands_signatures() {
    let world = World::new();
    world.add(&Plan::new("a", &[]));
    let request = Request { cmdline: "lockdown=integrity".into(), ..world.system.request_for("a\n") };
    assert!(world.system.failure(&request).contains("not signed, and the kernel demands it (lockdown=integrity)"));
    world.system.build(&Request { force: true, ..request }).unwrap();
    let question = Question { modules: Modules::Image(world.system.path("image")), ..world.question() };
    assert!(!answer(&question).holds);
}

#[test]
fn many_findings_of_a_kind_are_counted() {
    let world = World::new();
    let names = ["s1", "s2", "s3", "s4", "s5"].map(|name| (name, 1));
    world.add(&Plan::new("a", &names));
    let text = world.check().to_string();
    assert!(text.contains("needs the symbol s3") && !text.contains("needs the symbol s4"), "{text}");
    assert!(text.contains("refused   module a: 2 more like this\n"), "{text}");
}

#[test]
fn the_command_line_tells_by_its_status() {
    let world = World::new();
    world.add(&Plan::new("a", &[("nowhere", 1)]));
    let check = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_modstrap"));
        command.arg("check").arg("--kernel").arg(world.system.path("vmlinuz")).args(arguments).output().unwrap()
    };
    let tree = world.system.path("").display().to_string();
    let output = check(&["--modules", &tree, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["holds"], &json["release"]), (&false.into(), &"6.9.0-test".into()));
    let finding = &json["findings"][0];
    assert_eq!((&finding["kind"], &finding["module"]), (&"missing".into(), &"a".into()));
    assert_eq!((&finding["symbol"], &finding["severity"]), (&"nowhere".into(), &"refused".into()));
    world.add(&Plan::new("a", &[]));
    let output = check(&["--modules", &tree]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "the kernel 6.9.0-test (symbols: 5) will load all these modules: 1\n"
    );
    assert_eq!(check(&[]).status.code(), Some(2));
}
