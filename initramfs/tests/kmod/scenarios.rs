//! Small trees, each made for one question: those of kmod's own testsuite (its names are in the comments), made again
//! in our way, and some that it lacks. kmod answers on the same tree. Where the answers differ on purpose, a test says
//! so and why.

use std::collections::BTreeSet;
use std::path::PathBuf;

use indicatif::ProgressBar;
use modstrap_initramfs::closure::{Graph, Link};
use modstrap_initramfs::config::Config;
use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::tree::Tree;

use crate::assert_ordered;
use crate::common::{RELEASE, System, compile_with};
use crate::oracle::Kmod;
use crate::sequence;

/// A tree in the making.
struct Scenario {
    system: System,
    config: Vec<PathBuf>,
}

impl Scenario {
    fn new() -> Scenario {
        Scenario { system: System::new(), config: Vec::new() }
    }

    /// Adds a module, called as its file. It exports a symbol, and uses those of the modules that its `depends=` names,
    /// since depmod goes by symbols.
    fn module(&self, path: &str, info: &[&str]) -> &Self {
        let file = path.rsplit('/').next().unwrap();
        let name = file.split('.').next().unwrap().replace('-', "_");
        let depends = info.iter().filter_map(|line| line.strip_prefix("depends=")).flat_map(|names| names.split(','));
        let imports: String = depends
            .map(|other| format!("extern char {other}_symbol; void *use_{other} = &{other}_symbol;\n"))
            .collect();
        let code = format!(
            "{imports}char {name}_symbol; asm(\".globl __crc_{name}_symbol\\n.set __crc_{name}_symbol, 1\");\n\
             __attribute__((section(\"__ksymtab_strings\"), used)) static const char export[] = \"{name}_symbol\";"
        );
        self.system.write(&format!("lib/modules/{RELEASE}/{path}"), compile_with(&name, RELEASE, info, &code, &[]));
        self
    }

    /// Adds modules that state nothing.
    fn plain(&self, names: &[&str]) -> &Self {
        names.iter().fold(self, |scenario, name| scenario.module(&format!("kernel/{name}.ko"), &[]))
    }

    fn listed(&self, file: &str, content: &str) -> &Self {
        self.system.write(&format!("lib/modules/{RELEASE}/{file}"), content);
        self
    }

    /// Adds a file of modprobe.d to a directory of that.
    fn config(&mut self, path: &str, content: &str) -> &mut Self {
        let file = self.system.write(path, content);
        let directory = file.parent().unwrap().to_path_buf();
        if !self.config.contains(&directory) {
            self.config.push(directory);
        }
        self
    }

    fn kmod(&self) -> Kmod {
        Kmod::new(&self.system.modules(), RELEASE, &self.config)
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::read(&self.system.path(""), RELEASE, &ProgressBar::hidden()).unwrap();
        tree.configure(Config::read(&self.config).unwrap());
        tree
    }

    /// Asserts that each module's plan is kmod's, in a sound order.
    fn assert_plans(&self, kmod: &Kmod) {
        let (tree, knowledge) = (self.tree(), Knowledge::built_in().unwrap());
        let graph = Graph::new(&tree, &knowledge);
        let names: Vec<&str> = tree.modules.iter().map(|module| module.name.as_str()).collect();
        for (own, expected) in kmod.plan_sets(&names).iter().enumerate() {
            let plan = graph.plan(own).unwrap();
            let planned: BTreeSet<&str> = sequence(&plan, own).iter().map(|&index| names[index]).collect();
            assert!(planned.iter().copied().eq(expected), "{}: {planned:?}, but kmod: {expected:?}", names[own]);
            assert_ordered(&tree, &graph, own, &plan);
            assert_ordered(&tree, &graph, own, &graph.closure(own).unwrap());
        }
    }

    /// Asserts that each name is answered as kmod answers it, and these are the answers.
    fn assert_answers(&self, cases: &[(&str, &[&str])]) {
        let (tree, kmod) = (self.tree(), self.kmod());
        let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
        for (answer, (name, expected)) in kmod.answers(&names).iter().zip(cases) {
            assert_eq!(answer, expected, "kmod on {name}");
            assert_eq!(found(&tree, name), *expected, "{name}");
        }
    }
}

/// Who answers to a name.
fn found(tree: &Tree, name: &str) -> Vec<String> {
    let found = tree.find(name);
    let modules = found.modules.iter().map(|&index| tree.modules[index].name.clone());
    modules.chain(found.builtin).collect()
}

