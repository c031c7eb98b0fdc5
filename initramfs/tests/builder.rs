//! The builder over hand-made trees: each case is one that a distribution or a user brings about.

mod common;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::link::Plan;
use common::{RELEASE, System, compile};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap_initramfs::{FileSpec, Hardware, Request, archive};

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
}

#[test]
fn generic_takes_what_can_make_a_root_and_what_that_needs() {
    let system = System::new();
    system.module("kernel/drivers/block/virtio_blk.ko", "virtio_blk", &["alias=virtio:d00000002v*"]);
    system.module("kernel/drivers/virtio/virtio_mmio.ko", "virtio_mmio", &[]);
    system.module("kernel/fs/ext4/ext4.ko", "ext4", &["depends=jbd2,crc16", "softdep=pre: crypto-crc32c"]);
    system.module("kernel/fs/jbd2/jbd2.ko", "jbd2", &[]);
    system.module("kernel/lib/crc16.ko", "crc16", &[]);
    system.module("kernel/crypto/crc32c_generic.ko", "crc32c_generic", &["alias=crypto-crc32c"]);
    system.module("kernel/crypto/unwanted.ko", "unwanted", &[]);
    system.module("kernel/sound/core/snd.ko", "snd", &[]);
    system.module("kernel/drivers/net/virtio_net.ko", "virtio_net", &["alias=virtio:d00000001v*"]);
    let image = system.build(&system.request()).unwrap();
    assert_eq!(image.names(), ["crc32c_generic", "virtio_blk", "virtio_mmio", "ext4", "jbd2", "crc16"]);
    assert_eq!(image.closure("ext4"), "jbd2 crc16 [crc32c_generic] ext4");
    let with_net = system.build(&Request { with_net: true, ..system.request() }).unwrap();
    assert!(with_net.names().contains(&"virtio_net".to_string()));
}

#[test]
fn modules_are_byte_exact_however_they_were_shipped() {
    let system = System::new();
    for (path, name) in [("a.ko", "a"), ("b.ko.gz", "b"), ("c.ko.xz", "c"), ("d.ko.zst", "d")] {
        system.module(&format!("kernel/fs/{path}"), name, &["alias=fs-x", "description=compressible compressible"]);
    }
    let image = system.build(&system.request()).unwrap();
    for name in ["a", "b", "c", "d"] {
        let expected = compile(name, RELEASE, &["alias=fs-x", "description=compressible compressible"]);
        assert!(image.content(name) == expected, "{name}");
    }
}

#[test]
fn the_order_is_that_of_modules_order_then_of_paths() {
    let system = System::new();
    for name in ["a", "b", "c", "d"] {
        system.module(&format!("kernel/fs/{name}.ko.xz"), name, &[]);
    }
    system.write(&format!("lib/modules/{RELEASE}/modules.order"), "kernel/fs/d.ko\nkernel/fs/b.ko\n");
    assert_eq!(system.build(&system.request()).unwrap().names(), ["d", "b", "a", "c"]);
}

#[test]
fn a_module_is_called_what_it_calls_itself() {
    let system = System::new();
    system.module("kernel/fs/file-name.ko", "own-name", &[]);
    system.module("kernel/fs/user.ko", "user", &["depends=own_name"]);
    let image = system.build(&system.request()).unwrap();
    assert_eq!(image.closure("user"), "own_name user");
}

#[test]
fn updates_win_over_the_kernels_own() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &["description=old"]);
    system.module("updates/dkms/foo-new.ko", "foo", &["description=new"]);
    let image = system.build(&system.request()).unwrap();
    assert!(image.content("foo") == compile("foo", RELEASE, &["description=new"]));
    assert_eq!(image.inspect(&system.path("")).unwrap().modules[0].class, "fs");
    assert_says(&image.summary.to_string(), &["duplicate foo: updates/dkms/foo-new.ko is taken, not kernel/fs/foo.ko"]);
}

#[test]
fn depmods_configuration_beside_the_tree_decides() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &["description=old"]);
    system.module("updates/foo.ko", "foo", &["description=new"]);
    system.write("etc/depmod.d/ours.conf", "search built-in updates\n");
    let image = system.build(&system.request_for("foo\n")).unwrap();
    assert!(image.content("foo") == compile("foo", RELEASE, &["description=old"]));
    system.write("etc/depmod.d/ours.conf", "search built-in updates\noverride foo * updates\n");
    let image = system.build(&system.request_for("foo\n")).unwrap();
    assert!(image.content("foo") == compile("foo", RELEASE, &["description=new"]));
}

