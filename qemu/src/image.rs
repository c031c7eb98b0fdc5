//! The initramfs image of a boot, made by the builder's library.

use std::path::Path;

use anyhow::{Context, Result};
use modstrap_initramfs::{Request, Summary};

/// Builds the image that `request` describes.
pub fn build(request: &Request, output: &Path) -> Result<Summary> {
    modstrap_initramfs::build(request, output)
        .with_context(|| format!("cannot build an image for {}", request.kernel.display()))
}
