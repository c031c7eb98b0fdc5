//! What a kernel image says of itself: its release and version magic, its build id, its configuration, and the symbols
//! that it exports to modules.
//!
//! [`image`] takes the packing off; the other files each read one thing out of what is then left.

mod build_id;
pub mod config;
pub mod exports;
pub mod image;
pub(crate) mod ksymtab;
mod vermagic;

use std::path::Path;

use anyhow::{Context, Result, bail};

use self::config::Config;
use self::exports::Exports;
use crate::module::Module;

/// A kernel, as far as its image tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// Empty where the image holds none, or more than one that could be meant.
    pub build_id: Vec<u8>,
    /// The version magic that modules must have; none where the image does not show it.
    pub vermagic: Option<String>,
    /// What it exports to modules; none where no symbol table can be read in the image.
    pub exports: Option<Exports>,
    /// How it was configured, from the image itself or a file beside it; none where neither is there.
    pub config: Option<Config>,
}

impl Kernel {
    /// Reads a kernel image (bzImage, Image, zImage, vmlinux, EFI zboot, each perhaps compressed), and `config-RELEASE`
    /// or `config` beside it.
    pub fn read(path: &Path) -> Result<Kernel> {
        let image = std::fs::read(path).with_context(|| format!("cannot read the kernel {}", path.display()))?;
        if let Some(lacking) = image::lacking(&image) {
            let (has, path) = (image.len(), path.display());
            bail!("{path}: the kernel image is cut off: it has {has} bytes, and by its header lacks {lacking}");
        }
        let mut kernel = Self::parse(&image).with_context(|| {
            format!(
                "{}: no kernel release found; give a kernel image such as vmlinuz, Image or vmlinux",
                path.display()
            )
        })?;
        if kernel.config.is_none() {
            kernel.config = Config::beside(path, &kernel.release)?;
        }
        Ok(kernel)
    }

    /// Whether it looks at the signatures of modules; one whose configuration is not known is taken to.
    pub fn checks_signatures(&self) -> bool {
        self.config.as_ref().is_none_or(|config| config.has("MODULE_SIG"))
    }

    /// The same kernel, with its symbols from a Module.symvers or System.map where one is given.
    pub fn with_symbols(self, listing: Option<&Path>) -> Result<Kernel> {
        Ok(match listing {
            Some(listing) => Kernel { exports: Some(Exports::read(listing)?), ..self },
            None => self,
        })
    }

    /// The version magic that modules must have. Where the image does not show it, that of a module which was built with
    /// the kernel; none if there is no such module either.
    pub fn expected_vermagic<'a>(&'a self, modules: impl IntoIterator<Item = &'a Module>) -> Option<&'a str> {
        let mut built_with = modules.into_iter().filter(|module| module.release() == self.release);
        self.vermagic.as_deref().or_else(|| Some(&*built_with.next()?.vermagic))
    }

    fn parse(image: &[u8]) -> Option<Kernel> {
        let content = image::unwrapped(image);
        let release = image::release(image, &content)?;
        Some(Kernel {
            build_id: build_id::build_id(&content),
            vermagic: vermagic::vermagic(&content, &release),
            exports: ksymtab::exports(&content),
            config: Config::embedded(&content),
            release,
        })
    }
}

fn find_all<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(bytes, wanted)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const BANNER: &[u8] = b"Linux version %s (%s)\0Linux version 6.9.1-board (cc) #1\n\0";

    fn note(id: &[u8]) -> Vec<u8> {
        [&4_u32.to_le_bytes(), &(id.len() as u32).to_le_bytes(), b"\x03\0\0\0GNU\0".as_slice(), id].concat()
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(content).unwrap();
        packer.finish().unwrap()
    }

    fn expect(image: &[u8], build_id: &[u8]) {
        let kernel = Kernel::parse(image).expect("a release");
        assert_eq!((kernel.release.as_str(), kernel.build_id.as_slice()), ("6.9.1-board", build_id));
    }

    #[test]
    fn reads_a_raw_image_and_its_compressed_forms() {
        let image = [&[0x4d; 64], BANNER, &[0; 30], &note(&[7; 20])].concat();
        expect(&image, &[7; 20]);
        expect(&gzip(&image), &[7; 20]);
        let packed = gzip(&image);
        let zboot = [b"MZ\0\0zimg", &64_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &[0; 48], &packed];
        expect(&zboot.concat(), &[7; 20]);
        let self_extracting = [&[0x90; 1000], packed.as_slice(), &[1, 2, 3, 4]].concat();
        expect(&self_extracting, &[7; 20]);
    }

    #[test]
    fn reads_a_bzimage() {
        let payload = gzip(&[BANNER, &note(&[7; 20])].concat());
        let mut image = vec![0; 0x400];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x100_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&64_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image[0x300..0x313].copy_from_slice(b"6.9.1-board (cc) #1");
        image.extend([0; 64]);
        image.extend(&payload);
        expect(&image, &[7; 20]);
        // The release stands in the header even where the payload cannot be read.
        let cut = image.len() - payload.len() / 2;
        expect(&image[..cut], &[]);
    }

    #[test]
    fn an_image_that_is_cut_off_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vmlinuz");
        let packed = gzip(BANNER);
        let zboot = [b"MZ\0\0zimg", &64_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &[0; 48], &packed]
            .concat();
        std::fs::write(&path, &zboot).unwrap();
        assert_eq!(Kernel::read(&path).unwrap().release, "6.9.1-board");
        std::fs::write(&path, &zboot[..zboot.len() - 7]).unwrap();
        let error = Kernel::read(&path).unwrap_err().to_string();
        let has = zboot.len() - 7;
        assert!(error.ends_with(&format!("is cut off: it has {has} bytes, and by its header lacks 7")), "{error}");
    }

    #[test]
    fn passes_over_the_notes_of_embedded_elf_files() {
        let mut vdso = vec![0; 256];
        vdso[..6].copy_from_slice(b"\x7fELF\x02\x01");
        vdso[0x28..0x2c].copy_from_slice(&(192_u32).to_le_bytes());
        vdso[0x3a] = 64;
        vdso[0x3c] = 1;
        vdso[100..136].copy_from_slice(&note(&[9; 20]));
        let image = [BANNER, &vdso, &note(&[7; 20])].concat();
        expect(&image, &[7; 20]);
    }

    #[test]
    fn two_build_ids_are_none() {
        expect(&[BANNER, &note(&[1; 20]), &note(&[2; 20])].concat(), &[]);
    }

    #[test]
    fn something_else_is_no_kernel() {
        assert_eq!(Kernel::parse(b"#!/bin/sh\n"), None);
        assert_eq!(Kernel::parse(&[0; 4096]), None);
        assert_eq!(Kernel::parse(&gzip(b"text")), None);
    }
}
