//! Packing modules: each one compressed on its own, so that only what is loaded is ever decoded, and byte-exact after
//! decoding, so that signatures hold.

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use libdeflater::{CompressionLvl, Compressor};
use modstrap::table::{fold, layout};
use rayon::prelude::*;

use crate::Compress;

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
    progress: &ProgressBar,
    read: impl Fn(usize) -> Result<Vec<u8>> + Sync,
) -> Result<Blobs> {
    let pack_one = |index: usize| {
        let raw = read(index)?;
        let blob = blob(&raw, compress)?;
        progress.inc(1);
        Ok((raw.len(), blob))
    };
    let packed: Vec<Result<(usize, Vec<u8>)>> = (0..count).into_par_iter().map(pack_one).collect();
    let mut blobs = Blobs::default();
    for one in packed {
        let (raw, blob) = one?;
        blobs.places.push(Place { offset: blobs.bytes.len() as u64, raw, packed: blob.len() - layout::blob::HEADER });
        blobs.bytes.extend(blob);
        blobs.bytes.resize(blobs.bytes.len().next_multiple_of(layout::BLOB_ALIGN), 0);
    }
    Ok(blobs)
}

/// One module's blob: its header, then its packed bytes; as they are where packing would not make them fewer.
fn blob(raw: &[u8], compress: Compress) -> Result<Vec<u8>> {
    let packed = compress.level().map(|level| deflate(raw, level)).transpose()?;
    let packed = packed.filter(|packed| packed.len() < raw.len());
    let packed = packed.as_deref().unwrap_or(raw);
    let mut blob = vec![0; layout::blob::HEADER];
    put32(&mut blob, layout::blob::RAW, raw.len())?;
    put32(&mut blob, layout::blob::PACKED, packed.len())?;
    blob.extend(packed);
    let checksum = fold(&blob[layout::blob::RAW..]);
    blob[layout::blob::CHECKSUM..layout::blob::RAW].copy_from_slice(&checksum.to_le_bytes());
    Ok(blob)
}

/// Raw DEFLATE, tried out with the decoder of the loader.
fn deflate(raw: &[u8], level: CompressionLvl) -> Result<Vec<u8>> {
    let mut compressor = Compressor::new(level);
    let mut packed = vec![0; compressor.deflate_compress_bound(raw.len())];
    let length = compressor.deflate_compress(raw, &mut packed).context("a module cannot be compressed")?;
    packed.truncate(length);
    let unpacked = miniz_oxide::inflate::decompress_to_vec_with_limit(&packed, raw.len());
    ensure!(unpacked.is_ok_and(|unpacked| unpacked == raw), "a packed module does not unpack to what it was");
    Ok(packed)
}

fn put32(bytes: &mut [u8], at: usize, value: usize) -> Result<()> {
    let value = u32::try_from(value).context("a module is larger than 4 GiB")?;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    Ok(())
}

impl Compress {
    /// libdeflate's level; none where nothing is to be compressed.
    fn level(self) -> Option<CompressionLvl> {
        let level = match self {
            Compress::Best => 12,
            Compress::Fast => 6,
            Compress::Store => return None,
        };
        CompressionLvl::new(level).ok()
    }
}
