//! The loader with the fewest features, for one known machine; and loaders that are packed, or not, or damaged.

use anyhow::Result;
use modstrap_initramfs::Compress;
use modstrap_qemu::FileSystem::Ext4;
use modstrap_qemu::{Bus, Finished, Outcome, Recipe};
use modstrap_tests::{Image, Scratch, Verdict, boots};

use crate::amd64;

/// The loader without any feature, made by this package's build script.
static MINIMAL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/minimal"));

boots! {
    a_known_machine_boots_with_the_smallest_loader: known(Compress::Fast);
    the_smallest_loader_boots_as_it_is: known(Compress::None);
    the_smallest_loader_says_what_it_lacks: unknown_form();
    a_damaged_loader_says_so: damaged();
}

fn image(scratch: &Scratch, compress: Compress) -> Result<Image> {
    let hardware = scratch.hardware(&["virtio_blk", "ext4"])?;
    let loader = scratch.file(MINIMAL)?;
    Image::build(&amd64()?.kernel, scratch.path(), |request| {
        request.hardware = hardware;
        request.loader = Some(loader);
        request.compress = compress;
    })
}

fn boot(scratch: &Scratch, image: &Image, words: &str) -> Result<Finished> {
    image.boot().drive(scratch.drive(&Recipe::new(Ext4), Bus::VirtioBlk)?).append(words).run()
}

fn known(compress: Compress) -> Result<()> {
    let scratch = Scratch::new()?;
    let image = image(&scratch, compress)?;
    boot(&scratch, &image, "root=/dev/vda rootfstype=ext4")?.reached("/dev/vda (ext4)");
    Ok(())
}

fn unknown_form() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = image(&scratch, Compress::Fast)?;
    boot(&scratch, &image, "root=LABEL=root")?.gave_up("root=LABEL=root is of no form that is known here");
    Ok(())
}

fn damaged() -> Result<()> {
    let scratch = Scratch::new()?;
    let image = image(&scratch, Compress::Fast)?.with_damaged_loader(scratch.path())?;
    let finished = boot(&scratch, &image, "root=/dev/vda rootfstype=ext4")?;
    finished.expect(finished.outcome != Outcome::RealInit, "a damaged loader has booted");
    finished.says("the packed loader is damaged, or there is no memory for it");
    Ok(())
}
