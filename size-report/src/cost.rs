//! What each part of a packed module costs, in its own bytes and in bits of the image.
//!
//! A packed module is walked as the loader unpacks it, by the loader's own code. While DEFLATE is decoded, each byte that
//! comes out is charged with the bits that its literal took, or with its part of those that a match took. While the module
//! is put together from the filter's streams, each of their bytes is known to belong to the section that is being walked:
//! relocations to theirs, and what lies between the fields that they fill to the section they apply to. What is not
//! filtered is the module itself, whose bytes belong to sections by their places.
//!
//! So all bits are charged once: what a byte costs is what the image has for it, behind all that stands before it. A byte
//! that is cheap because an earlier one was the same makes that one look dear; no other reading would add up. What belongs
//! to no byte of a module has kinds of its own: [`CODES`] and [`FILTER`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::iter::Sum;

use anyhow::{Result, anyhow};
use modstrap::module::Blob;
use modstrap::module::filter::reader::Reader;
use modstrap::module::filter::{Method, Streams, Walk};
use modstrap::module::inflate::{Watch, inflate_watched};
use modstrap_initramfs::pack;
use serde::Serialize;

use crate::section::{Owner, Sections};

/// DEFLATE's own: the codes of each block, and the ends of blocks.
pub const CODES: &str = "(codes)";
/// The filter's own: how each section is walked, and how long the streams are.
pub const FILTER: &str = "(filter)";

/// Parts of a bit, so that a match's bits can be shared by its bytes: integers keep sums exact.
const PART: u64 = 1 << 16;
/// Parts of a byte.
const BYTE: u64 = 8 * PART;

/// What something takes; the field names are those of the JSON output, and are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes of modules.
    pub raw: u64,
    /// Bytes of the image.
    pub packed: u64,
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |sum, cost| Cost { raw: sum.raw + cost.raw, packed: sum.packed + cost.packed })
    }
}

/// What sections take, by their kinds.
pub type Kinds = BTreeMap<String, Cost>;

/// What a packed module takes, by the kinds of its sections. All raw bytes are the module's, all packed ones the blob's
/// without its header.
pub fn of(blob: &Blob) -> Result<Kinds> {
    let module = pack::unpack(blob)?;
    let sections = Sections::of(&module);
    let places = sections.owners(module.len());
    let mut raw: BTreeMap<&str, u64> = BTreeMap::new();
    for &owner in &places {
        *raw.entry(sections.kind(owner)).or_default() += 1;
    }
    let (plain, charges) = charges(blob)?;
    let owners = match blob.streams_length() {
        0 => places.into_iter().map(Some).collect(),
        _ => Walker::owners(&plain, &sections, &places),
    };
    let mut parts: BTreeMap<&str, u64> = BTreeMap::new();
    for (owner, charge) in owners.into_iter().zip(&charges) {
        *parts.entry(owner.map_or(FILTER, |owner| sections.kind(owner))).or_default() += charge;
    }
    let of_codes = blob.packed_length() as u64 * BYTE - charges.iter().sum::<u64>();
    *parts.entry(CODES).or_default() += of_codes;
    Ok(kinds(&raw, &parts))
}

/// Both tables in one, in whole bytes: what is rounded away from one kind is the next one's.
fn kinds(raw: &BTreeMap<&str, u64>, parts: &BTreeMap<&str, u64>) -> Kinds {
    let mut kinds = Kinds::new();
    for (&kind, &raw) in raw {
        kinds.entry(kind.to_owned()).or_default().raw = raw;
    }
    let mut sum = 0;
    for (&kind, &parts) in parts {
        kinds.entry(kind.to_owned()).or_default().packed = (sum + parts) / BYTE - sum / BYTE;
        sum += parts;
    }
    kinds.retain(|_, cost| *cost != Cost::default());
    kinds
}

/// How many bytes DEFLATE unpacks to: the filter's streams, or the module itself.
pub fn inflated_length(blob: &Blob) -> usize {
    if blob.streams_length() > 0 { blob.streams_length() } else { blob.raw_length() }
}

/// What DEFLATE unpacks to, if the blob is deflated, and the parts that each byte of it costs.
fn charges(blob: &Blob) -> Result<(Vec<u8>, Vec<u64>)> {
    let length = inflated_length(blob);
    let packed = &blob.padded()[..blob.packed_length()];
    if packed.len() == length {
        return Ok((packed.to_vec(), vec![BYTE; length]));
    }
    let mut plain = vec![0; length];
    let left = Cell::new(blob.padded().len() * 8);
    let bill = Bill { charges: RefCell::new(vec![0; length]), filled: Cell::new(0), left };
    inflate_watched(blob.padded(), &mut plain, &bill).map_err(|_| anyhow!("its blob does not unpack"))?;
    // The last block may have been of bytes as they are.
    (&bill).step(length, (blob.padded().len() - packed.len()) * 8);
    Ok((plain, bill.charges.into_inner()))
}

/// What the bytes that are unpacked so far were charged with, in parts.
struct Bill {
    charges: RefCell<Vec<u64>>,
    filled: Cell<usize>,
    /// How many bits of the stream were left then.
    left: Cell<usize>,
}

impl Watch for &Bill {
    /// Charges the bytes that came with the bits that were taken. Bits without a byte are the codes'.
    fn step(self, filled: usize, left: usize) {
        let came = self.filled.replace(filled)..filled;
        let (count, parts) = (came.len() as u64, (self.left.replace(left) - left) as u64 * PART);
        for (charge, number) in self.charges.borrow_mut()[came].iter_mut().zip(0..) {
            *charge = parts * (number + 1) / count - parts * number / count;
        }
    }
}

