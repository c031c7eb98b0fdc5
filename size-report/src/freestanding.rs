//! Is a program what the loader promises to be: static, needing no interpreter, no libc, and without memory that is
//! both writable and executable?

use std::collections::BTreeSet;
use std::fmt;

use object::elf::{PT_DYNAMIC, PT_INTERP};
use object::{Object, ObjectSymbol};

use crate::elf::{self, Elf};
use crate::make::Built;

/// A promise that is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `PT_INTERP`: the kernel would look for this interpreter.
    Interpreter(String),
    /// `PT_DYNAMIC`: somebody would have to relocate it.
    Dynamic,
    /// A segment that is writable and executable, at this address.
    WritableCode(u64),
    /// A symbol that only a libc defines.
    Libc(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Interpreter(path) => write!(f, "it asks for the interpreter {path} (PT_INTERP)"),
            Fault::Dynamic => write!(f, "it is linked dynamically (PT_DYNAMIC)"),
            Fault::WritableCode(address) => {
                write!(f, "the segment at {address:#x} is writable and executable")
            }
            Fault::Libc(symbol) => write!(f, "it holds a libc ({symbol})"),
        }
    }
}

/// The broken promises of one program, never empty.
#[derive(Debug)]
pub struct NotFreestanding {
    program: String,
    /// What is wrong, each fault once.
    pub faults: BTreeSet<Fault>,
}

impl std::error::Error for NotFreestanding {}

impl fmt::Display for NotFreestanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a freestanding static program:", self.program)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// Checks both files of a loader.
pub fn check_files(built: &Built) -> anyhow::Result<()> {
    for path in [&built.shipped, &built.symbols] {
        check(&Elf::parse(path, &elf::read(path)?)?)?;
    }
    Ok(())
}

/// Checks a program, by its program headers and by the symbols it has.
pub fn check(elf: &Elf) -> Result<(), NotFreestanding> {
    let faults: BTreeSet<Fault> = segment_faults(elf).chain(symbol_faults(elf)).collect();
    if faults.is_empty() { Ok(()) } else { Err(NotFreestanding { program: elf.path.display().to_string(), faults }) }
}

fn segment_faults(elf: &Elf) -> impl Iterator<Item = Fault> {
    elf.segments.iter().filter_map(|segment| match segment.kind {
        PT_INTERP => Some(Fault::Interpreter(text_at(elf.data, segment.offset, segment.file_bytes))),
        PT_DYNAMIC => Some(Fault::Dynamic),
        _ if segment.is_writable_code() => Some(Fault::WritableCode(segment.address)),
        _ => None,
    })
}

fn symbol_faults(elf: &Elf) -> impl Iterator<Item = Fault> {
    let names = elf.file.symbols().filter_map(|symbol| symbol.name().ok());
    names.filter(|name| is_libc(name)).map(|name| Fault::Libc(name.to_owned()))
}

/// glibc and musl both enter `main` through `__libc_start_main`, and both keep `errno` behind `__errno_location`.
fn is_libc(symbol: &str) -> bool {
    symbol.starts_with("__libc_") || symbol.contains("@GLIBC") || symbol == "__errno_location"
}

fn text_at(data: &[u8], offset: u64, bytes: u64) -> String {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let rest = data.get(start..).unwrap_or_default();
    let text = &rest[..rest.len().min(usize::try_from(bytes).unwrap_or(usize::MAX))];
    String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::{Program, START};

    #[test]
    fn freestanding_program_passes() {
        let program = Program::assembled(START, &[]);
        program.with_elf(|elf| check(&elf)).unwrap();
    }

    #[test]
    fn dynamic_program_is_refused() {
        let program = Program::compiled("int main(void) { return 0; }", &["-pie"]);
        let faults = program.with_elf(|elf| check(&elf)).unwrap_err().faults;
        assert!(
            faults.iter().any(|fault| matches!(fault, Fault::Interpreter(path) if path.starts_with("/lib"))),
            "{faults:?}"
        );
        assert!(faults.contains(&Fault::Dynamic));
        assert!(faults.iter().any(|fault| matches!(fault, Fault::Libc(_))), "{faults:?}");
    }

    #[test]
    fn stripped_dynamic_program_is_refused() {
        let program = Program::compiled("int main(void) { return 0; }", &["-no-pie", "-s"]);
        let faults = program.with_elf(|elf| check(&elf)).unwrap_err().faults;
        assert!(faults.contains(&Fault::Dynamic));
        assert!(!faults.iter().any(|fault| matches!(fault, Fault::Libc(_))));
    }

    #[test]
    fn static_libc_is_refused() {
        let program = Program::compiled("int main(void) { return 0; }", &["-static", "-no-pie"]);
        let faults = program.with_elf(|elf| check(&elf)).unwrap_err().faults;
        assert!(faults.contains(&Fault::Libc("__libc_start_main".to_owned())), "{faults:?}");
        assert!(!faults.contains(&Fault::Dynamic));
    }

    #[test]
    fn writable_code_is_refused() {
        let program = Program::assembled(START, &["-Wl,--omagic"]);
        let faults = program.with_elf(|elf| check(&elf)).unwrap_err().faults;
        assert!(matches!(faults.first(), Some(Fault::WritableCode(_))), "{faults:?}");
    }
}
