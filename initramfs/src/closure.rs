//! Load orders: for one module, everything to load with it, in order. There are two of them.
//!
//! The *plan* is what the tools load, and the set of kmod's: the module, what it depends on, the soft dependencies of
//! all these, and so on all the way down. The *closure* is what a boot loads: a part of the plan, with less in it. Where
//! several modules provide one cryptographic algorithm a boot needs the best of them alone, and what a module asks the
//! kernel for when it really needs it can wait until it does ([`Knowledge::on_request`]). What the disks of a driver will ask
//! for follows the driver ([`Knowledge::followers`]).
//!
//! Hard are the module and what it depends on, all the way down; one of them missing is an error (kmod leaves it out
//! and says that all is well). All else is soft. Where a soft dependency needs the very module it is to precede, it is
//! loaded after it, so loops end.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashSet, VecDeque};

use anyhow::{Result, bail};

use crate::knowledge::Knowledge;
use crate::module::Module;
use crate::tree::Tree;

/// One element of a load order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Link {
    /// The module whose order this is. It has no number here, so that modules that need the same can share one list.
    Own,
    /// Another module.
    Module {
        /// Which: an index of the list that the order belongs to, [`Tree::modules`] or that of a table.
        index: usize,
        /// Its failure does not matter.
        soft: bool,
    },
    /// The first module that this machine's CPU can run and that can be loaded, of those that answer to this alias, in
    /// the order of the table; each is loaded with its own order. That none can be loaded does not matter. Only in
    /// closures. The alias is [`normal`](crate::module::normal): `crypto_crc32c`.
    Choice(String),
}

impl Link {
    /// The index of another module.
    pub fn index(&self) -> Option<usize> {
        match self {
            Link::Module { index, .. } => Some(*index),
            Link::Own | Link::Choice(_) => None,
        }
    }

    /// The same element where modules have other numbers.
    pub fn renumbered(&self, number: impl Fn(usize) -> usize) -> Link {
        match self {
            Link::Module { index, soft } => Link::Module { index: number(*index), soft: *soft },
            other => other.clone(),
        }
    }
}

/// The dependencies between the modules of a tree, resolved as they are asked for.
pub struct Graph<'a> {
    tree: &'a Tree,
    knowledge: &'a Knowledge,
    nodes: Vec<Node>,
}

/// What one module leads to.
#[derive(Default)]
struct Node {
    /// What it depends on itself.
    hard: OnceCell<Vec<usize>>,
    /// Itself and what it cannot be loaded without, all the way down; none if it cannot be loaded.
    needed: OnceCell<Option<BTreeSet<usize>>>,
    soft: OnceCell<Soft>,
}

/// The soft dependencies of one module.
struct Soft {
    before: Vec<SoftDependency>,
    after: Vec<SoftDependency>,
    /// What a boot that is after this module loads at once as well ([`Knowledge::followers`]).
    followers: Vec<SoftDependency>,
}

/// One word of a soft dependency.
struct SoftDependency {
    /// All that answer to it and can be loaded.
    providers: Vec<usize>,
    at_boot: AtBoot,
}

/// What a boot loads for a soft dependency.
enum AtBoot {
    /// Every provider.
    All,
    /// The best provider of this alias.
    Best(String),
    /// Nothing: the kernel will ask for it.
    OnRequest,
}

/// Whom a load order is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Tools,
    Boot,
}

impl<'a> Graph<'a> {
    /// The graph of `tree`, with what `knowledge` adds for boots.
    pub fn new(tree: &'a Tree, knowledge: &'a Knowledge) -> Self {
        Graph { tree, knowledge, nodes: tree.modules.iter().map(|_| Node::default()).collect() }
    }

    /// Everything that the tools load with `module`, in order: the set of `modprobe --show-depends`.
    pub fn plan(&self, module: usize) -> Result<Vec<Link>> {
        self.order(module, Purpose::Tools)
    }

    /// Everything that a boot loads with `module`, in order.
    pub fn closure(&self, module: usize) -> Result<Vec<Link>> {
        self.order(module, Purpose::Boot)
    }

    /// Whether nothing is missing that `module` cannot be loaded without.
    pub fn is_loadable(&self, module: usize) -> bool {
        self.needed(module).is_some()
    }

    fn order(&self, module: usize, purpose: Purpose) -> Result<Vec<Link>> {
        let needed = self.close(module)?;
        let mut order = Order {
            graph: self,
            purpose,
            own: module,
            needed: &needed,
            open: Vec::new(),
            sequence: Vec::new(),
            placed: HashSet::new(),
            later: VecDeque::new(),
        };
        order.place(module)?;
        while let Some(postponed) = order.later.pop_front() {
            order.place(postponed)?;
        }
        Ok(order.sequence)
    }

    /// `module` and all that it cannot be loaded without; none if it cannot be loaded.
    pub(crate) fn needed(&self, module: usize) -> Option<&BTreeSet<usize>> {
        self.nodes[module].needed.get_or_init(|| self.close(module).ok()).as_ref()
    }

    /// `module` and all that it cannot be loaded without.
    fn close(&self, module: usize) -> Result<BTreeSet<usize>> {
        let mut closed = BTreeSet::new();
        self.add_hard(module, &mut closed, &mut Vec::new())?;
        Ok(closed)
    }

