//! `modprobe`: loads modules with all that they need, and takes them out with all that nobody else needs.

use core::ffi::CStr;

use heapless::Vec;
use rustix::io::{self, Errno};
use rustix::system::init_module;

use super::call::{Call, Tool, bit, options};
use super::live::{self, Held};
use super::{print_directory, print_path, with_store};
use crate::cmdline::same_name;
use crate::machine::{Decoder, Presence, Refusal, presence};
use crate::module::{answers, is_blacklisted, parameters, push_parameter};
use crate::store::Store;
use crate::table::{Link, ModuleId, Table};

/// The tool.
pub const TOOL: Tool = Tool {
    options: options!(
        "a-all\0r-remove\0F-first-time\0i-ignore-install\0i-ignore-remove\0b-use-blacklist\0R-resolve-alias\0\
         n-show\0D-show-depends\0n-dry-run\0d\x01dirname\0S\x02set-version\0q-quiet\0v-verbose\0"
    ),
    missing: b"missing parameters. See -h.",
    each: bit(b'a') | bit(b'r'),
    work,
};

fn work(call: &mut Call, operand: &'static CStr) {
    let name = operand.to_bytes();
    let mut is_known = false;
    let release = with_store(call, &mut |store, call| {
        for &id in &answers(store.table, name) {
            is_known = true;
            let own = store.table.name(id);
            let own = own.as_bytes();
            if call.has(b'R') {
                call.print(b"%\n", own);
            } else if call.has(b'r') {
                remove(call, store, id, own);
            } else if let Err(errno) = load(call, store, id, own, name) {
                const MEANINGS: &[u8] = b"\x11Module already in kernel\0\
                    \x02Unknown symbol in module, or unknown parameter (see dmesg)";
                call.fail(errno, MEANINGS, b"could not insert '%': ", own);
            }
        }
    });
    if !is_known {
        begin_fatal(call, b"Module % not found", name);
        if !call.has(b'r') {
            call.print(b" in directory ", b"");
            print_directory(call, release.as_bytes());
        }
        call.end_complaint(if call.has(b'r') { b"." } else { b"" });
    }
}

/// Begins to complain of what ends a call, but for `-a`.
#[inline(never)]
fn begin_fatal(call: &mut Call, text: &[u8], about: &[u8]) {
    call.is_over = !call.has(b'a');
    call.rank = if call.is_over { b"FATAL: " } else { b"WARNING: " };
    call.begin_complaint(text, about);
}

/// Loads what is not there yet of the plan.
fn load(call: &mut Call, store: &Store, id: ModuleId, own: &[u8], name: &[u8]) -> io::Result<()> {
    if !call.has(b'D') && is_live(store, id, own) {
        return if call.has(b'F') { Err(Errno::EXIST) } else { Ok(()) };
    }
    // A blacklist forbids a module by its aliases, and by its name where that is wanted.
    if (call.has(b'b') || !same_name(own, name)) && is_blacklisted(store.table, store.cmdline, id) {
        return Ok(());
    }
    for &(member, soft) in &plan(store.table, id) {
        // `-i` leaves out what the module does not need.
        if !(soft && call.has(b'i')) {
            let result = insert(call, store, member, member == id);
            if !soft && result.is_err() {
                return result;
            }
        }
    }
    Ok(())
}

/// Inserts one module that is not there yet, or shows that it would be.
fn insert(call: &mut Call, store: &Store, id: ModuleId, is_wanted: bool) -> io::Result<()> {
    let name = store.table.name(id);
    let name = name.as_bytes();
    if !call.has(b'D') && is_live(store, id, name) {
        return Ok(());
    }
    let mut parameters = parameters(store.table, store.cmdline, id);
    let own = if is_wanted { call.parameters.as_bytes() } else { b"" };
    if !own.is_empty() {
        push_parameter(&mut parameters, &[own]);
    } else if !parameters.as_bytes().is_empty() {
        // kmod puts a space behind what is configured, whatever follows.
        parameters.push(b" ");
    }
    if call.has(b'v') || call.has(b'D') {
        if store.table.is_builtin(id) {
            call.print(b"builtin %\n", name);
        } else {
            call.print(b"insmod ", b"");
            print_path(call, store.table, id);
            call.print(b" %\n", parameters.as_bytes());
        }
    }
    if call.has(b'n') || call.has(b'D') {
        return Ok(());
    }
    if parameters.is_cut() {
        return Err(Errno::INVAL);
    }
    // As the kernel refuses what its own `module_blacklist=` forbids.
    if store.cmdline.masks(name).is_some() {
        return Err(Errno::PERM);
    }
    let errno = match Decoder::new(store.blobs).decode(store.table.module(id).blob) {
        Ok(image) => init_module(image, parameters.as_c_str()).err(),
        Err(Refusal::Kernel(errno)) => Some(errno),
        Err(Refusal::Corrupt) => Some(Errno::BADMSG),
    };
    match errno {
        // Unless somebody else was quicker.
        Some(errno) if errno != Errno::EXIST || call.has(b'F') || !is_live(store, id, name) => Err(errno),
        _ => Ok(()),
    }
}

/// Takes the module out: first what was loaded after it, then itself, then what nobody uses of all that was loaded
/// before it.
fn remove(call: &mut Call, store: &Store, id: ModuleId, own: &[u8]) {
    let text: &[u8] = match live::held(own) {
        _ if store.table.is_builtin(id) => b"Module % is builtin.",
        Held::Nothing if !call.has(b'F') => return,
        Held::Nothing => b"Module % is not in kernel.",
        Held::Builtin => b"Module % is builtin.",
        Held::Unused => b"",
        Held::Used => b"Module % is in use.",
    };
    if !text.is_empty() {
        begin_fatal(call, text, own);
        return call.end_complaint(b"");
    }
    for &(member, _) in plan(store.table, id).iter().rev() {
        let name = store.table.name(member);
        let name = name.as_bytes();
        if live::held(name) == Held::Unused {
            if call.has(b'v') {
                call.print(b"rmmod %\n", name);
            }
            if call.has(b'n') {
                continue;
            }
            if let Err(errno) = live::remove(name, false) {
                call.fail(errno, b"", b"could not remove '%': ", name);
                if member == id {
                    return;
                }
            }
        }
    }
}

/// Whether the kernel has the module, loaded to the end or built in.
#[inline(never)]
fn is_live(store: &Store, id: ModuleId, name: &[u8]) -> bool {
    store.table.is_builtin(id) || presence(name) == Presence::Live
}

/// The most members of a plan that are taken; the longest of a distribution's has some sixty.
const PLAN: usize = 512;

/// What is loaded for a module, in this order, and of each whether its failure does not matter.
#[inline(never)]
fn plan(table: &Table, id: ModuleId) -> Vec<(ModuleId, bool), PLAN> {
    let mut plan = Vec::new();
    if table.is_builtin(id) {
        let _ = plan.push((id, false));
        return plan;
    }
    for link in table.plan(id) {
        if let Link::Module { module, soft } = link {
            let _ = plan.push((module, soft));
        }
    }
    plan
}
