//! The only unsafe code: program start for each architecture, memory functions, and what rustix lacks or leaves
//! unsafe, each wrapped safely in its manner.

#![allow(unsafe_code)]

mod lock;
mod map;
#[cfg(feature = "network")]
mod packet;
mod program;
mod signal;
#[cfg_attr(target_arch = "x86_64", path = "x86_64/syscall.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64/syscall.rs")]
#[cfg_attr(target_arch = "arm", path = "arm/syscall.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64/syscall.rs")]
mod syscall;
mod time;

pub use lock::lock_byte;
pub use map::{Buffer, FileMap};
#[cfg(feature = "network")]
pub use packet::PacketSocket;
pub use program::{Arguments, Program, base_name, become_program, c_str, console, exit, fork, output};
pub use signal::interrupt_every;
pub use time::{clock, now, sleep, timespec};

/// The numbers of the system calls made here, different on each architecture.
struct Numbers {
    execve: usize,
    exit_group: usize,
    clock_gettime: usize,
    rt_sigaction: usize,
    setitimer: usize,
    fcntl: usize,
    clone: usize,
}
