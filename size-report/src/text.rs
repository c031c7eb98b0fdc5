//! The reports for people. Numbers are bytes, largest first.

mod changes;
mod image;
mod loader;

pub use image::image;
pub use loader::{features, over_budget, over_limit, report};

use crate::Bytes;

/// Width of the column of names, including its indentation.
const NAMES: usize = 30;

fn by_size(map: &Bytes) -> impl Iterator<Item = (&str, u64)> {
    let mut entries: Vec<(&str, u64)> = map.iter().map(|(name, &bytes)| (name.as_str(), bytes)).collect();
    entries.sort_by_key(|&(_, bytes)| std::cmp::Reverse(bytes));
    entries.into_iter()
}

fn row(depth: usize, name: &str, bytes: u64, of: u64) -> String {
    let indent = 2 * depth;
    let (width, share) = (NAMES - indent, share(bytes, of));
    format!("{:indent$}{name:<width$}{:>10}{share:>7.1} %\n", "", grouped(bytes))
}

fn total(bytes: u64) -> String {
    format!("  {:<width$}{:>10}\n", "total", grouped(bytes), width = NAMES - 2)
}

/// A part of a whole in percent.
pub fn share(bytes: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * bytes as f64 / of as f64 }
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A change with its sign, and its digits in groups of three.
fn signed(change: i64) -> String {
    let sign = match change {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", grouped(change.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1000, -1000].map(signed), ["0", "+1,000", "-1,000"]);
    }
}
