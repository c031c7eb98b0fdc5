//! Real programs for the tests, made by the system's compiler from a few lines each.

use std::fs;
use std::process::Command;

use crate::elf::{self, Elf};

/// A program start of 16 bytes that carries its size.
pub const START: &str = ".text\n.globl _start\n.type _start, @function\n_start: .skip 16\n.size _start, 16\n";

/// A linked program in a directory of its own.
pub struct Program {
    directory: tempfile::TempDir,
}

impl Program {
    /// From assembler source, with no start-up files and no libc.
    pub fn assembled(source: &str, link: &[&str]) -> Program {
        let bare = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,--no-warnings"];
        // The note keeps the stack from being executable, as compilers do on their own.
        let source = format!("{source}\n.section .note.GNU-stack,\"\",@progbits\n");
        Program::linked("program.s", &source, &[&bare, link].concat())
    }

    /// From C source.
    pub fn compiled(source: &str, link: &[&str]) -> Program {
        Program::linked("program.c", source, link)
    }

    fn linked(name: &str, source: &str, arguments: &[&str]) -> Program {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        fs::write(&file, source).unwrap();
        let cc = Command::new("cc").arg("-o").arg(directory.path().join("program")).arg(&file).args(arguments).output();
        let cc = cc.expect("the tests need a C compiler, as Rust itself does");
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        Program { directory }
    }

    /// Hands the parsed program to a test.
    pub fn with_elf<T>(&self, test: impl FnOnce(Elf) -> T) -> T {
        let path = self.directory.path().join("program");
        let data = elf::read(&path).unwrap();
        test(Elf::parse(&path, &data).unwrap())
    }
}
