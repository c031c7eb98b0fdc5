//! Calls on a small tree: every option that the tools share with kmod, and every complaint.

use modstrap_initramfs::Request;

use crate::common::{RELEASE, System};
use crate::{Both, Outcome};

/// A module that exports a symbol and uses those of others, since depmod goes by symbols.
fn add_module(system: &System, path: &str, depends: &[&str], info: &[&str]) {
    let file = path.rsplit('/').next().unwrap();
    let name = file.split('.').next().unwrap().replace('-', "_");
    let imports: String = depends
        .iter()
        .map(|other| format!("extern char {other}_symbol; void *use_{other} = &{other}_symbol;\n"))
        .collect();
    let code = format!(
        "{imports}char {name}_symbol; asm(\".globl __crc_{name}_symbol\\n.set __crc_{name}_symbol, 1\");\n\
         __attribute__((section(\"__ksymtab_strings\"), used)) static const char export[] = \"{name}_symbol\";"
    );
    let line = format!("depends={}", depends.join(","));
    system.coded_module(path, &name, &[info, &[&line]].concat(), &code);
}

/// Modules in a chain, two that share an alias, one with soft dependencies, one that says much of itself.
fn system() -> System {
    let system = System::new();
    add_module(&system, "kernel/lib/base.ko", &[], &["alias=base-alias"]);
    add_module(&system, "kernel/drivers/mid-dle.ko", &["base"], &["alias=pci:v00001AF4d*sv*sd*bc*sc*i*"]);
    add_module(
        &system,
        "kernel/drivers/deep/top.ko",
        &["mid_dle", "base"],
        &["alias=pci:v00001AF4d00001001sv*sd*bc*sc*i*"],
    );
    add_module(&system, "kernel/fs/soft.ko", &[], &["softdep=pre: base post: other", "alias=fs-soft"]);
    add_module(&system, "kernel/fs/other.ko", &[], &["alias=net-pf-[12]*"]);
    let info = [
        "version=1.0",
        "description=One that has it all: a = b",
        "author=A <a@b>",
        "author=B",
        "license=GPL v2",
        "parmtype=first:int",
        "parm=first:what it is",
        "parm=text:only a text",
        "parmtype=kind:charp",
        "parm=first:said again (bool)",
        "parm=void:",
        "empty=",
        "bare",
        "firmware=a/b.bin",
    ];
    add_module(&system, "kernel/all.ko", &[], &info);
    system
}

/// modprobe.d for both.
const CONFIG: &str = "options all first=3 text=\"two words\"\nalias nick mid-dle\nblacklist other\n";

/// Calls `check` with both sets of tools on that tree.
fn with_both(check: impl FnOnce(&Both, &System)) {
    let system = system();
    let config = system.write("own.conf", CONFIG);
    let request =
        Request { force: true, modprobe_d: vec![config.clone()], ..system.request_for("top\nsoft\nall\nother\n") };
    let image = system.build(&request).unwrap();
    let root = system.path("");
    check(&Both::new(&root, RELEASE, &image.bytes, Some(&config)), &system);
}

#[test]
fn plans_are_kmods() {
    with_both(|both, _| {
        for name in ["base", "mid_dle", "mid-dle", "top", "all", "nick", "base-alias", "fs-soft", "soft", "other"] {
            both.agree("modprobe", &["-D", name]);
            both.agree("modprobe", &["--show-depends", "--quiet", name]);
            both.agree("modprobe", &["--show", name]);
            both.agree("modprobe", &["-nv", name]);
        }
        let Outcome { output, .. } = both.agree("modprobe", &["-D", "top"]);
        assert_eq!(output.lines().count(), 3, "{output}");
        assert!(output.ends_with("/kernel/drivers/deep/top.ko \n"), "{output}");
        assert_eq!(both.agree("modprobe", &["-D", "proc"]).output, "builtin proc\n");
    });
}

