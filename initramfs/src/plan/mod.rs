//! What a boot of an image would do on a machine: its modules in order, each with the reason, and whether it would
//! reach its root. The loader itself boots here, on the record of a machine in place of a running one.

mod recorded;

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use modstrap::boot::reach_root;
use modstrap::cmdline::{CommandLine, Patience};
use modstrap::device::{Driverless, driverless};
use modstrap::module::{Loading, Modules};
use modstrap::report::Log;
use modstrap::root::RootSpec;
use modstrap::table::Table;
use serde::Serialize;

use crate::contents::Contents;
use crate::hardware::{Device, Kernel, Record};
use crate::module::{self, normal};
use recorded::Recorded;

/// Which machine is to boot.
#[derive(Clone, Debug)]
pub enum Given {
    /// One whose record is in this file.
    Record(PathBuf),
    /// One with devices of these modaliases, and a root that comes when they have their drivers.
    Modaliases(Vec<String>),
}

/// What a boot would do.
#[derive(Debug, Serialize)]
pub struct Plan {
    /// The release of the kernel that the image is for.
    pub release: String,
    /// The modules, in the order of their insertion.
    pub modules: Vec<Load>,
    /// The root that would be reached; none where a boot would fail, and where modaliases alone were given.
    pub root: Option<Root>,
    /// Why the boot would fail: the loader's last sentence.
    pub failure: Option<String>,
    /// The devices on the way to the root that would have no driver.
    pub missing: Vec<Missing>,
    /// The loader's own warnings and complaints.
    pub messages: Vec<String>,
    /// What there is to know beside it.
    pub notes: Vec<String>,
}

/// A module that would be handed to the kernel.
#[derive(Clone, Debug, Serialize)]
pub struct Load {
    /// Its name.
    pub module: String,
    /// Why.
    pub reason: Option<Reason>,
    /// Its parameters, as the kernel takes them.
    pub parameters: String,
    /// Whether the kernel would take it; it refuses what is for other processors, and what is damaged is not offered.
    pub loaded: bool,
}

/// Why a module would be loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Reason {
    /// A device asks for it.
    Device {
        /// Its path below /sys/devices.
        path: String,
        /// Its modalias.
        modalias: String,
    },
    /// It is the module of the root's file system, or the command line names it.
    Alias {
        /// The name that it answers to, or the word of the command line.
        alias: String,
    },
    /// It provides an algorithm, as others do.
    Choice {
        /// The module that needs one.
        of: String,
        /// The algorithm's alias.
        alias: String,
    },
    /// A module cannot be loaded without it.
    Dependency {
        /// That module.
        of: String,
    },
    /// A module is better off with it.
    SoftDependency {
        /// That module.
        of: String,
    },
}

/// A root that would be mounted.
#[derive(Debug, Serialize)]
pub struct Root {
    /// Its disk's node, or its tag.
    pub source: String,
    /// Its file system.
    pub file_system: String,
}

/// A device on the way to the root that would have no driver.
#[derive(Debug, Serialize)]
pub struct Missing {
    /// Its path below /sys/devices.
    pub path: String,
    /// Its modalias, if it has one.
    pub modalias: Option<String>,
    /// The module that drives it where the record was captured.
    pub module: String,
    /// Whether the image has that module.
    pub is_in_image: bool,
}

/// Works out what a boot of the image would do on a machine, with these words on its command line.
pub fn plan(image: &Path, given: &Given, words: &str) -> Result<Plan> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let damaged = || format!("{}: not a sound image", image.display());
    let contents = Contents::of(&bytes).with_context(damaged)?;
    let table = contents.table().with_context(damaged)?;
    contents.modules(&table).with_context(damaged)?;
    // The last of several equal words counts: the machine's own come behind the image's.
    let mut words = format!("{} {words}", text(table.cmdline()));
    let boot = match given {
        Given::Record(path) => {
            let record = Record::read(path)?;
            let notes = belongs(&record, &contents, &table, path)?;
            Boot { record, notes, is_whole: true }
        }
        Given::Modaliases(modaliases) => {
            if CommandLine::parse(words.as_bytes()).root.is_none() {
                words.push_str(" root=8:0");
            }
            Boot { record: of_devices(modaliases), notes: Vec::new(), is_whole: false }
        }
    };
    boot.run(&table, contents.blobs, &words).with_context(|| match given {
        Given::Record(path) => path.display().to_string(),
        Given::Modaliases(_) => "--modalias".to_string(),
    })
}

