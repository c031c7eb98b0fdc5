//! Images of a real kernel: the same bytes every time, and what `modstrap inspect --json` tells of them.

use anyhow::Result;
use modstrap_initramfs::inspect::Inspection;
use modstrap_tests::{Image, Scratch, boots};
use serde_json::Value;

use crate::amd64;

boots! {
    the_same_kernel_gives_the_same_bytes: reproducible();
    inspection_has_the_fields_that_tools_read: inspected();
}

fn reproducible() -> Result<()> {
    let scratch = Scratch::new()?;
    let again = Image::build(&amd64()?.kernel, scratch.path(), |_| ())?;
    assert!(std::fs::read(&amd64()?.file)? == std::fs::read(&again.file)?, "another build gave other bytes");
    Ok(())
}

fn inspected() -> Result<()> {
    let image = amd64()?;
    let inspection = serde_json::to_value(Inspection::read(&image.file)?)?;
    assert_eq!(inspection["release"], image.kernel.release.as_str());
    assert_eq!(inspection["image_bytes"], std::fs::metadata(&image.file)?.len());
    assert!(inspection["table_bytes"].as_u64().is_some_and(|size| size > 0));
    let modules = inspection["modules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ext4 = modules.iter().find(|module| module["name"] == "ext4").unwrap_or(&Value::Null);
    assert_eq!(ext4["class"], "fs");
    let size = |field: &str| ext4[field].as_u64().unwrap_or_default();
    assert!(0 < size("packed") && size("packed") < size("raw"), "{ext4}");
    Ok(())
}
