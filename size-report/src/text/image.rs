//! The report on an image.

use super::{by_size, row, total};
use crate::image::Image;

/// The report on an image.
pub fn image(image: &Image) -> String {
    let mut out = format!("image: {}\n\nby part\n", image.path.display());
    by_size(&image.parts).for_each(|(name, bytes)| out += &row(1, name, bytes, image.bytes));
    out + &total(image.bytes)
}
