//! Modules that the kernel refuses, each for another reason, and modules that the user keeps out: the loader says why.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Result;
use modstrap_initramfs::{Compress, module};
use modstrap_qemu::FileSystem::Ext4;
use modstrap_qemu::{Bus, Finished, Recipe};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::command_line::shown_on;
use crate::{Shared, amd64, built_once};

/// A driver without dependencies.
const DRIVER: &str = "virtio_blk";

boots! {
    a_missing_symbol_is_named: missing_symbol();
    the_module_that_has_a_missing_symbol_is_named: provider();
    a_symbol_of_another_version_is_named: other_version();
    a_symbol_of_a_namespace_that_is_not_imported_is_named: namespace();
    an_exported_symbol_that_is_there_already_is_named: duplicate();
    another_version_magic_is_shown_beside_the_kernels: changed(
        |module| replace(module, b" mod_unload ", b" mod_unloud "), "",
        "it was built for another kernel: version magic '$R SMP preempt mod_unloud modversions ' should be \
         '$R SMP preempt mod_unload modversions ' (errno 8)");
    a_module_that_is_no_elf_file: changed(
        |module| module[0] = 0, "",
        "it is damaged, or no module for this machine: Invalid ELF header magic: != \\x7fELF (errno 8)");
    a_worker_that_is_refused_changes_no_word: worker();
    a_module_for_another_machine: changed(
        |module| module[18] = 0xb7, "",
        "it is damaged, or no module for this machine: Invalid architecture in ELF header: 183 (errno 8)");
    an_unsigned_module_where_signatures_are_enforced: changed(
        |_| (), "module.sig_enforce=1",
        "the kernel enforces signatures (module.sig_enforce): Loading of unsigned module is rejected (errno 129)");
    an_unsigned_module_in_a_kernel_that_is_locked_down: changed(
        |_| (), "lockdown=integrity",
        "the kernel is locked down (lockdown=, Secure Boot): Lockdown: init: unsigned module loading is restricted; \
         see man kernel_lockdown.7 (errno 1)");
    a_module_that_was_changed_after_it_was_signed: forged();
    modules_that_are_switched_off: unchanged("nomodule",
        "modules are switched off (nomodule, kernel.modules_disabled) (errno 1)");
    a_policy_that_takes_no_modules_from_memory: unchanged("ima_policy=secure_boot",
        "the IMA policy refuses modules from memory: boot with module.sig_enforce=1 (errno 13)");
    what_that_policy_is_told_to_take_is_taken: boots_with("ima_policy=secure_boot module.sig_enforce=1");
    a_parameter_of_a_wrong_value: unchanged("virtio-blk.queue_depth=deep",
        "a parameter is wrong: `deep' invalid for parameter `queue_depth' (errno 22)");
    what_the_kernel_blacklists_is_not_tried: unchanged("module_blacklist=nvme,virtio_blk",
        "module_blacklist= forbids it");
    a_masked_driver_is_not_loaded: unchanged("modstrap.mask=nvme,virtio-blk", "modstrap.mask= masks it");
    what_needs_a_masked_module_says_so: masked_dependency("modstrap.mask=jbd2", "it needs jbd2, which modstrap.mask= masks");
    what_needs_a_forbidden_module_says_so:
        masked_dependency("module_blacklist=jbd2", "it needs jbd2, which module_blacklist= forbids");
    a_masked_provider_is_passed_over: masked_provider();
    a_masked_soft_dependency_is_passed_over: masked_soft_dependency();
    a_blacklisted_dependency_is_loaded: boots_with("modprobe.blacklist=jbd2,mbcache");
    parameters_reach_modules_as_they_were_written: parameters();
    words_without_meaning_are_warned_of: odd_words();
}

/// An image of few modules that are not compressed.
fn plain() -> Result<&'static Image> {
    static IMAGE: Shared = OnceLock::new();
    built_once(&IMAGE, || build(&Scratch::new()?, Path::new(env!("CARGO_TARGET_TMPDIR")).join("plain.img"), ""))
}

