//! The signature that `sign-file` appends to a module: a PKCS#7 message, `struct module_signature`, and a mark
//! (include/linux/module_signature.h).
//!
//! Checked is what the kernel checks before it looks for a key (kernel/module_signature.c, `mod_check_sig`;
//! crypto/asymmetric_keys/pkcs7_parser.c). Whether the kernel trusts the signer is not known here.

use cms::cert::x509::der::{Decode, Encode};
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use const_oid::db::{DB, rfc5911::ID_SIGNED_DATA};
use serde::{Deserialize, Serialize};

/// The last bytes of a signed module.
const MARK: &[u8] = b"~Module signature appended~\n";

/// `struct module_signature`, which stands before the mark.
mod field {
    use std::ops::Range;

    /// Those that a PKCS#7 message leaves 0: algorithm, digest, and the lengths of the signer's name and key identifier.
    pub const UNUSED: [usize; 7] = [0, 1, 3, 4, 5, 6, 7];
    /// What identifies the key.
    pub const ID_TYPE: usize = 2;
    /// The length of the message in bytes, big-endian.
    pub const LENGTH: Range<usize> = 8..12;
    /// Of the whole structure, in bytes.
    pub const SIZE: usize = 12;
}

/// `PKEY_ID_PKCS7`.
const PKCS7: u8 = 2;

/// What a module's signature looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signature {
    /// There is none.
    #[default]
    None,
    /// One that the kernel would go on to verify, and its digest's name, such as `sha256`.
    Sound(String),
    /// One that the kernel refuses whatever it enforces, and why.
    Broken(String),
}

impl Signature {
    /// Reads the signature of the module in `bytes` (no longer compressed).
    pub fn of(bytes: &[u8]) -> Signature {
        match bytes.strip_suffix(MARK) {
            None => Signature::None,
            Some(signed) => Self::parse(signed).unwrap_or_else(|reason| Signature::Broken(reason.into())),
        }
    }

    fn parse(signed: &[u8]) -> Result<Signature, &'static str> {
        let (rest, info) = signed.split_last_chunk::<{ field::SIZE }>().ok_or("the file is shorter than one")?;
        let length = info[field::LENGTH].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if info[field::ID_TYPE] != PKCS7 {
            return Err("it is no PKCS#7 message");
        }
        if field::UNUSED.iter().any(|&at| info[at] != 0) {
            return Err("fields of its header that must be zero are not");
        }
        match rest.len().checked_sub(length) {
            None | Some(0) => Err("the file is shorter than its header says"),
            Some(at) => digest(&rest[at..]).map(Signature::Sound),
        }
    }
}

/// The name of the digest in a PKCS#7 message with a signer.
fn digest(message: &[u8]) -> Result<String, &'static str> {
    const DAMAGED: &str = "its PKCS#7 message is damaged or cut off";
    let content = ContentInfo::from_der(message).map_err(|_| DAMAGED)?;
    if content.content_type != ID_SIGNED_DATA {
        return Err("its PKCS#7 message is not one of signed data");
    }
    let data = content.content.to_der().and_then(|data| SignedData::from_der(&data)).map_err(|_| DAMAGED)?;
    let signer = data.signer_infos.0.iter().next().ok_or("its PKCS#7 message names no signer")?;
    let oid = signer.digest_alg.oid;
    let name = DB.by_oid(&oid).map_or_else(|| oid.to_string(), |name| name.trim_start_matches("id-").to_string());
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A module signed as `sign-file` does it, by OpenSSL with a key of its own.
    fn signed(content: &[u8]) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &str| {
            let words = arguments.split(' ').filter(|word| !word.is_empty());
            let output = Command::new("openssl").args(words).current_dir(&directory).output();
            let output = output.expect("openssl; install the package openssl");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        std::fs::write(directory.path().join("module"), content).unwrap();
        run("req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=test -days 2");
        run(
            "cms -sign -binary -in module -outform DER -out message -signer cert -inkey key -nocerts -noattr -md sha512",
        );
        let message = std::fs::read(directory.path().join("message")).unwrap();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [content, &message, &[0, 0, PKCS7, 0, 0, 0, 0, 0], &length, MARK].concat()
    }

    #[test]
    fn knows_sound_and_broken_ones() {
        let content = b"the content of a module";
        let whole = signed(content);
        assert_eq!(Signature::of(content), Signature::None);
        assert_eq!(Signature::of(&whole), Signature::Sound("sha512".into()));
        assert_eq!(Signature::of(&whole[..whole.len() - 1]), Signature::None);
        let broken = |bytes: &[u8]| match Signature::of(bytes) {
            Signature::Broken(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(broken(MARK), "the file is shorter than one");
        let header = whole.len() - MARK.len() - field::SIZE;
        assert_eq!(broken(&whole[whole.len() - header + content.len()..]), "the file is shorter than its header says");
        let changed = |at: usize, value: u8| {
            let mut bytes = whole.clone();
            bytes[at] = value;
            bytes
        };
        assert_eq!(broken(&changed(header + field::ID_TYPE, 1)), "it is no PKCS#7 message");
        assert_eq!(broken(&changed(header + 7, 1)), "fields of its header that must be zero are not");
        assert_eq!(broken(&changed(content.len() + 3, 0xff)), "its PKCS#7 message is damaged or cut off");
        let cut = [content, &whole[content.len() + 100..]].concat();
        assert_eq!(broken(&cut), "the file is shorter than its header says");
    }
}
