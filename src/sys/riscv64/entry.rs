//! Program start on riscv64: the stack pointer is the argument, and always a multiple of 16.

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mv a0, sp",
    "andi sp, sp, -16",
    "call {begin}",
    begin = sym super::begin,
);