#[test]
fn weak_updates_are_followed_and_may_be_of_another_release() {
    let system = System::new();
    // What it was built with is known by versions, or the kernel would not take it.
    let weak = Plan { release: Some("6.8.0-other"), ..Plan::new("weak", &[]).saying(&["alias=fs-weak"]) };
    let other = system.write("lib/modules/6.8.0-other/extra/weak.ko", weak.bytes());
    system.module("kernel/fs/foo.ko", "foo", &[]);
    std::fs::create_dir(system.modules().join("weak-updates")).unwrap();
    symlink(&other, system.modules().join("weak-updates/weak.ko")).unwrap();
    symlink(system.modules(), system.modules().join("weak-updates/loop")).unwrap();
    symlink("nowhere.ko", system.modules().join("weak-updates/gone.ko")).unwrap();
    let image = system.build(&system.request()).unwrap();
    assert_eq!(image.names(), ["foo", "weak"]);
    let gone = "warning   module gone cannot be taken from weak-updates/gone.ko, which is a link to nothing";
    let told = [gone, "warning   module weak was built for 6.8.0-other"];
    assert_says(&image.summary.to_string(), &told);
}

#[test]
fn a_module_for_another_release_is_refused_with_both_names() {
    let system = System::new();
    let path = format!("lib/modules/{RELEASE}/kernel/fs/foo.ko");
    system.foreign_module(&path, "foo", "6.8.0-other", &[]);
    assert_says(&system.failure(&system.request()), &["6.9.0-test", "6.8.0-other", "module foo", "vmlinuz"]);
}

#[test]
fn a_tree_without_the_kernels_release_is_refused_with_what_it_has() {
    let system = System::new();
    std::fs::rename(system.modules(), system.path("lib/modules/6.8.0-other")).unwrap();
    assert_says(&system.failure(&system.request()), &["6.9.0-test", "only those of 6.8.0-other"]);
}

#[test]
fn a_directory_without_any_modules_is_refused() {
    let system = System::new();
    std::fs::remove_file(system.modules().join("modules.builtin")).unwrap();
    assert_says(&system.failure(&system.request()), &["neither modules nor modules.builtin"]);
    let request = Request { modules: system.path("nowhere"), ..system.request() };
    assert_says(&system.failure(&request), &["nowhere: no such directory of kernel modules"]);
    std::fs::remove_dir_all(system.path("lib")).unwrap();
    assert_says(&system.failure(&system.request()), &["no modules of the kernel 6.9.0-test, no modules at all"]);
}

#[test]
fn the_tree_is_found_from_each_of_its_parents() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &[]);
    for modules in [system.path(""), system.path("lib/modules"), system.modules()] {
        let image = system.build(&Request { modules, ..system.request() }).unwrap();
        assert_eq!(image.names(), ["foo"]);
    }
    std::fs::create_dir(system.path("usr")).unwrap();
    std::fs::rename(system.path("lib"), system.path("usr/lib")).unwrap();
    assert_eq!(system.build(&system.request()).unwrap().names(), ["foo"]);
}

#[test]
fn a_missing_dependency_is_named_with_who_needs_it() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &["depends=bar,baz"]);
    system.write(&format!("lib/modules/{RELEASE}/modules.builtin"), "kernel/lib/bar.ko\n");
    assert_says(&system.failure(&system.request()), &["module foo (kernel/fs/foo.ko) depends on baz", "built into"]);
    system.module("kernel/lib/baz.ko", "baz", &[]);
    assert_eq!(system.build(&system.request()).unwrap().closure("foo"), "baz foo");
}

#[test]
fn modules_that_depend_on_each_other_are_refused_by_name() {
    let system = System::new();
    system.module("kernel/fs/a.ko", "a", &["depends=b"]);
    system.module("kernel/fs/b.ko", "b", &["depends=c"]);
    system.module("kernel/fs/c.ko", "c", &["depends=a"]);
    assert_says(&system.failure(&system.request()), &["a -> b -> c -> a"]);
}

