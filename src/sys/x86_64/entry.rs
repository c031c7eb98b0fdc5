//! Program start on x86_64: the stack pointer is the argument, and calls want the stack at a multiple of 16.

core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    begin = sym super::begin,
);
