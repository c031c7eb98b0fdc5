//! Which modules are to be loaded, and which of them are there when one of them is: in a tree, as its modules say; in a
//! selection and in an image, as the load orders of the boot have it.

use std::collections::HashMap;

use modstrap::table::{self, Table};

use super::{Finding, Kind};
use crate::closure;
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
                None => {
                    let unusable = self.tree.unusable(name).map(|file| file.path.display().to_string());
                    self.findings.push(Kind::NoDependency { name: name.clone(), unusable });
                }
            }
        }
    }
}

/// The modules of a selection, by its load orders.
pub fn of_selection<'t>(tree: &'t Tree, selection: &Selection) -> Vec<Subject<'t>> {
    let numbers: HashMap<usize, usize> =
        selection.members.keys().enumerate().map(|(number, &index)| (index, number)).collect();
    let step = |own: usize, link: &closure::Link| match link {
        closure::Link::Own => Some(Step { module: own, soft: false }),
        closure::Link::Module { index, soft } => Some(Step { module: *numbers.get(index)?, soft: *soft }),
        closure::Link::Choice(_) => None,
    };
    let steps = |(own, links): (usize, &Vec<closure::Link>)| links.iter().filter_map(|link| step(own, link)).collect();
    let closures: Vec<Vec<Step>> =
        selection.members.values().map(|member| &member.closure).enumerate().map(steps).collect();
    let plans: Vec<Vec<Step>> = selection.members.values().map(|member| &member.plan).enumerate().map(steps).collect();
    let modules = selection.members.keys().map(|&index| &tree.modules[index]);
    in_orders(modules.collect(), &closures, &plans)
}

/// The modules of a tree that a selection left out.
pub fn left_out<'t>(tree: &'t Tree, selection: &Selection) -> Vec<&'t Module> {
    let modules = tree.modules.iter().enumerate();
    modules.filter(|(index, _)| !selection.members.contains_key(index)).map(|(_, module)| module).collect()
}

/// The modules of an image, in the order of its table, by its load orders.
pub fn of_image<'m>(table: &Table, modules: &'m [Module]) -> Vec<Subject<'m>> {
    let step = |link| match link {
        table::Link::Module { module, soft } => Some(Step { module: usize::from(module.0), soft }),
        table::Link::Choice(_) => None,
    };
    let closures: Vec<Vec<Step>> = table.modules().map(|id| table.closure(id).filter_map(step).collect()).collect();
    let plans: Vec<Vec<Step>> = table.modules().map(|id| table.plan(id).filter_map(step).collect()).collect();
    in_orders(modules.iter().collect(), &closures, &plans)
}

/// A module in a load order. Whoever is chosen by an alias is loaded in an order of its own, and is none of these.
#[derive(Clone, Copy)]
struct Step {
    module: usize,
    soft: bool,
}

/// Modules, each after what precedes it in its closure and must not fail; and whether all that each member of a closure
/// or plan needs in this way precedes it there too.
fn in_orders<'m>(modules: Vec<&'m Module>, closures: &[Vec<Step>], plans: &[Vec<Step>]) -> Vec<Subject<'m>> {
    let before = |(own, closure): (usize, &Vec<Step>)| -> Vec<usize> {
        let before = closure.iter().take_while(|step| step.module != own);
        before.filter(|step| !step.soft).map(|step| step.module).collect()
    };
    let needs: Vec<Vec<usize>> = closures.iter().enumerate().map(before).collect();
    let subject = |(number, module): (usize, &&'m Module)| {
        let mut findings = misplaced(&closures[number], &modules, &needs);
        let of_tools = misplaced(&plans[number], &modules, &needs);
        findings.extend(of_tools.into_iter().filter(|kind| !findings.contains(kind)).collect::<Vec<Kind>>());
        Subject { module, before: needs[number].clone(), findings }
    };
    modules.iter().enumerate().map(subject).collect()
}

/// The modules that a load order has before something that they need.
fn misplaced(order: &[Step], modules: &[&Module], needs: &[Vec<usize>]) -> Vec<Kind> {
    let name = |index: usize| modules.get(index).map_or_else(String::new, |module| module.name.clone());
    let mut findings = Vec::new();
    for (place, step) in order.iter().enumerate() {
        let needed = needs.get(step.module).into_iter().flatten();
        let late = needed.filter(|needed| order[..place].iter().all(|earlier| earlier.module != **needed));
        findings.extend(late.map(|&needed| Kind::Order { module: name(step.module), needs: name(needed) }));
    }
    findings
}

impl Subject<'_> {
    /// A finding about it.
    pub(super) fn finding(&self, kind: Kind) -> Finding {
        Finding { module: Some(self.module.name.clone()), kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_load_order_that_is_none() {
        let modules = ["ext4", "jbd2", "crc16"].map(|name| Module::sample(Path::new(name), &[], &[]));
        let hard = |module: usize| Step { module, soft: false };
        let soft = |module: usize| Step { module, soft: true };
        let closures = [vec![hard(1), hard(2), hard(0)], vec![hard(1)], vec![hard(2)]];
        let subjects = |closures: &[Vec<Step>], plans: &[Vec<Step>]| {
            let subjects = in_orders(modules.iter().collect(), closures, plans);
            let findings: Vec<String> = subjects
                .iter()
                .flat_map(|subject| subject.findings.iter().map(|kind| subject.finding(kind.clone()).to_string()))
                .collect();
            (subjects[0].before.clone(), findings)
        };
        assert_eq!(subjects(&closures, &closures), (vec![1, 2], vec![]));
        // What comes late, or may fail, is not there when it is needed.
        let late = [vec![soft(2), hard(0), hard(1)], vec![hard(1)], vec![hard(2)]];
        assert_eq!(subjects(&late, &late), (vec![], vec![]));
        // The tools' order must serve what the boot's order says is needed.
        let plans = [vec![hard(1), hard(0), hard(2)], vec![hard(1)], vec![hard(2)]];
        let sentence = "module ext4 has a load order in which ext4 does not come after crc16, which it needs";
        assert_eq!(subjects(&closures, &plans).1, [sentence]);
    }
}
