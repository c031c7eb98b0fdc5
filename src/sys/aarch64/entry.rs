//! Program start on aarch64: the stack pointer is the argument, and always a multiple of 16.

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {begin}",
    begin = sym super::begin,
);