#[test]
fn loops_of_soft_dependencies_end_and_keep_hard_ones_in_order() {
    let system = System::new();
    system.module("kernel/fs/a.ko", "a", &["softdep=pre: b"]);
    system.module("kernel/fs/b.ko", "b", &["depends=a", "softdep=post: c"]);
    system.module("kernel/fs/c.ko", "c", &["softdep=pre: a post: b"]);
    let image = system.build(&system.request()).unwrap();
    assert_eq!(image.closure("a"), "a [b] [c]");
    assert_eq!(image.closure("b"), "a b [c]");
    assert_eq!(image.closure("c"), "[a] c [b]");
}

#[test]
fn every_line_of_soft_dependencies_counts_and_failures_do_not_matter() {
    let system = System::new();
    system.module(
        "kernel/fs/a.ko",
        "a",
        &["softdep=pre: p1 nowhere", "softdep=pre: p-2 post: q", "softdep=pre: broken", "weakdep=w"],
    );
    for name in ["p1", "p_2", "q", "w"] {
        system.module(&format!("kernel/crypto/{name}.ko"), name, &[]);
    }
    system.module("kernel/crypto/broken.ko", "broken", &["depends=missing"]);
    let image = system.build(&system.request()).unwrap();
    assert_eq!(image.closure("a"), "[p1] [p_2] a [q]");
    assert_eq!(image.names(), ["p1", "p_2", "q", "w", "a"]);
}

#[test]
fn a_choice_among_providers_takes_all_of_them_along() {
    let system = System::new();
    system.module("kernel/fs/a.ko", "a", &["softdep=pre: crypto-sum sum-2 alone"]);
    for name in ["one", "two"] {
        let aliases = [&format!("depends=for_{name}"), "alias=crypto-sum", "alias=sum-2", "alias=crypto-sum-2"];
        system.module(&format!("kernel/crypto/{name}.ko"), name, &aliases);
        system.module(&format!("kernel/lib/for_{name}.ko"), &format!("for_{name}"), &[]);
    }
    system.module("kernel/crypto/alone.ko", "alone", &["alias=crypto-alone"]);
    let image = system.build(&system.request_for("a\n")).unwrap();
    let mut names = image.names();
    names.sort();
    assert_eq!(names, ["a", "alone", "for_one", "for_two", "one", "two"]);
}

#[test]
fn what_the_kernel_asks_for_is_in_the_image_and_not_loaded_ahead() {
    let system = System::new();
    system.module("kernel/fs/btrfs/btrfs.ko", "btrfs", &["softdep=pre: crypto-crc32c", "softdep=pre: xxhash64"]);
    system.module("kernel/crypto/crc32c.ko", "crc32c", &["alias=crypto-crc32c"]);
    system.module("kernel/crypto/xxhash_generic.ko", "xxhash_generic", &["alias=crypto-xxhash64", "alias=xxhash64"]);
    let image = system.build(&system.request_for("btrfs\n")).unwrap();
    assert_eq!((image.closure("btrfs").as_str(), image.names().len()), ("[crc32c] btrfs", 3));
}

#[test]
fn modprobe_d_is_merged_into_the_image() {
    let system = System::new();
    for name in ["a", "b", "c"] {
        system.module(&format!("kernel/fs/{name}.ko"), name, &["alias=fs-x", "alias=fs-y"]);
    }
    system.write("first/1.conf", "options a x=1\nsoftdep a post: b\nblacklist c\nalias fs-x off\noptions proc y\n");
    system.write("second/1.conf", "options a hidden=1\n");
    system.write("second/2.conf", "options a y=\"2 3\"\ninstall b /bin/true\nfrobnicate\noptions fs-y z\n");
    let request = Request { modprobe_d: vec![system.path("nowhere")], ..system.request() };
    assert_says(&system.failure(&request), &["--modprobe-d", "nowhere", "No such file"]);
    let modprobe_d = vec![system.path("first"), system.path("second")];
    let image = system.build(&Request { modprobe_d, ..system.request_for("a\nc\n") }).unwrap();
    assert_eq!((image.closure("a").as_str(), image.options("a").as_str()), ("a [b]", "x=1 y=\"2 3\""));
    let summary = image.summary.to_string();
    assert_says(
        &summary,
        &[
            "first/1.conf, line 5: options proc: it is built into the kernel",
            "config    ",
            "first/1.conf, line 4: alias fs_x off: `off` is no module, so nothing is loaded for it",
            "second/2.conf, line 2: install b /bin/true: commands are not run in an initramfs, so b is loaded all the same",
            "second/2.conf, line 3: not a directive of modprobe.d, passed over: frobnicate",
            "second/2.conf, line 4: options fs_y: an alias has no parameters of its own",
        ],
    );
    let warnings = &image.summary.warnings;
    assert!(warnings.len() == 1 && warnings[0].contains("install b /bin/true"), "{warnings:?}");
    let none = system.build(&system.request_for("a\n")).unwrap();
    assert_eq!((none.closure("a"), none.options("a")), ("a".into(), String::new()));
}

