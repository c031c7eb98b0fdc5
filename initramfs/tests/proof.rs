//! The proof of linking: hand-made kernels and modules with one thing wrong at a time, every way to pack a kernel,
//! damaged bytes, and the trees of real kernels.

mod common;

#[path = "proof/hostile.rs"]
mod hostile;
#[path = "proof/kernels.rs"]
mod kernels;
#[path = "proof/real.rs"]
mod real;
#[path = "proof/rules.rs"]
mod rules;

use std::path::PathBuf;

use common::System;
use common::link::{Export, KERNEL, Plan, Pointers, vmlinux};
use modstrap_initramfs::proof::check::{Answer, Modules, Question};

/// A system whose kernel exports symbols.
struct World {
    system: System,
}

impl World {
    fn new() -> World {
        Self::with_kernel(&KERNEL)
    }

    fn with_kernel(exports: &[Export]) -> World {
        let system = System::new();
        let kernel = vmlinux(&system.path(""), exports, Pointers::Relative);
        std::fs::write(system.path("vmlinuz"), kernel).unwrap();
        World { system }
    }

    /// Puts a module into the tree.
    fn add(&self, plan: &Plan) -> PathBuf {
        self.add_bytes(plan.name, plan.bytes())
    }

    fn add_bytes(&self, name: &str, bytes: Vec<u8>) -> PathBuf {
        let path = self.system.modules().join(format!("kernel/fs/{name}.ko"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn question(&self) -> Question {
        Question {
            kernel: self.system.path("vmlinuz"),
            symbols: None,
            modules: Modules::Tree(self.system.path("")),
            cmdline: String::new(),
            strict: false,
        }
    }

    fn check(&self) -> Answer {
        answer(&self.question())
    }

    /// The findings, a line each, of a tree that does not pass.
    fn refused(&self) -> Vec<String> {
        let answer = self.check();
        assert!(!answer.holds, "{answer}");
        lines(&answer)
    }

    /// The findings of a tree that passes, but not strictly.
    fn warnings(&self) -> Vec<String> {
        let answer = self.check();
        let strictly = crate::answer(&Question { strict: true, ..self.question() });
        assert!(answer.holds && !strictly.holds, "{answer}");
        lines(&answer)
    }

    #[track_caller]
    fn passes(&self) {
        let answer = answer(&Question { strict: true, ..self.question() });
        assert!(answer.holds, "{answer}");
    }
}

fn answer(question: &Question) -> Answer {
    question.answer(&indicatif::ProgressBar::hidden()).unwrap()
}

fn lines(answer: &Answer) -> Vec<String> {
    answer.findings.findings.iter().map(ToString::to_string).collect()
}
