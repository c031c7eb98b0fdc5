//! What the loader's parts cost, each by itself, for the modules that the arguments name: the very code of the loader,
//! over the table and the blobs of an image, on the machine that it boots. Memory is touched before it is counted, so that
//! the kernel's part in it is not among these figures.

use modstrap::device::undriven;
use modstrap::handoff::mount_kernel_file_systems;
use modstrap::module::Blob;
use modstrap::module::filter::unfilter;
use modstrap::report::{Line, Log};
use modstrap::store::map;
use modstrap::sys::{Buffer, Program, clock};
use modstrap::table::layout::{BLOBS_PATH, TABLE_PATH};
use modstrap::table::{Table, glob};

use super::tell;

/// Instructions, where one is a nanosecond.
#[derive(Default)]
struct Costs {
    inflate: u64,
    filter: u64,
    checksum: u64,
    lookup: u64,
}

/// Counts, and tells; nothing if this is not possible.
pub fn count(program: &Program) -> Option<()> {
    mount_kernel_file_systems(&mut Log::begin()).ok()?;
    let (table, blobs) = (map(b"", TABLE_PATH).ok()?, map(b"", BLOBS_PATH).ok()?);
    let mut costs = Costs::default();
    // Once to have it in memory.
    Table::open(&table).ok()?;
    let table = charge(&mut costs.checksum, || Table::open(&table)).ok()?;
    undriven(&mut |_, modalias| charge(&mut costs.lookup, || table.lookup(modalias, &mut |_| ())));
    // The kernel's arguments before these are the disk and its file system.
    for argument in program.arguments().skip(3) {
        let mut name = Line::of(&[argument.to_bytes()]);
        glob::normalise(name.as_bytes_mut());
        let module = charge(&mut costs.lookup, || table.find(name.as_bytes()))?;
        costs.unpack(&blobs, table.module(module).blob)?;
    }
    let Costs { inflate, filter, checksum, lookup } = costs;
    let parts: [(&[u8], u64); 4] =
        [(b"inflate ", inflate), (b"filter ", filter), (b"checksum ", checksum), (b"lookup ", lookup)];
    for (name, cost) in parts {
        let mut line = Line::of(&[b"cost ", name]);
        line.push_number(cost);
        tell(&[line.as_bytes()]);
    }
    Some(())
}

impl Costs {
    fn unpack(&mut self, blobs: &[u8], at: u64) -> Option<()> {
        Blob::at(blobs, at)?;
        let blob = charge(&mut self.checksum, || Blob::at(blobs, at))?;
        if blob.stored().is_some() {
            return Some(());
        }
        let (mut image, mut streams) = (touched(blob.raw_length())?, touched(blob.streams_length())?);
        let mut both = 0;
        charge(&mut both, || blob.unpack::<true>(&mut image, &mut streams)).ok()?;
        let mut filter = 0;
        if blob.streams_length() > 0 {
            image.fill(0);
            charge(&mut filter, || unfilter::<true>(&streams, &mut image)).ok()?;
        }
        self.filter += filter;
        self.inflate += both.saturating_sub(filter);
        Some(())
    }
}

fn touched(length: usize) -> Option<Buffer> {
    let mut buffer = Buffer::new(length).ok()?;
    buffer.fill(0);
    Some(buffer)
}

/// Adds to the account what some work costs beyond two looks at the clock.
fn charge<T>(account: &mut u64, work: impl FnOnce() -> T) -> T {
    let before = nanoseconds();
    let begun = nanoseconds();
    let result = work();
    let ended = nanoseconds();
    *account += (ended - begun).saturating_sub(begun - before);
    result
}

fn nanoseconds() -> u64 {
    let (seconds, nanoseconds) = clock();
    seconds * 1_000_000_000 + u64::from(nanoseconds)
}
