//! The program entry: what this program is depends on who calls it, and as what.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "sys/start.rs"]
mod start;

use modstrap::sys::{Program, exit};

fn main(program: Program) -> ! {
    if let Some(name) = modstrap::helper::request(program.arguments()) {
        exit(if cfg!(feature = "requests") { modstrap::helper::answer(name) } else { 1 });
    }
    #[cfg(feature = "tools")]
    if let Some(status) = modstrap::applet::run(program.name(), program.arguments()) {
        exit(status);
    }
    modstrap::boot::boot(program)
}