/// A machine that has these devices and nothing above them.
fn of_devices(modaliases: &[String]) -> Record {
    let digits = modaliases.len().to_string().len();
    let devices = modaliases.iter().zip(1..).map(|(modalias, number)| Device {
        // Drivers are tried in the order of paths: the user's.
        path: format!("--modalias {number:digits$}"),
        modalias: Some(modalias.clone()),
        driver: None,
    });
    Record { devices: devices.collect(), ..Record::default() }
}

/// Refuses a machine that the image's kernel cannot run on; notes where record and image may misunderstand each other.
fn belongs(record: &Record, contents: &Contents, table: &Table, path: &Path) -> Result<Vec<String>> {
    let Some(Kernel { release, machine }) = &record.kernel else { return Ok(Vec::new()) };
    if let Some(loader) = module::Machine::of(contents.loader) {
        ensure!(
            loader.is_called(machine),
            "{}: a record of a machine that is {machine}, but the image is for {loader}",
            path.display()
        );
    }
    let ours = text(table.release());
    let same = *release == ours;
    let note = format!(
        "captured under kernel {release}, but the image is for {ours}: of a driver that was built in it is not known \
         whether it is built in there too, unless the image has a module for the device"
    );
    Ok(if same { Vec::new() } else { vec![note] })
}

/// When a root comes that waits for nothing: long after all drivers were tried and their devices have settled.
const ARRIVAL: u64 = 60_000;

/// A boot to be tried.
struct Boot {
    record: Record,
    notes: Vec<String>,
    /// Whether the record is of a whole machine, so that the root can be judged.
    is_whole: bool,
}

impl Boot {
    fn run(self, table: &Table, blobs: &[u8], words: &str) -> Result<Plan> {
        let Boot { record, mut notes, is_whole } = self;
        let mut cmdline = CommandLine::parse(words.as_bytes());
        let spec = cmdline.root.and_then(|root| RootSpec::parse(root, cmdline.root_type));
        // Nobody plugs anything in while a plan is made; time is the record's.
        cmdline.patience = if is_whole { Patience::For(1) } else { Patience::Forever };
        let machine = Recorded::new(&record, table, blobs, (!is_whole).then_some(ARRIVAL));
        if let Some(spec) = spec.filter(|_| is_whole) {
            decidable(&spec, &machine, cmdline.root.unwrap_or_default())?;
        }
        let mut file = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut log = Log::to(file.try_clone()?.into());
        let mut modules = Modules::new(table, &cmdline, machine, Loading::Boot);
        let failure = reach_root(&cmdline, &mut modules, &mut log).err().map(|_| text(log.reason.as_bytes()));
        let machine = modules.machine();
        let mut missing = Vec::new();
        if let Some(spec) = spec.filter(|_| failure.is_some()) {
            missing = missing_for(&spec, machine, table);
            notes.extend(unknown_file_system(&spec, machine, &cmdline));
        }
        if !is_whole {
            notes.extend(idle(&record, &modules));
        }
        Ok(Plan {
            release: text(table.release()),
            modules: machine.loads().to_vec(),
            root: machine
                .mounted()
                .filter(|_| is_whole)
                .map(|(source, file_system)| Root { source: source.clone(), file_system: file_system.clone() }),
            // Nobody said what is on a root that came out of nowhere.
            failure: failure.filter(|_| is_whole || cmdline.root_type.is_some()),
            missing,
            messages: messages(&mut file)?,
            notes,
        })
    }
}

/// Refuses a root that the record cannot tell from others.
fn decidable(spec: &RootSpec, machine: &Recorded, root: &[u8]) -> Result<()> {
    if matches!(spec, RootSpec::Name(_) | RootSpec::Number { .. } | RootSpec::Share { .. })
        || spec.is_remote()
        || machine.meant(spec).next().is_some()
    {
        return Ok(());
    }
    bail!(
        "it marks no disk as the root, and holds no UUIDs and labels to compare root={} with: give root=/dev/NAME",
        text(root)
    )
}

