//! Packing modules: each one filtered and compressed on its own, so that only what is loaded is ever decoded, and
//! byte-exact after decoding, so that signatures hold. What is packed was unpacked by the loader's own code.

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use libdeflater::{CompressionLvl, Compressor};
use modstrap::module::{Blob, Corrupt, PADDING};
use modstrap::table::{fold, layout};
use rayon::prelude::*;

use crate::Compress;
use crate::cache::Cache;
use crate::filter::filter;

/// The blob file, and where in it each module is.
#[derive(Debug, Default)]
pub struct Blobs {
    /// The content of [`layout::BLOBS_PATH`].
    pub bytes: Vec<u8>,
    /// In the order of the modules.
    pub places: Vec<Place>,
}

/// A module in the blob file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its header begins, in bytes.
    pub offset: u64,
    /// The length of the module, in bytes.
    pub raw: usize,
    /// The length of its packed form, in bytes, without the header.
    pub packed: usize,
}

/// Packs the modules `0..count`, whose contents `read` gives, several at a time.
pub fn pack(
    count: usize,
    compress: Compress,
    cache: &Cache,
    progress: &ProgressBar,
    read: impl Fn(usize) -> Result<Vec<u8>> + Sync,
) -> Result<Blobs> {
    progress.set_length(count as u64);
    let pack_one = |index: usize| {
        let raw = read(index)?;
        let blob = cached_blob(&raw, compress, cache)?;
        progress.inc(1);
        Ok((raw.len(), blob))
    };
    let packed: Vec<Result<(usize, Vec<u8>)>> = (0..count).into_par_iter().map(pack_one).collect();
    cache.trim();
    let mut blobs = Blobs::default();
    for one in packed {
        let (raw, blob) = one?;
        blobs.places.push(Place { offset: blobs.bytes.len() as u64, raw, packed: blob.len() - layout::blob::HEADER });
        blobs.bytes.extend(blob);
        blobs.bytes.resize(blobs.bytes.len().next_multiple_of(layout::BLOB_ALIGN), 0);
    }
    blobs.bytes.extend([0; PADDING]);
    Ok(blobs)
}

/// One module's blob: from the cache if it knows it, or packed anew.
fn cached_blob(raw: &[u8], compress: Compress, cache: &Cache) -> Result<Vec<u8>> {
    let is_sound = |blob: &Vec<u8>| {
        let padded = [blob, [0; PADDING].as_slice()].concat();
        Blob::at(&padded, 0).is_some_and(|blob| unpack(&blob).is_ok_and(|unpacked| unpacked == raw))
    };
    if let Some(blob) = cache.get(raw, compress).filter(is_sound) {
        return Ok(blob);
    }
    let blob = blob(raw, compress)?;
    ensure!(is_sound(&blob), "a packed module does not unpack to what it was");
    cache.put(raw, compress, &blob);
    Ok(blob)
}

/// One module's blob: its header, then its packed bytes; as they are where packing would not make them fewer.
fn blob(raw: &[u8], compress: Compress) -> Result<Vec<u8>> {
    let streams = if compress == Compress::None { None } else { filter(raw) };
    let plain = streams.as_deref().unwrap_or(raw);
    let deflated = compress.level().map(|level| deflate(plain, level)).transpose()?;
    let deflated = deflated.filter(|deflated| deflated.len() < plain.len());
    let packed = deflated.as_deref().unwrap_or(plain);
    let mut blob = vec![0; layout::blob::HEADER];
    put32(&mut blob, layout::blob::RAW, raw.len())?;
    put32(&mut blob, layout::blob::PACKED, packed.len())?;
    put32(&mut blob, layout::blob::STREAMS, streams.as_ref().map_or(0, Vec::len))?;
    blob.extend(packed);
    let checksum = fold(&blob[layout::blob::RAW..]);
    blob[layout::blob::CHECKSUM..layout::blob::RAW].copy_from_slice(&checksum.to_le_bytes());
    Ok(blob)
}

