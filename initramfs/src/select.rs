//! Selecting the modules of an image, and closing the selection: over dependencies, over the companions that
//! [`Knowledge`] names, and over what answers to the requests that modules make while they run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context, Result, bail};
use modstrap::root::superblock::FsKind;
use modstrap::table::{Class, Step};

use crate::cause::Cause;
use crate::closure::{Graph, Link};
use crate::digest::Digest;
use crate::firmware;
use crate::hardware::Record;
use crate::hardware::needs::Needs;
use crate::knowledge::{Knowledge, Nature};
use crate::module::Module;
use crate::pattern::Part;
use crate::requests::{UnknownRequest, parts};
use crate::tree::Tree;
use crate::{Hardware, Request};

/// The modules of an image.
#[derive(Debug, Default)]
pub struct Selection {
    /// By index of [`Tree::modules`], so in the tree's order.
    pub members: BTreeMap<usize, Member>,
    /// What was asked for and is part of the kernel itself.
    pub builtin: BTreeSet<String>,
    /// Requests that members answer to although no alias of theirs says so, by index as above.
    pub aliases: BTreeMap<usize, BTreeSet<String>>,
    /// Requests in the code of members of which `requests.txt` does not know.
    pub unknown: Vec<UnknownRequest>,
    /// Modaliases of the user's list or record to which nobody answers.
    pub unanswered: Vec<String>,
    /// The damaged files of modules that should be members, by index of [`Tree::unusable`].
    pub missed: BTreeSet<usize>,
    /// The drivers of disk controllers that have no disks on the recorded machine, by index as above.
    pub idle: BTreeSet<usize>,
    /// The file system of the recorded machine's root.
    pub expected: Option<FsKind>,
    /// What else a user should know.
    pub warnings: Vec<String>,
}

/// A module of an image.
#[derive(Debug)]
pub struct Member {
    /// What it is to a boot.
    pub nature: Nature,
    /// What first brought it in.
    pub cause: Cause,
    /// What the tools load with it, in order.
    pub plan: Vec<Link>,
    /// What a boot loads with it, in order.
    pub closure: Vec<Link>,
}

impl Selection {
    /// Selects what `request` asks for, for a kernel that checks the signatures of modules or does not.
    pub fn new(tree: &Tree, knowledge: &Knowledge, checks_signatures: bool, request: &Request) -> Result<Selection> {
        let mut selection = Selection::default();
        let mut wanted = Vec::new();
        let chosen = HardwareSet::new(tree, knowledge, request);
        if let Hardware::Names(list) = &request.hardware {
            wanted.extend(match List::read(list)? {
                List::Names(names) => selection.listed(tree, list, &names)?,
                List::Record(record) => selection.recorded(&chosen, &record),
            });
        }
        for name in &request.include {
            wanted.extend(selection.ask_for(tree, name).context("--include")?);
        }
        wanted.extend(chosen.modules().map(|index| (index, Cause::Hardware)));
        selection.missed.extend(chosen.missed());
        let askers: Vec<String> = chosen.builtin().chain(&selection.builtin).cloned().collect();
        let how = How { checks_signatures, leaves_out: request.force };
        Closing::new(tree, knowledge, how, &mut selection).run(wanted, &askers)?;
        // A file that is no good may stand before another of its name.
        let members = selection.members.keys().map(|&index| &tree.modules[index].name);
        selection.missed.extend(members.flat_map(|name| tree.missed(name)).collect::<Vec<usize>>());
        Ok(selection)
    }

