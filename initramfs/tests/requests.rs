//! What modules ask for while they run, and what brings modules into an image: over hand-made modules with real code,
//! and over real trees.

mod common;

use std::collections::HashMap;

use common::{RELEASE, System, compile_with};
use indicatif::ProgressBar;
use modstrap_initramfs::cause::Cause;
use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::module::Module;
use modstrap_initramfs::select::Selection;
use modstrap_initramfs::tree::Tree;
use modstrap_initramfs::{Hardware, Request};

#[path = "common/cache.rs"]
mod cache;

/// Calls as modules make them: of a format with and without arguments, of constants, through a pointer.
const CODE: &str = r#"
    extern int __request_module(_Bool wait, const char *format, ...);
    extern void *crypto_alloc_shash(const char *name, unsigned type, unsigned mask);
    extern void *load_nls(const char *name);
    extern void *load_nls_default(void);
    extern int printk(const char *text);
    extern void unrelated(const char *text);
    int formatted(int version) { return __request_module(1, "nfsv%d", version); }
    int prefixed(int type) { return __request_module(1, "%s-%u", "nfs-layouttype4", type); }
    int constant(void) { unrelated("stray"); return __request_module(0, "%s", "nf_log_syslog"); }
    int literal(void) { printk("loading it now"); return __request_module(1, "md-cluster"); }
    int pointed(const char *name) { return __request_module(1, "%s", name); }
    int computed(const char *name) { return __request_module(1, name); }
    void *hash(int old) { return crypto_alloc_shash(old ? "crc32" : "sha256", 0, 0); }
    void *any(const char *name) { return crypto_alloc_shash(name, 0, 0); }
    void *table(void) { return load_nls("utf8"); }
    void *standard(void) { return load_nls_default(); }
"#;

#[test]
fn requests_are_read_out_of_code() {
    for flags in [&["-fno-pie"][..], &["-fpie"], &["-fno-pie", "-O0"], &["-fno-pie", "-Os"]] {
        let bytes = compile_with("asker", RELEASE, &[], CODE, flags);
        let module = Module::parse("asker.ko".as_ref(), &bytes).unwrap();
        let asks: Vec<String> = module.asks.iter().map(|ask| ask.to_string()).collect();
        for ask in
            ["nfsv%d", "nfs-layouttype4-%u", "nf_log_syslog", "md-cluster", "*", "nls_utf8", "nls_%s", "crypto-*"]
        {
            assert!(asks.contains(&ask.to_string()), "{ask} in {asks:?}, compiled with {flags:?}");
        }
        assert!(asks.iter().any(|ask| ask == "crypto-sha256" || ask == "crypto-crc32"), "{asks:?} with {flags:?}");
        assert!(!asks.iter().any(|ask| ask.contains("stray") || ask.contains("loading")), "{asks:?} with {flags:?}");
    }
}

