//! A kernel's configuration: the file that distributions put beside the image, or the copy within it (`CONFIG_IKCONFIG`,
//! kernel/configs.c).

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::find_all;
use crate::builtin::read_if_present;
use crate::compression::Format;

/// The options of a configuration that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// By name, without `CONFIG_`.
    options: HashMap<String, String>,
}

impl Config {
    /// Reads `config-RELEASE`, or else `config`, from the directory of the kernel image at `kernel`.
    pub fn beside(kernel: &Path, release: &str) -> Result<Option<Config>> {
        for name in [format!("config-{release}"), "config".to_string()] {
            if let Some(text) = read_if_present(&kernel.with_file_name(name))? {
                return Ok(Self::parse(&String::from_utf8_lossy(&text)));
            }
        }
        Ok(None)
    }

    /// The copy in an unwrapped kernel: gzip between two marks.
    pub(super) fn embedded(content: &[u8]) -> Option<Config> {
        const MARK: &[u8] = b"IKCFG_ST";
        let packed = find_all(content, MARK).map(|at| &content[at + MARK.len()..]);
        packed.filter(|packed| Format::of(packed) == Some(Format::Gzip)).find_map(|packed| {
            let text = Format::Gzip.decompress(packed).ok()?;
            Self::parse(&String::from_utf8_lossy(&text))
        })
    }

    /// Reads lines `CONFIG_NAME=value`; none where there is not one.
    pub(crate) fn parse(text: &str) -> Option<Config> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("CONFIG_")?.split_once('='));
        let options: HashMap<String, String> =
            lines.map(|(name, value)| (name.to_string(), value.trim_matches('"').to_string())).collect();
        (!options.is_empty()).then_some(Config { options })
    }

    /// Whether an option, named without `CONFIG_`, is built in.
    pub fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const TEXT: &str = "# Linux/x86 6.9.1\nCONFIG_MODULES=y\n# CONFIG_MODULE_SIG is not set\nCONFIG_EXT4_FS=m\n";

    #[test]
    fn reads_what_is_set() {
        let config = Config::parse(TEXT).unwrap();
        assert!(config.has("MODULES") && !config.has("MODULE_SIG") && !config.has("EXT4_FS"));
        assert_eq!(Config::parse("stub"), None);
    }

    #[test]
    fn finds_the_copy_in_an_image() {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(TEXT.as_bytes()).unwrap();
        let image = [b"IKCFG_ST of a message\0", &b"IKCFG_ST"[..], &packer.finish().unwrap(), b"IKCFG_ED"].concat();
        assert_eq!(Config::embedded(&image), Config::parse(TEXT));
        assert_eq!(Config::embedded(&image[..image.len() - 20]), None);
    }
}
