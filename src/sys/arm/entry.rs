//! Program start on 32-bit ARM: the stack pointer is the argument, and calls want the stack at a multiple of 8.

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "mov fp, #0",
    "mov lr, #0",
    "mov r0, sp",
    "bic sp, sp, #7",
    "bl {begin}",
    begin = sym super::begin,
);
