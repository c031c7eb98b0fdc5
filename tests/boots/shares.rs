//! A directory of the host as the root, by 9p.

use anyhow::Result;
use modstrap_qemu::{Bus, FileSystem, Recipe, Share};
use modstrap_tests::verdict::loaded_exactly;
use modstrap_tests::{Scratch, Verdict, boots};

use crate::amd64;

boots! {
    a_9p_root_by_its_prefix: reach("root=9p:host");
    a_9p_root_by_its_type: reach("rootfstype=9p root=host rw");
    a_share_that_is_not_there_is_named: missing();
}

/// A root on a share loads no disk's driver, though there is a disk.
fn reach(words: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let image = amd64()?;
    let boot = image.boot().drive(scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?);
    let finished = boot.share(Share::new("host", scratch.tree()?)).append(words).run()?;
    loaded_exactly(image, &finished.reached("host (9p)"), &["9pnet_virtio", "9p"])
}

fn missing() -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = amd64()?.boot().share(Share::new("host", scratch.tree()?));
    let finished = boot.append("root=9p:guest rootwait=1").run()?;
    finished.gave_up("root=9p:guest did not appear: no such file or device (errno 2)");
    Ok(())
}
