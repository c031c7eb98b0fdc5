//! What boots: the rows of the benchmark.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use modstrap_initramfs::Hardware;
use modstrap_initramfs::tree::Tree;

use super::image::{self, Image};
use super::peers::{PEERS, Peer};
use super::{Bench, Root, is_selected};
use crate::drive::Bus;

/// An initramfs to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Floor { is_smart: bool },
    Ours(Drivers),
    Peer(&'static Peer),
}

/// Which drivers an image of ours has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drivers {
    Machine,
    Generic,
    All,
}

/// What boots from each bus; from the first all boot.
const EVERYWHERE: [Subject; 4] = [
    Subject::Floor { is_smart: false },
    Subject::Floor { is_smart: true },
    Subject::Ours(Drivers::Machine),
    Subject::Ours(Drivers::Generic),
];

/// One row of the benchmark to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub subject: Subject,
    pub bus: Bus,
    pub root: Root,
}

impl Case {
    /// The rows of these buses whose name has one of these texts in it, or all of them: all there are for the first bus.
    pub fn all(buses: &[Bus], only: &[String]) -> Vec<Case> {
        let Some((&first, others)) = buses.split_first() else { return Vec::new() };
        let further = PEERS.iter().map(Subject::Peer);
        let subjects = EVERYWHERE.into_iter().chain([Subject::Ours(Drivers::All)]).chain(further);
        let mut cases: Vec<Case> = subjects
            .flat_map(|subject| subject.roots().iter().map(move |&root| Case { subject, bus: first, root }))
            .collect();
        for &bus in others {
            cases.extend(EVERYWHERE.map(|subject| Case { subject, bus, root: Root::Name }));
        }
        cases.retain(|case| is_selected(&case.subject.name(), only));
        cases
    }
}

impl Subject {
    pub fn name(self) -> String {
        match self {
            Subject::Floor { is_smart: false } => "floor, naive".into(),
            Subject::Floor { is_smart: true } => "floor, smart".into(),
            Subject::Ours(Drivers::Machine) => "modstrap, this machine".into(),
            Subject::Ours(Drivers::Generic) => "modstrap, generic".into(),
            Subject::Ours(Drivers::All) => "modstrap, every module".into(),
            Subject::Peer(peer) => peer.name.into(),
        }
    }

    /// Whether its image is made after a record of the machine: all but ours that are for any.
    pub fn needs_record(self) -> bool {
        !matches!(self, Subject::Ours(Drivers::Generic | Drivers::All))
    }

    /// The ways in which its `root=` is tried.
    fn roots(self) -> &'static [Root] {
        if matches!(self, Subject::Ours(_)) { &[Root::Name, Root::Uuid] } else { &[Root::Name] }
    }
}

/// The images that were made, and what they were made for.
pub(super) struct Images<'a> {
    bench: &'a Bench,
    tree: Tree,
    made: BTreeMap<String, Image>,
    needed: BTreeMap<String, Needed>,
}

/// What has to be loaded for a disk, in an order in which it loads.
#[derive(Clone)]
struct Needed {
    /// What provides the signatures' digest, and so makes the rest cheaper.
    digest: Vec<String>,
    /// What there is no boot without.
    plain: Vec<String>,
}

impl<'a> Images<'a> {
    pub fn new(bench: &'a Bench) -> Result<Images<'a>> {
        let tree = Tree::read(&bench.kernel.modules, &bench.kernel.release, &ProgressBar::hidden())?;
        Ok(Images { bench, tree, made: BTreeMap::new(), needed: BTreeMap::new() })
    }

    /// The image of a case.
    pub fn of(&mut self, subject: Subject, bus: Bus) -> Result<Image> {
        // Those with the same drivers everywhere are made once.
        let name = match subject {
            Subject::Ours(Drivers::Generic | Drivers::All) => subject.name(),
            _ => format!("{} on {}", subject.name(), bus.name()),
        };
        if let Some(image) = self.made.get(&name) {
            return Ok(image.clone());
        }
        let image = self.make(subject, bus, &name)?;
        self.made.insert(name, image.clone());
        Ok(image)
    }

    fn make(&mut self, subject: Subject, bus: Bus, name: &str) -> Result<Image> {
        let bench = self.bench;
        match subject {
            Subject::Ours(Drivers::Generic) => image::ours(bench, name, Hardware::Generic),
            Subject::Ours(Drivers::All) => image::ours(bench, name, Hardware::All),
            Subject::Ours(Drivers::Machine) => {
                let generic = self.of(Subject::Ours(Drivers::Generic), bus)?;
                image::ours(bench, name, Hardware::Names(bench.record(&generic.file, bus)?))
            }
            Subject::Peer(peer) => Ok(peer.image(&bench.kernel, &self.needed(bus)?.plain)?.image),
            Subject::Floor { is_smart: false } => {
                let Needed { plain, .. } = self.needed(bus)?;
                image::floor(bench, &self.tree, name, &plain)
            }
            Subject::Floor { is_smart: true } => {
                let Needed { digest, plain } = self.needed(bus)?;
                ensure!(!digest.is_empty(), "no module provides the digest of the signatures");
                image::floor(bench, &self.tree, name, &[digest, plain].concat())
            }
        }
    }

    /// What has to be loaded for a disk on this bus: what ours loads that is made for such a machine.
    fn needed(&mut self, bus: Bus) -> Result<Needed> {
        if let Some(needed) = self.needed.get(&bus.name()) {
            return Ok(needed.clone());
        }
        let own = self.of(Subject::Ours(Drivers::Machine), bus)?;
        let figures = self.bench.measure(&own.file, bus, Root::Name);
        let figures = figures.context("cannot find out which modules this machine needs")?;
        let (digest, plain) = image::part_digest(&self.tree, &figures.loaded);
        let needed = Needed { digest, plain };
        self.needed.insert(bus.name(), needed.clone());
        Ok(needed)
    }
}
