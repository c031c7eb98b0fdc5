//! What the guest is to run: texts behind the program in its own file, so that nothing has to be found or asked for.
//!
//! Each text ends in NUL: the directory, the size of the terminal (`ROWS COLUMNS`, or nothing where there is none), the
//! share of kernel modules (`FILE_SYSTEM TAG RELEASE`, or nothing), the number of arguments, the arguments, the
//! environment. Behind them stand their length, four bytes, least first, and [`MAGIC`].

/// What the file ends in.
pub const MAGIC: &[u8; 8] = b"MSTPCALL";

/// How many texts stand before the arguments.
const HEAD: usize = 4;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Where.
    pub directory: &'a [u8],
    /// The size of the terminal, if it runs on one.
    pub terminal: &'a [u8],
    /// Where the kernel's modules are, if they are not in the root.
    pub modules: &'a [u8],
    /// How many of the texts are arguments.
    pub arguments: usize,
    /// The arguments and the environment.
    pub texts: &'a [u8],
}

impl<'a> Call<'a> {
    /// Reads the end of a file.
    pub fn parse(file: &'a [u8]) -> Option<Call<'a>> {
        let (file, length) = file.strip_suffix(MAGIC)?.split_last_chunk()?;
        let start = file.len().checked_sub(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let mut texts = file.get(start..)?;
        let mut head: [&[u8]; HEAD] = [b""; HEAD];
        for text in &mut head {
            let end = texts.iter().position(|byte| *byte == 0)?;
            *text = texts.get(..end)?;
            texts = texts.get(end + 1..)?;
        }
        let [directory, terminal, modules, arguments] = head;
        let arguments = core::str::from_utf8(arguments).ok()?.parse().ok()?;
        let count = texts.iter().filter(|byte| **byte == 0).count();
        let is_sound = texts.ends_with(b"\0") && 0 < arguments && arguments <= count;
        is_sound.then_some(Call { directory, terminal, modules, arguments, texts })
    }

    /// The arguments, and then the environment.
    pub fn all(&self) -> impl Iterator<Item = &'a [u8]> {
        self.texts.split_inclusive(|byte| *byte == 0)
    }

    /// The value of a variable of the environment, up to its end or its NUL.
    pub fn variable(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut variables = self.all().skip(self.arguments).filter_map(|text| text.strip_suffix(b"\0"));
        variables.find_map(|text| text.strip_prefix(name)?.strip_prefix(b"="))
    }
}