#[test]
fn an_alias_to_an_alias_is_not_followed_and_that_is_told() {
    let system = System::new();
    system.module("kernel/fs/a.ko", "a", &["alias=fs-x"]);
    let conf = system.write("x.conf", "alias nick a\nalias nick2 nick\nalias nick3 fs-x\nalias nick4 proc\n");
    let image = system.build(&Request { modprobe_d: vec![conf], ..system.request() }).unwrap();
    assert_eq!((image.lookup("nick"), image.lookup("nick2")), (vec!["a".to_string()], vec![]));
    let notes: Vec<&str> = image.summary.notes.iter().map(|note| &note[note.find("line").unwrap()..]).collect();
    let fate = "that is itself an alias, which kmod does not follow; name the module";
    assert_eq!(notes, [format!("line 2: alias nick2 nick: {fate}"), format!("line 3: alias nick3 fs_x: {fate}")]);
}

#[test]
fn what_a_soft_member_needs_is_soft_unless_the_module_needs_it_too() {
    let system = System::new();
    system.module("kernel/fs/a.ko", "a", &["depends=shared", "softdep=pre: s"]);
    system.module("kernel/lib/s.ko", "s", &["depends=shared,own"]);
    system.module("kernel/lib/shared.ko", "shared", &[]);
    system.module("kernel/lib/own.ko", "own", &[]);
    assert_eq!(system.build(&system.request()).unwrap().closure("a"), "shared [own] [s] a");
}

#[test]
fn damaged_modules_are_named() {
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let cases = [
        ("kernel/fs/cut.ko.xz", "xz compression is damaged or cut off"),
        ("kernel/fs/cut.ko.zst", "zstd compression is damaged or cut off"),
        ("kernel/fs/cut.ko.gz", "gzip compression is damaged or cut off"),
        ("kernel/fs/cut.ko", "module cut cannot be taken from"),
    ];
    for (path, message) in cases {
        let system = System::new();
        let file = system.module(path, "foo", &[]);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, half(&bytes)).unwrap();
        assert_says(&system.failure(&system.request()), &[path, message]);
    }
}

#[test]
fn a_file_that_is_no_module_is_named() {
    let system = System::new();
    system.write(&format!("lib/modules/{RELEASE}/kernel/fs/program.ko"), "#!/bin/sh");
    assert_says(&system.failure(&system.request()), &["kernel/fs/program.ko", "it is no ELF file"]);
    let program = std::fs::read(env!("CARGO_BIN_EXE_modstrap")).unwrap();
    system.write(&format!("lib/modules/{RELEASE}/kernel/fs/program.ko"), program);
    assert_says(&system.failure(&system.request()), &["kernel/fs/program.ko", "no relocatable one"]);
    let nameless = compile("", RELEASE, &[]);
    system.write(&format!("lib/modules/{RELEASE}/kernel/fs/program.ko"), nameless);
    assert_says(&system.failure(&system.request()), &["program.ko", "holds no module name"]);
}

#[test]
fn a_list_is_closed_over_needs_and_companions_and_nothing_else() {
    let system = System::new();
    system.module("kernel/drivers/ata/ahci.ko", "ahci", &["alias=pci:v*d*sv*sd*bc01sc06i01*", "depends=libahci"]);
    system.module("kernel/drivers/ata/libahci.ko", "libahci", &[]);
    system.module("kernel/drivers/scsi/sd_mod.ko", "sd_mod", &[]);
    system.module("kernel/drivers/scsi/sr_mod.ko", "sr_mod", &[]);
    system.module("kernel/fs/other.ko", "other", &[]);
    let list = "# a modalias\npci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01\n";
    let image = system.build(&system.request_for(list)).unwrap();
    assert_eq!(image.names(), ["ahci", "libahci", "sd_mod", "sr_mod"]);
}

