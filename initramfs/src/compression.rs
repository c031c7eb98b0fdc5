//! Compressed files as distributions ship them: what a file is compressed with, told by its first bytes, and its content.

use std::io::{self, Read};

use liblzma::stream::Stream;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// The .xz container.
    Xz,
    /// LZMA alone, as old kernels use it.
    Lzma,
    /// Zstandard frames.
    Zstd,
    /// bzip2.
    Bzip2,
    /// The legacy LZ4 frame, the only one the kernel knows.
    Lz4,
}

/// The most that a block of a legacy LZ4 frame unpacks to (`lz4`'s `LEGACY_BLOCKSIZE`).
const LZ4_BLOCK: usize = 8 << 20;
/// The dictionary that the LZMA decoder may take, in bytes: more than any kernel's.
const LZMA_MEMORY: u64 = 256 << 20;

impl Format {
    /// Every format, with the bytes it begins with.
    pub const ALL: [(Format, &'static [u8]); 6] = [
        (Format::Gzip, b"\x1f\x8b\x08"),
        (Format::Xz, b"\xfd7zXZ\0"),
        (Format::Lzma, b"\x5d\0\0"),
        (Format::Zstd, b"\x28\xb5\x2f\xfd"),
        (Format::Bzip2, b"BZh"),
        (Format::Lz4, b"\x02\x21\x4c\x18"),
    ];

    /// The format of `bytes`; none if they are not compressed in any known one.
    pub fn of(bytes: &[u8]) -> Option<Format> {
        Self::ALL.iter().find(|(_, magic)| bytes.starts_with(magic)).map(|(format, _)| *format)
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Format::Gzip => "gzip",
            Format::Xz => "xz",
            Format::Lzma => "lzma",
            Format::Zstd => "zstd",
            Format::Bzip2 => "bzip2",
            Format::Lz4 => "lz4",
        }
    }

    /// Unpacks the first stream of `bytes`; what follows it is left alone, as kernel images have their size there.
    pub fn decompress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        match self {
            Format::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut content),
            Format::Xz => liblzma::read::XzDecoder::new(bytes).read_to_end(&mut content),
            Format::Lzma => {
                let decoder = Stream::new_lzma_decoder(LZMA_MEMORY).map_err(io::Error::other)?;
                liblzma::read::XzDecoder::new_stream(bytes, decoder).read_to_end(&mut content)
            }
            Format::Zstd => zstd::Decoder::with_buffer(bytes)?.single_frame().read_to_end(&mut content),
            Format::Bzip2 => bzip2::read::BzDecoder::new(bytes).read_to_end(&mut content),
            Format::Lz4 => return lz4_legacy(bytes),
        }?;
        Ok(content)
    }
}

/// The legacy frame: its magic, then blocks that each begin with their packed size. The kernel's build appends the
/// unpacked size, which then stands where another block would.
fn lz4_legacy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut rest = bytes.get(4..).unwrap_or_default();
    while let Some((size, tail)) = rest.split_first_chunk::<4>() {
        let size = u32::from_le_bytes(*size) as usize;
        if tail.is_empty() && size == content.len() {
            return Ok(content);
        }
        let Some((block, tail)) = tail.split_at_checked(size) else { break };
        content.extend(lz4_flex::block::decompress(block, LZ4_BLOCK).map_err(io::Error::other)?);
        rest = tail;
    }
    if rest.is_empty() {
        return Ok(content);
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a block ends before its size says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn pack(tool: &str, arguments: &[&str], content: &[u8]) -> Vec<u8> {
        let mut child = Command::new(tool)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{tool}: {error}; install it"));
        child.stdin.take().unwrap().write_all(content).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    fn content() -> Vec<u8> {
        (0..100_000_u32).flat_map(|number| (number / 3).to_le_bytes()).collect()
    }

    fn round_trip(format: Format, packed: &[u8]) {
        assert_eq!(Format::of(packed), Some(format));
        assert!(format.decompress(packed).unwrap() == content());
        let mut trailed = packed.to_vec();
        trailed.extend((content().len() as u32).to_le_bytes());
        assert!(format.decompress(&trailed).unwrap() == content(), "{} with its size behind it", format.name());
        assert!(format.decompress(&packed[..packed.len() / 2]).is_err(), "{} cut off", format.name());
    }

    #[test]
    fn unpacks_what_the_tools_pack_and_refuses_what_is_cut_off() {
        round_trip(Format::Gzip, &pack("gzip", &["-c"], &content()));
        round_trip(Format::Xz, &pack("xz", &["-c", "--check=crc32"], &content()));
        round_trip(Format::Lzma, &pack("xz", &["-c", "--format=lzma"], &content()));
        round_trip(Format::Zstd, &pack("zstd", &["-c", "-q"], &content()));
    }

    #[test]
    fn unpacks_bzip2() {
        let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        packer.write_all(&content()).unwrap();
        round_trip(Format::Bzip2, &packer.finish().unwrap());
    }

    #[test]
    fn unpacks_legacy_lz4() {
        let mut frame = b"\x02\x21\x4c\x18".to_vec();
        for block in content().chunks(200_000) {
            let block = lz4_flex::block::compress(block);
            frame.extend((block.len() as u32).to_le_bytes());
            frame.extend(block);
        }
        round_trip(Format::Lz4, &frame);
    }

    #[test]
    fn leaves_alone_what_is_not_compressed() {
        assert_eq!(Format::of(b"\x7fELF"), None);
        assert_eq!(Format::of(b""), None);
    }
}