#[test]
fn parameters_are_kmods() {
    with_both(|both, _| {
        let spaced =
            [&["base", "a=b c"][..], &["base", "a=b c\"d"], &["base", "d e"], &["base", "a b=c"], &["base", "a='b c'"]];
        let plain = [&["all"][..], &["all", "kind=x"], &["top", "a=1", "b", "c=\"d e\""], &["base", "--", "x=-y"]];
        for words in plain.into_iter().chain(spaced) {
            both.agree("modprobe", &[&["-D"], words].concat());
        }
    });
}

#[test]
fn names_and_aliases_resolve_as_kmods() {
    with_both(|both, _| {
        let modalias = "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00";
        for name in ["base", "mid-dle", "nick", "fs-soft", "net-pf-1", "net-pf-3", "proc", "nosuch"] {
            both.agree("modprobe", &["-R", name]);
        }
        // Where several answer, kmod's order is that of its index; ours is that of modules.order.
        let sorted = |outcome: Outcome| {
            let mut names: Vec<String> = outcome.output.lines().map(str::to_string).collect();
            names.sort();
            names
        };
        let arguments = ["-R", modalias];
        assert_eq!(sorted(both.ours("modprobe", &arguments)), sorted(both.kmod("modprobe", &arguments)));
        both.agree("modprobe", &["-a", "-R", "base", "nosuch", "proc"]);
        both.agree("modprobe", &["-qaR", "base", "nosuch", "proc"]);
    });
}

#[test]
fn blacklists_hold_for_aliases_and_for_names_if_asked() {
    with_both(|both, _| {
        for arguments in [["-nv", "net-pf-1"], ["-nv", "other"], ["-nvb", "other"], ["-nvb", "net-pf-2"]] {
            both.agree("modprobe", &arguments);
        }
    });
}

#[test]
fn ignoring_commands_leaves_soft_dependencies_out() {
    with_both(|both, _| {
        both.agree("modprobe", &["-D", "-i", "soft"]);
        both.agree("modprobe", &["-D", "--ignore-install", "top"]);
    });
}

#[test]
fn command_lines_are_read_as_getopt_reads_them() {
    with_both(|both, system| {
        let root = system.path("").display().to_string();
        let set = |text: &str| text.replace("ROOT", &root).replace("REL", RELEASE);
        for line in [
            "-d ROOT -S REL -D top",
            "-dROOT -SREL -D top",
            "--dirname=ROOT --set-version=REL --show-depends top",
            "--dirname ROOT --set-version REL -Dq top",
            "-D -d ROOT top -S REL",
            "-DvqSREL -dROOT -- top",
            "-a -D top -d ROOT base",
        ] {
            let line = set(line);
            both.agree("modprobe", &line.split(' ').collect::<Vec<_>>());
        }
        let Outcome { status, output, errors } = both.ours("modprobe", &["-D", "--wait", "top"]);
        assert_eq!((status, output.as_str(), errors.as_str()), (Some(1), "", "modprobe: unrecognized option 'wait'\n"));
        assert_eq!(both.ours("modprobe", &["-Dx", "top"]).errors, "modprobe: unrecognized option 'x'\n");
        for tool in ["modprobe", "insmod", "rmmod", "modinfo"] {
            for option in ["-h", "--help", "-V", "--version"] {
                let Outcome { status, output, errors } = both.ours(tool, &[option, "top"]);
                assert!(
                    status == Some(0) && !output.is_empty() && errors.is_empty(),
                    "{tool} {option}: {output}{errors}"
                );
            }
        }
    });
}

#[test]
fn complaints_are_kmods() {
    with_both(|both, _| {
        for (tool, arguments) in [
            ("modprobe", &["nosuch"][..]),
            ("modprobe", &["-q", "nosuch"]),
            ("modprobe", &["-n", "nosuch"]),
            ("modprobe", &["-a", "nosuch", "neither"]),
            ("modprobe", &["-r", "nosuch"]),
            ("modprobe", &["-r", "nosuch", "neither"]),
            ("modprobe", &["-ra", "nosuch", "neither"]),
            ("modprobe", &[]),
            ("modprobe", &["-r"]),
            ("modprobe", &["-R"]),
            ("insmod", &[]),
            ("insmod", &["/nowhere/top.ko"]),
            ("rmmod", &[]),
            ("rmmod", &["no-such", "nei.ther", "top.ko.xz"]),
            ("modinfo", &[]),
            ("modinfo", &["nosuch", "top", "neither"]),
            ("modinfo", &["/nowhere/top.ko"]),
        ] {
            both.agree(tool, arguments);
        }
        let Outcome { status, errors, .. } = both.ours("lsmod", &[]);
        let kmod = both.kmod("lsmod", &[]);
        assert_eq!(status, kmod.status, "{errors}{}", kmod.errors);
    });
}

