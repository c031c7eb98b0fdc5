//! `/init`: the program entry. It hands over to [`modstrap::boot`].

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "sys/start.rs"]
mod start;

use modstrap::sys::Program;

fn main(program: Program) -> ! {
    modstrap::boot::boot(program)
}
