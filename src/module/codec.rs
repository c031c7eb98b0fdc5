//! A blob: a module as the image holds it, byte-exact after decoding, so that signatures hold.

use super::inflate::{Corrupt, inflate};
use crate::table::layout::blob;
use crate::table::{fold, u32_at, u64_at};

/// A blob whose checksum fits.
#[derive(Clone, Copy)]
pub struct Blob<'a> {
    packed: &'a [u8],
    raw: usize,
}

impl<'a> Blob<'a> {
    /// The blob that begins `at` bytes into the blob file, if all of it is there and its checksum fits.
    #[inline(never)]
    pub fn at(blobs: &'a [u8], at: u64) -> Option<Blob<'a>> {
        let blob = blobs.get(usize::try_from(at).ok()?..)?;
        let length = blob::HEADER.checked_add(usize::try_from(u32_at(blob, blob::PACKED)).ok()?)?;
        let checked = blob.get(blob::RAW..length)?;
        if fold(checked) != u64_at(blob, blob::CHECKSUM) {
            return None;
        }
        let packed = blob.get(blob::HEADER..length)?;
        Some(Blob { packed, raw: usize::try_from(u32_at(blob, blob::RAW)).ok()? })
    }

    /// The length of the module.
    pub fn raw_length(&self) -> usize {
        self.raw
    }

    /// The module, where it is stored as it is.
    pub fn stored(&self) -> Option<&'a [u8]> {
        (self.packed.len() == self.raw).then_some(self.packed)
    }

    /// Unpacks a blob that is not stored: the module fills `image`, which has [`Blob::raw_length`] bytes.
    #[inline(never)]
    pub fn unpack(&self, image: &mut [u8]) -> Result<(), Corrupt> {
        inflate(self.packed, image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob_of(raw: &[u8], packed: &[u8]) -> Vec<u8> {
        let mut rest = Vec::new();
        rest.extend((raw.len() as u32).to_le_bytes());
        rest.extend((packed.len() as u32).to_le_bytes());
        rest.extend(packed);
        let mut blob = fold(&rest).to_le_bytes().to_vec();
        blob.extend(rest);
        blob
    }

    fn module() -> Vec<u8> {
        (0..20_000_u32).flat_map(|i| (i / 7).to_le_bytes()).collect()
    }

    #[test]
    fn unpacks_what_was_packed() {
        let raw = module();
        let blobs = [vec![0; 16], blob_of(&raw, &miniz_oxide_deflate(&raw))].concat();
        let blob = Blob::at(&blobs, 16).expect("a sound blob");
        assert_eq!(blob.stored(), None);
        let mut image = vec![0; blob.raw_length()];
        assert_eq!(blob.unpack(&mut image), Ok(()));
        assert_eq!(image, raw);
    }

    #[test]
    fn sees_every_changed_byte_and_every_cut() {
        let raw = module();
        let sound = blob_of(&raw[..2000], &miniz_oxide_deflate(&raw[..2000]));
        for at in 0..sound.len() {
            let mut changed = sound.clone();
            changed[at] ^= 0x10;
            assert!(Blob::at(&changed, 0).is_none(), "byte {at}");
            assert!(Blob::at(&sound[..at], 0).is_none(), "cut at {at}");
        }
        assert!(Blob::at(&sound, u64::MAX).is_none());
    }

    #[test]
    fn refuses_streams_of_another_length() {
        let raw = module();
        let blob = blob_of(&raw[1..], &miniz_oxide_deflate(&raw));
        let mut image = vec![0; raw.len() - 1];
        assert_eq!(Blob::at(&blob, 0).expect("its checksum fits").unpack(&mut image), Err(Corrupt));
        let blob = blob_of(&raw, b"no stream");
        let mut image = vec![0; raw.len()];
        assert_eq!(Blob::at(&blob, 0).expect("its checksum fits").unpack(&mut image), Err(Corrupt));
    }

    fn miniz_oxide_deflate(raw: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }
}
