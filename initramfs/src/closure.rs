//! Closures: for one module, everything to load with it, in order.
//!
//! Hard are the module and what it depends on, all the way down; one of them missing is an error. All else is soft:
//! soft dependencies, what they in turn depend on, and the soft dependencies that modules forgot to state. Where a
//! soft dependency needs the very module it is to precede, it is loaded after it, so loops end.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet, VecDeque};

use anyhow::{Result, bail};

use crate::knowledge::Knowledge;
use crate::tree::Tree;

/// A module of a closure, as an index of [`Tree::modules`], and whether it is soft.
pub type Link = (usize, bool);

/// The dependencies between the modules of a tree, resolved as they are asked for.
pub struct Graph<'a> {
    tree: &'a Tree,
    knowledge: &'a Knowledge,
    edges: Vec<OnceCell<Edges>>,
}

/// What one module leads to.
#[derive(Debug, Default)]
struct Edges {
    hard: Vec<usize>,
    before: Vec<usize>,
    after: Vec<usize>,
}

impl<'a> Graph<'a> {
    /// The graph of `tree`, with the soft dependencies that `knowledge` adds.
    pub fn new(tree: &'a Tree, knowledge: &'a Knowledge) -> Self {
        Graph { tree, knowledge, edges: tree.modules.iter().map(|_| OnceCell::new()).collect() }
    }

    /// Everything to load with `module`, in order.
    pub fn closure(&self, module: usize) -> Result<Vec<Link>> {
        let hard = self.hard(module)?;
        let mut order = Order {
            graph: self,
            open: Vec::new(),
            sequence: Vec::new(),
            placed: HashSet::new(),
            later: VecDeque::new(),
        };
        order.place(module)?;
        while let Some(postponed) = order.later.pop_front() {
            order.place(postponed)?;
        }
        Ok(order.sequence.into_iter().map(|member| (member, !hard.contains(&member))).collect())
    }

    /// `module` and all that it cannot be loaded without.
    fn hard(&self, module: usize) -> Result<BTreeSet<usize>> {
        let mut closed = BTreeSet::new();
        self.add_hard(module, &mut closed, &mut Vec::new())?;
        Ok(closed)
    }

    fn add_hard(&self, module: usize, closed: &mut BTreeSet<usize>, open: &mut Vec<usize>) -> Result<()> {
        open.push(module);
        for &dependency in &self.edges(module)?.hard {
            if let Some(start) = open.iter().position(|&opened| opened == dependency) {
                let names: Vec<&str> =
                    open[start..].iter().chain([&dependency]).map(|&index| self.name(index)).collect();
                bail!("modules that depend on each other can never be loaded: {}", names.join(" -> "));
            }
            if !closed.contains(&dependency) {
                self.add_hard(dependency, closed, open)?;
            }
        }
        open.pop();
        closed.insert(module);
        Ok(())
    }

    fn edges(&self, module: usize) -> Result<&Edges> {
        if let Some(edges) = self.edges[module].get() {
            return Ok(edges);
        }
        let resolved = self.resolve(module)?;
        Ok(self.edges[module].get_or_init(|| resolved))
    }

    fn resolve(&self, index: usize) -> Result<Edges> {
        let module = &self.tree.modules[index];
        let mut edges = Edges::default();
        for name in &module.depends {
            match self.tree.by_name(name) {
                Some(dependency) => edges.hard.push(dependency),
                None if self.tree.is_builtin(name) => {}
                None => bail!(
                    "module {} ({}) depends on {name}, which is neither in {} nor built into the kernel",
                    module.name,
                    module.path.display(),
                    self.tree.directory.display()
                ),
            }
        }
        let forgotten = self.knowledge.forgotten(module);
        let before = module.soft_before.iter().map(String::as_str).chain(forgotten);
        edges.before = self.providers(index, before);
        edges.after = self.providers(index, module.soft_after.iter().map(String::as_str));
        Ok(edges)
    }

    /// Whoever answers to these names, each once; nobody where the kernel itself does.
    fn providers<'n>(&self, of: usize, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
        let mut providers = Vec::new();
        for provider in names.flat_map(|name| self.tree.find(name).modules) {
            if provider != of && !providers.contains(&provider) {
                providers.push(provider);
            }
        }
        providers
    }

    fn name(&self, index: usize) -> &str {
        &self.tree.modules[index].name
    }
}

/// A load order in the making.
struct Order<'g, 'a> {
    graph: &'g Graph<'a>,
    /// The modules being placed, outermost first: none of them is loaded yet.
    open: Vec<usize>,
    sequence: Vec<usize>,
    placed: HashSet<usize>,
    /// Soft members that need a module which was still open when their turn came.
    later: VecDeque<usize>,
}

impl Order<'_, '_> {
    fn place(&mut self, module: usize) -> Result<()> {
        if !self.placed.insert(module) {
            return Ok(());
        }
        let graph = self.graph;
        let edges = graph.edges(module)?;
        self.open.push(module);
        for &dependency in &edges.hard {
            self.place(dependency)?;
        }
        for &member in &edges.before {
            self.place_soft(member)?;
        }
        self.open.pop();
        self.sequence.push(module);
        for &member in &edges.after {
            self.place_soft(member)?;
        }
        Ok(())
    }

    /// Places a member whose failure does not matter: one that lacks a dependency is left out.
    fn place_soft(&mut self, member: usize) -> Result<()> {
        match self.graph.hard(member) {
            Err(_) => Ok(()),
            Ok(needed) if self.open.iter().any(|open| needed.contains(open)) => {
                self.later.push_back(member);
                Ok(())
            }
            Ok(_) => self.place(member),
        }
    }
}