/// Walks as the loader does, and notes whose each byte of the streams is.
struct Walker<'a> {
    reader: Reader<'a>,
    sections: &'a Sections,
    /// Whose each byte of the module is.
    places: &'a [Owner],
    /// The section that is walked, and its method, once headers are.
    current: Cell<Option<(usize, u8)>>,
    /// Whose each byte of the streams is; none of the filter's own.
    owners: Vec<Option<Owner>>,
}

impl<'a> Walker<'a> {
    fn owners(streams: &'a [u8], sections: &'a Sections, places: &'a [Owner]) -> Vec<Option<Owner>> {
        let mut reader = Reader::new(streams);
        reader.open();
        let owners = vec![None; streams.len()];
        let mut walker = Walker { reader, sections, places, current: Cell::new(None), owners };
        Walk::<_, false>::new(&mut vec![0; places.len()], &mut walker).object();
        walker.owners
    }

    /// Notes whose the bytes are that were read from a stream since it was at `start`.
    fn note(&mut self, stream: usize, start: usize, owner: Owner) {
        let end = self.reader.position(stream);
        if let Some(owners) = self.owners.get_mut(start..end) {
            owners.fill(Some(owner));
        }
    }
}

impl Streams for Walker<'_> {
    fn number(&mut self, stream: usize, plain: impl FnOnce() -> u64) -> u64 {
        let start = self.reader.position(stream);
        let number = self.reader.number(stream, plain);
        self.note(stream, start, self.current.get().map_or(Owner::Headers, |(section, _)| Owner::Section(section)));
        number
    }

    fn bytes(&mut self, stream: usize, place: &mut [u8]) {
        let start = self.reader.position(stream);
        self.reader.bytes(stream, place);
        match self.current.get() {
            Some((section, method)) if method & 7 == Method::Relocations as u8 => {
                self.note(stream, start, Owner::Section(self.sections.target(section)));
            }
            Some((section, _)) => self.note(stream, start, Owner::Section(section)),
            // The file's header is the first that is read of its stream; later comes what stands behind all headers.
            None => {
                let is_first = self.owners[..start].iter().all(Option::is_none);
                let end = if is_first { place.len() } else { self.places.len() };
                let places = &self.places[end.saturating_sub(place.len())..end];
                for (owner, place) in self.owners[start..].iter_mut().zip(places) {
                    *owner = Some(*place);
                }
            }
        }
    }

    fn method(&self, section: usize) -> u8 {
        let method = self.reader.method(section);
        self.current.set(Some((section, method)));
        method
    }

    fn is_short(&self) -> bool {
        self.reader.is_short()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modstrap_initramfs::Compress;
    use modstrap_initramfs::cache::Cache;
    use std::process::Command;

    /// How many bytes of the module no packer makes fewer.
    const NOISE: u64 = 5000;

    /// An object with code and its relocations, that noise, and as many zeros.
    fn module() -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let (source, object) = (directory.path().join("module.s"), directory.path().join("module.o"));
        let mut seed = 1_u64;
        let noise = (0..NOISE).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!(".byte {}\n", seed >> 56)
        });
        let code = "nop\n.long outside - .\n".repeat(200);
        let source_text = format!(
            ".text\n{code}\n.section noise, \"a\"\n{}\n.section .rodata.zeros, \"a\"\n.skip {NOISE}\n",
            noise.collect::<String>()
        );
        std::fs::write(&source, source_text).unwrap();
        let cc = Command::new("cc").arg("-c").arg(&source).arg("-o").arg(&object).output();
        let cc = cc.expect("the tests need a C compiler, as Rust itself does");
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        std::fs::read(object).unwrap()
    }

    fn costs(module: &[u8], compress: Compress) -> (Kinds, u64) {
        let blobs = pack::pack_contents(&[module.to_vec()], compress, &Cache::none()).unwrap();
        let blob = Blob::at(&blobs.bytes, 0).unwrap();
        (of(&blob).unwrap(), blob.packed_length() as u64)
    }

    #[test]
    fn every_byte_is_charged_once_however_it_is_packed() {
        for module in [module(), b"no module, but something that repeats, that repeats".repeat(99)] {
            for compress in [Compress::Best, Compress::Fast, Compress::Store, Compress::None] {
                let (kinds, packed) = costs(&module, compress);
                let sum: Cost = kinds.values().copied().sum();
                assert_eq!(sum, Cost { raw: module.len() as u64, packed }, "{compress:?}");
            }
        }
    }

    #[test]
    fn a_section_costs_what_is_in_it() {
        let module = module();
        let (kinds, _) = costs(&module, Compress::Best);
        assert!((NOISE - 50..NOISE + 50).contains(&kinds["noise"].packed), "{kinds:?}");
        assert_eq!(kinds[".rodata"].raw, NOISE);
        assert!(kinds[".rodata"].packed < 50, "{kinds:?}");
        // Zeros that relocations fill are known, so the filter takes the code for what lies between them.
        let (kinds, _) = costs(&module, Compress::Store);
        assert_eq!(kinds[".text"], Cost { raw: 1000, packed: 200 });
        assert_eq!(kinds["noise"], Cost { raw: NOISE, packed: NOISE });
        assert!(kinds[".rela"].packed < kinds[".rela"].raw / 4, "{kinds:?}");
        let (kinds, _) = costs(&module, Compress::None);
        assert!(kinds.values().all(|cost| cost.raw == cost.packed), "{kinds:?}");
    }
}
