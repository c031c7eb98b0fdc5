//! Modules: which to load and in which order, decoding them, inserting them, and what the kernel's refusals mean.

mod codec;
mod errno;
mod inflate;

use heapless::Vec;
use rustix::io::Errno;
use rustix::system::init_module;

use crate::cmdline::{CommandLine, Word};
use crate::file;
use crate::report::{Level, Line, Log};
use crate::sys::Buffer;
use crate::table::{MAX_MODULES, ModuleId, Table, glob};
use crate::text::Text;

pub use codec::Blob;
use errno::push_refusal;
pub use inflate::Corrupt;

/// The longest parameters of one module; the kernel's own limit for a whole command line is 2 to 4 KiB.
type Parameters = Text<2048>;

/// How many modules one name may stand for; the most in a distribution's tree is 6 (`crypto-aes`).
const MATCHES: usize = 16;

/// How many failures are remembered for the report; later ones are logged all the same.
const FAILURES: usize = 16;

/// Why a module is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel refused it.
    Kernel(Errno),
    /// Its blob is not what the builder wrote.
    Corrupt,
    /// Its parameters are longer than they may be.
    Parameters,
    /// Something it depends on did not load.
    Dependency(ModuleId),
}

/// A module that did not load.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    /// The module.
    pub module: ModuleId,
    /// Why.
    pub cause: Cause,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Untried,
    Loaded,
    Failed,
}

/// All modules of the image, and what became of each.
pub struct Modules<'a> {
    table: &'a Table<'a>,
    blobs: &'a [u8],
    cmdline: &'a CommandLine<'a>,
    states: [State; MAX_MODULES],
    loaded: u32,
    failed: Vec<Failed, FAILURES>,
}

impl<'a> Modules<'a> {
    /// The modules of a table; none is loaded yet.
    pub fn new(table: &'a Table<'a>, blobs: &'a [u8], cmdline: &'a CommandLine<'a>) -> Self {
        Modules { table, blobs, cmdline, states: [State::Untried; MAX_MODULES], loaded: 0, failed: Vec::new() }
    }