/// The module in a blob, unpacked by the loader's own code.
pub fn unpack(blob: &Blob) -> Result<Vec<u8>> {
    if let Some(stored) = blob.stored() {
        return Ok(stored.to_vec());
    }
    let (mut image, mut streams) = (vec![0; blob.raw_length()], vec![0; blob.streams_length()]);
    let unpacked = blob.unpack::<false>(&mut image, &mut streams);
    unpacked.map(|()| image).map_err(|Corrupt| anyhow!("its blob does not unpack"))
}

/// Raw DEFLATE.
pub(crate) fn deflate(plain: &[u8], level: CompressionLvl) -> Result<Vec<u8>> {
    let mut compressor = Compressor::new(level);
    let mut packed = vec![0; compressor.deflate_compress_bound(plain.len())];
    let length = compressor.deflate_compress(plain, &mut packed).context("it cannot be compressed")?;
    packed.truncate(length);
    Ok(packed)
}

fn put32(bytes: &mut [u8], at: usize, value: usize) -> Result<()> {
    let value = u32::try_from(value).context("a module is larger than 4 GiB")?;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Ok(())
}

impl Compress {
    /// libdeflate's level; none where nothing is to be compressed. Over 41 MB of modules, filtered, level 6 takes 1.7 s of
    /// processor time, 10 takes 3.7 s for 3.8 % less, 11 takes 5.0 s for 4.0 % less, and 12 takes 6.5 s for hardly a byte
    /// less.
    fn level(self) -> Option<CompressionLvl> {
        let level = match self {
            Compress::Best => 11,
            Compress::Fast => 6,
            Compress::Store | Compress::None => return None,
        };
        CompressionLvl::new(level).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Vec<Vec<u8>> {
        let mut seed = 1_u64;
        let noise = (0..5000).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        });
        vec![b"compressible ".repeat(1000), noise.collect(), Vec::new(), vec![7; 3]]
    }

    #[test]
    fn blobs_unpack_to_what_they_were_at_every_level() {
        for compress in [Compress::Best, Compress::Fast, Compress::Store, Compress::None] {
            let contents = contents();
            let blobs =
                pack(contents.len(), compress, &Cache::none(), &ProgressBar::hidden(), |n| Ok(contents[n].clone()))
                    .unwrap();
            for (place, content) in blobs.places.iter().zip(&contents) {
                assert_eq!(place.offset as usize % layout::BLOB_ALIGN, 0);
                assert_eq!(&unpack(&Blob::at(&blobs.bytes, place.offset).unwrap()).unwrap(), content);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored() {
        let contents = contents();
        let blobs =
            pack(2, Compress::Best, &Cache::none(), &ProgressBar::hidden(), |n| Ok(contents[n].clone())).unwrap();
        assert!(blobs.places[0].packed < blobs.places[0].raw);
        assert_eq!(blobs.places[1].packed, blobs.places[1].raw);
    }

    #[test]
    fn a_cache_is_used_and_never_believed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        let contents = contents();
        let pack = || pack(contents.len(), Compress::Fast, &cache, &ProgressBar::hidden(), |n| Ok(contents[n].clone()));
        let blobs = pack().unwrap();
        // An entry that is sound, but of another module, and one that is damaged.
        let first = cache.get(&contents[0], Compress::Fast);
        let other = cache.get(&contents[3], Compress::Fast).unwrap();
        cache.put(&contents[0], Compress::Fast, &other);
        cache.put(&contents[1], Compress::Fast, b"damaged");
        assert_eq!(pack().unwrap().bytes, blobs.bytes);
        assert_eq!(cache.get(&contents[0], Compress::Fast), first, "it was packed anew");
        // What a cache has is taken: this blob unpacks as it should, and no packer of ours would have made it.
        let stored = blob(&contents[0], Compress::Store).unwrap();
        cache.put(&contents[0], Compress::Fast, &stored);
        assert!(pack().unwrap().bytes.starts_with(&stored));
    }
}
