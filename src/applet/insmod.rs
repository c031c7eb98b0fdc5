//! `insmod`: hands the module in a file to the kernel.

use core::ffi::CStr;

use rustix::system::finit_module;

use super::call::{Call, Tool, options};
use crate::file;

/// The tool.
pub const TOOL: Tool = Tool { options: options!("p-\0s-\0"), missing: b"missing filename.", each: 0, work };

/// A file goes to the kernel as a file, since some kernels take no module from memory (LoadPin, IMA). Those of gzip, xz
/// and zstd the kernel unpacks, if it can.
fn work(call: &mut Call, path: &'static CStr) {
    const MEANINGS: &[u8] = b"\x08Invalid module format\0\x02Unknown symbol in module\0\x16Invalid parameters";
    /// include/uapi/linux/module.h, `MODULE_INIT_COMPRESSED_FILE`.
    const COMPRESSED: i32 = 4;
    let name = path.to_bytes();
    let file = match file::open(path) {
        Ok(file) => file,
        Err(errno) => return call.fail(errno, b"", b"could not load module %: ", name),
    };
    let flags = if matches!(name.last(), Some(b'z' | b't')) { COMPRESSED } else { 0 };
    if let Err(errno) = finit_module(&file, call.parameters.as_c_str(), flags) {
        call.fail(errno, MEANINGS, b"could not insert module %: ", name);
    }
}
