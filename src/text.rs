//! Short texts without a heap: paths, lines of the log, names. One buffer, filled from parts.

use core::ffi::CStr;

/// A text of fewer than `N` bytes, with a NUL behind it. What does not fit is cut off, and [`Text::is_cut`] says so.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// An empty text.
    pub const fn new() -> Self {
        Text { bytes: [0; N], length: 0, cut: false }
    }

    /// The parts, one after the other.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut text = Self::new();
        parts.iter().for_each(|part| text.push(part));
        text
    }

    /// Adds to the end.
    pub fn push(&mut self, part: &[u8]) {
        // The last byte is never written: the NUL of `as_c_str`.
        let space = self.bytes.get_mut(self.length..N - 1).unwrap_or_default();
        for (to, from) in space.iter_mut().zip(part) {
            *to = *from;
        }
        self.cut |= space.len() < part.len();
        self.length += part.len().min(space.len());
    }

    /// Adds a number, in decimal.
    pub fn push_number(&mut self, number: u64) {
        self.push(Decimal::new(number).as_bytes());
    }

    /// Whether something did not fit.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The text, to be changed in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }

    /// The text as system calls take it; up to its first NUL, should it hold one.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A number's decimal digits.
pub struct Decimal {
    digits: [u8; 20],
    first: usize,
}

impl Decimal {
    /// The digits of `number`.
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
    use std::string::ToString;

    #[test]
    fn cuts_what_does_not_fit() {
        let text = Text::<8>::of(&[b"/dev/", b"nvme0n1"]);
        assert_eq!(text.as_bytes(), b"/dev/nv");
        assert_eq!(text.as_c_str(), c"/dev/nv");
        assert!(text.is_cut());
        let mut exact = Text::<8>::of(&[b"/dev/vd"]);
        assert!(!exact.is_cut());
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
