//! Whole trees of real kernels: every module's plan, and every alias.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use indicatif::ProgressBar;
use modstrap::table::Table;
use modstrap_initramfs::closure::{Graph, Link};
use modstrap_initramfs::knowledge::Knowledge;
use modstrap_initramfs::module::{Module, normal};
use modstrap_initramfs::table::{self, Builtin, Entry, Input};
use modstrap_initramfs::tree::Tree;
use rayon::prelude::*;

use crate::oracle::Kmod;
use crate::{assert_ordered, cache, names, sequence};

/// How many names modprobe is asked in one run: all arguments of a program together are two megabytes.
const NAMES_AT_ONCE: usize = 4_000;

/// A tree of the cache, as we and as kmod see it.
struct Case {
    tree: Tree,
    kmod: Kmod,
}

/// Every tree of the cache: read once, since reading and depmod take most of the time.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let kernels = cache::kernels();
    let entries = std::fs::read_dir(&kernels).unwrap_or_else(|error| panic!("{}: {error}", kernels.display()));
    let directories: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    let cases: Vec<Case> = directories.par_iter().map(|directory| Case::read(directory)).collect();
    let modules: usize = cases.iter().map(|case| case.tree.modules.len()).sum();
    assert!(modules > 1000, "{}: only {modules} modules; run qemu/setup", kernels.display());
    cases
});

impl Case {
    fn read(directory: &Path) -> Case {
        let release = directory.file_name().unwrap().to_str().unwrap();
        let tree = Tree::read(directory, release, &ProgressBar::hidden()).unwrap();
        let kmod = Kmod::new(&tree.directory, release, &[]);
        kmod.join_soft_dependencies();
        Case { tree, kmod }
    }
}

fn names_of<'t>(tree: &'t Tree, indices: &[usize]) -> BTreeSet<&'t str> {
    indices.iter().map(|&index| tree.modules[index].name.as_str()).collect()
}

#[test]
#[ignore = "needs a kernel tree in the cache: run qemu/setup first"]
fn every_module_has_kmods_plan_and_a_boot_needs_no_more() {
    let knowledge = Knowledge::built_in().unwrap();
    let (mut choices, mut shorter, mut follow) = (0, 0, 0);
    for Case { tree, kmod } in CASES.iter() {
        let names: Vec<&str> = tree.modules.iter().map(|module| module.name.as_str()).collect();
        let expected = kmod.plan_sets(&names);
        let graph = Graph::new(tree, &knowledge);
        for (own, expected) in expected.iter().enumerate() {
            let plan = graph.plan(own).unwrap();
            let planned = sequence(&plan, own);
            assert!(names_of(tree, &planned).into_iter().eq(expected), "{}: {plan:?}\n{expected:?}", names[own]);
            assert_ordered(tree, &graph, own, &plan);
            assert!(!plan.iter().any(|link| matches!(link, Link::Choice(_))), "{}: {plan:?}", names[own]);

            let closure = graph.closure(own).unwrap();
            assert_ordered(tree, &graph, own, &closure);
            let mut loaded = sequence(&closure, own);
            for link in &closure {
                let Link::Choice(alias) = link else { continue };
                let providers = tree.find(alias).modules;
                assert!(providers.len() > 1, "{}: {alias} is no choice", names[own]);
                loaded.extend(providers);
                choices += 1;
            }
            // What follows a driver is no part of kmod's plan, and comes with a plan of its own.
            let module = &tree.modules[own];
            let followers = knowledge.followers(module, knowledge.nature(module)).filter_map(|name| tree.by_name(name));
            let with: Vec<usize> =
                followers.flat_map(|follower| sequence(&graph.plan(follower).unwrap(), follower)).collect();
            let is_known = |member: &usize| planned.contains(member) || with.contains(member);
            assert!(loaded.iter().all(is_known), "{}: {closure:?}\n{plan:?}", names[own]);
            follow += usize::from(!with.is_empty() && with.iter().all(|member| loaded.contains(member)));
            shorter += usize::from(closure.len() < plan.len());
        }
    }
    assert!(
        choices > 0 && shorter > 0 && follow > 0,
        "{choices} choices, {shorter} shorter orders, {follow} with what follows"
    );
}