/// The plan of one module as text: soft members in brackets.
fn plan(tree: &Tree, name: &str) -> String {
    let own = tree.by_name(name).unwrap();
    let knowledge = Knowledge::built_in().unwrap();
    let order = Graph::new(tree, &knowledge).plan(own).unwrap();
    let words = order.iter().map(|link| match link {
        Link::Own => name.to_string(),
        Link::Module { index, soft: false } => tree.modules[*index].name.clone(),
        Link::Module { index, soft: true } => format!("[{}]", tree.modules[*index].name),
        Link::Choice(alias) => format!("<{alias}>"),
    });
    words.collect::<Vec<_>>().join(" ")
}

// modprobe_show_depends, modprobe_show_depends2, test_dependencies
#[test]
fn what_a_module_depends_on_is_loaded_before_it() {
    let scenario = Scenario::new();
    scenario.plain(&["base", "simple"]).module("kernel/left.ko", &["depends=base"]);
    scenario.module("kernel/right.ko", &["depends=base"]).module("kernel/top.ko", &["depends=left,right,simple"]);
    scenario.assert_plans(&scenario.kmod());
    assert_eq!(plan(&scenario.tree(), "top"), "base left right simple top");
}

// depmod_detect_loop
#[test]
fn modules_that_depend_on_each_other_are_an_error() {
    let scenario = Scenario::new();
    scenario.module("kernel/a.ko", &["depends=b"]).module("kernel/b.ko", &["depends=c"]);
    scenario.module("kernel/c.ko", &["depends=a"]).module("kernel/user.ko", &["depends=a"]).plain(&["innocent"]);
    let depmod = Kmod::without_indexes(&scenario.system.modules(), RELEASE, &[]).depmod(&[]);
    let message = String::from_utf8_lossy(&depmod.stderr);
    assert!(!depmod.status.success() && message.contains("modules in dependency cycles"), "{message}");
    let (tree, knowledge) = (scenario.tree(), Knowledge::built_in().unwrap());
    let graph = Graph::new(&tree, &knowledge);
    let error = |name: &str| graph.plan(tree.by_name(name).unwrap()).map_err(|error| error.to_string());
    for (name, cycle) in [("a", "a -> b -> c -> a"), ("c", "c -> a -> b -> c"), ("user", "a -> b -> c -> a")] {
        assert_eq!(error(name), Err(format!("modules that depend on each other can never be loaded: {cycle}")));
    }
    assert_eq!(error("innocent"), Ok(vec![Link::Own]));
}

// modprobe_softdep_loop
#[test]
fn loops_of_soft_dependencies_end() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/loop-a.ko", &["depends=loop_b"]).plain(&["loop-b"]);
    scenario.module("kernel/self.ko", &["softdep=pre: self post: self"]);
    scenario.module("kernel/x.ko", &["softdep=pre: y"]).module("kernel/y.ko", &["softdep=pre: x"]);
    scenario.config("modprobe.d/loop.conf", "softdep loop-b post: loop-a\n");
    scenario.assert_plans(&scenario.kmod());
    let tree = scenario.tree();
    assert_eq!((plan(&tree, "loop_a"), plan(&tree, "loop_b")), ("loop_b loop_a".into(), "loop_b [loop_a]".into()));
    assert_eq!((plan(&tree, "self"), plan(&tree, "x")), ("self".into(), "[y] x".into()));
}

#[test]
fn soft_dependencies_of_dependencies_and_of_soft_dependencies_count() {
    let scenario = Scenario::new();
    scenario.module("kernel/top.ko", &["depends=middle", "softdep=pre: alias-of-p"]);
    scenario.module("kernel/middle.ko", &["softdep=pre: m post: n none-such"]).plain(&["m", "n", "deep", "after"]);
    scenario.module("kernel/p.ko", &["alias=alias-of-*", "depends=deep"]);
    scenario.module("kernel/deep.ko", &["softdep=post: after"]);
    scenario.listed("modules.builtin", "kernel/built-in.ko\n");
    scenario.assert_plans(&scenario.kmod());
    assert_eq!(plan(&scenario.tree(), "top"), "[m] middle [n] [deep] [after] [p] top");
}