    /// The firmware files that the modules may ask for.
    pub fn firmware<'t>(&self, tree: &'t Tree) -> firmware::Wanted<'t> {
        let mut wanted = firmware::Wanted::new();
        for module in self.members.keys().map(|&index| &tree.modules[index]) {
            for file in &module.firmware {
                wanted.entry(file).or_default().push(&module.name);
            }
        }
        wanted
    }

    /// The modules in a list of names and modaliases, which come with their lines' numbers.
    fn listed(&mut self, tree: &Tree, list: &Path, names: &[(usize, String)]) -> Result<Vec<(usize, Cause)>> {
        let mut wanted = Vec::new();
        for (number, name) in names {
            // A machine has more devices than any kernel has drivers for.
            if name.contains(':') && tree.find(name).is_empty() {
                self.unanswered.push(name.clone());
                continue;
            }
            wanted.extend(self.ask_for(tree, name).with_context(|| format!("{}, line {number}", list.display()))?);
        }
        Ok(wanted)
    }

    /// The modules that a user means by `name`; none if it is part of the kernel itself, or its file is damaged.
    fn ask_for(&mut self, tree: &Tree, name: &str) -> Result<Vec<(usize, Cause)>> {
        let found = tree.find(name);
        let missed: Vec<usize> = tree.missed(name).collect();
        if found.is_empty() && missed.is_empty() {
            let hint = match (tree.unusable(name), &tree.similar(name)[..]) {
                (Some(file), _) => format!("; {}", file.finding()),
                (None, []) => String::new(),
                (None, names) => format!("; similar: {}", names.join(", ")),
            };
            bail!("{} has no module {name}, nor is it built into the kernel{hint}", tree.directory.display());
        }
        self.missed.extend(missed);
        self.builtin.extend(found.builtin);
        Ok(found.modules.into_iter().map(|index| (index, Cause::Named(name.to_string()))).collect())
    }

    /// The modules for the machine of a record.
    fn recorded(&mut self, set: &HardwareSet, record: &Record) -> Vec<(usize, Cause)> {
        let nature = |index: usize| set.knowledge.nature(&set.tree.modules[index]);
        let needs = Needs::of(record, set.tree, |index| set.belongs(nature(index)));
        for (name, what) in &needs.missing {
            let missed: Vec<usize> = set.tree.missed(name).collect();
            if missed.is_empty() {
                self.warnings.push(format!("no module {name} is there, {what}"));
            }
            self.missed.extend(missed);
        }
        self.expected = record.root_file_system();
        // Where a device tree describes the machine, suppliers come first.
        if !record.has_device_tree {
            self.idle.extend(needs.idle.iter().filter(|index| nature(**index).class == Class::Block));
        }
        self.unanswered.extend(needs.unanswered);
        self.builtin.extend(needs.builtin);
        let is_file_system = |index: &usize| needs.any_file_system && nature(*index).class == Class::Fs;
        let any =
            (0..set.tree.modules.len()).filter(is_file_system).map(|index| (index, "any file system".to_string()));
        needs.modules.into_iter().chain(any).map(|(index, name)| (index, Cause::Recorded(name))).collect()
    }
}

/// What a file given for the hardware may be.
enum List {
    /// Names of modules and modaliases, each with the number of its line, from 1.
    Names(Vec<(usize, String)>),
    /// The record of a machine.
    Record(Record),
}

impl List {
    fn read(path: &Path) -> Result<List> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the list of modules {}", path.display()))?;
        if Record::is_begun_by(&text) {
            return text.parse().map(List::Record).with_context(|| format!("{}: no hardware record", path.display()));
        }
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim()).zip(1..);
        let names = lines.filter(|(name, _)| !name.is_empty() && !name.starts_with('#'));
        Ok(List::Names(names.map(|(name, number)| (number, name.to_string())).collect()))
    }
}

/// What belongs to a set of hardware, by what it is.
struct HardwareSet<'a> {
    tree: &'a Tree,
    knowledge: &'a Knowledge,
    request: &'a Request,
    device_tree: bool,
}

impl<'a> HardwareSet<'a> {
    fn new(tree: &'a Tree, knowledge: &'a Knowledge, request: &'a Request) -> Self {
        let device_tree = tree.modules.first().is_some_and(|module| module.machine.has_device_tree());
        HardwareSet { tree, knowledge, request, device_tree }
    }

    fn modules(&self) -> impl Iterator<Item = usize> {
        let modules = self.tree.modules.iter().enumerate();
        let chosen = modules.filter(|&(_, module)| self.has(module.into(), self.knowledge.nature(module)));
        chosen.map(|(index, _)| index)
    }

