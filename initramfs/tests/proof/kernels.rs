//! The symbols of a kernel, out of every form in which a kernel comes.

use std::io::Write;
use std::process::{Command, Stdio};

use modstrap_initramfs::kernel::Kernel;
use modstrap_initramfs::kernel::exports::{Export, Exports};

use crate::common::RELEASE;
use crate::common::link::{self, KERNEL, OPTIONS, Pointers, bzimage, raw_image, vmlinux};

fn read(image: &[u8]) -> Kernel {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vmlinuz");
    std::fs::write(&path, image).unwrap();
    Kernel::read(&path).unwrap()
}

/// Asserts that exactly these symbols are found.
#[track_caller]
fn expect(exports: Option<&Exports>, expected: &[link::Export]) {
    let exports = exports.expect("symbols");
    assert_eq!(exports.len(), expected.len());
    for &(name, crc, gpl_only, namespace) in expected {
        let namespace = (!namespace.is_empty()).then(|| namespace.into());
        assert_eq!(exports.get(name), Some(&Export { crc: Some(crc), gpl_only, namespace }), "{name}");
    }
}

/// As many symbols as it takes to be found in a raw image, checksums as wild as real ones.
fn many() -> Vec<link::Export> {
    const NAMES: [&str; 24] = [
        "_printk",
        "alloc_page",
        "bdev_open",
        "clk_get",
        "dma_map",
        "eth_type",
        "filp_open",
        "get_user",
        "hid_add",
        "ida_alloc",
        "kfree",
        "list_sort",
        "module_layout",
        "netif_rx",
        "of_find",
        "pci_enable",
        "queue_work",
        "register_blkdev",
        "sg_next",
        "tty_write",
        "usb_alloc",
        "vfs_read",
        "wait_event",
        "xa_store",
    ];
    let symbol = |(number, name): (u32, &&'static str)| {
        (*name, (number + 1).wrapping_mul(0x9e37_79b9), number % 3 == 0, if number % 5 == 0 { "SPACE" } else { "" })
    };
    (0..).zip(&NAMES).map(symbol).collect()
}

fn pipe(tool: &str, arguments: &[&str], content: &[u8]) -> Vec<u8> {
    let child = Command::new(tool).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{tool}: {error}; install it"));
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(content).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{tool}");
        output.stdout
    })
}

/// The kernel packed in each way that the kernel's own build knows, with its size behind it.
pub fn packed(kernel: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut lz4 = b"\x02\x21\x4c\x18".to_vec();
    for block in kernel.chunks(8 << 20) {
        let block = lz4_flex::block::compress(block);
        lz4.extend((block.len() as u32).to_le_bytes());
        lz4.extend(block);
    }
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(kernel).unwrap();
    let forms = vec![
        ("gzip", pipe("gzip", &["-1"], kernel)),
        ("xz", pipe("xz", &["-0", "--check=crc32", "--x86", "--lzma2=preset=0"], kernel)),
        ("lzma", pipe("xz", &["-0", "--format=lzma"], kernel)),
        ("zstd", pipe("zstd", &["-1", "-q"], kernel)),
        ("lz4", lz4),
        ("bzip2", bzip2.finish().unwrap()),
    ];
    let size = (kernel.len() as u32).to_le_bytes();
    forms.into_iter().map(|(name, packed)| (name, [&packed[..], &size].concat())).collect()
}

#[test]
fn an_elf_file_with_either_kind_of_pointers() {
    let directory = tempfile::tempdir().unwrap();
    for pointers in [Pointers::Relative, Pointers::Absolute] {
        let kernel = read(&vmlinux(directory.path(), &KERNEL, pointers));
        expect(kernel.exports.as_ref(), &KERNEL);
        assert_eq!((kernel.release.as_str(), kernel.vermagic), (RELEASE, Some(format!("{RELEASE} {OPTIONS}"))));
    }
}

#[test]
fn a_bzimage_packed_in_each_way() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = vmlinux(directory.path(), &KERNEL, Pointers::Relative);
    for (form, packed) in packed(&kernel) {
        let image = bzimage(&packed);
        let kernel = read(&image);
        assert!(kernel.exports.is_some(), "{form}");
        expect(kernel.exports.as_ref(), &KERNEL);
    }
}

#[test]
fn a_raw_image_and_its_packed_forms() {
    let directory = tempfile::tempdir().unwrap();
    for pointers in [Pointers::Relative, Pointers::Absolute] {
        let image = raw_image(directory.path(), &many(), pointers);
        expect(read(&image).exports.as_ref(), &many());
        for (_, packed) in packed(&image) {
            expect(read(&packed).exports.as_ref(), &many());
        }
        let gzip = pipe("gzip", &["-9"], &image);
        let zboot = [b"MZ\0\0zimg", &64_u32.to_le_bytes()[..], &(gzip.len() as u32).to_le_bytes(), &[0; 48], &gzip];
        expect(read(&zboot.concat()).exports.as_ref(), &many());
    }
}

#[test]
fn an_image_without_tables_has_none() {
    let image = format!("\0Linux version {RELEASE} (gcc)\0{}", "name\0other\0".repeat(1000));
    let kernel = read(image.as_bytes());
    assert_eq!((kernel.exports, kernel.vermagic), (None, None));
}
