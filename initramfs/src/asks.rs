//! What a module's code asks the kernel to load while it runs: names handed to `request_module()` and to the functions
//! that lead there, read out of the code itself.
//!
//! No metadata tells of such requests, but a relocatable file still shows them: the call is a relocation against the
//! function, and before it stand the relocations that load its arguments, one of which points at a string constant. A
//! name that is computed, or that this does not find, is told as far as it is known: by its beginning.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use object::read::{Object, ObjectSection, ObjectSymbol, Relocation, RelocationTarget, SectionIndex, SymbolIndex};
use object::{Architecture, File, RelocationFlags, SectionKind, elf};
use serde::{Deserialize, Serialize};

/// A request that a module may make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ask {
    /// The name as the code has it, with the conversions of printf: `crypto-crc32c`, `nfsv%d`. Of a computed name only
    /// the beginning, which may be empty.
    pub name: String,
    /// Whether the rest of the name is computed.
    pub computed: bool,
}

/// How a function of the kernel comes to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// `__request_module()`: its argument is a format (kernel/module/kmod.c).
    Format,
    /// It asks for its argument with this before it.
    Prefix(&'static str),
    /// It asks for something that its caller does not name.
    Always(&'static str),
}

impl Asker {
    /// The part that a function of this name has in requests.
    fn of(function: &str) -> Option<Asker> {
        // What allocates a transformation looks it up, and what looks up asks (crypto/api.c).
        const CRYPTO: [&str; 3] = ["crypto_alloc_", "crypto_grab_", "crypto_has_"];
        Some(match function {
            "__request_module" => Asker::Format,
            "get_fs_type" => Asker::Prefix("fs-"),
            "load_nls" => Asker::Prefix("nls_"),
            // CONFIG_NLS_DEFAULT (fs/nls/nls_base.c).
            "load_nls_default" => Asker::Always("nls_%s"),
            "of_request_module" => Asker::Always("of:%s"),
            "utf8_load" => Asker::Always("symbol:utf8_data_table"),
            "crypto_get_default_rng" => Asker::Always("crypto-stdrng"),
            "crypto_get_default_null_skcipher" => Asker::Always("crypto-ecb(cipher_null)"),
            "crypto_alg_mod_lookup" | "crypto_lookup_template" => Asker::Prefix("crypto-"),
            name if CRYPTO.iter().any(|prefix| name.starts_with(prefix)) => Asker::Prefix("crypto-"),
            _ => return None,
        })
    }
}

/// The requests that the code in `file`, a module, may make; each once.
pub fn read(file: &File) -> Vec<Ask> {
    let askers: HashMap<SymbolIndex, Asker> = file
        .symbols()
        .filter(|symbol| symbol.is_undefined())
        .filter_map(|symbol| Some((symbol.index(), Asker::of(symbol.name().ok()?)?)))
        .collect();
    if askers.is_empty() {
        return Vec::new();
    }
    let constants = Constants::of(file);
    let mut asks = BTreeSet::new();
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let mut relocations: Vec<(u64, Relocation)> = section.relocations().collect();
        relocations.sort_by_key(|(offset, _)| *offset);
        let code = section.data().unwrap_or_default();
        let mut strings: Vec<Reference> = Vec::new();
        for (offset, relocation) in relocations {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = file.symbol_by_index(index) else { continue };
            if let Some(asker) = askers.get(&index) {
                asks.insert(asker.ask(offset, &strings));
            }
            if symbol.is_undefined() {
                // A call: the arguments of the next one are not loaded yet.
                strings.clear();
            } else if let Some(distance) = distance(file, code, offset, &relocation)
                && let Some(text) = constants.text(&symbol, distance)
            {
                strings.push(Reference { offset, text });
            }
        }
    }
    asks.into_iter().collect()
}

/// A place in the code that refers to a string.
#[derive(Debug)]
struct Reference {
    /// In bytes from the start of the section.
    offset: u64,
    text: String,
}

