//! Which modules are to be loaded, and which of them are there when one of them is: in a tree, as its modules say; in a
//! selection and in an image, as the load orders of the boot have it.

use std::collections::HashMap;

use modstrap::table::{Link, ModuleId, Table};

use super::{Finding, Kind};
use crate::module::Module;
use crate::select::Selection;
use crate::tree::Tree;

/// A module that is to be loaded.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The module.
    pub module: &'a Module,
    /// The subjects, by index, that are certainly loaded before it.
    pub before: Vec<usize>,
    /// What is wrong with its place among the others.
    pub findings: Vec<Kind>,
}

/// Every module of a tree, after all that it depends on.
pub fn of_tree(tree: &Tree) -> Vec<Subject<'_>> {
    let subject = |(index, module)| {
        let mut walk = Walk { tree, before: Vec::new(), findings: Vec::new() };
        walk.visit(index, &mut vec![index]);
        Subject { module, before: walk.before, findings: walk.findings }
    };
    tree.modules.iter().enumerate().map(subject).collect()
}

/// A walk over the dependencies of one module.
struct Walk<'t> {
    tree: &'t Tree,
    before: Vec<usize>,
    findings: Vec<Kind>,
}

impl Walk<'_> {
    /// Visits what `index` depends on; `open` leads from the module in question to it.
    fn visit(&mut self, index: usize, open: &mut Vec<usize>) {
        for name in &self.tree.modules[index].depends {
            match self.tree.by_name(name) {
                Some(needed) if needed == open[0] => {
                    let through = open.iter().chain([&needed]).map(|&index| self.tree.modules[index].name.clone());
                    self.findings.push(Kind::Loop { through: through.collect() });
                }
                Some(needed) if open.contains(&needed) || self.before.contains(&needed) => {}
                Some(needed) => {
                    open.push(needed);
                    self.visit(needed, open);
                    open.pop();
                    self.before.push(needed);
                }
                // What its dependencies lack is told of them.
                None if open.len() > 1 || self.tree.is_builtin(name) => {}
                None => self.findings.push(Kind::NoDependency { name: name.clone() }),
            }
        }
    }
}

/// The modules of a selection, each after what precedes it in its load order and must not fail.
pub fn of_selection<'t>(tree: &'t Tree, selection: &Selection) -> Vec<Subject<'t>> {
    let numbers: HashMap<usize, usize> =
        selection.members.keys().enumerate().map(|(number, &index)| (index, number)).collect();
    let subject = |(&index, member): (&usize, &crate::select::Member)| {
        let before = member.closure.iter().take_while(|(other, _)| *other != index);
        let before = before.filter(|(_, soft)| !soft).filter_map(|(other, _)| numbers.get(other).copied());
        Subject { module: &tree.modules[index], before: before.collect(), findings: Vec::new() }
    };
    selection.members.iter().map(subject).collect()
}

/// The modules of a tree that a selection left out.
pub fn left_out<'t>(tree: &'t Tree, selection: &Selection) -> Vec<&'t Module> {
    let modules = tree.modules.iter().enumerate();
    modules.filter(|(index, _)| !selection.members.contains_key(index)).map(|(_, module)| module).collect()
}

/// The modules of an image, in the order of its table, each after what precedes it in its load order and must not fail.
pub fn of_image<'m>(table: &Table, modules: &'m [Module]) -> Vec<Subject<'m>> {
    let needs: Vec<Vec<usize>> = table.modules().map(|id| needs(table, id)).collect();
    let subject = |(module, id): (&'m Module, ModuleId)| {
        let mut findings = misplaced(&sequence(table.closure(id)), modules, &needs);
        let of_tools = misplaced(&sequence(table.plan(id)), modules, &needs);
        findings.extend(of_tools.into_iter().filter(|kind| !findings.contains(kind)).collect::<Vec<Kind>>());
        Subject { module, before: needs[usize::from(id.0)].clone(), findings }
    };
    modules.iter().zip(table.modules()).map(subject).collect()
}

/// What is certainly loaded before a module in the load order of the boot.
fn needs(table: &Table, id: ModuleId) -> Vec<usize> {
    let before = table.closure(id).take_while(|link| !matches!(link, Link::Module { module, .. } if *module == id));
    sequence(before.filter(|link| matches!(link, Link::Module { soft: false, .. })))
}

/// The modules of a load order. Whoever is chosen by an alias is loaded in an order of its own.
fn sequence<'a>(links: impl Iterator<Item = Link<'a>>) -> Vec<usize> {
    let module = |link| match link {
        Link::Module { module, .. } => Some(usize::from(module.0)),
        Link::Choice(_) => None,
    };
    links.filter_map(module).collect()
}

/// The modules that a load order has before something that they need.
fn misplaced(order: &[usize], modules: &[Module], needs: &[Vec<usize>]) -> Vec<Kind> {
    let name = |index: usize| modules.get(index).map_or_else(String::new, |module| module.name.clone());
    let mut findings = Vec::new();
    for (place, member) in order.iter().enumerate() {
        let needed = needs.get(*member).into_iter().flatten();
        let late = needed.filter(|needed| !order[..place].contains(needed));
        findings.extend(late.map(|&needed| Kind::Order { module: name(*member), needs: name(needed) }));
    }
    findings
}

impl Subject<'_> {
    /// A finding about it.
    pub(super) fn finding(&self, kind: Kind) -> Finding {
        Finding { module: Some(self.module.name.clone()), kind }
    }
}
