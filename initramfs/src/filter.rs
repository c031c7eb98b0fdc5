//! Taking modules apart before they are compressed: the builder's side of [`modstrap::module::filter`].
//!
//! The walk and the format are the loader's. Here is what only a writer needs: where the numbers go, and the choice of
//! a method for each section.

use modstrap::module::filter::image::field;
use modstrap::module::filter::reader::{LONG, MORE, PADDING, TWO};
use modstrap::module::filter::tables::{FLAGS, NAME, TYPE, VERSION, WIDE_ENTRY};
use modstrap::module::filter::{Method, Section, Streams, Walk, stream, unfilter};
use object::elf;

/// The streams of a module, or none where it has no form that gives the same bytes again.
pub fn filter(module: &[u8]) -> Option<Vec<u8>> {
    if !module.starts_with(&elf::ELFMAG) {
        return None;
    }
    // The walk writes every number back where it took it from.
    let mut image = module.to_vec();
    let mut streams = Writer::new(methods(&mut image));
    Walk::<_, false>::new(&mut image, &mut streams).object();
    let packed = streams.finish();
    image.fill(0);
    let is_sound = packed.len() < module.len() && unfilter::<false>(&packed, &mut image).is_ok() && image == module;
    is_sound.then_some(packed)
}

/// Streams to be.
struct Writer {
    methods: Vec<u8>,
    streams: Vec<Vec<u8>>,
}

impl Streams for Writer {
    fn number(&mut self, stream: usize, plain: impl FnOnce() -> u64) -> u64 {
        let number = plain();
        push(&mut self.streams[stream], number);
        number
    }

    fn bytes(&mut self, stream: usize, place: &mut [u8]) {
        self.streams[stream].extend_from_slice(place);
    }

    fn method(&self, section: usize) -> u8 {
        self.methods.get(section).copied().unwrap_or(0)
    }

    fn is_short(&self) -> bool {
        false
    }
}

impl Writer {
    fn new(methods: Vec<u8>) -> Self {
        Writer { methods, streams: vec![Vec::new(); stream::COUNT] }
    }

    fn finish(mut self) -> Vec<u8> {
        self.streams[stream::METHOD] = self.methods;
        let mut packed = Vec::new();
        let lengths = self.streams.iter().take(stream::COUNT - 1);
        lengths.for_each(|stream| push(&mut packed, stream.len() as u64));
        packed.extend(self.streams.concat());
        packed.extend([0; PADDING]);
        packed
    }
}

/// See [`modstrap::module::filter::reader`].
fn push(bytes: &mut Vec<u8>, number: u64) {
    if number < TWO {
        bytes.push(number as u8);
    } else if number < LONG {
        let above = number - TWO;
        bytes.extend([(TWO + (above >> 8)) as u8, above as u8]);
    } else {
        let count = 8 - number.leading_zeros() as usize / 8;
        bytes.push(MORE as u8 + count as u8);
        bytes.extend(&number.to_le_bytes()[..count]);
    }
}

/// How to walk over each section of a module.
fn methods(image: &mut [u8]) -> Vec<u8> {
    let mut streams = Writer::new(Vec::new());
    let mut walk = Walk::<_, false>::new(image, &mut streams);
    walk.headers();
    let sections: Vec<Header> = (0..walk.count).map(|index| Header::of(&walk, index)).collect();
    let mut methods = vec![Method::Nothing as u8; sections.len()];
    for (index, header) in sections.iter().enumerate().skip(1) {
        methods[index] = header.method();
    }
    for (index, header) in sections.iter().enumerate() {
        let Some(target) = sections.get(header.section.info).filter(|_| header.is_relocations()) else { continue };
        let width = hole(&walk, header, target);
        methods[index] = Method::Relocations.with(width as u8 / 4);
        if width > 0 {
            methods[header.section.info] = Method::Nothing as u8;
        }
    }
    methods
}

/// What the choice of a method needs of a section.
struct Header {
    name: Vec<u8>,
    kind: elf::SectionType,
    flags: u64,
    section: Section,
    /// Its records are of the size that the loader takes for granted, if they are relocations or symbols.
    is_regular: bool,
}

impl Header {
    fn of(walk: &Walk<Writer, false>, index: usize) -> Header {
        let names = walk.image.get(0, if walk.wide() { field(62, 2) } else { field(50, 2) }) as u16;
        let start = walk.section(names.into()).start + walk.header_field(index, NAME) as usize;
        Header {
            name: walk.image.bytes.get(start..).unwrap_or_default()[..walk.image.string_length(start)].to_vec(),
            kind: elf::SectionType(walk.header_field(index, TYPE) as u32),
            flags: walk.header_field(index, FLAGS) as u64,
            section: walk.section(index),
            is_regular: !walk.wide() || walk.section(index).entry == WIDE_ENTRY,
        }
    }

    fn is_relocations(&self) -> bool {
        self.is_regular && matches!(self.kind, elf::SHT_RELA | elf::SHT_REL)
    }

    fn content<'a>(&self, walk: &'a Walk<Writer, false>) -> &'a [u8] {
        walk.image.bytes.get(self.section.start..self.section.end).unwrap_or_default()
    }

    /// The method of a section by itself.
    fn method(&self) -> u8 {
        let is_text = self.kind == elf::SHT_STRTAB || self.flags & elf::SHF_STRINGS.0 != 0 || self.name == b".modinfo";
        let length = self.section.end.saturating_sub(self.section.start);
        match self.kind {
            elf::SHT_NOBITS | elf::SHT_NULL => Method::Nothing as u8,
            elf::SHT_SYMTAB if self.is_regular => Method::Symbols as u8,
            _ if self.name == b"__versions" && length.is_multiple_of(VERSION) => Method::Versions as u8,
            _ => Method::Copy.with(if is_text { 0 } else { 1 }),
        }
    }
}

/// How many bytes each relocation fills, if they are zero.
fn hole(walk: &Walk<Writer, false>, relocations: &Header, target: &Header) -> usize {
    let content = target.content(walk);
    let offset = if walk.wide() { field(0, 8) } else { field(0, 4) };
    let Section { start, end, entry, .. } = relocations.section;
    let offsets: Vec<usize> = (start..end).step_by(entry).map(|at| walk.image.get(at, offset) as usize).collect();
    let fits = |width: usize| {
        let are_apart = offsets.windows(2).all(|pair| pair[0].checked_add(width).is_some_and(|end| end <= pair[1]));
        let is_zero = |&at: &usize| {
            content.get(at..).and_then(|rest| rest.get(..width)).is_some_and(|hole| hole.iter().all(|&byte| byte == 0))
        };
        target.kind != elf::SHT_NOBITS && are_apart && offsets.iter().all(is_zero)
    };
    [8, 4].into_iter().find(|&width| fits(width)).unwrap_or(0)
}
