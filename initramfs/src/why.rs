//! Through which chain a module got into an image.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use modstrap::table::{Class, ModuleId, Table};
use serde::Serialize;

use crate::cause::{CAUSES_PATH, Cause, Causes};
use crate::contents::Contents;
use crate::module::normal;
use crate::similar::similar;

/// Why an image holds what goes by a name.
#[derive(Debug, Serialize)]
pub struct Why {
    /// The chain of each module of that name or alias.
    pub chains: Vec<Chain>,
    /// The parts of the kernel itself that go by it.
    pub builtin: Vec<String>,
}

/// The way of one module into an image, from itself to what the user asked for.
#[derive(Debug, Serialize)]
pub struct Chain {
    /// The modules, each brought in by the next.
    pub links: Vec<Link>,
    /// The part of the kernel that the last of them is for, if it is for one.
    pub builtin: Option<String>,
    /// The set of hardware that was asked for.
    pub hardware: String,
}

/// A module on that way.
#[derive(Debug, Serialize)]
pub struct Link {
    /// Its name.
    pub module: String,
    /// What it is to a boot.
    pub class: &'static str,
    /// What brought it in.
    pub cause: Cause,
}

/// Tells why the image holds what goes by `name`: the name or an alias of modules.
pub fn why(image: &Path, name: &str) -> Result<Why> {
    let bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let damaged = || format!("{}: not a sound image", image.display());
    let contents = Contents::of(&bytes).with_context(damaged)?;
    let table = contents.table().with_context(damaged)?;
    let is_causes = |path: &str| path.trim_start_matches("./") == CAUSES_PATH.trim_start_matches('/');
    let packed = contents.others.iter().find(|entry| is_causes(&entry.path));
    let packed = packed.with_context(|| format!("{}: it does not say why: build it anew", image.display()))?;
    let causes = Causes::unpack(packed.content, table.module_count())
        .with_context(|| format!("its {CAUSES_PATH}"))
        .with_context(damaged)?;

    let found = Found::of(name, &table);
    if found.modules.is_empty() && found.builtin.is_empty() {
        let hint = match &found.similar(name)[..] {
            [] => String::new(),
            names => format!("; similar: {}", names.join(", ")),
        };
        bail!("{} holds no {name}{hint}", image.display());
    }
    let chains = found.modules.iter().map(|id| Chain::of(*id, &table, &causes));
    Ok(Why { chains: chains.collect::<Result<_>>().with_context(damaged)?, builtin: found.builtin })
}

/// What goes by a name.
struct Found<'t> {
    table: &'t Table<'t>,
    modules: BTreeSet<ModuleId>,
    builtin: Vec<String>,
}

impl<'t> Found<'t> {
    fn of(name: &str, table: &'t Table<'t>) -> Self {
        let mut modules = BTreeSet::new();
        let mut builtin: Vec<String> = builtin(table).filter(|builtin| *builtin == normal(name)).collect();
        table.lookup(normal(name).as_bytes(), &mut |id| {
            if !table.is_builtin(id) {
                modules.insert(id);
            } else if !builtin.contains(&name_of(table, id)) {
                builtin.push(name_of(table, id));
            }
        });
        Found { table, modules, builtin }
    }

    /// Names in the image and the kernel that look like this one.
    fn similar(&self, name: &str) -> Vec<String> {
        let names: Vec<String> =
            self.table.modules().map(|id| name_of(self.table, id)).chain(builtin(self.table)).collect();
        similar(&normal(name), names.iter().map(String::as_str)).into_iter().map(str::to_string).collect()
    }
}

/// The names of what is part of the kernel itself.
fn builtin(table: &Table) -> impl Iterator<Item = String> {
    table.builtin().map(|id| name_of(table, id))
}

fn name_of(table: &Table, id: ModuleId) -> String {
    String::from_utf8_lossy(table.name(id).as_bytes()).into_owned()
}

impl Chain {
    fn of(module: ModuleId, table: &Table, causes: &Causes) -> Result<Chain> {
        let mut chain = Chain { links: Vec::new(), builtin: None, hardware: causes.hardware.clone() };
        let mut next = Some(module);
        while let Some(id) = next {
            let module = name_of(table, id);
            if chain.links.iter().any(|link| link.module == module) {
                bail!("its causes go round in a circle: {module} brings in {}", chain.links[0].module);
            }
            let cause = causes.modules.get(usize::from(id.0)).context("its causes end too soon")?.clone();
            let of = cause.of().map(str::to_string);
            chain.links.push(Link { module, class: table.module(id).class.name(), cause });
            next = of.as_ref().and_then(|of| table.modules().find(|id| name_of(table, *id) == *of));
            chain.builtin = of.filter(|_| next.is_none());
        }
        Ok(chain)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Link { module, class, cause }) in self.links.iter().enumerate() {
            if place == 0 {
                f.write_str(module)?;
            }
            match cause {
                Cause::Hardware => write!(f, " <- set {} ({})", self.hardware, in_words(class))?,
                Cause::Named(name) if name == module => write!(f, " <- named by the user")?,
                Cause::Named(name) => write!(f, " <- named by the user ({name})")?,
                Cause::Recorded(name) => write!(f, " <- recorded of the machine ({name})")?,
                cause => write!(f, " <- {} ({})", cause.of().unwrap_or_default(), relation(cause))?,
            }
        }
        if self.builtin.is_some() {
            f.write_str(" <- the kernel itself")?;
        }
        Ok(())
    }
}

/// What a module is to the one that brought it in.
fn relation(cause: &Cause) -> String {
    match cause {
        Cause::Hardware | Cause::Named(_) | Cause::Recorded(_) => String::new(),
        Cause::Dependency(_) => "dependency".into(),
        Cause::SoftDependency(_) => "soft dependency".into(),
        Cause::WeakDependency(_) => "weak dependency".into(),
        Cause::Companion(_) => "companion".into(),
        Cause::Digest(_) => "digest of the signature".into(),
        Cause::Answer { request, .. } => format!("may ask for {request}"),
    }
}

/// A class in full words.
fn in_words(class: &str) -> &str {
    let words = [
        (Class::Block, "block device"),
        (Class::Fs, "file system"),
        (Class::Share, "directory of the host"),
        (Class::Net, "network"),
    ];
    words.iter().find(|(known, _)| known.name() == class).map_or(class, |(_, words)| words)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let builtin = self.builtin.iter().map(|name| format!("{name} is built into the kernel"));
        let lines: Vec<String> = self.chains.iter().map(Chain::to_string).chain(builtin).collect();
        f.write_str(&lines.join("\n"))
    }
}
