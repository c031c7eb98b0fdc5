//! Why an image holds its modules, over hand-made trees.

mod common;

use common::System;
use modstrap_initramfs::why::why;
use modstrap_initramfs::{Hardware, Request};

/// What the image of this request says of a name, or its error behind the image's path.
fn ask(system: &System, request: &Request, name: &str) -> String {
    system.build(request).unwrap();
    let image = system.path("image");
    match why(&image, name) {
        Ok(why) => why.to_string(),
        Err(error) => format!("{error:#}").replace(&format!("{} ", image.display()), ""),
    }
}

fn system() -> System {
    let system = System::new();
    system.module("kernel/drivers/block/virtio_blk.ko", "virtio_blk", &["alias=virtio:d00000002v*", "depends=helper"]);
    system.module("kernel/lib/helper.ko", "helper", &["softdep=pre: faster"]);
    system.module("kernel/lib/faster.ko", "faster", &["weakdep=perhaps", "depends=deep"]);
    system.module("kernel/lib/perhaps.ko", "perhaps", &[]);
    system.module("kernel/lib/deep.ko", "deep", &[]);
    system.module("kernel/sound/core/snd.ko", "snd", &["alias=snd-card-*", "depends=deep"]);
    system.write("lib/modules/6.9.0-test/modules.builtin", "kernel/drivers/virtio/virtio_pci.ko\n");
    system
}

#[test]
fn a_chain_leads_from_the_module_to_what_was_asked_for() {
    let system = system();
    let ask = |name| ask(&system, &system.request(), name);
    assert_eq!(ask("virtio-blk"), "virtio_blk <- set generic (block device)");
    assert_eq!(ask("virtio:d00000002v00001AF4"), "virtio_blk <- set generic (block device)");
    assert_eq!(ask("helper"), "helper <- virtio_blk (dependency) <- set generic (block device)");
    let faster = "faster <- helper (soft dependency) <- virtio_blk (dependency) <- set generic (block device)";
    assert_eq!(ask("faster"), faster);
    assert_eq!(ask("perhaps"), faster.replacen("faster", "perhaps <- faster (weak dependency)", 1));
    assert_eq!(ask("deep"), faster.replacen("faster", "deep <- faster (dependency)", 1));
}

#[test]
fn what_the_user_named_ends_a_chain_too() {
    let system = system();
    let request = Request { include: vec!["snd-card-0".into()], ..system.request() };
    assert_eq!(ask(&system, &request, "snd"), "snd <- named by the user (snd-card-0)");
    // The shortest chain.
    assert_eq!(ask(&system, &request, "deep"), "deep <- snd (dependency) <- named by the user (snd-card-0)");
    let hardware = Hardware::Names(system.write("names", "helper\n"));
    let request = Request { hardware, ..system.request() };
    assert_eq!(ask(&system, &request, "faster"), "faster <- helper (soft dependency) <- named by the user");
}

#[test]
fn what_is_not_in_the_image_is_said_to_be_elsewhere_or_nowhere() {
    let system = system();
    let ask = |name| ask(&system, &system.request(), name);
    assert_eq!(ask("virtio-pci"), "virtio_pci is built into the kernel");
    assert_eq!(ask("snd"), "holds no snd");
    assert_eq!(ask("virtio_blc"), "holds no virtio_blc; similar: virtio_blk, virtio_pci");
}

#[test]
fn the_answer_is_as_good_in_json() {
    let system = system();
    system.build(&system.request()).unwrap();
    let json = serde_json::to_value(why(&system.path("image"), "helper").unwrap()).unwrap();
    let chain = &json["chains"][0];
    assert_eq!((&chain["links"][0]["module"], &chain["hardware"]), (&"helper".into(), &"generic".into()));
    assert_eq!(chain["links"][0]["cause"]["dependency"], "virtio_blk");
    assert_eq!(chain["links"][1]["cause"], "hardware");
}

#[test]
fn a_file_that_is_no_image_is_named() {
    let system = system();
    let path = system.write("other", "not an image");
    let error = format!("{:#}", why(&path, "x").unwrap_err());
    assert!(error.starts_with(&format!("{}: not a sound image: ", path.display())), "{error}");
}