    /// Parts of the kernel itself, whose requests need answers just as those of modules.
    fn builtin(&self) -> impl Iterator<Item = &'a String> {
        let builtin = &self.tree.builtin;
        let natures = builtin.names.iter().filter_map(|name| {
            let part = builtin.part(name);
            Some((name, part, self.knowledge.nature_by_place(part)?))
        });
        natures.filter(|(_, part, nature)| self.has(*part, *nature)).map(|(name, ..)| name)
    }

    /// The damaged files of its modules, by index of [`Tree::unusable`], as far as their places tell.
    fn missed(&self) -> impl Iterator<Item = usize> {
        let files = self.tree.unusable.iter().enumerate().filter(|(_, file)| file.is_missed());
        let chosen = files.filter(|(_, file)| {
            let place = file.place();
            let part = Part { name: &file.module, place: place.as_deref() };
            let nature = self.knowledge.nature_by_place(part);
            self.request.hardware == Hardware::All || nature.is_some_and(|nature| self.has(part, nature))
        });
        chosen.map(|(index, _)| index)
    }

    fn has(&self, part: Part, nature: Nature) -> bool {
        match self.request.hardware {
            Hardware::All => true,
            Hardware::Generic => self.belongs(nature),
            Hardware::Virtual => self.belongs(nature) && self.knowledge.is_virtual(part),
            Hardware::Names(_) => nature.class == Class::Net && self.request.with_net,
        }
    }

    fn belongs(&self, nature: Nature) -> bool {
        match nature.class {
            Class::Net => self.request.with_net,
            Class::Library | Class::Other => false,
            _ if nature.step == Step::Supplier => self.device_tree,
            _ => true,
        }
    }
}

/// How a selection is closed.
#[derive(Clone, Copy)]
struct How {
    /// The kernel checks the signatures of modules.
    checks_signatures: bool,
    /// What cannot be loaded is left out with a warning, where it is an error otherwise.
    leaves_out: bool,
}

/// A selection being closed.
struct Closing<'a> {
    tree: &'a Tree,
    knowledge: &'a Knowledge,
    graph: Graph<'a>,
    how: How,
    selection: &'a mut Selection,
    /// What is still to be added, the nearest to the user's wish first: so chains of causes are short.
    open: VecDeque<(usize, Cause)>,
    /// The digest of which a boot loads a better provider before a file system's driver.
    digest: Option<String>,
}

impl<'a> Closing<'a> {
    fn new(tree: &'a Tree, knowledge: &'a Knowledge, how: How, selection: &'a mut Selection) -> Self {
        let graph = Graph::new(tree, knowledge);
        Closing { tree, knowledge, graph, how, selection, open: VecDeque::new(), digest: None }
    }

    /// Adds `wanted` and what answers to the `askers` among the parts of the kernel, and so on until nothing is missing.
    fn run(mut self, wanted: Vec<(usize, Cause)>, askers: &[String]) -> Result<()> {
        self.open.extend(wanted);
        for asker in askers {
            self.answer(self.tree.builtin.part(asker));
        }
        while let Some((index, cause)) = self.open.pop_front() {
            if self.selection.members.contains_key(&index) {
                continue;
            }
            match self.add(index, cause) {
                Err(error) if self.how.leaves_out => {
                    let name = &self.tree.modules[index].name;
                    self.selection.warnings.push(format!("{name} is left out: {error:#}"));
                }
                Err(error) => bail!("{error:#} (--force leaves {} out)", self.tree.modules[index].name),
                Ok(()) => {}
            }
        }
        self.put_digest_first();
        Ok(())
    }

    /// The driver of a file system follows that of a disk: where it gets a better provider of the digest, the disk's may as
    /// well have the use of it.
    fn put_digest_first(&mut self) {
        let Some(digest) = self.digest.take().map(Link::Choice) else { return };
        let members = self.selection.members.values_mut();
        for member in members.filter(|member| member.nature.class == Class::Block) {
            if !member.closure.contains(&digest) {
                member.closure.insert(0, digest.clone());
            }
        }
    }

