//! What no module says of itself: its class, when it is a candidate, which disks it brings about, what must be beside
//! it, and which of several for one purpose is best. The facts are in `knowledge.txt`, whose head describes the format;
//! here they are parsed and asked.

use anyhow::{Context, Result, bail, ensure};
use modstrap::table::{Class, Disks, Step};

use crate::module::Module;
use crate::pattern::{Name, Part, Pattern};
use crate::requests::Requests;
use crate::tree::Tree;

/// The facts, parsed.
#[derive(Debug)]
pub struct Knowledge {
    natures: Vec<(Vec<Pattern>, Nature)>,
    stands_on: Vec<(Name, Nature)>,
    companions: Vec<Companions>,
    on_request: Vec<(Pattern, Vec<Name>)>,
    preferred: Vec<Pattern>,
    virtual_machines: Vec<Pattern>,
    /// What modules ask for while they run.
    pub requests: Requests,
}

/// What a module is to a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    /// What it is for.
    pub class: Class,
    /// When it is a candidate.
    pub step: Step,
    /// The disk names it can bring about.
    pub disks: Disks,
}

/// What is said of a module that no line fits.
const UNKNOWN: Nature = Nature { class: Class::Other, step: Step::Supplier, disks: Disks(0) };

/// What a module brings along.
#[derive(Debug)]
struct Companions {
    who: Who,
    names: Vec<Name>,
    /// A boot loads them too.
    is_loaded: bool,
}

impl Companions {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(Name::as_str)
    }
}

/// Whose companions a line names.
#[derive(Debug)]
enum Who {
    Pattern(Pattern),
    /// Drivers of such disks.
    Disks(Disks),
    /// Modules with an alias that begins so, the colon included.
    Bus(String),
}

impl Knowledge {
    /// The facts that are part of the builder.
    pub fn built_in() -> Result<Knowledge> {
        let knowledge = Self::parse(include_str!("../knowledge.txt")).context("the builder's knowledge.txt")?;
        Ok(Knowledge { requests: Requests::built_in()?, ..knowledge })
    }

    /// Parses facts; an error names the line.
    pub fn parse(text: &str) -> Result<Knowledge> {
        let mut knowledge = Knowledge {
            natures: Vec::new(),
            stands_on: Vec::new(),
            companions: Vec::new(),
            on_request: Vec::new(),
            preferred: Vec::new(),
            virtual_machines: Vec::new(),
            requests: Requests::default(),
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            knowledge.read_line(&words).with_context(|| format!("line {}: {}", index + 1, line.trim()))?;
        }
        Ok(knowledge)
    }

    fn read_line(&mut self, words: &[&str]) -> Result<()> {
        match *words {
            [] => {}
            ["with", who, verb @ ("take" | "load"), ref names @ ..] => {
                let (who, names, is_loaded) = (Who::parse(who)?, parse_names(names)?, verb == "load");
                self.companions.push(Companions { who, names, is_loaded });
            }
            ["on-request", who, ref names @ ..] => self.on_request.push((Pattern::parse(who)?, parse_names(names)?)),
            ["prefer", ref patterns @ ..] => self.preferred.extend(parse_patterns(patterns)?),
            ["virtual", ref patterns @ ..] => self.virtual_machines.extend(parse_patterns(patterns)?),
            ["stands-on", name, class, step, disks] => {
                self.stands_on.push((Name::parse(name), Nature::parse(class, step, disks)?));
            }
            [class, step, disks, ref patterns @ ..] => {
                self.natures.push((parse_patterns(patterns)?, Nature::parse(class, step, disks)?));
            }
            _ => bail!("too short"),
        }
        Ok(())
    }

    /// What a module is to a boot. A module from outside the kernel's tree has no place there that would tell; then
    /// what it stands on does, or an alias as a file system's.
    pub fn nature(&self, module: &Module) -> Nature {
        if let Some(nature) = self.nature_by_place(module.into()) {
            return nature;
        }
        if module.place.is_some() {
            return UNKNOWN;
        }
        if module.aliases.iter().any(|alias| alias.starts_with("fs-")) {
            return Nature { class: Class::Fs, step: Step::Always, disks: Disks(0) };
        }
        let below =
            self.stands_on.iter().find(|(name, _)| module.depends.iter().any(|depends| depends == name.as_str()));
        below.map_or(UNKNOWN, |(_, nature)| *nature)
    }

