//! `modinfo`: what a module says of itself, in its file or as a store has it.

use core::ffi::CStr;

use heapless::Vec;

use super::call::{ALWAYS, Call, Tool, options, take};
use super::{elf, live, print_path, with_store};
use crate::file;
use crate::machine::Decoder;
use crate::module::answers;

/// The tool.
pub const TOOL: Tool = Tool {
    options: options!(
        "a3author\0d3description\0l3license\0p3parameters\0n3filename\0F\x03field\0\x30-null\0m-modname\0\
         k\x02set-version\0b\x01basedir\0"
    ),
    missing: b"missing module or filename.",
    each: ALWAYS,
    work,
};

/// The place of the name of the only field that is wanted; all are if it is empty.
const FIELD: usize = 3;

const PARAMETER: &[u8] = b"parm";
const FILE_NAME: &[u8] = b"filename";

/// The most parameters of a module that are shown; the most that one of a distribution's has are some ninety.
const PARAMETERS: usize = 160;

/// What a module says of a parameter.
#[derive(Clone, Copy)]
struct Parameter<'a> {
    name: &'a [u8],
    text: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

fn work(call: &mut Call, operand: &'static CStr) {
    let text = operand.to_bytes();
    let mut suffix = text;
    take(&mut suffix, b'.');
    if !suffix.is_empty() && !call.has(b'm') && file::exists(operand) {
        return of_file(call, operand);
    }
    let mut is_known = false;
    with_store(call, &mut |store, call| {
        let mut decoder = Decoder::new(store.blobs);
        for &id in &answers(store.table, text) {
            is_known = true;
            let name = store.table.name(id);
            let name = name.as_bytes();
            if store.table.is_builtin(id) {
                show(call, b"name", name);
                show(call, FILE_NAME, b"(builtin)");
                continue;
            }
            if begins(call, FILE_NAME) {
                print_path(call, store.table, id);
                end(call, b"");
            }
            report(call, name, decoder.decode(store.table.module(id).blob).unwrap_or_default());
        }
    });
    if !is_known {
        call.complain(b"Module % not found.", text);
    }
}

fn of_file(call: &mut Call, file: &CStr) {
    let text = file.to_bytes();
    show(call, FILE_NAME, text);
    report(call, live::name_of(text).as_bytes(), file::whole(file).as_deref().unwrap_or_default());
}

/// Reports what the bytes of a module say.
#[inline(never)]
fn report(call: &mut Call, name: &[u8], image: &[u8]) {
    let info = elf::section(image, b".modinfo\0");
    if call.values[FIELD] == FILE_NAME {
        return;
    }
    if info.is_empty() {
        return call.complain(b"could not get modinfo from '%': Invalid argument", name);
    }
    let mut parameters: Vec<Parameter, PARAMETERS> = Vec::new();
    let mut rest = info;
    while !rest.is_empty() {
        let mut value = take(&mut rest, 0);
        let key = take(&mut value, b'=');
        if key.starts_with(PARAMETER) {
            let name = take(&mut value, b':');
            let known = parameters.iter().position(|known| known.name == name);
            let place = known.unwrap_or(parameters.len());
            if known.is_none() {
                let _ = parameters.push(Parameter { name, text: None, kind: None });
            }
            if let Some(parameter) = parameters.get_mut(place) {
                *if key == PARAMETER { &mut parameter.text } else { &mut parameter.kind } = Some(value);
            }
        } else if !key.is_empty() {
            show(call, key, value);
        }
    }
    show_parameters(call, &parameters);
}

/// Shows one value, if it is wanted.
#[inline(never)]
fn show(call: &mut Call, key: &[u8], value: &[u8]) {
    if begins(call, key) {
        end(call, value);
    }
}

/// Shows the parameters, the last first.
fn show_parameters(call: &mut Call, parameters: &[Parameter]) {
    // By its short option the field has another name.
    let is_alone = call.values[FIELD].starts_with(b"par");
    for Parameter { name, text, kind } in parameters.iter().rev() {
        if !is_alone && !begins(call, PARAMETER) {
            return;
        }
        call.print(b"%:", name);
        call.print(b"%", text.unwrap_or_default());
        if let Some(kind) = kind {
            call.print(if is_alone || text.is_some() { b" (%)" } else { b"%" }, kind);
        }
        end(call, b"");
    }
}

/// Prints what stands before a value; whether the value is wanted.
#[inline(never)]
fn begins(call: &mut Call, key: &[u8]) -> bool {
    /// How wide a label is, with its colon and the spaces behind it.
    const WIDTH: usize = 16;
    let field = call.values[FIELD];
    if !field.is_empty() {
        return field == key;
    }
    if call.has(b'0') && key != FILE_NAME && key != PARAMETER {
        call.print(b"%=", key);
    } else {
        call.print(b"%:", key);
        call.pad(WIDTH, key.len() + 1);
    }
    true
}

/// Prints a value, or its end, and what stands behind it.
#[inline(never)]
fn end(call: &mut Call, value: &[u8]) {
    call.print(if call.has(b'0') { b"%\0" } else { b"%\n" }, value);
}