/// How far before a call the arguments beside its format may be loaded, in bytes: a few instructions.
const ARGUMENTS: u64 = 48;

impl Asker {
    /// What a call at `offset` asks for, given the strings referred to since the call before.
    fn ask(self, offset: u64, strings: &[Reference]) -> Ask {
        let nearest = strings.last().map(|reference| reference.text.as_str());
        let ask = |prefix: &str, name: Option<&str>| Ask {
            name: format!("{prefix}{}", name.unwrap_or_default()),
            computed: name.is_none(),
        };
        match self {
            Asker::Always(name) => ask("", Some(name)),
            Asker::Prefix(prefix) => ask(prefix, nearest),
            Asker::Format => {
                let near = strings.iter().rev().filter(|reference| offset - reference.offset < ARGUMENTS);
                let near: Vec<&str> = near.map(|reference| reference.text.as_str()).collect();
                let format = near.iter().copied().find(|text| text.contains('%')).or(nearest);
                // A constant in the place of %s is an argument: the prefix or the whole of the name.
                let argument = near.into_iter().find(|text| !text.contains('%'));
                match (format, argument) {
                    (Some(format), Some(argument)) => ask("", Some(&format.replacen("%s", argument, 1))),
                    (format, _) => ask("", format),
                }
            }
        }
        .or_computed()
    }
}

impl Ask {
    /// Whether the name is not the whole name that the kernel gets to see.
    pub fn is_open(&self) -> bool {
        self.computed || self.name.contains('%')
    }

    /// A format that is nothing but its argument says nothing of the name.
    fn or_computed(self) -> Ask {
        if self.name == "%s" { Ask { name: String::new(), computed: true } } else { self }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.computed { "*" } else { "" })
    }
}

/// The read-only data of a module, where the compiler puts strings.
struct Constants<'a>(HashMap<SectionIndex, &'a [u8]>);

impl<'a> Constants<'a> {
    fn of(file: &File<'a>) -> Self {
        let read_only = file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".rodata")));
        Constants(read_only.filter_map(|section| Some((section.index(), section.data().ok()?))).collect())
    }

    /// The string at this distance from `symbol`, if there is one that may be part of a module's name.
    fn text(&self, symbol: &impl ObjectSymbol<'a>, distance: i64) -> Option<String> {
        let data = self.0.get(&symbol.section_index()?)?;
        let at = usize::try_from(i64::try_from(symbol.address()).ok()?.checked_add(distance)?).ok()?;
        let text = data.get(at..)?.split(|&byte| byte == 0).next()?;
        let name = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        name.then(|| String::from_utf8_lossy(text).into_owned())
    }
}

/// How far from its symbol the thing lies that a relocation refers to: its addend, read from the instruction if need be
/// and where that is known, without what counts from another place in the instruction.
fn distance(file: &File, code: &[u8], offset: u64, relocation: &Relocation) -> Option<i64> {
    let RelocationFlags::Elf { r_type } = relocation.flags() else { return None };
    let bytes = *code.get(usize::try_from(offset).ok()?..)?.first_chunk::<4>()?;
    let word = if file.is_little_endian() { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    let addend = relocation.addend();
    match (file.architecture(), r_type) {
        // Counted from the end of the instruction, which is that of the field; from its start, which is two before it.
        (Architecture::X86_64, elf::R_X86_64_PC32) => Some(addend + 4),
        (Architecture::S390x, elf::R_390_PC32DBL) => Some(addend - 2),
        (Architecture::I386, elf::R_386_32) => Some(i64::from(word)),
        // MOVW of the A32 set: imm4 in bits 19..16, imm12 below.
        (Architecture::Arm, elf::R_ARM_MOVW_ABS_NC) => Some(i64::from(word >> 4 & 0xf000 | word & 0xfff)),
        // Modules load the address of what they call, and arguments afterwards or in the delay slot: no telling whose.
        (Architecture::Mips | Architecture::Mips64, _) => None,
        _ if relocation.has_implicit_addend() => None,
        _ => Some(addend),
    }
}
