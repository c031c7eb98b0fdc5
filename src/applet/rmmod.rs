//! `rmmod`: takes modules out of the kernel, by name.

use core::ffi::CStr;

use super::call::{ALWAYS, Call, Tool, options};
use super::live::{self, Held};
use crate::text::Text;

/// The tool.
pub const TOOL: Tool =
    Tool { options: options!("f-force\0v-verbose\0"), missing: b"missing module name.", each: ALWAYS, work };

fn work(call: &mut Call, operand: &'static CStr) {
    let name = live::name_of(operand.to_bytes());
    let name = name.as_bytes();
    let force = call.has(b'f');
    let mut users = Text::<2048>::new();
    live::users(name, &mut |user| {
        users.push(b" ");
        users.push(user);
        true
    });
    let text: &[u8] = match live::held(name) {
        _ if force => b"",
        Held::Nothing => b"Module % is not currently loaded",
        Held::Builtin => b"Module % is builtin.",
        _ if !users.as_bytes().is_empty() => b"Module % is in use by:",
        Held::Unused => b"",
        Held::Used => b"Module % is in use",
    };
    if !text.is_empty() {
        call.begin_complaint(text, name);
        call.end_complaint(users.as_bytes());
    } else if let Err(errno) = live::remove(name, force) {
        call.fail(errno, b"", b"could not remove module %: ", operand.to_bytes());
    }
}