    /// The table.
    pub fn table(&self) -> &'a Table<'a> {
        self.table
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

    /// Whether the command line forbids devices to load it.
    pub fn is_blacklisted(&self, module: ModuleId) -> bool {
        self.cmdline.blacklists(self.table.module(module).name)
    }

    /// Loads every module that answers to a name or an alias, in `modules.order`. Whether there is one.
    pub fn load_named(&mut self, name: &[u8], log: &mut Log) -> bool {
        let mut name = file::Path::of(&[name]);
        glob::normalise(name.as_bytes_mut());
        let mut found: Vec<ModuleId, MATCHES> = Vec::new();
        self.table.lookup(name.as_bytes(), &mut |module| {
            let place = found.iter().position(|&other| other >= module).unwrap_or(found.len());
            if found.get(place) != Some(&module) {
                let _ = found.insert(place, module);
            }
        });
        for &module in &found {
            self.load(module, log);
        }
        !found.is_empty()
    }

    /// Loads a module with its whole closure, in the table's order.
    pub fn load(&mut self, module: ModuleId, log: &mut Log) {
        let mut missing = None;
        for link in self.table.closure(module) {
            match (self.state(link.module), missing) {
                (State::Untried, None) => {
                    if let Err(cause) = self.insert(link.module, log) {
                        self.refuse(link.module, cause, link.soft, log);
                    }
                }
                // What follows a dependency that is not there could only fail, but for soft ones, which may help others.
                (State::Untried, Some(dependency)) if link.module == module => {
                    self.refuse(module, Cause::Dependency(dependency), false, log);
                }
                _ => {}
            }
            if self.state(link.module) == State::Failed && !link.soft {
                missing = missing.or(Some(link.module));
            }
        }
        // Whatever the table says, a module is asked for once.
        if self.state(module) == State::Untried {
            self.set_state(module, State::Failed);
        }
    }

    /// Decodes one module and hands it to the kernel.
    #[inline(never)]
    fn insert(&mut self, id: ModuleId, log: &mut Log) -> Result<(), Cause> {
        let module = self.table.module(id);
        let parameters = self.parameters(id, module.name);
        if parameters.is_cut() {
            return Err(Cause::Parameters);
        }
        let blob = Blob::at(self.blobs, module.blob).ok_or(Cause::Corrupt)?;
        let result = match blob.stored() {
            Some(image) => init_module(image, parameters.as_c_str()),
            None => {
                let mut image = Buffer::new(blob.raw_length()).map_err(Cause::Kernel)?;
                blob.unpack(&mut image).map_err(|Corrupt| Cause::Corrupt)?;
                init_module(&image, parameters.as_c_str())
            }
        };
        match result {
            Ok(()) => {
                self.loaded += 1;
                log.say(Level::Info, &[b"loaded ", module.name]);
            }
            Err(Errno::EXIST) if is_live(module.name) => {}
            Err(errno) => return Err(Cause::Kernel(errno)),
        }
        self.set_state(id, State::Loaded);
        Ok(())
    }

    /// The table's parameters, and then, since the kernel takes the last, those of the command line.
    #[inline(never)]
    fn parameters(&self, id: ModuleId, name: &[u8]) -> Parameters {
        let mut parameters = Parameters::of(&[self.table.options(id)]);
        for Word { key, value } in self.cmdline.parameters(name) {
            if !parameters.as_bytes().is_empty() {
                parameters.push(b" ");
            }
            parameters.push(key);
            if let Some(value) = value {
                let quote: &[u8] = if value.iter().any(u8::is_ascii_whitespace) { b"\"" } else { b"" };
                [b"=", quote, value, quote].iter().for_each(|part| parameters.push(part));
            }
        }
        parameters
    }

    fn refuse(&mut self, module: ModuleId, cause: Cause, soft: bool, log: &mut Log) {
        let failed = Failed { module, cause };
        let level = match (soft, cause) {
            // An accelerated provider that finds no such CPU is no failure: another provider follows.
            (true, Cause::Kernel(Errno::NODEV)) => Level::Info,
            (true, _) => Level::Warning,
            (false, _) => Level::Error,
        };
        // What lacks a symbol for now may get it from a module to come, and be needed in earnest then.
        if level != Level::Warning || cause != Cause::Kernel(Errno::NOENT) {
            self.set_state(module, State::Failed);
        }
        if level != Level::Info {
            let _ = self.failed.push(failed);
        }
        self.say_failed(failed, level, log);
    }

    /// Says which module did not load, and why.
    pub fn say_failed(&self, failed: Failed, level: Level, log: &mut Log) {
        let mut line = Line::of(&[b"module ", self.table.module(failed.module).name, b": "]);
        match failed.cause {
            Cause::Kernel(errno) => push_refusal(&mut line, errno),
            Cause::Corrupt => line.push(b"its packed bytes are damaged: build the image anew"),
            Cause::Parameters => line.push(b"its parameters are too long"),
            Cause::Dependency(module) => {
                line.push(b"it needs this module, which did not load: ");
                line.push(self.table.module(module).name);
            }
        }
        log.say(level, &[line.as_bytes()]);
    }

    fn state(&self, module: ModuleId) -> State {
        self.states.get(usize::from(module.0)).copied().unwrap_or(State::Failed)
    }

    fn set_state(&mut self, module: ModuleId, state: State) {
        if let Some(place) = self.states.get_mut(usize::from(module.0)) {
            *place = state;
        }
    }
}

/// Whether the kernel has this module, loaded to the end or built in. Only then is "it exists" no failure: a module
/// whose own init function returned that is not there.
fn is_live(name: &[u8]) -> bool {
    let mut buffer = [0; 16];
    let directory = file::Path::of(&[b"/sys/module/", name]);
    let state = file::Path::of(&[directory.as_bytes(), b"/initstate"]);
    match file::read(state.as_c_str(), &mut buffer) {
        b"" => file::exists(directory.as_c_str()),
        state => state.starts_with(b"live"),
    }
}