// multi_softdep, which kmod expects to fail
#[test]
fn every_line_of_soft_dependencies_counts_though_kmod_takes_one() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/foo.ko", &["softdep=pre: a", "softdep=pre: b post: c"]).plain(&["a", "b", "c", "d"]);
    scenario.config("modprobe.d/more.conf", "softdep foo post: d\n");
    let kmod = scenario.kmod();
    let of_kmod = kmod.plan_sets(&["foo"]);
    assert_eq!(of_kmod[0].len(), 2, "kmod has learnt it: {of_kmod:?}");
    assert_eq!(plan(&scenario.tree(), "foo"), "[a] [b] foo [c] [d]");
}

// modprobe_weakdep_loop, depmod_check_weakdep, test_weakdep
#[test]
fn weak_dependencies_are_not_loaded() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/foo.ko", &["weakdep=a", "softdep=b"]).plain(&["a", "b", "c"]);
    scenario.config("modprobe.d/weak.conf", "weakdep foo c\nweakdep c foo\n");
    scenario.assert_plans(&scenario.kmod());
    let tree = scenario.tree();
    assert_eq!(tree.modules[tree.by_name("foo").unwrap()].weak, ["a", "b", "c"]);
    let image = scenario.system.build(&modstrap_initramfs::Request {
        modprobe_d: scenario.config.clone(),
        ..scenario.system.request_for("foo\n")
    });
    assert_eq!(image.unwrap().names().len(), 4);
}

#[test]
fn a_missing_dependency_is_an_error_though_kmod_goes_on() {
    let scenario = Scenario::new();
    scenario.module("kernel/foo.ko", &["depends=gone"]).plain(&["gone"]);
    scenario.module("kernel/user.ko", &["softdep=pre: foo"]);
    let kmod = scenario.kmod();
    std::fs::remove_file(scenario.system.modules().join("kernel/gone.ko")).unwrap();
    let of_kmod = &kmod.plan_sets(&["foo"])[0];
    assert!(of_kmod.iter().eq(["foo"]), "{of_kmod:?}");
    let (tree, knowledge) = (scenario.tree(), Knowledge::built_in().unwrap());
    let error = Graph::new(&tree, &knowledge).plan(tree.by_name("foo").unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("module foo (kernel/foo.ko) depends on gone, which is neither in "), "{error}");
    // What is only wished for may be missing.
    assert_eq!(plan(&tree, "user"), "user");
}

// modprobe_show_alias_to_none
#[test]
fn an_alias_of_modprobe_d_to_nothing_is_an_answer() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/ipv6.ko", &["alias=net-pf-10"]).plain(&["real"]);
    scenario.config("modprobe.d/off.conf", "alias net-pf-10 off\nalias my-alias none-such\nalias real off\n");
    let plans = scenario.kmod().plans(&["net-pf-10", "my-alias", "real"]);
    assert!(plans.iter().all(Vec::is_empty), "{plans:?}");
    let tree = scenario.tree();
    assert!(["net-pf-10", "my-alias", "real"].iter().all(|name| tree.find(name).is_empty()));
}

// from_name, from_alias, alias_1, test_underscores
#[test]
fn dashes_and_underscores_are_one_outside_brackets() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/my-module.ko", &["alias=bus:a-b[0-2]-*", "alias=UPPER"]);
    scenario.module("kernel/dotted.ko", &["alias=dot.*", "alias=x.y/z", "alias=q?[!-a]"]);
    scenario.config("modprobe.d/a.conf", "alias conf-[a-c]-x my-module\n");
    scenario.assert_answers(&[
        ("my-module", &["my_module"]),
        ("my_module", &["my_module"]),
        ("My-module", &[]),
        ("bus:a_b1_", &["my_module"]),
        ("bus:a-b1-x-y", &["my_module"]),
        ("bus:a-b3-", &[]),
        ("bus:a-b--", &[]),
        ("bus:a-b_-", &[]),
        ("UPPER", &["my_module"]),
        ("upper", &[]),
        ("dot.dotted.ko", &["dotted"]),
        ("dot", &[]),
        ("x.y/z", &["dotted"]),
        ("q-b", &["dotted"]),
        ("q/a", &[]),
        ("conf_b_x", &["my_module"]),
        ("conf-d-x", &[]),
        ("[my-module]", &[]),
    ]);
}

