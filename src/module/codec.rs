//! A blob: a module as the image holds it, byte-exact after decoding, so that signatures hold.

use super::filter::unfilter;
use super::inflate::{Corrupt, PADDING, inflate};
use crate::table::layout::blob;
use crate::table::{fold, u32_at, u64_at};

/// A blob whose checksum fits.
#[derive(Clone, Copy)]
pub struct Blob<'a> {
    /// The packed bytes, and [`PADDING`].
    padded: &'a [u8],
    raw: usize,
    streams: usize,
}

impl<'a> Blob<'a> {
    /// The blob that begins `at` bytes into the blob file, if all of it is there and its checksum fits.
    #[inline(never)]
    pub fn at(blobs: &'a [u8], at: u64) -> Option<Blob<'a>> {
        let blob = blobs.get(usize::try_from(at).ok()?..)?;
        let length = |field| usize::try_from(u32_at(blob, field)).ok();
        let end = blob::HEADER.checked_add(length(blob::PACKED)?)?;
        if fold(blob.get(blob::RAW..end)?) != u64_at(blob, blob::CHECKSUM) {
            return None;
        }
        let padded = blob.get(blob::HEADER..end.checked_add(PADDING)?)?;
        Some(Blob { padded, raw: length(blob::RAW)?, streams: length(blob::STREAMS)? })
    }

    /// The length of the module.
    pub fn raw_length(&self) -> usize {
        self.raw
    }

    /// What the image has of it, and [`PADDING`] behind.
    pub fn padded(&self) -> &'a [u8] {
        self.padded
    }

    /// The length of what the image has of it.
    pub fn packed_length(&self) -> usize {
        self.padded.len() - PADDING
    }

    /// The length of the streams that the module is put together from; 0 if it is not.
    pub fn streams_length(&self) -> usize {
        self.streams
    }

    /// The module, where it is stored as it is.
    pub fn stored(&self) -> Option<&'a [u8]> {
        if self.streams == 0 { self.plain(self.raw) } else { None }
    }

    /// The packed bytes, if they are so many as they unpack to.
    fn plain(&self, length: usize) -> Option<&'a [u8]> {
        let packed = self.padded.get(..self.packed_length())?;
        (packed.len() == length).then_some(packed)
    }

    /// Unpacks a blob that is not stored: the module fills `image`, which has [`Blob::raw_length`] bytes and is zero.
    /// In between, its streams take [`Blob::streams_length`] bytes of `streams`. See [`Walk`](super::filter::Walk) for `OWN`.
    #[inline(never)]
    pub fn unpack<const OWN: bool>(&self, image: &mut [u8], streams: &mut [u8]) -> Result<(), Corrupt> {
        if self.streams == 0 {
            return inflate(self.padded, image);
        }
        if let Some(streams) = self.plain(self.streams) {
            return unfilter::<OWN>(streams, image);
        }
        let streams = streams.get_mut(..self.streams).ok_or(Corrupt)?;
        inflate(self.padded, streams)?;
        unfilter::<OWN>(streams, image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob_of(raw: &[u8], packed: &[u8]) -> Vec<u8> {
        let mut rest = Vec::new();
        rest.extend((raw.len() as u32).to_le_bytes());
        rest.extend((packed.len() as u32).to_le_bytes());
        rest.extend(0_u32.to_le_bytes());
        rest.extend(packed);
        let mut blob = fold(&rest).to_le_bytes().to_vec();
        blob.extend(rest);
        blob.extend([0; PADDING]);
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
        assert_eq!(blob.unpack::<false>(&mut image, &mut []), Ok(()));
        assert_eq!(image, raw);
    }

    #[test]
    fn sees_every_changed_byte_and_every_cut() {
        let raw = module();
        let sound = blob_of(&raw[..2000], &miniz_oxide_deflate(&raw[..2000]));
        for at in 0..sound.len() {
            assert!(Blob::at(&sound[..at], 0).is_none(), "cut at {at}");
        }
        for at in 0..sound.len() - PADDING {
            let mut changed = sound.clone();
            changed[at] ^= 0x10;
            assert!(Blob::at(&changed, 0).is_none(), "byte {at}");
        }
        assert!(Blob::at(&sound, u64::MAX).is_none());
    }

    #[test]
    fn refuses_streams_of_another_length() {
        let raw = module();
        let blob = blob_of(&raw[1..], &miniz_oxide_deflate(&raw));
        let mut image = vec![0; raw.len() - 1];
        assert_eq!(Blob::at(&blob, 0).expect("its checksum fits").unpack::<false>(&mut image, &mut []), Err(Corrupt));
        let blob = blob_of(&raw, b"no stream");
        let mut image = vec![0; raw.len()];
        assert_eq!(Blob::at(&blob, 0).expect("its checksum fits").unpack::<false>(&mut image, &mut []), Err(Corrupt));
    }

    fn miniz_oxide_deflate(raw: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }
}
