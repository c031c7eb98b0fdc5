//! The version magic of a kernel: the text that a module's `vermagic` is compared with (`VERMAGIC_STRING` in
//! include/linux/vermagic.h, a constant of kernel/module/main.c).

use std::collections::BTreeSet;

use super::find_all;

/// Longer than any: a release has at most 64 bytes, and a dozen words may follow.
const LONGEST: usize = 256;

/// The version magic in an unwrapped kernel, without the space at its end: the release, then words alone up to a NUL.
/// None where there is no such text, or several.
pub(super) fn vermagic(content: &[u8], release: &str) -> Option<String> {
    let start = format!("{release} ");
    let texts = find_all(content, start.as_bytes()).filter_map(|at| {
        let text = &content[at..content.len().min(at + LONGEST)];
        let text = std::str::from_utf8(&text[..text.iter().position(|&byte| byte == 0)?]).ok()?;
        text.bytes().all(is_of_word).then(|| text.trim_end())
    });
    let mut found: BTreeSet<&str> = texts.collect();
    found.pop_first().filter(|_| found.is_empty()).map(str::to_string)
}

/// The marks of the banner and of compilers' versions are not among these.
fn is_of_word(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_alphanumeric() || b"_.+-~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_from_other_texts_with_the_release() {
        let image = b"Linux version 6.9.1 (cc) #1 SMP\0\x016.9.1 SMP preempt mod_unload modversions \0 6.9.1\0";
        assert_eq!(vermagic(image, "6.9.1").as_deref(), Some("6.9.1 SMP preempt mod_unload modversions"));
        assert_eq!(vermagic(b"6.9.1 SMP aarch64\0", "6.9.1").as_deref(), Some("6.9.1 SMP aarch64"));
        assert_eq!(vermagic(b"6.9.1 \0", "6.9.1").as_deref(), Some("6.9.1"));
        assert_eq!(vermagic(b"6.9.1 SMP \0 6.9.1 aarch64 \0", "6.9.1"), None);
        assert_eq!(vermagic(b"6.9.1 SMP", "6.9.1"), None);
    }
}