/// All of a tree as a table.
fn table_of(tree: &Tree) -> Vec<u8> {
    let entry = |module: &Module| Entry { aliases: module.aliases.clone(), ..Entry::new(&module.name) };
    let builtin = tree.builtin.modules().map(|(name, aliases)| Builtin { name, aliases });
    let input =
        Input { modules: tree.modules.iter().map(entry).collect(), builtin: builtin.collect(), ..Input::default() };
    table::write(&input).unwrap()
}

#[test]
#[ignore = "needs a kernel tree in the cache: run qemu/setup first"]
fn every_alias_finds_what_kmod_finds() {
    for Case { tree, kmod } in CASES.iter() {
        let bytes = table_of(tree);
        let table = Table::open(&bytes).unwrap();
        let of_modules = tree.modules.iter().flat_map(|module| module.aliases.iter().chain([&module.name]));
        let of_kernel = tree.builtin.aliases.iter().map(|(alias, _)| alias).chain(&tree.builtin.names);
        let patterns: Vec<&String> = of_modules.chain(of_kernel).collect();
        let names = names_after(&patterns);
        let differences: Vec<String> = names
            .par_chunks(NAMES_AT_ONCE)
            .flat_map_iter(|names| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let answers = kmod.answers(&names).into_iter().zip(names);
                answers.filter_map(|(answer, name)| difference(tree, &table, name, answer)).collect::<Vec<_>>()
            })
            .collect();
        let shown = differences.iter().take(20).map(String::as_str).collect::<Vec<_>>();
        assert!(
            shown.is_empty(),
            "{}: {} of {}:\n{}",
            tree.directory.display(),
            differences.len(),
            names.len(),
            shown.join("\n")
        );
        let answered = names.par_iter().filter(|name| !tree.find(name).is_empty()).count();
        // Were all answers empty, or none, equality would prove little.
        assert!(answered > names.len() / 2 && answered < names.len() * 95 / 100, "{answered} of {} names", names.len());
    }
}

/// Names after every pattern. Of patterns that begin alike each is tried for each name, by kmod as by the builder, so
/// where these are thousands (device trees), a pattern has one name, another kind of name than the one before.
fn names_after(patterns: &[&String]) -> Vec<String> {
    const MANY: usize = 2_000;
    let front = |pattern: &str| pattern.split(['*', '?', '[']).next().unwrap().to_string();
    let mut sharing: HashMap<String, usize> = HashMap::new();
    patterns.iter().for_each(|pattern| *sharing.entry(front(pattern)).or_default() += 1);
    let names = patterns.par_iter().enumerate().flat_map_iter(|(number, pattern)| {
        let mut names = names::like(pattern);
        if sharing[&front(pattern)] > MANY {
            names = vec![names.swap_remove(number % names.len())];
        }
        names
    });
    names.collect()
}

/// How the builder's or the loader's answer to one name differs from kmod's.
fn difference(tree: &Tree, table: &Table, name: &str, mut expected: Vec<String>) -> Option<String> {
    // kmod names a module once for each of its aliases that match.
    expected.dedup();
    let found = tree.find(name);
    let modules = || found.modules.iter().map(|&index| &tree.modules[index].name);
    let all: Vec<&String> = modules().chain(&found.builtin).collect();
    if !all.iter().copied().eq(&expected) {
        return Some(format!("{name}: the tree has {all:?}, kmod {expected:?}"));
    }
    let looked_up = lookup(table, name);
    let is_equal = looked_up.iter().eq(all.into_iter().collect::<BTreeSet<_>>());
    (!is_equal).then(|| format!("{name}: the table has {looked_up:?}, kmod {expected:?}"))
}

/// What the loader finds in the table.
fn lookup(table: &Table, name: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    table.lookup(normal(name).as_bytes(), &mut |module| {
        found.insert(String::from_utf8_lossy(table.name(module).as_bytes()).into_owned());
    });
    found
}
