//! Short texts without a heap: paths, lines of the log, names. One buffer, filled from parts.

use core::ffi::CStr;

use heapless::{Vec, VecView};

use crate::sys::c_str;

/// A text of fewer than `N` bytes, with a NUL behind it. What does not fit is cut off, and [`Text::is_cut`] says so.
///
/// The bytes end in the NUL, but for an empty text that may have none, and one that was cut: it fills all `N` bytes.
pub struct Text<const N: usize>(Vec<u8, N>);

impl<const N: usize> Text<N> {
    /// An empty text.
    pub const fn new() -> Self {
        Text(Vec::new())
    }

    /// The parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut text = Self::new();
        append_all(text.0.as_mut_view(), parts);
        text
    }

    /// Adds to the end.
    pub fn push(&mut self, part: &[u8]) {
        append(self.0.as_mut_view(), part);
    }

    /// Adds a number, in decimal.
    pub fn push_number(&mut self, number: u64) {
        append_number(self.0.as_mut_view(), number);
    }

    /// Whether something did not fit.
    pub fn is_cut(&self) -> bool {
        self.0.is_full() && self.0.last() != Some(&0)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.strip_suffix(b"\0").unwrap_or(&self.0)
    }

    /// The text, to be changed in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        let length = self.as_bytes().len();
        self.0.get_mut(..length).unwrap_or_default()
    }

    /// The text as system calls take it, up to its first NUL, should it hold one; empty if it was cut, since no part of
    /// a path is a path.
    pub fn as_c_str(&self) -> &CStr {
        c_str(&self.0)
    }
}

impl<const N: usize> Clone for Text<N> {
    fn clone(&self) -> Self {
        Self::of(&[self.as_bytes()])
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

// The code stands here once, for texts of all capacities.

#[inline(never)]
fn append(bytes: &mut VecView<u8>, part: &[u8]) {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    for &byte in part.iter().chain(b"\0") {
        let _ = bytes.push(byte);
    }
}

#[inline(never)]
fn append_all(bytes: &mut VecView<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| append(bytes, part));
}

#[inline(never)]
fn append_number(bytes: &mut VecView<u8>, number: u64) {
    append(bytes, Decimal::new(number).as_bytes());
}

/// What stands before the first `separator`, and what behind it.
#[inline(never)]
pub fn split_once(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == separator)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The parts of a text between separators. The slice's own way stands anew in the code at each of its uses.
pub fn split(text: &[u8], separator: u8) -> Split<'_> {
    Split { rest: Some(text), separator }
}

/// See [`split`].
pub struct Split<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    #[inline(never)]
    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.take()?;
        let Some((part, rest)) = split_once(text, self.separator) else { return Some(text) };
        self.rest = Some(rest);
        Some(part)
    }
}

/// The entries of a list, which end in NULs.
pub fn entries(list: &'static [u8]) -> Split<'static> {
    split(list, 0)
}

/// The entry of a list that a number marks: entries are a byte with the number, a text and a NUL. Where none has the
/// number, nothing. As data such a list is a third of a table of pointers, and its search less than a table of jumps.
#[inline(never)]
pub fn entry(list: &'static [u8], number: u8) -> Option<&'static [u8]> {
    entries(list).find_map(|entry| entry.split_first().filter(|(mark, _)| **mark == number)).map(|(_, text)| text)
}

/// The place of a word in a list of words that end in NUL.
#[inline(never)]
pub fn place(list: &'static [u8], word: &[u8]) -> Option<usize> {
    entries(list).position(|entry| entry == word)
}

/// A number's decimal digits.
pub struct Decimal {
    digits: [u8; 20],
    first: usize,
}

impl Decimal {
    /// The digits of `number`.
    #[inline(never)]
    pub fn new(mut number: u64) -> Decimal {
        let mut digits = [b'0'; 20];
        let mut first = digits.len() - 1;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            if number == 0 {
                break;
            }
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            first = at;
        }
        Decimal { digits, first }
    }

    /// The digits, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.first..).unwrap_or_default()
    }
}

/// The number that `text` is, if it is decimal digits and nothing else, and fits.
pub fn parse_number(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| number.checked_mul(10)?.checked_add(digit(byte)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_what_does_not_fit() {
        let text = Text::<8>::of(&[b"/dev/", b"nvme0n1"]);
        assert_eq!(text.as_bytes(), b"/dev/nvm");
        assert_eq!(text.as_c_str(), c"");
        assert!(text.is_cut());
        let mut exact = Text::<8>::of(&[b"/dev/vd"]);
        assert!(!exact.is_cut());
        assert_eq!(exact.as_c_str(), c"/dev/vd");
        exact.push(b"");
        assert!(!exact.is_cut());
        exact.push(b"a");
        assert!(exact.is_cut());
    }

    #[test]
    fn writes_and_reads_numbers() {
        for number in [0, 7, 10, 99, 4_294_967_295, u64::MAX] {
            assert_eq!(Decimal::new(number).as_bytes(), number.to_string().as_bytes());
            assert_eq!(parse_number(number.to_string().as_bytes()), Some(number));
        }
        for text in ["", "-1", "1x", " 1", "18446744073709551616"] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text:?}");
        }
    }
}
