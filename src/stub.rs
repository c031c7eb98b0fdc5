//! The stub of a packed loader: what the kernel starts in its place unpacks it and becomes it. What it unpacks is
//! appended by the builder; see `modstrap::packed`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "sys/payload.rs"]
mod payload;
#[path = "sys/start.rs"]
mod start;

use modstrap::helper;
use modstrap::packed::COMPLAINT;
use modstrap::sys::{Program, console, exit};

fn main(program: Program) -> ! {
    // Most requests of the kernel come before there is anything to answer them with; they need no loader.
    let is_modprobe = program.arguments().next().is_some_and(|name| name.to_bytes().ends_with(b"modprobe"));
    if !is_modprobe || helper::can_answer() {
        payload::start(&program);
        let _ = rustix::io::write(console(), COMPLAINT);
    }
    exit(1)
}
