//! Packing modules: each one filtered and compressed on its own, so that only what is loaded is ever decoded, and
//! byte-exact after decoding, so that signatures hold. What is packed was unpacked by the loader's own code.

use anyhow::{Context, Result, anyhow, ensure};
use indicatif::ProgressBar;
use libdeflater::{CompressionLvl, Compressor};
use modstrap::module::{Blob, Corrupt, PADDING};
use modstrap::table::{fold, layout};
use rayon::prelude::*;

use crate::Compress;
use crate::cache::{Cache, Identity};
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

/// Packs modules, several at a time. Those that the cache has are not even read; of the others `read` gives the contents,
/// by their numbers among these.
pub fn pack(
    modules: &[Identity],
    compress: Compress,
    cache: &Cache,
    progress: &ProgressBar,
    read: impl Fn(usize) -> Result<Vec<u8>> + Sync,
) -> Result<Blobs> {
    progress.set_length(modules.len() as u64);
    let pack_one = |(index, module): (usize, &Identity)| {
        let blob = cached_blob(module, compress, cache, || read(index))?;
        progress.inc(1);
        Ok((module.length as usize, blob))
    };
    let packed: Vec<Result<(usize, Vec<u8>)>> = modules.par_iter().enumerate().map(pack_one).collect();
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

/// The same for modules whose contents are at hand.
pub fn pack_contents(contents: &[Vec<u8>], compress: Compress, cache: &Cache) -> Result<Blobs> {
    let identities: Vec<Identity> = contents.iter().map(|content| Identity::of(content)).collect();
    pack(&identities, compress, cache, &ProgressBar::hidden(), |number| Ok(contents[number].clone()))
}

/// One module's blob: from the cache if it knows it, or packed anew.
fn cached_blob(
    module: &Identity,
    compress: Compress,
    cache: &Cache,
    read: impl FnOnce() -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let unpacked = |blob: &Vec<u8>| {
        let padded = [blob, [0; PADDING].as_slice()].concat();
        unpack(&Blob::at(&padded, 0)?).ok()
    };
    let is_sound = |blob: &Vec<u8>| unpacked(blob).is_some_and(|raw| Identity::of(&raw) == *module);
    if let Some(blob) = cache.get(module, compress).filter(is_sound) {
        return Ok(blob);
    }
    let raw = read()?;
    ensure!(Identity::of(&raw) == *module, "a module has changed while the image was being built; build it again");
    let blob = blob(&raw, compress)?;
    ensure!(unpacked(&blob) == Some(raw), "a packed module does not unpack to what it was");
    cache.put(module, compress, &blob);
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
            let blobs = pack_contents(&contents, compress, &Cache::none()).unwrap();
            for (place, content) in blobs.places.iter().zip(&contents) {
                assert_eq!(place.offset as usize % layout::BLOB_ALIGN, 0);
                assert_eq!(&unpack(&Blob::at(&blobs.bytes, place.offset).unwrap()).unwrap(), content);
            }
        }
    }

    #[test]
    fn what_does_not_shrink_is_stored() {
        let contents = contents();
        let blobs = pack_contents(&contents[..2], Compress::Best, &Cache::none()).unwrap();
        assert!(blobs.places[0].packed < blobs.places[0].raw);
        assert_eq!(blobs.places[1].packed, blobs.places[1].raw);
    }

    #[test]
    fn a_cache_is_used_and_never_believed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        let contents = contents();
        let identity = |number: usize| Identity::of(&contents[number]);
        let pack = || pack_contents(&contents, Compress::Fast, &cache);
        let blobs = pack().unwrap();
        // An entry that is sound, but of another module, and one that is damaged.
        let first = cache.get(&identity(0), Compress::Fast);
        let other = cache.get(&identity(3), Compress::Fast).unwrap();
        cache.put(&identity(0), Compress::Fast, &other);
        cache.put(&identity(1), Compress::Fast, b"damaged");
        assert_eq!(pack().unwrap().bytes, blobs.bytes);
        assert_eq!(cache.get(&identity(0), Compress::Fast), first, "it was packed anew");
        // What a cache has is taken: this blob unpacks as it should, and no packer of ours would have made it.
        let stored = blob(&contents[0], Compress::Store).unwrap();
        cache.put(&identity(0), Compress::Fast, &stored);
        assert!(pack().unwrap().bytes.starts_with(&stored));
    }
}
