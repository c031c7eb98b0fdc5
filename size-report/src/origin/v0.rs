//! The path in a name of the v0 mangling (Rust RFC 2603, "Syntax of mangled names").

/// The path of a symbol in the v0 mangling, or none where only its demangled text tells.
///
/// Every production of the grammar that matters here begins with the path it stands in, so the way down to the crate
/// is one descent.
pub fn path(symbol: &str) -> Option<Vec<String>> {
    let mut mangled = Mangled { text: symbol.strip_prefix("_R")?, at: 0 };
    mangled.path(0)
}

/// A cursor over a v0 name, behind its `_R`.
struct Mangled<'a> {
    text: &'a str,
    at: usize,
}

impl Mangled<'_> {
    /// Back references can nest; real names stay far below this.
    const DEEPEST: usize = 64;

    fn path(&mut self, depth: usize) -> Option<Vec<String>> {
        if depth > Self::DEEPEST {
            return None;
        }
        match self.next()? {
            b'C' => self.identifier().map(|name| vec![name]),
            b'N' => {
                let namespace = self.next()?;
                let mut path = self.path(depth + 1)?;
                let name = self.identifier()?;
                path.push(if namespace == b'C' { "{{closure}}".to_owned() } else { name });
                Some(path)
            }
            // An impl: its own path, which ends in the module that holds it, and then the type (and trait).
            b'M' | b'X' => {
                self.base_62(b's')?;
                let mut path = self.path(depth + 1)?;
                path.push("<impl>".to_owned());
                // The type is of variable form and no part of the answer; what follows it is the method's name.
                self.at = self.text.len();
                Some(path)
            }
            b'I' => self.path(depth + 1),
            b'B' => {
                let target = self.base_62_digits()?;
                Mangled { text: self.text, at: target }.path(depth + 1)
            }
            _ => None, // `Y`, a trait's own method: the text names the trait
        }
    }

    /// A name; empty where an impl has already ended the part that is read.
    fn identifier(&mut self) -> Option<String> {
        if self.at == self.text.len() {
            return Some(String::new());
        }
        self.base_62(b's')?;
        if self.peek() == Some(b'u') {
            self.at += 1;
        }
        let mut length = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            length = length * 10 + usize::from(digit - b'0');
            self.at += 1;
        }
        if self.peek() == Some(b'_') {
            self.at += 1;
        }
        let name = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(name.to_owned())
    }

    /// An optional number after a tag, such as a disambiguator.
    fn base_62(&mut self, tag: u8) -> Option<()> {
        if self.peek() == Some(tag) {
            self.at += 1;
            self.base_62_digits()?;
        }
        Some(())
    }

    /// `_` is 0, `0_` is 1, and so on.
    fn base_62_digits(&mut self) -> Option<usize> {
        let mut value: usize = 0;
        let mut any = false;
        loop {
            let digit = match self.next()? {
                b'_' if any => return value.checked_add(1),
                b'_' => return Some(0),
                c @ b'0'..=b'9' => c - b'0',
                c @ b'a'..=b'z' => c - b'a' + 10,
                c @ b'A'..=b'Z' => c - b'A' + 36,
                _ => return None,
            };
            any = true;
            value = value.checked_mul(62)?.checked_add(usize::from(digit))?;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}
