//! Shared by the tests that cross crates: what a boot is made of, and what is expected of it.
//!
//! - [`scratch`]: the files of one test, above all its disks.
//! - [`image`]: initramfs images built from the cached kernels, whole, or damaged on purpose.
//! - [`verdict`]: what a boot must have come to, and the end of its console where it did not.
#![forbid(unsafe_code)]

pub mod image;
pub mod scratch;
pub mod verdict;

pub use image::Image;
pub use scratch::Scratch;
pub use verdict::Verdict;

/// Tests that boot guests, one in a line: a name that states the case, and an expression of type `anyhow::Result<()>`
/// that tries it.
#[macro_export]
macro_rules! boots {
    ($($(#[$attribute:meta])* $name:ident: $check:expr;)*) => {$(
        $(#[$attribute])*
        #[test]
        #[ignore = "boots QEMU"]
        fn $name() -> anyhow::Result<()> {
            $check
        }
    )*};
}