/// The same with a file of modprobe.d.
fn build(scratch: &Scratch, image: PathBuf, config: &str) -> Result<Image> {
    let hardware = scratch.hardware(&[DRIVER, "ext4", "uas", "xhci_pci", "sd_mod", "loop"])?;
    let config = scratch.file(config)?;
    Image::build(&amd64()?.kernel, image, |request| {
        request.hardware = hardware;
        request.modprobe_d = vec![config];
        request.compress = Compress::None;
    })
}

/// The image with a module changed, whose signature does not count any more: it would not fit, and the kernel says less
/// of that than of what follows.
fn with_unsigned(scratch: &Scratch, image: &Image, module: &str, change: impl FnOnce(&mut [u8])) -> Result<Image> {
    image.with_changed_module(scratch.path(), module, |bytes| {
        unsign(bytes);
        change(bytes);
    })
}

fn unsign(module: &mut [u8]) {
    assert!(module.ends_with(b"~Module signature appended~\n"), "it is not signed");
    module[module.len() - 1] = b' ';
}

/// Changes the last place of a module that has these bytes: names stand first where a section of their own has them, and
/// then in the table of strings.
#[track_caller]
fn replace(module: &mut [u8], old: &[u8], new: &[u8]) {
    let at = (0..module.len()).rev().find(|&at| module[at..].starts_with(old));
    let at = at.unwrap_or_else(|| panic!("there is no {}", old.escape_ascii()));
    module[at..][..new.len()].copy_from_slice(new);
}

fn boot(scratch: &Scratch, image: &Image, bus: Bus, words: &str) -> Result<Finished> {
    let boot = image.boot().drive(scratch.drive(&Recipe::new(Ext4).label("root"), bus)?);
    boot.append(format!("root=LABEL=root rootwait=1 {words}")).run()
}

/// The loader said this of a module; `$R` stands for the kernel's release.
#[track_caller]
fn says_of(finished: &Finished, module: &str, sentence: &str) -> Result<()> {
    let sentence = format!("module {module}: {}", sentence.replace("$R", &plain()?.kernel.release));
    finished.expect(finished.messages().contains(&sentence.as_str()), format!("no line `{sentence}`"));
    Ok(())
}

/// The driver of the root's disk is changed, and refused for this reason.
fn changed(change: fn(&mut [u8]), words: &str, sentence: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let image = with_unsigned(&scratch, plain()?, DRIVER, change)?;
    let finished = boot(&scratch, &image, Bus::VirtioBlk, words)?;
    finished.gave_up("root=LABEL=root did not appear");
    says_of(&finished, DRIVER, sentence)
}

/// The same for a driver as it is.
fn unchanged(words: &str, sentence: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, plain()?, Bus::VirtioBlk, words)?;
    finished.gave_up("root=LABEL=root did not appear");
    says_of(&finished, DRIVER, sentence)
}

/// With several processors a worker gets the module first.
fn worker() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = with_unsigned(&scratch, plain()?, "mbcache", |module| module[0] = 0)?;
    let drive = scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?;
    let finished = image.boot().processors(4).drive(drive).append("root=/dev/vda").run()?;
    finished.gave_up("cannot mount /dev/vda: the module of ext4 did not load (see above)");
    finished.says(
        "module mbcache: it is damaged, or no module for this machine: Invalid ELF header magic: != \\x7fELF (errno 8)",
    );
    finished.says("module ext4: it needs mbcache, which did not load");
    Ok(())
}

fn forged() -> Result<()> {
    let scratch = Scratch::new()?;
    let forge = |module: &mut [u8]| replace(module, b" mod_unload ", b" mod_unloud ");
    let image = plain()?.with_changed_module(scratch.path(), DRIVER, forge)?;
    let finished = boot(&scratch, &image, Bus::VirtioBlk, "")?;
    says_of(&finished, DRIVER, "its signature is wrong (errno 129)")
}