/// The devices on the way to the root that have no driver.
fn missing_for(spec: &RootSpec, machine: &Recorded, table: &Table) -> Vec<Missing> {
    let mut missing: Vec<Missing> = Vec::new();
    for (device, driver) in machine.meant(spec).flat_map(|disk| machine.undriven_above(&disk.path)) {
        let taker = machine.takers(device).first().map(|id| text(table.name(*id).as_bytes()));
        let module = driver.module.as_deref().map(normal).or(taker).unwrap_or_else(|| normal(&driver.name));
        if !missing.iter().any(|other| other.path == device.path) {
            missing.push(Missing {
                path: device.path.clone(),
                modalias: device.modalias.clone(),
                is_in_image: table.modules().any(|id| table.name(id).as_bytes() == module.as_bytes()),
                module,
            });
        }
    }
    missing
}

/// What to do where the record does not say what is on the root's disk.
fn unknown_file_system(spec: &RootSpec, machine: &Recorded, cmdline: &CommandLine) -> Option<String> {
    let disk = machine.meant(spec).find(|disk| disk.file_system.is_none()).filter(|_| cmdline.root_type.is_none())?;
    Some(format!("the record does not say what is on {}: capture it as root, or give rootfstype=", disk.name))
}

/// What became of the devices that no module was loaded for.
fn idle(record: &Record, modules: &Modules<Recorded>) -> Vec<String> {
    let table = modules.table();
    let mut notes = Vec::new();
    driverless(modules, &mut |Driverless { modalias, blacklisted, .. }| {
        let modalias = text(modalias);
        notes.push(match blacklisted {
            Some(module) => format!("{modalias}: {} is blacklisted", text(module.as_bytes())),
            None => format!("{modalias}: the image has no module for it"),
        });
    });
    for modalias in record.devices.iter().filter_map(|device| device.modalias.as_ref()) {
        table.lookup(normal(modalias).as_bytes(), &mut |id| {
            let name = text(table.name(id).as_bytes());
            if table.is_builtin(id) {
                notes.push(format!("{modalias}: {name} is built into the kernel"));
            } else if modules.is_wanted(id) {
                let class = table.module(id).class.name();
                notes.push(format!("{modalias}: {name} (class {class}) is nothing that a boot from such a root loads"));
            }
        });
    }
    notes
}

/// The loader's warnings and complaints, each once. That it waits is no news where time is made up.
fn messages(file: &mut File) -> Result<Vec<String>> {
    const LEVELS: [&str; 2] = ["<3>modstrap: ", "<4>modstrap: "];
    let mut log = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut log)?;
    let log = text(&log);
    let lines = log.lines().filter_map(|line| LEVELS.iter().find_map(|level| line.strip_prefix(level)));
    let mut messages: Vec<String> = Vec::new();
    for line in lines.filter(|line| !line.starts_with("waiting for root=")) {
        if !messages.iter().any(|message| message == line) {
            messages.push(line.to_string());
        }
    }
    Ok(messages)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Device { path, modalias } => write!(f, "for {path} ({modalias})"),
            Reason::Alias { alias } if alias.ends_with('=') => write!(f, "as {alias} asks"),
            Reason::Alias { alias } => write!(f, "file system of the root ({alias})"),
            Reason::Choice { of, alias } => write!(f, "choice of {alias} for {of}"),
            Reason::Dependency { of } => write!(f, "dependency of {of}"),
            Reason::SoftDependency { of } => write!(f, "soft dependency of {of}"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel    {}", self.release)?;
        for Load { module, reason, parameters, loaded } in &self.modules {
            write!(f, "\n{} {module:24}", if *loaded { "load     " } else { "refused  " })?;
            if let Some(reason) = reason {
                write!(f, " {reason}")?;
            }
            if !parameters.is_empty() {
                write!(f, "; parameters: {parameters}")?;
            }
        }
        for message in &self.messages {
            write!(f, "\nloader    {message}")?;
        }
        for Missing { path, modalias, module, is_in_image } in &self.missing {
            let modalias = modalias.as_ref().map(|modalias| format!(" ({modalias})")).unwrap_or_default();
            let fate =
                if *is_in_image { "which the image has, but did not load" } else { "which the image does not have" };
            write!(f, "\nmissing   {path}{modalias} is on the way to the root and needs {module}, {fate}")?;
        }
        for note in &self.notes {
            write!(f, "\nnote      {note}")?;
        }
        if let Some(Root { source, file_system }) = &self.root {
            let count = self.modules.iter().filter(|load| load.loaded).count();
            write!(f, "\nroot      {source} ({file_system}), with {count} modules loaded")?;
        }
        if let Some(failure) = &self.failure {
            write!(f, "\nno root   {failure}")?;
        }
        Ok(())
    }
}