#[test]
fn a_request_that_nobody_knows_is_told_and_answered_if_it_says_its_name() {
    let system = System::new();
    let code = "extern int __request_module(_Bool wait, const char *format, ...);
        int a(void) { return __request_module(1, \"helper\"); }
        int b(int n) { return __request_module(1, \"helper-%d\", n); }";
    system.coded_module("kernel/fs/strange.ko", "strange", &[], code);
    system.module("kernel/lib/helper.ko", "helper", &[]);
    system.module("kernel/lib/helper-1.ko", "helper_1", &[]);
    let symbols = system.write("Module.symvers", "0x12345678\t__request_module\tvmlinux\tEXPORT_SYMBOL\t\n");
    let image = system.build(&Request { symbols: Some(symbols), ..system.request() }).unwrap();
    assert_eq!(image.names(), ["strange", "helper"]);
    assert_eq!(image.closure("strange"), "strange", "what may be asked for is not loaded unasked");
    let summary = image.summary.to_string();
    assert!(summary.contains("warning   strange may ask the kernel for helper while it runs"), "{summary}");
    assert!(summary.contains("warning   strange may ask the kernel for helper-%d while it runs"), "{summary}");
}

#[test]
fn answers_are_in_the_image_and_not_in_load_orders() {
    let system = System::new();
    system.module("kernel/fs/nfs/nfsv4.ko", "nfsv4", &[]);
    system.module("kernel/fs/nfs/nfsv3.ko", "nfsv3", &[]);
    system.module("kernel/drivers/md/dm-crypt.ko", "dm_crypt", &[]);
    system.module("kernel/crypto/xts.ko", "xts", &["alias=crypto-xts"]);
    system.module("kernel/crypto/aes.ko", "aes_generic", &["alias=crypto-aes"]);
    system.module("kernel/arch/x86/crypto/aes-fast.ko", "aes_fast", &["alias=crypto-xts(aes)", "depends=gone"]);
    system.module("kernel/crypto/unasked.ko", "unasked", &["alias=crypto-blowfish"]);
    let image = system.build(&system.request_for("nfsv4\ndm_crypt\n")).unwrap();
    let mut names = image.names();
    names.sort();
    assert_eq!(names, ["aes_generic", "dm_crypt", "nfsv3", "nfsv4", "xts"]);
    assert_eq!(image.closure("dm_crypt"), "dm_crypt");
    // A request that no alias answers gets one.
    assert!(image.lookup("symbol:nfs3_set_ds_client").contains(&"nfsv3".to_string()));
}

#[test]
fn parts_of_the_kernel_get_answers_and_what_the_kernel_has_is_none() {
    let system = System::new();
    system.write(
        &format!("lib/modules/{RELEASE}/modules.builtin"),
        "kernel/fs/fat/fat.ko\nkernel/fs/nfs/nfs.ko\nkernel/fs/nls/nls_cp437.ko\n",
    );
    system.module("kernel/fs/nls/nls_utf8.ko", "nls_utf8", &["alias=nls_utf8"]);
    system.module("kernel/fs/nls/nls_cp850.ko", "nls_cp850", &["alias=nls_cp437"]);
    system.module("kernel/fs/nfs/nfsv4.ko", "nfsv4", &[]);
    system.module("kernel/sound/core/snd.ko", "snd", &[]);
    let names = |request: Request| -> Vec<String> {
        let selection = select(&system.tree(), &request);
        selection.members.values().map(|member| member.cause.to_string()).collect()
    };
    assert!(names(system.request()).iter().all(|cause| cause.contains("hardware")));
    let listed = system.request_for("fat\n");
    assert_eq!(names(listed), ["answer to nls_%s, which fat may ask the kernel for"]);
    let with_net = Request { with_net: true, ..system.request_for("nls_cp437\n") };
    assert_eq!(names(with_net)[..1], ["the hardware that was asked for"]);
}

#[test]
fn every_module_knows_the_shortest_way_it_came() {
    let system = System::new();
    system.module(
        "kernel/drivers/ata/ahci.ko",
        "ahci",
        &["depends=libahci,libata", "softdep=pre: soft", "weakdep=weak"],
    );
    system.module("kernel/drivers/ata/libahci.ko", "libahci", &["depends=libata"]);
    system.module("kernel/drivers/ata/libata.ko", "libata", &[]);
    system.module("kernel/drivers/scsi/sd_mod.ko", "sd_mod", &["depends=scsi_mod"]);
    system.module("kernel/drivers/scsi/scsi_mod.ko", "scsi_mod", &[]);
    system.module("kernel/drivers/scsi/device_handler/scsi_dh_alua.ko", "scsi_dh_alua", &["depends=scsi_mod"]);
    system.module("kernel/lib/soft.ko", "soft", &[]);
    system.module("kernel/lib/weak.ko", "weak", &["alias=w"]);
    system.module("kernel/lib/more.ko", "more", &["alias=some:thing"]);
    let request = Request { include: vec!["some:thing".into()], ..system.request_for("ahci\n") };
    let tree = system.tree();
    let selection = select(&tree, &request);
    let causes: HashMap<&str, &Cause> =
        selection.members.iter().map(|(&index, member)| (tree.modules[index].name.as_str(), &member.cause)).collect();
    let of = |name: &str| name.to_string();
    assert_eq!(causes["ahci"], &Cause::Named(of("ahci")));
    assert_eq!(causes["more"], &Cause::Named(of("some:thing")));
    assert_eq!(causes["libata"], &Cause::Dependency(of("ahci")));
    assert_eq!(causes["soft"], &Cause::SoftDependency(of("ahci")));
    assert_eq!(causes["weak"], &Cause::WeakDependency(of("ahci")));
    assert_eq!(causes["sd_mod"], &Cause::Companion(of("ahci")));
    assert_eq!(causes["scsi_mod"], &Cause::Dependency(of("sd_mod")));
    assert_eq!(causes["scsi_dh_alua"], &Cause::Answer { to: of("scsi_mod"), request: of("scsi_dh_%s") });
    assert_eq!(causes.len(), 9);
}

#[test]
fn the_best_provider_of_an_algorithm_comes_first() {
    let system = System::new();
    system.module("kernel/arch/x86/crypto/serpent-avx-x86_64.ko", "serpent_avx_x86_64", &["alias=crypto-serpent"]);
    system.module("kernel/arch/x86/crypto/serpent-avx2.ko", "serpent_avx2", &["alias=crypto-serpent"]);
    system.module("kernel/crypto/serpent_generic.ko", "serpent_generic", &["alias=crypto-serpent"]);
    system.module("kernel/drivers/crypto/engine.ko", "engine", &["alias=crypto-serpent"]);
    system.module("kernel/fs/fs.ko", "fs", &[]);
    let order = ["drivers/crypto/engine", "crypto/serpent_generic", "fs/fs", "arch/x86/crypto/serpent-avx-x86_64"];
    let order: String = order.iter().map(|place| format!("kernel/{place}.ko\n")).collect();
    system.write(&format!("lib/modules/{RELEASE}/modules.order"), order);
    let image = system.build(&Request { hardware: Hardware::All, ..system.request() }).unwrap();
    assert_eq!(image.names(), ["serpent_avx2", "serpent_avx_x86_64", "fs", "serpent_generic", "engine"]);
    let found = ["serpent_avx2", "serpent_avx_x86_64", "serpent_generic", "engine"].map(str::to_string);
    assert!(found.iter().all(|name| image.lookup("crypto-serpent").contains(name)));
}

#[test]
fn all_takes_whatever_there_is() {
    let system = System::new();
    system.module("kernel/sound/core/snd.ko", "snd", &[]);
    system.module("kernel/drivers/net/virtio_net.ko", "virtio_net", &[]);
    system.module("extra/odd.ko", "odd", &[]);
    let image = system.build(&Request { hardware: Hardware::All, ..system.request() }).unwrap();
    assert_eq!(image.names().len(), 3);
}

fn select(tree: &Tree, request: &Request) -> Selection {
    Selection::new(tree, &Knowledge::built_in().unwrap(), true, request).unwrap()
}

fn cached(release: &str) -> Tree {
    Tree::read(&cache::kernels().join(release), release, &ProgressBar::hidden()).unwrap()
}

#[test]
#[ignore = "needs kernels in the cache: run qemu/setup first"]
fn no_request_of_any_module_is_unknown() {
    let mut unknown = Vec::new();
    for release in cache::releases() {
        let request = Request { hardware: Hardware::All, ..Request::default() };
        let selection = select(&cached(&release), &request);
        unknown.extend(selection.unknown.iter().map(|request| format!("{release}: {request}")));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn every_name_exists_in_the_reference_tree_or_is_marked() {
    let release = cache::reference();
    let doubtful = Knowledge::built_in().unwrap().requests.doubtful(&cached(&release));
    assert!(doubtful.is_empty(), "in {release}: {doubtful:#?}");
}

#[test]
#[ignore = "needs Debian's 6.12 kernel in the cache: run qemu/setup first"]
fn images_hold_answers_to_the_requests_of_their_modules() {
    let tree = cached(&cache::reference());
    let generic = select(&tree, &Request { with_net: true, ..Request::default() });
    let system = System::new();
    // Each as one kernel asks while it mounts, in words that stand in no metadata.
    for (asker, request) in [
        ("vfat", "nls_cp437"),
        ("vfat", "nls_ascii"),
        ("isofs", "nls_utf8"),
        ("f2fs", "crypto-crc32"),
        ("nfs", "nfsv4"),
        ("nfsv4", "nfs-layouttype4-4"),
        ("sunrpc", "rpc-auth-6"),
        ("auth_rpcgss", "rpc-auth-gss-390004"),
        ("9p", "9p-virtio"),
        ("nvme_tcp", "crypto-crc32c"),
        ("scsi_mod", "scsi_dh_alua"),
        ("ubifs", "crypto-deflate"),
        ("cifs", "crypto-cmac"),
        ("cifs", "crypto-gcm"),
        ("gcm", "crypto-ghash"),
        ("dm_crypt", "crypto-essiv"),
        ("dm_crypt", "crypto-xts"),
    ] {
        let found = tree.find(request);
        assert!(!found.is_empty(), "{request}");
        // In an image of the asker alone the answer is there for this reason and no other.
        for (kind, selection) in [("generic", &generic), ("small", &select(&tree, &system.request_for(asker)))] {
            assert!(selection.members.contains_key(&tree.by_name(asker).unwrap()), "no {asker} in a {kind} image");
            let absent = found.modules.iter().filter(|index| !selection.members.contains_key(index));
            let absent: Vec<&str> = absent.map(|&index| tree.modules[index].name.as_str()).collect();
            let answered = absent.is_empty() || tree.is_in_kernel(request);
            assert!(answered, "{asker} asks for {request}, but a {kind} image has no {absent:?}");
        }
    }
}

/// `struct crypto_alg` ends its fixed part with `cra_priority`, `cra_refcnt`, and the names (include/linux/crypto.h).
const NAME: usize = 128;

/// The algorithms in the data of a module, by name, each with its `cra_priority`.
fn priorities(content: &[u8]) -> HashMap<String, i32> {
    let name = |at: usize| {
        let field = content.get(at..at + NAME)?;
        let length = field.iter().position(|&byte| byte == 0)?;
        let (text, rest) = field.split_at(length);
        let sound = length > 1 && text.iter().all(u8::is_ascii_graphic) && rest.iter().all(|&byte| byte == 0);
        sound.then(|| String::from_utf8_lossy(text).trim_start_matches('_').to_string())
    };
    let number = |bytes: [u8; 4]| if content[5] == 2 { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) };
    let mut found: HashMap<String, i32> = HashMap::new();
    for at in (8..content.len().saturating_sub(2 * NAME)).step_by(8) {
        if let (Some(algorithm), Some(_)) = (name(at), name(at + NAME)) {
            let priority = number(content[at - 8..at - 4].try_into().unwrap());
            let known = found.entry(algorithm).or_default();
            *known = priority.max(*known);
        }
    }
    found
}

/// The modules that answer to each crypto alias, engines aside, as indices of the tree.
fn providers(tree: &Tree) -> HashMap<&str, Vec<usize>> {
    let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let engine = module.place.as_ref().is_some_and(|place| place.starts_with("drivers/"));
        for algorithm in module.aliases.iter().filter_map(|alias| alias.strip_prefix("crypto-")).filter(|_| !engine) {
            providers.entry(algorithm).or_default().push(index);
        }
    }
    providers
}

#[test]
#[ignore = "needs kernels in the cache: run qemu/setup first"]
fn better_providers_of_an_algorithm_rank_before_worse_ones() {
    let knowledge = Knowledge::built_in().unwrap();
    let mut compared = 0;
    for release in cache::releases() {
        let tree = cached(&release);
        for (algorithm, modules) in providers(&tree) {
            let in_brackets = format!("({algorithm})");
            let mut ranked: Vec<(usize, i32, &str)> = Vec::new();
            for module in modules.into_iter().map(|index| (index, &tree.modules[index])) {
                let all = priorities(&tree.content(module.0).unwrap());
                let matching = all.iter().filter(|(name, _)| *name == algorithm || name.contains(&in_brackets));
                if let Some(best) = matching.map(|(_, priority)| *priority).max() {
                    ranked.push((knowledge.rank(module.1.into()), best, &module.1.name));
                }
            }
            ranked.sort();
            let sound = ranked.is_sorted_by(|better, worse| better.0 < worse.0 && better.1 >= worse.1);
            assert!(sound, "{algorithm} in {release}, as (rank, priority, module): {ranked:?}");
            compared += ranked.len().saturating_sub(1);
        }
    }
    assert!(compared > 10, "only {compared} pairs");
}