#[test]
fn a_name_is_answered_in_kmods_order() {
    let mut scenario = Scenario::new();
    scenario
        .module("kernel/one.ko", &["alias=two", "alias=shared", "alias=in-kernel", "alias=fs-here"])
        .plain(&["two"]);
    scenario.module("kernel/three.ko", &["alias=shared", "alias=sh*", "alias=four"]);
    scenario.listed("modules.order", "kernel/three.ko\nkernel/one.ko\nkernel/two.ko\n");
    scenario.listed("modules.builtin", "kernel/in-kernel.ko\nkernel/other.ko\nkernel/two.ko\n");
    scenario.listed("modules.builtin.modinfo", "other.alias=fs-other\0other.alias=fs-here\0other.alias=ov-*\0");
    scenario
        .config("modprobe.d/a.conf", "alias four one\nalias fo?r two\nalias five in-kernel\nalias one.x fs-other\n");
    scenario.assert_answers(&[
        // A module of that name, not who has the alias.
        ("two", &["two"]),
        ("one", &["one"]),
        // Modules' aliases before what is built in.
        ("in_kernel", &["one"]),
        ("fs-here", &["one"]),
        ("other", &["other"]),
        ("fs-other", &["other"]),
        ("ov-x", &["other"]),
        ("five", &["in_kernel"]),
        ("nothing", &[]),
    ]);
    // kmod names a module once for each alias, and of modprobe.d's aliases the last line first; the table's order is
    // that of modules.order.
    let kmod = scenario.kmod().answers(&["shared", "four"]);
    assert_eq!(kmod, [vec!["three", "three", "one"], vec!["one", "two"]]);
    let tree = scenario.tree();
    assert_eq!(
        (found(&tree, "shared"), found(&tree, "four")),
        (vec!["three".into(), "one".into()], vec!["one".into(), "two".into()])
    );
}

// modprobe_builtin, modprobe_builtin_lookup_only, load_resources
#[test]
fn what_is_built_in_needs_nothing() {
    let scenario = Scenario::new();
    scenario.module("kernel/user.ko", &["softdep=pre: unix net-pf-1", "depends="]);
    scenario.listed("modules.builtin", "kernel/net/unix/unix.ko\n");
    scenario.listed("modules.builtin.modinfo", "unix.alias=net-pf-1\0");
    scenario.assert_answers(&[("unix", &["unix"]), ("net-pf-1", &["unix"])]);
    scenario.assert_plans(&scenario.kmod());
    assert_eq!(plan(&scenario.tree(), "user"), "user");
}

