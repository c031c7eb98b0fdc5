//! The words of a command line, and the parameters that they give to modules.
//!
//! Words, quotes and the end at `--` are those of the kernel's own parser (lib/cmdline.c, `next_arg`; init/main.c). Which
//! words are parameters of modules, and what the kernel is handed of their quotes, is kmod's rule.

use crate::table::glob;
use crate::text::{split, split_once};

/// One word: `key` or `key=value`, its quotes taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// What stands before the first '='.
    pub key: &'a [u8],
    /// What stands behind it.
    pub value: Option<&'a [u8]>,
    /// The word as it was written.
    pub text: &'a [u8],
}

/// A parameter as the kernel takes it, in pieces.
pub type Parameter<'a> = [&'a [u8]; 3];

impl<'a> Word<'a> {
    /// The parameter that the word gives to a module, if it does: `module.parameter` or `module.parameter=value`.
    ///
    /// Only a value may hold quotes, spaces and further dots, and an open quote spoils the word. Where a quote before
    /// the whole word, which GRUB puts there, belongs to one behind the value, it moves to the value.
    #[inline(never)]
    pub fn parameter_of(&self, module: &[u8]) -> Option<Parameter<'a>> {
        let mut parts = split(self.key, b'.');
        let (name, key) = (parts.next()?, parts.next()?);
        let is_foul = key.is_empty() || parts.next().is_some() || glob::matches(b"*[\" \t-\r]*", key);
        let quotes = self.text.iter().filter(|&&byte| byte == b'"').count();
        if !same_name(name, module) || is_foul || quotes % 2 != 0 {
            return None;
        }
        match self.text.strip_prefix(b"\"") {
            Some(text) => Some([key, b"=\"", text.get(self.key.len()..)?.strip_prefix(b"=")?]),
            None => Some([key, b"", self.text.get(self.key.len()..)?]),
        }
    }
}

/// The words of one command line, up to `--`.
#[derive(Clone)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    /// The words of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Words { rest: text }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let start = self.rest.iter().position(|byte| !is_space(byte))?;
        let rest = self.rest.get(start..)?;
        let mut quoted = false;
        let end = rest.iter().position(|byte| {
            quoted ^= *byte == b'"';
            is_space(byte) && !quoted
        });
        let (text, rest) = rest.split_at_checked(end.unwrap_or(rest.len()))?;
        self.rest = rest;
        if text == b"--" {
            self.rest = &[];
            return None;
        }
        // A quote before the key belongs to one behind the value.
        let word = unquoted(text);
        let (key, value) = match split_once(word, b'=') {
            Some((key, value)) => (key, Some(unquoted(value))),
            None => (word, None),
        };
        Some(Word { key, value, text })
    }
}

/// What separates words: C's `isspace`.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// A text without the quotes around it; the second may be missing.
#[inline(never)]
pub fn unquoted(text: &[u8]) -> &[u8] {
    match text.strip_prefix(b"\"") {
        Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
        None => text,
    }
}

/// Whether two names are one to the module system: '-' and '_' are the same.
pub fn same_name(left: &[u8], right: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'-' { b'_' } else { *byte };
    left.iter().map(fold).eq(right.iter().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<(&str, Option<&str>)> {
        let text_of = |bytes| std::str::from_utf8(bytes).unwrap();
        Words::new(text.as_bytes()).map(|word| (text_of(word.key), word.value.map(text_of))).collect()
    }

    #[test]
    fn splits_as_the_kernel_does() {
        assert_eq!(words("  a  b=c \t d=\n"), [("a", None), ("b", Some("c")), ("d", Some(""))]);
        assert_eq!(words("root=\"LABEL=my root\" x"), [("root", Some("LABEL=my root")), ("x", None)]);
        assert_eq!(words("\"root=LABEL=my root\" x"), [("root", Some("LABEL=my root")), ("x", None)]);
        assert_eq!(words("mod.dyndbg=\"file a +p\""), [("mod.dyndbg", Some("file a +p"))]);
        assert_eq!(words("a=b=c"), [("a", Some("b=c"))]);
        assert_eq!(words("a -- b=c root=x"), [("a", None)]);
        assert_eq!(words("open=\"x y"), [("open", Some("x y"))]);
        assert_eq!(words(""), []);
    }

    /// The parameters that kmod hands to the kernel for each module, in kmod's own words: what `modprobe -c` of kmod 30
    /// prints for such a command line. The boot tests compare more of them with kmod itself.
    #[test]
    fn reads_parameters_as_kmod_does() {
        let cases: &[(&str, &str, &[&str])] = &[
            ("usb-storage.delay_use=3 usb_storage.quirks=1:2:u", "usb_storage", &["delay_use=3", "quirks=1:2:u"]),
            ("a.flag a.flag=1 a.empty= a-b.x", "a", &["flag", "flag=1", "empty="]),
            ("a.size=1.5G a.path=/x.y=z", "a", &["size=1.5G", "path=/x.y=z"]),
            ("a.dyndbg=\"file x.c +p; file y.c\" a.z", "a", &["dyndbg=\"file x.c +p; file y.c\"", "z"]),
            ("\"a.dyndbg=file x.c +p\" a.z", "a", &["dyndbg=\"file x.c +p\"", "z"]),
            ("a.mixed=x\"y z\"w", "a", &["mixed=x\"y z\"w"]),
            ("ivrs_acpihid[14:00.5]=AMDI0020:0 x=a.b .a a.", "a", &[]),
            ("a.b.c=1 a.\"b=1\" \"a.b\" a\".b=1\" \"a.b c=1\" a.open=\"x y", "a", &[]),
        ];
        for (text, module, expected) in cases {
            let found = Words::new(text.as_bytes()).filter_map(|word| word.parameter_of(module.as_bytes()));
            let found: Vec<String> = found.map(|pieces| String::from_utf8(pieces.concat()).unwrap()).collect();
            assert_eq!(found, *expected, "{text}");
        }
    }
}