#[test]
fn an_unknown_name_is_refused_with_its_line_and_similar_ones() {
    let system = System::new();
    system.module("kernel/fs/squashfs.ko", "squashfs", &[]);
    assert_says(
        &system.failure(&system.request_for("squashfs\nsqashfs\n")),
        &["names, line 2", "sqashfs", "similar: squashfs"],
    );
    let request = Request { include: vec!["sqashfs".into()], ..system.request() };
    assert_says(&system.failure(&request), &["--include", "no module sqashfs", "similar: squashfs"]);
    let request = Request { hardware: Hardware::Names("/nowhere/list".into()), ..system.request() };
    assert_says(&system.failure(&request), &["cannot read the list of modules /nowhere/list"]);
}

#[test]
fn what_is_built_in_is_noted() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &[]);
    system.write(&format!("lib/modules/{RELEASE}/modules.builtin"), "kernel/fs/ext4/ext4.ko\n");
    system.write(&format!("lib/modules/{RELEASE}/modules.builtin.modinfo"), "ext4.alias=fs-ext4\0");
    let request = Request { include: vec!["ext4".into(), "fs-ext4".into()], ..system.request() };
    let image = system.build(&request).unwrap();
    assert_eq!(image.summary.builtin, ["ext4"]);
}

#[test]
fn files_keep_their_modes_and_links() {
    let system = System::new();
    let script = system.write("data/bin/tool", "#!/bin/sh\n");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o4751)).unwrap();
    symlink("tool", system.path("data/bin/alias")).unwrap();
    let data = system.path("data").display().to_string();
    let files = [format!("{data}:/opt"), format!("{}:/sbin/", script.display()), format!("{data}/:/")];
    let request = Request { files: files.iter().map(|text| FileSpec::parse(text)).collect(), ..system.request() };
    let image = system.build(&request).unwrap();
    let archives = archive::read(&image.bytes).unwrap();
    let mode = |path: &str| archives[0].iter().find(|entry| entry.path == path).map(|entry| entry.mode);
    assert_eq!(mode("opt/bin/tool"), Some(0o104751));
    assert_eq!(mode("sbin/tool"), Some(0o104751));
    assert_eq!(mode("bin/tool"), Some(0o104751));
    assert_eq!(mode("opt/bin/alias"), Some(0o120777));
    assert_eq!(image.file("opt/bin/alias").as_deref(), Some(&b"tool"[..]));
}

#[test]
fn files_that_cannot_go_in_are_named() {
    let system = System::new();
    let request = |file: &str| Request { files: vec![FileSpec::parse(file)], ..system.request() };
    assert_says(&system.failure(&request("/nowhere/sh")), &["--file /nowhere/sh", "No such file"]);
    let file = system.write("file", "x").display().to_string();
    assert_says(&system.failure(&request(&format!("{file}:/init"))), &["/init is in the image already"]);
    assert_says(&system.failure(&request(&format!("{file}:/a/../b"))), &["not a path of an image"]);
}

#[test]
fn a_program_without_its_dynamic_linker_is_pointed_out() {
    let system = System::new();
    let program = env!("CARGO_BIN_EXE_modstrap");
    let request = Request { files: vec![FileSpec::parse(&format!("{program}:/bin/tool"))], ..system.request() };
    let image = system.build(&request).unwrap();
    let (tool, interpreter) = &image.summary.without_interpreter[0];
    assert_eq!(tool, "/bin/tool");
    let files = ["/bin/tool", interpreter].map(|dest| FileSpec { source: program.into(), dest: Some(dest.into()) });
    let image = system.build(&Request { files: files.to_vec(), ..system.request() }).unwrap();
    assert!(image.summary.without_interpreter.is_empty());
}

