//! Where the kernel enters the program, and what the compiler expects of every program: part of the binary alone,
//! since on the host the C library has all this.

#![allow(unsafe_code)]

#[cfg_attr(target_arch = "x86_64", path = "x86_64/entry.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64/entry.rs")]
#[cfg_attr(target_arch = "arm", path = "arm/entry.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64/entry.rs")]
mod entry;
mod memory;

use modstrap::sys::Program;

/// Called by the architecture's entry code with the stack as the kernel left it: the count of arguments, the
/// arguments, a null pointer, the environment, a null pointer.
extern "C" fn begin(stack: *mut usize) -> ! {
    // Safety: this is the first and only call, and `stack` is the initial stack pointer, below which nothing lives
    // and above which the kernel's arrays stay for as long as the program runs.
    let program = unsafe { Program::from_stack(stack) };
    crate::main(program)
}

/// Nothing in the loader panics; what the compiler could not prove so ends as any other failure does: PID 1 ends, and
/// the kernel says so. The message is left out, and with it all text for messages.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    modstrap::sys::exit(101)
}