    /// What the first line that fits says.
    pub fn nature_by_place(&self, part: Part) -> Option<Nature> {
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(part));
        self.natures.iter().find(|(patterns, _)| fits(patterns)).map(|(_, nature)| *nature)
    }

    /// The names of what an image must hold when it holds `module`, whose nature is given.
    pub fn companions<'k>(&'k self, module: &Module, nature: Nature) -> impl Iterator<Item = &'k str> {
        self.lines_for(module, nature).flat_map(Companions::names)
    }

    /// Those of them that a boot loads once it has loaded `module`.
    pub fn followers<'k>(&'k self, module: &Module, nature: Nature) -> impl Iterator<Item = &'k str> {
        self.lines_for(module, nature).filter(|line| line.is_loaded).flat_map(Companions::names)
    }

    fn lines_for<'k>(&'k self, module: &Module, nature: Nature) -> impl Iterator<Item = &'k Companions> {
        self.companions.iter().filter(move |line| line.who.fits(module, nature))
    }

    /// Where a module stands among others for the same purpose, as the providers of one crypto alias: the least rank
    /// is the best. The order is the kernel's own, by priority (`cra_priority`).
    pub fn rank(&self, part: Part) -> usize {
        self.preferred.iter().position(|pattern| pattern.fits(part)).unwrap_or(self.preferred.len())
    }

    /// The soft dependencies of `module` that a boot leaves to the kernel's request.
    pub fn on_request<'k>(&'k self, module: &Module) -> impl Iterator<Item = &'k str> {
        let lines = self.on_request.iter().filter(move |(who, _)| who.fits(module.into()));
        lines.flat_map(|(_, names)| names.iter().map(|name| name.as_str()))
    }

    /// Whether virtual machines have this.
    pub fn is_virtual(&self, part: Part) -> bool {
        self.virtual_machines.iter().any(|pattern| pattern.fits(part))
    }

    /// Every name and pattern that matches nothing in `tree`, although it is not marked as belonging elsewhere. A marked
    /// one may match: what one version of a kernel has the next may lack.
    pub fn doubtful(&self, tree: &Tree) -> Vec<String> {
        let pattern = |pattern: &Pattern| (!pattern.is_in(tree)).then(|| pattern.to_string());
        let name = |name: &Name| (!name.is_in(tree)).then(|| name.as_str().to_string());
        let natures = self.natures.iter().flat_map(|(patterns, _)| patterns).filter_map(pattern);
        let who = self.companions.iter().filter_map(|line| match &line.who {
            Who::Pattern(who) => pattern(who),
            Who::Disks(_) => None,
            Who::Bus(prefix) => {
                let known =
                    tree.modules.iter().any(|module| module.aliases.iter().any(|alias| alias.starts_with(prefix)));
                (!known).then(|| prefix.clone())
            }
        });
        let names = self.companions.iter().flat_map(|line| &line.names);
        let names = names.chain(self.on_request.iter().flat_map(|(_, names)| names));
        let names = names.chain(self.stands_on.iter().map(|(name, _)| name)).filter_map(name);
        let whose = self.on_request.iter().map(|(who, _)| who);
        let patterns = whose.chain(&self.preferred).chain(&self.virtual_machines).filter_map(pattern);
        natures.chain(who).chain(names).chain(patterns).collect()
    }
}

impl Nature {
    fn parse(class: &str, step: &str, disks: &str) -> Result<Nature> {
        let class = Class::ALL.into_iter().find(|known| known.name() == class);
        let step = match step {
            "-" => Some(Step::Always),
            step => Step::ALL.into_iter().find(|known| known.name() == step),
        };
        Ok(Nature {
            class: class.context("it begins with neither a class nor a verb")?,
            step: step.context("no such step")?,
            disks: disks
                .split(',')
                .filter(|family| *family != "-")
                .try_fold(Disks(0), |set, family| anyhow::Ok(Disks(set.0 | parse_family(family)?.0)))?,
        })
    }
}

fn parse_family(family: &str) -> Result<Disks> {
    let bit = Disks::NAMES.iter().position(|known| *known == family);
    bit.map(|bit| Disks(1 << bit)).with_context(|| format!("no such family of disks: {family}"))
}

impl Who {
    fn parse(word: &str) -> Result<Who> {
        Ok(match word.split_once(':') {
            Some(("disk", family)) => Who::Disks(parse_family(family)?),
            Some(("bus", prefix)) => Who::Bus(format!("{prefix}:")),
            Some(_) => bail!("neither disk: nor bus: nor a pattern: {word}"),
            None => Who::Pattern(Pattern::parse(word)?),
        })
    }

    fn fits(&self, module: &Module, nature: Nature) -> bool {
        match self {
            Who::Pattern(pattern) => pattern.fits(module.into()),
            Who::Disks(disks) => nature.disks.intersects(*disks),
            Who::Bus(prefix) => module.aliases.iter().any(|alias| alias.starts_with(prefix)),
        }
    }
}

fn parse_patterns(words: &[&str]) -> Result<Vec<Pattern>> {
    ensure!(!words.is_empty(), "no pattern");
    words.iter().map(|word| Pattern::parse(word)).collect()
}

