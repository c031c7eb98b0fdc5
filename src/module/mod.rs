//! Modules: which to load and in which order, decoding them, inserting them, and what the kernel's refusals mean.

mod codec;
pub mod filter;
pub mod inflate;
mod refusal;
mod worker;

use heapless::Vec;
use rustix::io::Errno;

use crate::cmdline::CommandLine;
use crate::file::Path;
use crate::machine::{Machine, Presence, Refusal, Why};
use crate::report::{Level, Line, Log, push_sentence};
use crate::sys::{now, sleep};
use crate::table::{Class, Disks, Link, Links, MAX_MODULES, Module, ModuleId, Name, Table, glob};
use crate::text::{Text, split_once};

pub use codec::Blob;
pub use inflate::{Corrupt, PADDING};
use refusal::push_refusal;
pub use worker::Worker;

/// The parameters of one module; the kernel's own limit for a whole command line is 2 to 4 KiB.
pub type Parameters = Text<2048>;

/// How many modules one name may stand for: the alias of a processor for some four hundred.
const MATCHES: usize = 512;

/// How many failures are remembered for the report; later ones are logged all the same.
const FAILURES: usize = 16;

/// How long, in milliseconds, a request waits for a module that somebody else is loading, and who does not get on with
/// it: that load may wait for this very request. The kernel would let both wait (kernel/module/main.c).
const PATIENCE: u64 = 8000;

/// How long, in milliseconds, it waits whatever happens.
const LONG_PATIENCE: u64 = 25_000;

/// How long, in milliseconds, between two looks at first.
const PAUSE: u64 = 20;

/// How many workers there are beside this process: each has a module in memory, and orders of loading are narrow.
const WORKERS: usize = 3;

/// How deep choices may lead to further choices.
const NESTING: u8 = 8;

/// Why a module is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel refused it.
    Kernel(Errno),
    /// Its blob is not what the builder wrote.
    Corrupt,
    /// Its parameters are longer than they may be.
    Parameters,
    /// Something it depends on did not load, or is masked.
    Dependency(ModuleId),
    /// The command line keeps it out.
    Masked,
    /// Somebody else is loading it, and may be waiting for us.
    Coming,
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Cause {
        match refusal {
            Refusal::Kernel(errno) => Cause::Kernel(errno),
            Refusal::Corrupt => Cause::Corrupt,
        }
    }
}

/// A module that did not load.
pub struct Failed {
    /// The module.
    pub module: ModuleId,
    /// Why.
    pub cause: Cause,
    sentence: Line,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Untried,
    Loaded,
    Failed,
    /// Its aliases of processors do not match this one.
    Unsuited,
}

/// What became of a name that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Neither a module of the image nor the kernel itself has such a name or alias.
    Nobody,
    /// Whoever has it did not load.
    Failed,
    /// Somebody who has it is there.
    Loaded,
}

/// Who loads modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loading<'a> {
    /// A boot: nothing is there that it did not load.
    Boot,
    /// The kernel asks for this name, from wherever it is at the moment: nothing may be waited for that may wait for the
    /// answer.
    Request(&'a [u8]),
}

/// All modules of the image, and what became of each.
pub struct Modules<'a, M> {
    table: &'a Table<'a>,
    cmdline: &'a CommandLine<'a>,
    machine: M,
    loading: Loading<'a>,
    states: [State; MAX_MODULES],
    knows_processor: bool,
    loaded: u32,
    failed: Vec<Failed, FAILURES>,
    /// The type of the root's file system, where it is known and was not loaded yet.
    expected: Option<&'a [u8]>,
    /// Whether there are processors for them.
    is_parallel: bool,
    /// The modules that workers have in hand.
    ahead: Vec<(ModuleId, Worker), WORKERS>,
}

impl<'a, M: Machine> Modules<'a, M> {
    /// The modules of a table; none is loaded yet.
    #[inline(never)]
    pub fn new(table: &'a Table<'a>, cmdline: &'a CommandLine<'a>, machine: M, loading: Loading<'a>) -> Self {
        Modules {
            table,
            cmdline,
            expected: cmdline
                .root_type
                .or(cmdline.expected_type)
                .filter(|kinds| *kinds != b"auto" && split_once(kinds, b',').is_none()),
            // A request of the kernel is quick, and claims what it loads for its own process.
            is_parallel: loading == Loading::Boot && !cmdline.serial && machine.is_parallel(),
            machine,
            loading,
            states: [State::Untried; MAX_MODULES],
            knows_processor: false,
            loaded: 0,
            failed: Vec::new(),
            ahead: Vec::new(),
        }
    }

