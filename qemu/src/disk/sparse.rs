//! Copying disk images without filling their holes.

use std::io::{Read, Result, Seek, SeekFrom, Write};

const CHUNK: usize = 64 * 1024;

/// Copies `source` to its end into `target` from its current position on; chunks of zeros are skipped, so
/// `target` must be new. Returns the bytes that `source` had.
pub(crate) fn copy(source: &mut impl Read, target: &mut (impl Write + Seek)) -> Result<u64> {
    let mut buffer = vec![0; CHUNK];
    let mut total = 0;
    loop {
        let length = source.read(&mut buffer)?;
        let chunk = &buffer[..length];
        if chunk.is_empty() {
            return Ok(total);
        }
        if chunk.iter().all(|&byte| byte == 0) {
            target.seek(SeekFrom::Current(length as i64))?;
        } else {
            target.write_all(chunk)?;
        }
        total += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn holes_stay_and_data_arrives() {
        let mut source = vec![0; 3 * CHUNK + 7];
        source[2 * CHUNK + 5] = 1;
        *source.last_mut().unwrap() = 2;
        let mut target = Cursor::new(Vec::new());
        assert_eq!(copy(&mut source.as_slice(), &mut target).unwrap(), source.len() as u64);
        assert_eq!(target.into_inner(), source);
    }
}
