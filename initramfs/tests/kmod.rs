//! kmod as the oracle: what its own tools say of a tree is what ours must say of it.
//!
//! [`oracle`] asks the installed modprobe and depmod. [`scenarios`] makes the trees of kmod's published tests again, in
//! our own way, and adds some; [`trees`] goes through whole trees of real kernels, every module and every alias.

#[path = "common/cache.rs"]
mod cache;
mod common;
#[path = "common/names.rs"]
mod names;
#[path = "kmod/oracle.rs"]
mod oracle;
#[path = "kmod/scenarios.rs"]
mod scenarios;
#[path = "kmod/trees.rs"]
mod trees;

use modstrap_initramfs::closure::{Graph, Link};
use modstrap_initramfs::tree::Tree;

/// A load order, as numbers of modules; a choice is left out.
fn sequence(order: &[Link], own: usize) -> Vec<usize> {
    let index = |link: &Link| if *link == Link::Own { Some(own) } else { link.index() };
    order.iter().filter_map(index).collect()
}

/// Asserts of a load order what holds for every one: it has its own module, hard, and each module once, behind all that
/// this depends on; and what the own module needs is hard.
fn assert_ordered(tree: &Tree, graph: &Graph, own: usize, order: &[Link]) {
    let name = |index: usize| tree.modules[index].name.as_str();
    let sequence = sequence(order, own);
    assert_eq!(order.iter().filter(|link| **link == Link::Own).count(), 1, "{}: {order:?}", name(own));
    for (place, &member) in sequence.iter().enumerate() {
        let before = &sequence[..place];
        assert!(!before.contains(&member), "{}: {} twice in {order:?}", name(own), name(member));
        for dependency in tree.modules[member].depends.iter().filter_map(|depends| tree.by_name(depends)) {
            assert!(before.contains(&dependency), "{}: {} before {}", name(own), name(member), name(dependency));
        }
        assert!(graph.is_loadable(member), "{}: {}", name(own), name(member));
    }
    let mut needed = vec![own];
    while let Some(module) = needed.pop() {
        for dependency in tree.modules[module].depends.iter().filter_map(|depends| tree.by_name(depends)) {
            let hard = Link::Module { index: dependency, soft: false };
            assert!(order.contains(&hard), "{}: {} is not hard in {order:?}", name(own), name(dependency));
            needed.push(dependency);
        }
    }
}