// blacklist_1
#[test]
fn a_blacklist_is_about_aliases_alone() {
    let mut scenario = Scenario::new();
    scenario.module("kernel/good.ko", &["alias=dev:*", "depends=bad"]).module("kernel/bad.ko", &["alias=dev:1"]);
    scenario.config("modprobe.d/b.conf", "blacklist bad\nblacklist other-one\n");
    let kmod = scenario.kmod();
    assert_eq!(kmod.answers(&["dev:1"])[0].len(), 2, "it is an answer");
    let planned = kmod.plans(&["dev:1", "bad"]);
    // By its name and as a dependency it is loaded.
    assert_eq!(planned.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    let tree = scenario.tree();
    assert!(tree.config.is_blacklisted("bad") && tree.config.is_blacklisted("other_one"));
    assert!(!tree.config.is_blacklisted("good"));
    assert_eq!(found(&tree, "dev:1").len(), 2);
    assert_eq!(plan(&tree, "good"), "bad good");
}

// modprobe_config, freadline_wrapped
#[test]
fn modprobe_d_is_read_as_kmod_reads_it() {
    let mut scenario = Scenario::new();
    let first = "# comment \\\nblacklist in-comment\n   blacklist  indented\t# not a comment\n\n\
        options foo-bar a=1\t b=\"two  words\" c\noptions foo_bar d=x\\y e=\\\n  f\n  options other z=1   \n\
        alias my-[a-b]* e-4 trailing\nblacklist bad]\noptions short\nalias\nunknown x y\ninclude /etc\n\
        softdep s pre: one-1 two post: three pre: four\nsoftdep t-* one pre: two\ninstall in x y\n\
        options last-line no-newline";
    scenario.config("first/20-a.conf", first);
    scenario.config("first/10-b.conf", "blacklist ten\noptions foo_bar earlier\n");
    scenario.config("first/90.alias", "blacklist by-alias-file\n");
    scenario.config("first/ignored", "blacklist no-suffix\n");
    scenario.config("first/.hidden.conf", "blacklist hidden-file\n");
    scenario.config("second/20-a.conf", "blacklist is-hidden\n");
    scenario.config("second/15.conf", "options foo-bar between\n");
    let single = scenario.system.write("single", "blacklist single-file\n");
    scenario.config.push(single);

    let (config, kmod) = (Config::read(&scenario.config).unwrap(), scenario.kmod().configuration());
    let lines = |word: &'static str| kmod.iter().filter_map(move |line| line.strip_prefix(word)).map(str::trim_end);
    let blacklist: Vec<&str> = lines("blacklist ").collect();
    for name in ["indented", "ten", "by_alias_file", "single_file"] {
        assert!(blacklist.contains(&name) && config.is_blacklisted(name), "{name}: {blacklist:?}");
    }
    for name in ["in_comment", "no_suffix", "hidden_file", "is_hidden", "bad]", "bad"] {
        assert!(!blacklist.contains(&name) && !config.is_blacklisted(name), "{name}: {blacklist:?}");
    }
    for module in ["foo_bar", "other", "last_line", "short"] {
        let texts = lines("options ").filter_map(|line| line.strip_prefix(module)?.strip_prefix(' '));
        assert_eq!(config.options(module), texts.collect::<Vec<_>>().join(" "), "{module}");
    }
    assert_eq!(config.options("foo_bar").split_whitespace().count(), 9);
    let aliases =
        lines("alias ").map(|line| line.split_once(' ').unwrap()).filter(|(pattern, _)| pattern.starts_with("my"));
    assert!(aliases.eq(config.aliases.iter().map(|alias| (alias.pattern.as_str(), alias.module.as_str()))));
    assert_eq!(config.soft("s").before, ["one_1", "two", "four"]);
    assert_eq!((config.soft("t_x").before, config.soft("t_x").neither), (vec!["two".into()], vec!["one".to_string()]));
    assert_eq!(config.notes.len(), 6, "{:?}", config.notes);
}

// depmod_search_order_simple, _same_prefix, _external_first, depmod_search_order_override
#[test]
fn of_several_files_of_one_name_depmods_configuration_decides() {
    // Two files of one rank are left to chance by depmod: there are none here.
    let cases: [(&str, &[&str]); 8] = [
        ("", &["updates", "kernel"]),
        ("search built-in updates\n", &["kernel", "updates"]),
        ("search up built-in updates\n", &["up", "kernel", "updates"]),
        ("search up built-in\n", &["up", "upper"]),
        ("search built-in updates\noverride foo * up\n", &["up", "updates"]),
        ("search updates built-in\noverride foo 6.9.* kernel\n", &["kernel", "updates"]),
        ("search updates built-in\noverride foo 9.9.* kernel\n", &["updates", "kernel"]),
        ("search updates/deeper updates built-in\n", &["updates/deeper", "updates", "kernel"]),
    ];
    for (text, directories) in cases {
        let scenario = Scenario::new();
        for directory in directories {
            scenario.module(&format!("{directory}/foo.ko"), &[&format!("description={directory}")]);
        }
        let winner = &format!("{}/foo.ko", directories[0]);
        let configuration = scenario.system.write("etc/depmod.d/x.conf", text);
        let kmod = Kmod::without_indexes(&scenario.system.modules(), RELEASE, &[]);
        let directory = configuration.parent().unwrap().to_str().unwrap();
        assert!(kmod.depmod(&["-C", directory]).status.success());
        let of_kmod = &kmod.plans(&["foo"])[0];
        assert!(of_kmod.len() == 1 && of_kmod[0].ends_with(winner), "{text}: {of_kmod:?}");
        let tree = scenario.tree();
        assert_eq!(tree.modules[tree.by_name("foo").unwrap()].path.to_str(), Some(winner.as_str()), "{text}");
    }
}

// depmod_modules_order_for_compressed
#[test]
fn the_order_of_modules_decides_among_answers() {
    let scenario = Scenario::new();
    for name in ["a", "b", "c"] {
        scenario.module(&format!("kernel/{name}.ko"), &["alias=fs-x", "alias=fs-*"]);
    }
    scenario.listed("modules.order", "kernel/c.ko\nkernel/a.ko\nkernel/b.ko\n");
    let answers = scenario.kmod().answers(&["fs-y"]);
    assert_eq!(answers[0], ["c", "a", "b"]);
    assert_eq!(found(&scenario.tree(), "fs-y"), ["c", "a", "b"]);
}
