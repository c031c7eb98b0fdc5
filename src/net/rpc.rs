//! As much of Sun's RPC (RFC 5531) over TCP as tells which versions of a program a server has.

/// Room for an answer.
pub const ANSWER: usize = 64;

/// Which call an answer is for.
const CALL: u32 = u32::from_be_bytes(*b"mods");

/// A call to a version of NFS, of the procedure that does nothing: the last fragment, and its length; the call, version 2 of
/// RPC, program 100003, version, procedure; no credentials, nothing to verify.
pub fn null(version: u8) -> [u8; 44] {
    let mut call = *b"\x80\0\0\x28mods\0\0\0\0\0\0\0\x02\0\x01\x86\xa3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    call[23] = version;
    call
}

/// The newest version, up to the one that was called, that the server has, by its answer; none where that is no answer, or
/// it has none.
pub fn newest(answer: &[u8], version: u32) -> Option<u32> {
    const SUCCESS: u32 = 0;
    const MISMATCH: u32 = 2;
    let word = |index: usize| Some(u32::from_be_bytes(*answer.get(index * 4..)?.first_chunk()?));
    // Length, call, answer, accepted, and the flavour and length of a verifier.
    if [word(1)?, word(2)?, word(3)?] != [CALL, 1, 0] {
        return None;
    }
    let verifier = usize::try_from(word(5)?).ok()?.div_ceil(4).min(ANSWER);
    match word(6 + verifier)? {
        SUCCESS => Some(version),
        MISMATCH => Some(word(8 + verifier)?.min(version)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(words: &[u32]) -> Vec<u8> {
        let words: Vec<u32> = [0x8000_0000 | (words.len() as u32 * 4), CALL].iter().chain(words).copied().collect();
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn reads_which_versions_there_are() {
        assert_eq!(newest(&answer(&[1, 0, 0, 0, 0]), 4), Some(4));
        assert_eq!(newest(&answer(&[1, 0, 0, 0, 2, 2, 3]), 4), Some(3));
        assert_eq!(newest(&answer(&[1, 0, 0, 5, 7, 8, 0]), 4), Some(4));
        assert_eq!(newest(&answer(&[1, 0, 0, 0, 1]), 4), None);
        assert_eq!(newest(&answer(&[1, 1, 0, 0, 0]), 4), None);
        assert_eq!(newest(&answer(&[1, 0, 0, u32::MAX, 0]), 4), None);
        assert_eq!(newest(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", 4), None);
        let whole = answer(&[1, 0, 0, 0, 2, 2, 3]);
        for length in 0..whole.len() {
            assert_eq!(newest(&whole[..length], 4), None);
        }
    }
}