/// The file system's module is changed.
fn changed_ext4(change: impl FnOnce(&mut [u8]), sentence: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let image = with_unsigned(&scratch, plain()?, "ext4", change)?;
    let finished = boot(&scratch, &image, Bus::VirtioBlk, "")?;
    finished.gave_up("cannot mount /dev/vda: the module of ext4 did not load (see above)");
    says_of(&finished, "ext4", sentence)
}

/// Renames a symbol that ext4 needs.
fn rename_symbol(module: &mut [u8]) {
    replace(module, b"\0jbd2_journal_start\0", b"\0jbd2_journal_stirt\0");
}

fn missing_symbol() -> Result<()> {
    let sentence = "it needs the symbol jbd2_journal_stirt, which nothing that is loaded provides (errno 2)";
    changed_ext4(rename_symbol, sentence)
}

/// An image that could not be proven to link knows who has which symbol: here ext4 does not say that it needs jbd2.
fn provider() -> Result<()> {
    let scratch = Scratch::new()?;
    let kernel = &amd64()?.kernel;
    let tree = scratch.path().join(&kernel.release);
    let mut chosen = plain()?.closure(&[DRIVER, "ext4"])?;
    copy_modules(&kernel.modules, &tree, &mut chosen)?;
    assert!(chosen.is_empty(), "the kernel's tree has no {chosen:?}");
    for list in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(kernel.modules.join(list), tree.join(list))?;
    }
    let mut ext4 = fs::read(tree.join("ext4.ko"))?;
    unsign(&mut ext4);
    replace(&mut ext4, b"depends=jbd2,crc16,mbcache", b"depends=crc16,mbcache\0\0\0\0\0");
    fs::write(tree.join("ext4.ko"), ext4)?;
    let hardware = scratch.hardware(&[DRIVER, "ext4", "jbd2"])?;
    let image = Image::build(kernel, scratch.path(), |request| {
        (request.modules, request.hardware, request.force) = (tree, hardware, true);
    })?;
    let finished = boot(&scratch, &image, Bus::VirtioBlk, "")?;
    let says = |line: &&str| {
        line.starts_with("module ext4: it needs the symbol jbd2_") && line.ends_with(", which jbd2 provides (errno 2)")
    };
    finished.expect(finished.messages().iter().any(says), "the module that has the symbol is not named");
    Ok(())
}

/// Copies modules of these names, unpacked, and strikes out what was found.
fn copy_modules(from: &Path, to: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        if path.is_dir() {
            copy_modules(&path, to, names)?;
        } else if let Some((name, _)) = path.file_name().and_then(|name| name.to_str()?.split_once(".ko"))
            && names.remove(&module::normal(name))
        {
            fs::write(to.join(name).with_extension("ko"), module::read_file(&path)?)?;
        }
    }
    Ok(())
}

fn other_version() -> Result<()> {
    changed_ext4(
        |module| {
            // A record of a version is a checksum of 8 bytes and a name in 56, filled with NULs.
            let name = b"jbd2_journal_start\0\0\0\0";
            let at = (0..module.len()).find(|&at| module[at..].starts_with(name)).expect("a version");
            module[at - 8] ^= 1;
        },
        "it was built for another kernel: disagrees about version of symbol jbd2_journal_start (errno 22)",
    )
}

fn namespace() -> Result<()> {
    let scratch = Scratch::new()?;
    let change = |module: &mut [u8]| replace(module, b"import_ns=USB_STORAGE", b"import_no=");
    let image = with_unsigned(&scratch, plain()?, "uas", change)?;
    let finished = boot(&scratch, &image, Bus::Uas, "")?;
    says_of(
        &finished,
        "uas",
        "its symbols do not fit those that are there: module uses symbol (usb_stor_adjust_quirks) from namespace \
         USB_STORAGE, but does not import it. (errno 22)",
    )
}