    fn add_hard(&self, module: usize, closed: &mut BTreeSet<usize>, open: &mut Vec<usize>) -> Result<()> {
        open.push(module);
        for &dependency in self.hard(module)? {
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

    /// What `module` depends on itself, without what is built into the kernel.
    fn hard(&self, module: usize) -> Result<&[usize]> {
        let known = &self.nodes[module].hard;
        if let Some(hard) = known.get() {
            return Ok(hard);
        }
        let hard = self.resolve_hard(&self.tree.modules[module])?;
        Ok(known.get_or_init(|| hard))
    }

    fn resolve_hard(&self, module: &Module) -> Result<Vec<usize>> {
        let mut hard = Vec::new();
        for name in &module.depends {
            match self.tree.by_name(name) {
                Some(dependency) => hard.push(dependency),
                None if self.tree.is_builtin(name) => {}
                None => {
                    let why = match self.tree.unusable(name) {
                        Some(file) => format!("but {}", file.finding()),
                        None => {
                            format!("which is neither in {} nor built into the kernel", self.tree.directory.display())
                        }
                    };
                    bail!("module {} ({}) depends on {name}, {why}", module.name, module.path.display());
                }
            }
        }
        Ok(hard)
    }

    fn soft(&self, index: usize) -> &Soft {
        self.nodes[index].soft.get_or_init(|| {
            let module = &self.tree.modules[index];
            let resolve = |names: &[String]| names.iter().map(|name| self.resolve_soft(index, name)).collect();
            let followers = self.knowledge.followers(module, self.knowledge.nature(module));
            let followers = followers.filter(|name| !self.tree.config.is_blacklisted(name));
            Soft {
                before: resolve(&module.soft_before),
                after: resolve(&module.soft_after),
                followers: followers.map(|name| self.resolve_soft(index, name)).collect(),
            }
        })
    }

    /// Whoever answers to `name`, a soft dependency of the module `of`; nobody where the kernel itself does.
    fn resolve_soft(&self, of: usize, name: &str) -> SoftDependency {
        let mut providers = self.tree.find(name).modules;
        providers.retain(|&provider| provider != of && self.is_loadable(provider));
        let on_request =
            self.knowledge.on_request(&self.tree.modules[of]).any(|word| algorithm(word) == algorithm(name));
        let at_boot = if on_request { AtBoot::OnRequest } else { self.choice(name, &providers) };
        SoftDependency { providers, at_boot }
    }

    /// Any one of several modules is enough where they are the providers of a cryptographic algorithm. Modules name it
    /// with or without the kernel's prefix; here it always has it.
    fn choice(&self, name: &str, providers: &[usize]) -> AtBoot {
        let alias = format!("{CRYPTO}{}", algorithm(name));
        let mut all = self.tree.find(&alias).modules;
        all.retain(|&provider| self.is_loadable(provider));
        if providers.len() > 1 && all == providers { AtBoot::Best(alias) } else { AtBoot::All }
    }

    fn name(&self, index: usize) -> &str {
        &self.tree.modules[index].name
    }
}

/// What the kernel puts before an algorithm's name when it asks for a module (crypto/api.c), normalised.
pub(crate) const CRYPTO: &str = "crypto_";

/// The algorithm's own name: modules state `sha256` and `crypto-sha256` alike.
fn algorithm(alias: &str) -> &str {
    alias.strip_prefix(CRYPTO).unwrap_or(alias)
}

/// A load order in the making.
struct Order<'g, 'a> {
    graph: &'g Graph<'a>,
    purpose: Purpose,
    own: usize,
    /// The own module and all that it cannot be loaded without.
    needed: &'g BTreeSet<usize>,
    /// The modules being placed, outermost first: none of them is loaded yet.
    open: Vec<usize>,
    sequence: Vec<Link>,
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
        self.open.push(module);
        for &dependency in graph.hard(module)? {
            self.place(dependency)?;
        }
        for dependency in &graph.soft(module).before {
            self.place_soft(dependency)?;
        }
        self.open.pop();
        self.sequence.push(if module == self.own {
            Link::Own
        } else {
            Link::Module { index: module, soft: !self.needed.contains(&module) }
        });
        for dependency in &graph.soft(module).after {
            self.place_soft(dependency)?;
        }
        if module == self.own && self.purpose == Purpose::Boot {
            for follower in &graph.soft(module).followers {
                self.place_soft(follower)?;
            }
        }
        Ok(())
    }

    fn place_soft(&mut self, dependency: &SoftDependency) -> Result<()> {
        match (self.purpose, &dependency.at_boot) {
            (Purpose::Boot, AtBoot::OnRequest) => Ok(()),
            (Purpose::Boot, AtBoot::Best(alias)) => {
                // A provider needs no other one.
                let choice = Link::Choice(alias.clone());
                if !dependency.providers.contains(&self.own) && !self.sequence.contains(&choice) {
                    self.sequence.push(choice);
                }
                Ok(())
            }
            _ => dependency.providers.iter().try_for_each(|&provider| self.place_provider(provider)),
        }
    }

    fn place_provider(&mut self, provider: usize) -> Result<()> {
        let needed = self.graph.needed(provider);
        if needed.is_some_and(|needed| self.open.iter().any(|open| needed.contains(open))) {
            self.later.push_back(provider);
            return Ok(());
        }
        self.place(provider)
    }
}