#[test]
fn firmware_goes_in_and_what_is_missing_is_named_with_who_asks() {
    let system = System::new();
    system.module("kernel/drivers/scsi/hba.ko", "hba", &["firmware=hba/a.bin", "firmware=b.bin", "firmware=c.bin"]);
    system.module("kernel/drivers/scsi/hbb.ko", "hbb", &["firmware=c.bin"]);
    system.write("firmware/hba/a.bin", "firmware a");
    system.write("firmware/b.bin.xz", "packed b");
    let request = Request { firmware: Some(system.path("firmware")), ..system.request() };
    let image = system.build(&request).unwrap();
    assert_eq!(image.file("lib/firmware/hba/a.bin").as_deref(), Some(&b"firmware a"[..]));
    assert_eq!(image.file("lib/firmware/b.bin.xz").as_deref(), Some(&b"packed b"[..]));
    let missing: Vec<String> = image.summary.missing_firmware.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["c.bin for hba, hbb"]);
    assert_eq!(system.build(&system.request()).unwrap().summary.missing_firmware.len(), 3);
    // What the user puts there himself is not missing.
    let own = FileSpec { source: system.write("own", "own c"), dest: Some("/lib/firmware/c.bin".into()) };
    assert!(system.build(&Request { files: vec![own], ..request }).unwrap().summary.missing_firmware.is_empty());
}

#[test]
fn firmware_is_taken_from_where_the_kernel_would_take_it() {
    let system = System::new();
    system.module(
        "kernel/drivers/scsi/hba.ko",
        "hba",
        &["firmware=both.bin", "firmware=updated.bin", "firmware=own.bin"],
    );
    for file in ["both.bin.xz", "both.bin.zst", "updates/updated.bin", "updated.bin", "own.bin"] {
        system.write(&format!("firmware/{file}"), file);
    }
    system.write(&format!("firmware/{RELEASE}/own.bin.zst"), "packed");
    let request = Request { firmware: Some(system.path("firmware")), ..system.request() };
    let image = system.build(&request).unwrap();
    let files = image.files_below("lib/firmware/");
    assert_eq!(files, ["lib/firmware/both.bin.zst", "lib/firmware/own.bin", "lib/firmware/updates/updated.bin"]);
}

#[test]
fn patterns_of_firmware_take_all_that_match() {
    let system = System::new();
    system.module(
        "kernel/drivers/scsi/hba.ko",
        "hba",
        &["firmware=hba/v*/*", "firmware=hba/x*.txt", "firmware=n?.bin"],
    );
    for file in
        ["hba/v1/a.bin.xz", "hba/v2/b.bin", "hba/v2/deep/c.bin", "hba/w/d.bin", "updates/hba/v2/b.bin", "n1.bin"]
    {
        system.write(&format!("firm[ware]/{file}"), file);
    }
    let request = Request { firmware: Some(system.path("firm[ware]")), ..system.request() };
    let image = system.build(&request).unwrap();
    let files = image.files_below("lib/firmware/");
    let expected = ["hba/v1/a.bin.xz", "n1.bin", "updates/hba/v2/b.bin"];
    assert_eq!(files, expected.map(|file| format!("lib/firmware/{file}")));
    assert_eq!(image.summary.missing_firmware[0].file, "hba/x*.txt");
}

#[test]
fn an_early_archive_stands_first_and_nothing_else_may() {
    let system = System::new();
    let mut early = archive::Archive::default();
    let microcode = archive::Node::File { mode: 0o644, content: b"microcode".to_vec() };
    early.add("kernel/x86/microcode/GenuineIntel.bin", microcode).unwrap();
    let mut bytes = Vec::new();
    early.write(&mut bytes, 0).unwrap();
    let path = system.write("early.cpio", &bytes);
    let request = Request { early: Some(path), ..system.request() };
    let image = system.build(&request).unwrap();
    assert!(image.bytes.starts_with(&bytes));
    let inspected = image.inspect(&system.path("")).unwrap();
    assert_eq!(inspected.early_bytes, 9);

    std::fs::remove_file(system.path("image")).unwrap();
    for (content, message) in
        [(b"\x1f\x8b\x08packed".as_slice(), "gzip-compressed"), (b"text", "no sound cpio archive"), (b"", "empty")]
    {
        let request = Request { early: Some(system.write("early.bad", content)), ..system.request() };
        assert_says(&system.failure(&request), &["early.bad", message]);
    }
    let request = Request { early: Some(system.write("early.cut", &bytes[..bytes.len() / 3])), ..system.request() };
    assert_says(&system.failure(&request), &["early.cut"]);
}