fn duplicate() -> Result<()> {
    let scratch = Scratch::new()?;
    // Behind each exported name stands that of its namespace.
    let change = |module: &mut [u8]| replace(module, b"\0mb_cache_create\0\0", b"\0kmem_cache_free\0\0");
    let image = with_unsigned(&scratch, plain()?, "mbcache", change)?;
    let finished = boot(&scratch, &image, Bus::VirtioBlk, "")?;
    says_of(
        &finished,
        "mbcache",
        "its symbols do not fit those that are there: exports duplicate symbol kmem_cache_free (owned by kernel) (errno 8)",
    )?;
    says_of(&finished, "ext4", "it needs mbcache, which did not load")
}

fn masked_dependency(words: &str, sentence: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, plain()?, Bus::VirtioBlk, words)?;
    finished.gave_up("cannot mount /dev/vda: the module of ext4 did not load (see above)");
    says_of(&finished, "ext4", sentence)?;
    let is_there = |name: &str| finished.messages().contains(&format!("loaded {name}").as_str());
    finished.expect(is_there(DRIVER) && !is_there("jbd2") && !is_there("ext4"), "the wrong modules were loaded");
    Ok(())
}

fn boots_with(words: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, plain()?, Bus::VirtioBlk, words)?;
    finished.reached("/dev/vda (ext4)");
    Ok(())
}

/// Of the providers of ext4's checksum those for special processors are masked: the generic one does.
fn masked_provider() -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, plain()?, Bus::VirtioBlk, "modstrap.mask=crc32c_intel")?;
    let report = finished.reached("/dev/vda (ext4)");
    let modules = report.section("modules")?;
    let has = |name: &str| modules.iter().any(|module| module == name);
    finished.expect(has("crc32c_generic") && !has("crc32c_intel"), format!("loaded: {modules:?}"));
    Ok(())
}

fn masked_soft_dependency() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = build(&scratch, scratch.path(), "softdep virtio_blk pre: loop\n")?;
    for (words, is_expected) in [("", true), ("modstrap.mask=loop", false)] {
        let finished = boot(&scratch, &image, Bus::VirtioBlk, words)?;
        let report = finished.reached("/dev/vda (ext4)");
        let is_there = report.section("modules")?.iter().any(|module| module == "loop");
        finished.expect(is_there == is_expected, "the soft dependency is there, or is not");
    }
    Ok(())
}

/// Values with spaces, in quotes as people write them and as GRUB does; what kmod takes for no parameter is none.
fn parameters() -> Result<()> {
    let scratch = Scratch::new()?;
    let files = ["usb_storage/parameters/quirks", "scsi_mod/parameters/scan", "scsi_mod/parameters/max_luns"];
    let files = files.map(|file| format!("/sys/module/{file}"));
    let words = format!(
        "root=LABEL=shown init=/etc/show usb-storage.quirks=\"1:2:u, 3.5:4:i\" \"scsi_mod.scan=s ync\" \
         scsi_mod.\"max_luns=7\" scsi_mod.max_luns.x=8 -- {}",
        files.join(" ")
    );
    let finished = shown_on(Bus::Uas, &scratch, plain()?, Ext4, &words)?;
    let report = finished.reached("/dev/sda (ext4)");
    for (file, expected) in files.iter().zip(["1:2:u, 3.5:4:i", "s ync", "512"]) {
        let found = report.line(file)?;
        finished.expect(found == expected, format!("{file} is {found}"));
    }
    Ok(())
}

fn odd_words() -> Result<()> {
    let finished = plain()?.boot().append("rootwait=abc modstrap.onfail=frob").run()?;
    finished.says("no meaning is known of the word modstrap.onfail=frob");
    finished.gave_up("the command line has no root=");
    Ok(())
}
