//! The module store: the table and the blobs of an image, in the initramfs or below another root. Whoever is asked for a
//! module and not for a boot, the kernel's helper and the tools, opens it as a whole.

use rustix::io::{self, Errno};

use crate::cmdline::{COMMAND_LINE, CommandLine};
use crate::file::{self, Path};
use crate::sys::FileMap;
use crate::table::Table;
use crate::table::layout::{BLOBS_PATH, TABLE_PATH};
use crate::text::Text;

/// The modules of a store, and what the command line says of them.
pub struct Store<'a> {
    /// The table, of which no more was checked than its header and bounds.
    pub table: &'a Table<'a>,
    /// The command line of the running kernel, behind that of the image.
    pub cmdline: &'a CommandLine<'a>,
    /// The blobs.
    pub blobs: &'a [u8],
}

/// Calls `work` with the store below a directory, empty for the root itself. A table that is damaged, or of another
/// version, is `EBADMSG`.
#[inline(never)]
pub fn open(root: &[u8], work: &mut dyn FnMut(Store)) -> io::Result<()> {
    let (table, blobs) = (map(root, TABLE_PATH)?, map(root, BLOBS_PATH)?);
    let table = Table::view(&table).map_err(|_| Errno::BADMSG)?;
    let words = words(&table);
    let cmdline = CommandLine::parse(words.as_bytes());
    work(Store { table: &table, cmdline: &cmdline, blobs: &blobs });
    Ok(())
}

/// Maps a file of the store below a directory.
#[inline(never)]
pub fn map(root: &[u8], path: &str) -> io::Result<FileMap> {
    FileMap::open(Path::of(&[root, path.as_bytes()]).as_c_str())
}

/// The command line of the running kernel, behind that of the image: the last of several equal words counts.
#[inline(never)]
pub fn words(table: &Table) -> Text<{ 2 * COMMAND_LINE }> {
    let mut words = [0; COMMAND_LINE];
    Text::of(&[table.cmdline(), b" ", file::read(c"/proc/cmdline", &mut words)])
}