#[test]
fn a_store_that_cannot_be_used_is_named() {
    with_both(|both, system| {
        let table = system.path("modstrap/table");
        let missing =
            format!("Module top not found in directory {}/lib/modules/{RELEASE}\n", system.path("").display());
        std::fs::rename(&table, system.path("elsewhere")).unwrap();
        let Outcome { status, errors, .. } = both.ours("modprobe", &["top"]);
        let reason = format!(
            "modprobe: ERROR: could not use {}/modstrap: No such file or directory\n",
            system.path("").display()
        );
        assert_eq!((status, errors), (Some(1), format!("{reason}modprobe: FATAL: {missing}")));
        std::fs::write(&table, b"no table").unwrap();
        let Outcome { status, errors, .. } = both.ours("modprobe", &["top"]);
        assert!(status == Some(1) && errors.ends_with(&missing), "{errors}");
        std::fs::rename(system.path("elsewhere"), &table).unwrap();
        let other = both.ours("modprobe", &["-S", "6.9.0-other", "top"]);
        assert_eq!(other, both.kmod("modprobe", &["-S", "6.9.0-other", "top"]));
    });
}

#[test]
fn modinfo_of_the_store_and_of_a_file_is_kmods() {
    with_both(|both, system| {
        let file = |path: &str| system.modules().join(path).display().to_string();
        let (all, top) = (file("kernel/all.ko"), file("kernel/drivers/deep/top.ko"));
        // The aliases of modprobe.d are in the table, where kmod's modinfo does not look for them.
        let subjects = ["all", "top", "base-alias", "proc", &all, &top];
        let fields = ["filename", "parm", "author", "description", "empty", "bare", "depends", "nothing", "name"];
        for subject in subjects {
            both.agree("modinfo", &[subject]);
            for option in ["-n", "-a", "-d", "-l", "-p"] {
                both.agree("modinfo", &[option, subject]);
                both.agree("modinfo", &["-0", option, subject]);
            }
            // The name of what is built in alone kmod writes with a colon there.
            if subject != "proc" {
                both.agree("modinfo", &["-0", subject]);
            }
            for field in fields {
                both.agree("modinfo", &["-F", field, subject]);
                both.agree("modinfo", &[&format!("--field={field}"), subject]);
            }
        }
        both.agree("modinfo", &["-F", "depends", "top", &all, "base"]);
        both.agree("modinfo", &["-m", "top"]);
    });
}

#[test]
fn modinfo_refuses_what_it_cannot_read() {
    with_both(|both, system| {
        for (name, content) in [("cut.ko", &b"\x7fELF\x02\x01"[..]), ("empty.ko", b""), ("text.ko", b"no module")] {
            let path = system.write(name, content).display().to_string();
            let (ours, kmod) = (both.ours("modinfo", &[&path]), both.kmod("modinfo", &[&path]));
            assert_eq!((ours.status, &ours.output), (kmod.status, &kmod.output), "{name}");
            // What is wrong with it kmod tells apart by error numbers alone.
            let subject = |errors: &str| errors.split("': ").next().map(str::to_string);
            assert_eq!(subject(&ours.errors), subject(&kmod.errors), "{ours:?}");
        }
    });
}

#[test]
fn a_name_that_is_no_tools_is_no_tool() {
    with_both(|both, system| {
        std::os::unix::fs::symlink("loader", system.path("ours/depmod")).unwrap();
        let Outcome { status, output, errors } = both.ours("depmod", &[]);
        assert!(status == Some(1) && output.is_empty() && errors.contains("not process 1"), "{status:?} {errors}");
    });
}
