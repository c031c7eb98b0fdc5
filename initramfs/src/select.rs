//! Selecting the modules of an image, and closing the selection: over dependencies, and over the companions that
//! [`Knowledge`] names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use modstrap::table::{Class, Step};

use crate::closure::{Graph, Link};
use crate::knowledge::{Knowledge, Nature};
use crate::tree::Tree;
use crate::{Hardware, Request};

/// The modules of an image.
#[derive(Debug, Default)]
pub struct Selection {
    /// By index of [`Tree::modules`], so in the tree's order.
    pub members: BTreeMap<usize, Member>,
    /// What was asked for and is part of the kernel itself.
    pub builtin: BTreeSet<String>,
}

/// A module of an image.
#[derive(Debug)]
pub struct Member {
    /// What it is to a boot.
    pub nature: Nature,
    /// What the tools load with it, in order.
    pub plan: Vec<Link>,
    /// What a boot loads with it, in order.
    pub closure: Vec<Link>,
}

impl Selection {
    /// Selects what `request` asks for.
    pub fn new(tree: &Tree, knowledge: &Knowledge, request: &Request) -> Result<Selection> {
        let mut selection = Selection::default();
        let mut wanted: BTreeSet<usize> = selection.by_hardware(tree, knowledge, request)?;
        let mut named = BTreeSet::new();
        if let Hardware::Names(list) = &request.hardware {
            named.extend(selection.listed(tree, list)?);
        }
        for name in &request.include {
            named.extend(selection.ask_for(tree, name).context("--include")?);
        }
        wanted.extend(&named);
        selection.close(tree, knowledge, wanted, &named)?;
        Ok(selection)
    }

    /// The firmware files that the modules may ask for, each once.
    pub fn firmware<'t>(&self, tree: &'t Tree) -> BTreeSet<&'t str> {
        let modules = self.members.keys().map(|&index| &tree.modules[index]);
        modules.flat_map(|module| module.firmware.iter().map(String::as_str)).collect()
    }

    /// The modules that belong to a set of hardware, by what they are.
    fn by_hardware(&self, tree: &Tree, knowledge: &Knowledge, request: &Request) -> Result<BTreeSet<usize>> {
        let device_tree = tree.modules.first().is_some_and(|module| module.machine.has_device_tree());
        let belongs = |nature: Nature| match nature.class {
            Class::Net => request.with_net,
            Class::Library | Class::Other => false,
            _ if nature.step == Step::Supplier => device_tree,
            _ => true,
        };
        let modules = tree.modules.iter().enumerate();
        let chosen = modules.filter(|(_, module)| {
            let nature = knowledge.nature(module);
            match request.hardware {
                Hardware::Generic => belongs(nature),
                Hardware::Virtual => belongs(nature) && knowledge.is_virtual(module),
                Hardware::Names(_) => nature.class == Class::Net && request.with_net,
            }
        });
        Ok(chosen.map(|(index, _)| index).collect())
    }

    /// The modules in a file of names: a module name or modalias in each line.
    fn listed(&mut self, tree: &Tree, list: &Path) -> Result<BTreeSet<usize>> {
        let text = std::fs::read_to_string(list)
            .with_context(|| format!("cannot read the list of modules {}", list.display()))?;
        let mut indices = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let name = line.split(" #").next().unwrap_or_default().trim();
            if !name.is_empty() && !name.starts_with('#') {
                let found =
                    self.ask_for(tree, name).with_context(|| format!("{}, line {}", list.display(), number + 1))?;
                indices.extend(found);
            }
        }
        Ok(indices)
    }

    /// The modules that a user means by `name`; none if it is part of the kernel itself.
    fn ask_for(&mut self, tree: &Tree, name: &str) -> Result<Vec<usize>> {
        let found = tree.find(name);
        if found.is_empty() {
            let hint = match &tree.similar(name)[..] {
                [] => String::new(),
                names => format!("; similar: {}", names.join(", ")),
            };
            bail!("{} has no module {name}, nor is it built into the kernel{hint}", tree.directory.display());
        }
        self.builtin.extend(found.builtin);
        Ok(found.modules)
    }

    /// Adds `wanted`, their closures, their companions, and so on until nothing is missing. Those that the user
    /// `named` are meant to be loaded, so they are candidates whatever they are.
    fn close(
        &mut self,
        tree: &Tree,
        knowledge: &Knowledge,
        wanted: BTreeSet<usize>,
        named: &BTreeSet<usize>,
    ) -> Result<()> {
        let graph = Graph::new(tree, knowledge);
        let mut open = wanted;
        while let Some(index) = open.pop_first() {
            if self.members.contains_key(&index) {
                continue;
            }
            let module = &tree.modules[index];
            let mut nature = knowledge.nature(module);
            if nature.class == Class::Other && named.contains(&index) {
                nature = Nature { class: Class::Bus, step: Step::Always, ..nature };
            }
            let plan = graph.plan(index)?;
            // All of it, so that the tools do what kmod does, and so that the kernel's requests find their answers.
            open.extend(plan.iter().filter_map(Link::index));
            let companions = knowledge.companions(module, nature).chain(module.weak.iter().map(String::as_str));
            let companions = companions.chain(knowledge.forgotten(module));
            for companion in companions {
                let found = tree.find(companion);
                // One that cannot be loaded here is no use as a companion.
                open.extend(found.modules.into_iter().filter(|&index| graph.is_loadable(index)));
                self.builtin.extend(found.builtin);
            }
            self.members.insert(index, Member { nature, plan, closure: graph.closure(index)? });
        }
        Ok(())
    }
}