    /// The table.
    pub fn table(&self) -> &'a Table<'a> {
        self.table
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, to be changed.
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// How many modules have been loaded.
    pub fn loaded(&self) -> u32 {
        self.loaded
    }

    /// The modules that did not load, up to [`FAILURES`].
    pub fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// Whether a match on this module still asks for something: it was not tried yet, and is not blacklisted.
    pub fn is_wanted(&self, module: ModuleId) -> bool {
        self.state(module) == State::Untried && !self.is_blacklisted(module)
    }

    /// Whether the user forbids devices and aliases to load it.
    pub fn is_blacklisted(&self, module: ModuleId) -> bool {
        is_blacklisted(self.table, self.cmdline, module)
    }

    /// Loads what answers to a name or an alias: of the providers of an algorithm the first that works, of others each,
    /// in the table's order.
    pub fn load_named(&mut self, name: &[u8], log: &mut Log) -> Answer {
        self.load_answers(name, None, NESTING, log)
    }

    /// The same for a boot or the kernel, or for a module that needs such a choice.
    fn load_answers(&mut self, name: &[u8], of: Option<ModuleId>, depth: u8, log: &mut Log) -> Answer {
        let why = of.map_or(Why::Name(name), |of| Why::Choice(of, name));
        let found = answers(self.table, name);
        let one_is_enough = name.starts_with(b"crypto_") || name.starts_with(b"crypto-");
        if one_is_enough && found.len() > 1 {
            self.see_processor();
        }
        let mut answer = if found.is_empty() { Answer::Nobody } else { Answer::Failed };
        for &module in &found {
            // The kernel would not ask if a provider that is there served: it wants one of another kind.
            let is_there = one_is_enough
                && matches!(self.loading, Loading::Request(asked) if asked == name)
                && self.machine.presence(self.table.name(module).as_bytes()) == Presence::Live;
            if is_there {
                answer = Answer::Loaded;
                continue;
            }
            self.machine.explain(module, why);
            self.load_within(module, one_is_enough, depth, log);
            if self.state(module) == State::Loaded {
                answer = Answer::Loaded;
                if one_is_enough {
                    break;
                }
            }
        }
        answer
    }

    /// Loads the module of a file system, if it is one. Where that failed there is no use in mounting: the kernel would ask
    /// for the same module once more.
    pub fn load_file_system(&mut self, kind: &[u8], log: &mut Log) -> Answer {
        let alias = Path::of(&[b"fs-", kind]);
        match self.load_named(alias.as_bytes(), log) {
            Answer::Nobody => self.load_named(kind, log),
            answer => answer,
        }
    }

    /// Loads the module of the root's file system where `rootfstype=` or `modstrap.expect=` tells it, once: there is time
    /// while devices come.
    pub fn load_known_file_system(&mut self, log: &mut Log) {
        if let Some(kind) = self.expected.take() {
            self.load_file_system(kind, log);
        }
    }

    /// Sorts out, once, the modules that are for processors of other kinds.
    fn see_processor(&mut self) {
        if core::mem::replace(&mut self.knows_processor, true) {
            return;
        }
        let (table, states) = (self.table, &mut self.states);
        let mut change = |module: ModuleId, from, to| match states.get_mut(usize::from(module.0)) {
            Some(state) if *state == from => *state = to,
            _ => {}
        };
        self.machine.processor(&mut |modalias| {
            for module in table.modules().filter(|module| table.module(*module).processor) {
                change(module, State::Untried, State::Unsuited);
            }
            table.lookup(modalias, &mut |module| change(module, State::Unsuited, State::Untried));
        });
    }

    /// Loads what the command line wants loaded first, in the table's order.
    pub fn load_wanted(&mut self, log: &mut Log) {
        for module in self.table.modules().filter(|_| cfg!(feature = "overlay") && self.cmdline.loads) {
            if self.cmdline.wants(self.table.name(module).as_bytes()) {
                self.machine.explain(module, Why::Name(b"modstrap.load="));
                self.load(module, log);
            }
        }
    }

    /// Loads a module with its whole closure, in the table's order.
    pub fn load(&mut self, module: ModuleId, log: &mut Log) {
        self.load_within(module, false, NESTING, log);
    }

    fn load_within(&mut self, module: ModuleId, soft: bool, depth: u8, log: &mut Log) {
        let Some(depth) = depth.checked_sub(1).filter(|_| self.state(module) == State::Untried) else { return };
        // Nothing is loaded for what is masked.
        if self.is_masked(module) {
            return self.refuse(module, Cause::Masked, soft, log);
        }
        let mut missing = None;
        let mut links = self.table.closure(module);
        while let Some(link) = links.next() {
            let (member, soft) = match link {
                Link::Choice(alias) if missing.is_none() => {
                    self.load_answers(alias, Some(module), depth, log);
                    continue;
                }
                Link::Choice(_) => continue,
                Link::Module { module: member, soft: other } => (member, if member == module { soft } else { other }),
            };
            match (self.state(member), missing) {
                // What may fail the user may forbid.
                (State::Untried | State::Unsuited, None) if !soft || !self.is_blacklisted(member) => {
                    if member != module {
                        self.machine.explain(member, if soft { Why::Soft(module) } else { Why::Dependency(module) });
                    }
                    if self.has_workers() {
                        self.work_ahead(links.clone());
                    }
                    if let Err(cause) = self.insert(member, log) {
                        self.refuse(member, cause, soft, log);
                    }
                }
                // What follows a dependency that is not there could only fail, but for soft ones, which may help others.
                (State::Untried, Some(dependency)) if member == module => {
                    self.refuse(module, Cause::Dependency(dependency), soft, log);
                }
                _ => {}
            }
            if self.state(member) != State::Loaded && !soft {
                missing = missing.or(Some(member));
            }
        }
        // What came too early for a dependency that failed is there all the same.
        while self.has_workers()
            && let Some((member, worker)) = self.ahead.pop()
        {
            if worker.end() {
                self.say_loaded(member, log);
            }
        }
        // Whatever the table says, a module is asked for once.
        if self.state(module) == State::Untried {
            self.set_state(module, State::Failed);
        }
    }

    /// Whether there may be workers.
    fn has_workers(&self) -> bool {
        cfg!(feature = "parallel") && self.is_parallel
    }

    /// Sets workers on the modules whose turn comes next, up to a choice, which waits for what is before it. They decode,
    /// and those that make no devices go on as soon as what they need is there. All others wait for their turn: what
    /// devices are called follows from the order of their drivers.
    #[inline(never)]
    fn work_ahead(&mut self, links: Links<'a>) {
        for link in links {
            let Link::Module { module, .. } = link else { return };
            if self.state(module) != State::Untried {
                continue;
            }
            if !self.ahead.iter().any(|(other, _)| *other == module) {
                if self.is_masked(module) || self.ahead.is_full() {
                    return;
                }
                let parameters = self.parameters(module);
                // What may not be loaded as it is, its turn will tell.
                if parameters.is_cut() {
                    return;
                }
                let Some(worker) = self.machine.work_on(self.table.module(module).blob, &parameters) else { return };
                let _ = self.ahead.push((module, worker));
            }
            if self.makes_nothing(module) && self.has_all_for(module) {
                self.ahead.iter().filter(|(other, _)| *other == module).for_each(|(_, worker)| worker.go());
            }
        }
    }

    /// Whether all is there that is to be loaded before a module.
    fn has_all_for(&self, module: ModuleId) -> bool {
        for link in self.table.closure(module) {
            match link {
                Link::Module { module: other, .. } if other == module => break,
                Link::Module { module: other, .. } if self.state(other) != State::Loaded => return false,
                _ => {}
            }
        }
        true
    }

    /// Whether a module makes no devices by itself.
    fn makes_nothing(&self, module: ModuleId) -> bool {
        matches!(self.table.module(module).class, Class::Fs | Class::Library)
    }

    /// What a module is loaded with.
    fn parameters(&self, module: ModuleId) -> Parameters {
        let mut parameters = parameters(self.table, self.cmdline, module);
        if self.has_workers() && self.makes_nothing(module) {
            // Else the kernel keeps whoever loads it until all probing is done, of any device (kernel/module/main.c,
            // `do_init_module`).
            push_parameter(&mut parameters, &[b"async_probe"]);
        }
        parameters
    }

    /// Whether a worker has inserted a module whose turn has come. While it looks for disks, the root's file system is
    /// loaded.
    fn is_inserted_beside(&mut self, module: ModuleId, parameters: &Parameters, log: &mut Log) -> bool {
        if !self.has_workers() {
            return false;
        }
        let Module { disks, blob, .. } = self.table.module(module);
        let finds_disks = disks != Disks::default() && self.expected.is_some();
        let worker = match self.ahead.iter().position(|(other, _)| *other == module) {
            Some(place) => Some(self.ahead.swap_remove(place).1),
            None if finds_disks => self.machine.work_on(blob, parameters),
            None => None,
        };
        let Some(worker) = worker else { return false };
        worker.go();
        if finds_disks {
            self.load_known_file_system(log);
        }
        worker.end()
    }

    fn is_masked(&self, module: ModuleId) -> bool {
        self.cmdline.masks(self.table.name(module).as_bytes()).is_some()
    }

    /// Decodes one module and hands it to the kernel.
    #[inline(never)]
    fn insert(&mut self, id: ModuleId, log: &mut Log) -> Result<(), Cause> {
        if self.is_masked(id) {
            return Err(Cause::Masked);
        }
        let name = self.table.name(id);
        let parameters = self.parameters(id);
        if parameters.is_cut() {
            return Err(Cause::Parameters);
        }
        if cfg!(feature = "requests") && self.loading != Loading::Boot {
            match self.settled(id, &name) {
                Presence::Absent => {}
                Presence::Coming => return Err(Cause::Coming),
                Presence::Live => {
                    self.set_state(id, State::Loaded);
                    return Ok(());
                }
            }
        }
        if self.is_inserted_beside(id, &parameters, log) {
            self.say_loaded(id, log);
            return Ok(());
        }
        match self.machine.insert(name.as_bytes(), self.table.module(id).blob, parameters.as_c_str()) {
            Ok(()) => self.say_loaded(id, log),
            // A module whose own start returned this is not there; one whose load was interrupted may be by now.
            Err(Refusal::Kernel(Errno::EXIST | Errno::INTR))
                if self.machine.presence(name.as_bytes()) == Presence::Live => {}
            Err(refusal) => return Err(refusal.into()),
        }
        self.set_state(id, State::Loaded);
        Ok(())
    }

    /// Says that this boot, or this request, has loaded a module.
    fn say_loaded(&mut self, id: ModuleId, log: &mut Log) {
        self.set_state(id, State::Loaded);
        self.loaded += 1;
        let (reason, request): (&[u8], &[u8]) = match self.loading {
            Loading::Boot => (b"", b""),
            Loading::Request(request) => (b", as the kernel asks for ", request),
        };
        log.say(Level::Info, &[b"loaded ", self.table.name(id).as_bytes(), reason, request]);
    }

    /// What the kernel has of a module once whoever may be loading it is done, or there is no hope of that. One that is
    /// absent is for this process to load: the kernel would check the signature of every copy.
    fn settled(&self, id: ModuleId, name: &Name) -> Presence {
        let begun = now();
        let (mut progress, mut latest) = (0, begun);
        loop {
            let loader = match self.machine.presence(name.as_bytes()) {
                Presence::Live => return Presence::Live,
                Presence::Absent => match self.machine.claim(id) {
                    Ok(()) => return Presence::Absent,
                    Err(process) => process,
                },
                // Whoever claims nothing is process 1.
                Presence::Coming => self.machine.claim(id).err().unwrap_or(1),
            };
            let before = core::mem::replace(&mut progress, self.machine.progress(loader));
            let time = now();
            if progress != before {
                latest = time;
            }
            if time >= latest + PATIENCE || time >= begun + LONG_PATIENCE {
                return Presence::Coming;
            }
            // Many who wait must not keep from its work the one for whom they wait.
            sleep(((time - begun) / 8).max(PAUSE));
        }
    }

    fn refuse(&mut self, module: ModuleId, cause: Cause, soft: bool, log: &mut Log) {
        let level = match (soft, cause) {
            // An accelerated provider that finds no such CPU is no failure: another provider follows. Nor is what the
            // user wants.
            (true, Cause::Kernel(Errno::NODEV) | Cause::Masked) => Level::Info,
            (true, _) | (_, Cause::Masked) => Level::Warning,
            (false, _) => Level::Error,
        };
        // What lacks a symbol for now may get it from a module to come, and be needed in earnest then.
        if level != Level::Warning || cause != Cause::Kernel(Errno::NOENT) {
            self.set_state(module, State::Failed);
        }
        let failed = Failed { module, cause, sentence: self.sentence(module, cause) };
        self.say_failed(&failed, level, log);
        if level != Level::Info {
            let _ = self.failed.push(failed);
        }
    }

    /// Which module has just not become part of the kernel, and why.
    #[inline(never)]
    fn sentence(&self, module: ModuleId, cause: Cause) -> Line {
        let name = self.table.name(module);
        let mut line = Line::of(&[b"module ", name.as_bytes(), b": "]);
        let (sentence, subject): (&[u8], _) = match cause {
            Cause::Kernel(errno) => {
                push_refusal(&mut line, name.as_bytes(), errno, self.table, &|visit| {
                    self.machine.evidence(errno, visit)
                });
                return line;
            }
            Cause::Corrupt => (b"its packed bytes are damaged: build the image anew", module),
            Cause::Coming => (b"it is just being loaded, and what loads it may wait for this very request", module),
            Cause::Parameters => (b"its parameters are too long", module),
            Cause::Masked => (b"& it", module),
            Cause::Dependency(dependency) => (b"it needs %, which &", dependency),
        };
        let subject = self.table.name(subject);
        let fate = self.cmdline.masks(subject.as_bytes()).unwrap_or(b"did not load");
        push_sentence(&mut line, sentence, subject.as_bytes(), fate);
        line
    }

    /// Says which module did not load, and why.
    pub fn say_failed(&self, failed: &Failed, level: Level, log: &mut Log) {
        log.say(level, &[failed.sentence.as_bytes()]);
    }

    fn state(&self, module: ModuleId) -> State {
        if self.table.is_builtin(module) {
            return State::Loaded;
        }
        self.states.get(usize::from(module.0)).copied().unwrap_or(State::Failed)
    }

    fn set_state(&mut self, module: ModuleId, state: State) {
        if let Some(place) = self.states.get_mut(usize::from(module.0)) {
            *place = state;
        }
    }
}

/// Whether the user forbids devices and aliases to load a module.
#[inline(never)]
pub fn is_blacklisted(table: &Table, cmdline: &CommandLine, id: ModuleId) -> bool {
    table.module(id).blacklisted || cmdline.blacklists(table.name(id).as_bytes())
}

/// Every module that has this name or alias, once, in the table's order.
#[inline(never)]
pub fn answers(table: &Table, name: &[u8]) -> Vec<ModuleId, MATCHES> {
    // The longest modaliases, those of DMI, have some hundreds of bytes.
    let mut name = Parameters::of(&[name]);
    glob::normalise(name.as_bytes_mut());
    let mut found: Vec<ModuleId, MATCHES> = Vec::new();
    table.lookup(name.as_bytes(), &mut |module| {
        let place = found.iter().position(|&other| other >= module).unwrap_or(found.len());
        if found.get(place) != Some(&module) {
            let _ = found.insert(place, module);
        }
    });
    found
}

/// The parameters that a module is loaded with: the table's, and then, since the kernel takes the last, those of the
/// command line.
#[inline(never)]
pub fn parameters(table: &Table, cmdline: &CommandLine, id: ModuleId) -> Parameters {
    let mut parameters = Parameters::of(&[table.options(id)]);
    for pieces in cmdline.parameters(table.name(id).as_bytes()) {
        push_parameter(&mut parameters, &pieces);
    }
    parameters
}

/// Adds one parameter, given in pieces.
#[inline(never)]
pub fn push_parameter(parameters: &mut Parameters, pieces: &[&[u8]]) {
    if !parameters.as_bytes().is_empty() {
        parameters.push(b" ");
    }
    pieces.iter().for_each(|piece| parameters.push(piece));
}
