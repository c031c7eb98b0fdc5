//! Where the files of modules lie, for the tools that print it.

use heapless::Vec;

use super::layout::{Section, kernel, path};
use super::packed::Dictionary;
use super::{ModuleId, Table, u16_at};
use crate::text::Text;

/// The path of a module's file below `/lib/modules/RELEASE`.
pub type Path = Text<{ path::MAX + 1 }>;

/// See [`Table::path`].
pub(super) fn path(table: &Table, id: ModuleId) -> Path {
    let dictionary = Dictionary(table.section(Section::Dictionary));
    let mut directory: Vec<u8, { path::MAX }> = Vec::new();
    let mut style = None;
    let mut runs = table.section(Section::Paths);
    while let Some((run, rest)) = runs.split_at_checked(path::SIZE) {
        if u16_at(run, path::FIRST) > id.0 {
            break;
        }
        let byte = |at: usize| run.get(at).copied().unwrap_or(0);
        let (added, rest) = rest.split_at_checked(byte(path::ADDED).into()).unwrap_or_default();
        directory.truncate(directory.len().saturating_sub(byte(path::DROPPED).into()));
        dictionary.unpack(added, directory.as_mut_view());
        style = Some(byte(path::STYLE));
        runs = rest;
    }
    match style {
        None => Path::new(),
        _ if table.is_builtin(id) => Path::new(),
        Some(path::SPELLED) => Path::of(&[&directory]),
        Some(style) => {
            let mut name = table.name(id);
            let mut bit = 1;
            for byte in name.as_bytes_mut().iter_mut().filter(|byte| **byte == b'_') {
                if style & bit != 0 {
                    *byte = b'-';
                }
                bit = if bit == path::LAST { bit } else { bit << 1 };
            }
            Path::of(&[&directory, b"/", name.as_bytes(), table.kernel(kernel::FILE_SUFFIX)])
        }
    }
}