fn modstrap(system: &System, output: &str, epoch: Option<&str>) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modstrap"));
    command.arg("build").arg("--kernel").arg(system.path("vmlinuz")).arg("--modules").arg(system.path(""));
    command.arg("-o").arg(system.path(output)).env_remove("SOURCE_DATE_EPOCH");
    epoch.iter().for_each(|epoch| {
        command.env("SOURCE_DATE_EPOCH", epoch);
    });
    command.output().unwrap()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let system = System::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        system.module(&format!("kernel/fs/{name}.ko.xz"), name, &["depends=", "alias=fs-a", "firmware=x"]);
    }
    let image = |output: &str, epoch: Option<&str>| {
        let result = modstrap(&system, output, epoch);
        assert!(result.status.success(), "{}", String::from_utf8_lossy(&result.stderr));
        std::fs::read(system.path(output)).unwrap()
    };
    let first = image("one", None);
    assert!(first == image("two", None));
    assert!(first == image("three", Some("0")));
    let dated = image("four", Some("1700000000"));
    assert!(first != dated && dated == image("five", Some("1700000000")));
    let wrong = modstrap(&system, "six", Some("yesterday"));
    assert!(!wrong.status.success());
    assert_says(&String::from_utf8_lossy(&wrong.stderr), &["SOURCE_DATE_EPOCH=yesterday"]);
}

#[test]
fn outputs_that_cannot_be_written_are_refused_at_once() {
    let system = System::new();
    let refuse = |output: &Path| modstrap_initramfs::build(&system.request(), output).unwrap_err().to_string();
    assert_says(&refuse(&system.path("lib")), &["is a directory"]);
    assert_says(&refuse(Path::new("/dev/null")), &["/dev/null is not a regular file"]);
    assert_says(&refuse(&system.path("nowhere/image")), &["cannot write", "nowhere"]);
}

#[test]
fn a_loader_for_another_machine_is_refused() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &[]);
    let mut foreign = std::fs::read(env!("CARGO_BIN_EXE_modstrap")).unwrap();
    foreign[18] = 22;
    let request = Request { loader: Some(system.write("init", foreign)), ..system.request() };
    assert_says(&system.failure(&request), &["/init is for S/390", "the modules are for", "--loader"]);
    let request = Request { loader: Some(system.write("init", "#!/bin/sh")), ..system.request() };
    assert_says(&system.failure(&request), &["no ELF program"]);
}

#[test]
fn a_loader_that_cannot_start_is_refused_unless_forced() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &[]);
    let program = env!("CARGO_BIN_EXE_modstrap");
    let request = Request { loader: Some(program.into()), ..system.request() };
    assert_says(&system.failure(&request), &["modstrap cannot start", "the image has no /lib", "--file", "--force"]);
    let forced = system.build(&Request { force: true, ..request.clone() }).unwrap();
    let (init, interpreter) = forced.summary.without_interpreter[0].clone();
    assert_eq!(init, "/init");
    let linker = FileSpec { source: program.into(), dest: Some(interpreter) };
    system.build(&Request { files: vec![linker], ..request }).unwrap();
}

#[test]
fn inspect_reads_back_what_was_built_and_sees_damage() {
    let system = System::new();
    system.module("kernel/fs/foo.ko", "foo", &["alias=fs-foo"]);
    let request = Request { cmdline: "root=LABEL=x quiet".into(), ..system.request() };
    let mut image = system.build(&request).unwrap();
    let inspected = image.inspect(&system.path("")).unwrap();
    assert_eq!((inspected.release.as_str(), inspected.cmdline.as_str()), (RELEASE, "root=LABEL=x quiet"));
    assert_eq!((inspected.modules[0].name.as_str(), inspected.modules[0].class), ("foo", "fs"));
    assert_eq!(inspected.image_bytes, image.bytes.len() as u64);
    for path in [TABLE_PATH, BLOBS_PATH] {
        let content = image.file(path).unwrap();
        let at = image.bytes.windows(content.len()).position(|window| window == content).unwrap() + content.len() / 2;
        image.bytes[at] ^= 1;
        assert_says(&format!("{:#}", image.inspect(&system.path("")).unwrap_err()), &["not a sound image", "checksum"]);
        image.bytes[at] ^= 1;
    }
    image.bytes.truncate(image.bytes.len() / 2);
    assert!(image.inspect(&system.path("")).is_err());
}