fn parse_names(words: &[&str]) -> Result<Vec<Name>> {
    ensure!(!words.is_empty(), "no name");
    Ok(words.iter().map(|word| Name::parse(word)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn module(path: &str, depends: &[&str], aliases: &[&str]) -> Module {
        Module::sample(Path::new(path), depends, aliases)
    }

    fn nature(class: Class, step: Step, disks: &[&str]) -> Nature {
        let bit = |family: &&str| 1 << Disks::NAMES.iter().position(|name| name == family).unwrap();
        Nature { class, step, disks: Disks(disks.iter().map(bit).sum()) }
    }

    #[test]
    fn the_facts_are_sound() {
        let knowledge = Knowledge::built_in().unwrap();
        let says =
            |path: &str, expected: Nature| assert_eq!(knowledge.nature(&module(path, &[], &[])), expected, "{path}");
        says("kernel/drivers/block/virtio_blk.ko", nature(Class::Block, Step::Cheap, &["vd"]));
        says("kernel/drivers/nvme/host/nvme.ko.xz", nature(Class::Block, Step::Cheap, &["nvme"]));
        says("kernel/drivers/ata/ahci.ko", nature(Class::Block, Step::Ata, &["sd", "sr"]));
        says("kernel/drivers/scsi/megaraid/megaraid_sas.ko", nature(Class::Block, Step::Scsi, &["sd", "sr"]));
        says("kernel/drivers/usb/storage/uas.ko", nature(Class::Block, Step::Usb, &["sd", "sr"]));
        says("kernel/drivers/mmc/host/sdhci-pci.ko", nature(Class::Block, Step::Cheap, &["mmcblk"]));
        says("kernel/drivers/usb/host/xhci-pci.ko", nature(Class::Bus, Step::Usb, &[]));
        says("kernel/drivers/virtio/virtio_pci.ko", nature(Class::Bus, Step::Always, &[]));
        says("kernel/drivers/regulator/fixed.ko", nature(Class::Bus, Step::Supplier, &[]));
        says("kernel/fs/ext4/ext4.ko", nature(Class::Fs, Step::Always, &[]));
        says("kernel/fs/nfs/nfs.ko", nature(Class::Net, Step::Always, &[]));
        says("kernel/fs/fuse/virtiofs.ko", nature(Class::Share, Step::Cheap, &[]));
        says("kernel/arch/x86/crypto/crc32c-intel.ko", nature(Class::Library, Step::Always, &[]));
        says("kernel/sound/core/snd.ko", UNKNOWN);
    }

    #[test]
    fn a_module_from_outside_is_told_by_what_it_stands_on() {
        let knowledge = Knowledge::built_in().unwrap();
        let hba = module("updates/dkms/hba.ko", &["scsi_transport_sas", "scsi_mod"], &[]);
        assert_eq!(knowledge.nature(&hba), nature(Class::Block, Step::Scsi, &["sd", "sr"]));
        let zfs = module("extra/zfs.ko", &["spl"], &["fs-zfs"]);
        assert_eq!(knowledge.nature(&zfs).class, Class::Fs);
        assert_eq!(knowledge.nature(&module("extra/spl.ko", &[], &[])), UNKNOWN);
    }

    #[test]
    fn companions_come_by_disks_buses_and_patterns() {
        let knowledge = Knowledge::parse(
            "block scsi sd drivers/ata/*\nwith disk:sd load sd_mod\nwith bus:pci take ~vmd\nwith ahci take x y",
        )
        .unwrap();
        let companions = |module: Module| {
            let nature = knowledge.nature(&module);
            knowledge.companions(&module, nature).map(str::to_string).collect::<Vec<_>>()
        };
        assert_eq!(companions(module("kernel/drivers/ata/ahci.ko", &[], &["pci:v*"])), ["sd_mod", "vmd", "x", "y"]);
        assert_eq!(companions(module("kernel/fs/ext4.ko", &[], &["fs-ext4"])), Vec::<String>::new());
        let ahci = module("kernel/drivers/ata/ahci.ko", &[], &["pci:v*"]);
        assert_eq!(knowledge.followers(&ahci, knowledge.nature(&ahci)).collect::<Vec<_>>(), ["sd_mod"]);
    }

    #[test]
    fn the_first_line_that_prefers_something_ranks_it() {
        let knowledge = Knowledge::parse("prefer a_fast a_slow\nprefer arch/*/crypto/* crypto/*").unwrap();
        let rank = |path: &str| knowledge.rank((&module(path, &[], &[])).into());
        let paths =
            ["arch/x86/crypto/a-fast", "arch/x86/crypto/a-slow", "arch/arm/crypto/b", "crypto/a", "drivers/crypto/a"];
        let ranks = paths.map(|path| rank(&format!("kernel/{path}.ko")));
        assert_eq!(ranks, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, part) in [
            ("\nblok - - x", "line 2: blok - - x"),
            ("block cheep - x", "no such step"),
            ("block cheap vdx x", "no such family of disks: vdx"),
            ("with x:y take z", "neither disk: nor bus:"),
            ("with x take", "no name"),
            ("with x bring y", "it begins with neither a class nor a verb"),
            ("fs - -", "no pattern"),
            ("fs", "too short"),
            ("fs - - a[", "line 1"),
        ] {
            let error = format!("{:#}", Knowledge::parse(text).unwrap_err());
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