    fn add(&mut self, index: usize, cause: Cause) -> Result<()> {
        let module = &self.tree.modules[index];
        let mut nature = self.knowledge.nature(module);
        // What the user named, or a disk hangs on, is meant to be loaded, so it is a candidate whatever it is.
        if nature.class == Class::Other && matches!(cause, Cause::Named(_) | Cause::Recorded(_)) {
            nature = Nature { class: Class::Bus, step: Step::Always, ..nature };
        }
        // What had no disks is tried when all else has brought no root.
        if self.selection.idle.contains(&index) {
            nature.step = Step::Supplier;
        }
        // Everything in its plan follows, by its own dependencies and by theirs: so the tools do what kmod does, and the
        // kernel's requests find their answers.
        let (plan, mut closure) = (self.graph.plan(index)?, self.graph.closure(index)?);
        let of = || module.name.clone();
        if let Some(Digest { alias, providers }) = self.digest(index) {
            if nature.class == Class::Fs {
                self.digest = Some(alias.clone());
            }
            closure.insert(0, Link::Choice(alias));
            self.open.extend(providers.into_iter().map(|provider| (provider, Cause::Digest(of()))));
        }
        let hard = module.depends.iter().filter_map(|name| self.tree.by_name(name));
        self.open.extend(hard.map(|index| (index, Cause::Dependency(of()))));
        for name in module.soft_before.iter().chain(&module.soft_after) {
            self.take(name, || Cause::SoftDependency(of()));
        }
        for name in &module.weak {
            self.take(name, || Cause::WeakDependency(of()));
        }
        for name in self.knowledge.companions(module, nature) {
            self.take(name, || Cause::Companion(of()));
            self.selection.builtin.extend(self.tree.find(name).builtin);
        }
        self.answer(module.into());
        self.note_unknown(module);
        self.selection.members.insert(index, Member { nature, cause, plan, closure });
        Ok(())
    }

    /// The digest of which a boot loads a better provider before this module and what it needs.
    fn digest(&self, index: usize) -> Option<Digest> {
        let needed = self.graph.needed(index).filter(|_| self.how.checks_signatures)?;
        Digest::for_loading(needed, self.tree, &self.graph)
    }

    /// Takes along what goes by `name`; whatever cannot be loaded here is no use.
    fn take(&mut self, name: &str, cause: impl Fn() -> Cause) {
        let found = self.tree.find(name);
        self.selection.missed.extend(self.tree.missed(name));
        let members = &self.selection.members;
        let missing = found.modules.into_iter().filter(|index| !members.contains_key(index));
        let usable = missing.filter(|&index| self.graph.is_loadable(index));
        self.open.extend(usable.map(|index| (index, cause())));
    }

    /// Takes along what answers to the requests that `part` may make while it runs.
    fn answer(&mut self, part: Part) {
        let knowledge = self.knowledge;
        for answer in knowledge.requests.answers(part) {
            self.take_answers(part.name, answer.request, answer.name);
            if answer.needs_alias() && self.tree.find(answer.request).is_empty() {
                for index in self.tree.find(answer.name).modules {
                    self.selection.aliases.entry(index).or_default().insert(answer.request.to_string());
                }
            }
        }
    }

    /// Notes the requests in a module's code that `requests.txt` does not know. Those that say their whole name are
    /// answered all the same.
    fn note_unknown(&mut self, module: &Module) {
        let requests = &self.knowledge.requests;
        for ask in module.asks.iter().filter(|ask| !requests.know(module.into(), ask)) {
            let request = ask.to_string();
            if !ask.is_open() {
                self.take_answers(&module.name, &request, &request);
            }
            self.selection.unknown.push(UnknownRequest { module: module.name.clone(), request });
        }
    }

    fn take_answers(&mut self, to: &str, request: &str, name: &str) {
        let cause = || Cause::Answer { to: to.to_string(), request: request.to_string() };
        for name in parts(name) {
            // The kernel does not ask for what it has.
            if !self.tree.is_in_kernel(&name) {
                self.take(&name, cause);
            }
        }
    }
}
