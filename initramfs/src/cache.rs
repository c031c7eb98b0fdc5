//! Blobs kept between builds, and what was read of module trees, since both take most of a build's time.
//!
//! A blob is found by the checksum of its module and by how it was packed. It is not trusted: who takes it out unpacks it
//! and compares the checksum. So a cache that is damaged or written by several builds at once costs time, and nothing
//! else; and what cannot be read or written is passed over in silence.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use modstrap::table::fold;

use crate::Compress;

/// How much a cache may hold, in bytes: some ten images.
const LIMIT: u64 = 256 << 20;
/// Counts the ways in which the same module was packed: entries of another count are never found, and go in time.
const VERSION: u32 = 1;

/// Where the user's caches are: `$MODSTRAP_CACHE`, or `modstrap` in `$XDG_CACHE_HOME` or `~/.cache`; of these the first
/// that `counts`.
pub fn of_user(counts: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| counts(path));
    let user = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    variable("MODSTRAP_CACHE").or_else(|| Some(user()?.join("modstrap")))
}

/// A directory with blobs.
#[derive(Clone, Debug)]
pub struct Cache {
    /// None for a cache that keeps nothing.
    directory: Option<PathBuf>,
}

impl Cache {
    /// A cache that keeps nothing.
    pub fn none() -> Cache {
        Cache { directory: None }
    }

    /// The cache in this directory, which need not exist.
    pub fn at(directory: &Path) -> Cache {
        Cache { directory: Some(directory.into()) }
    }

    /// The user's: `packed` in [`of_user`]'s directory, of which no path counts that depends on where the program is run.
    pub fn of_user() -> Cache {
        Cache { directory: of_user(Path::is_absolute).map(|base| base.join("packed")) }
    }

    /// The blob of a module as far as the cache knows: to be compared with the module before it is used.
    pub fn get(&self, module: &Identity, compress: Compress) -> Option<Vec<u8>> {
        self.get_file(&module.entry(compress))
    }

    /// Keeps the blob of a module.
    pub fn put(&self, module: &Identity, compress: Compress, blob: &[u8]) {
        self.put_file(&module.entry(compress), blob);
    }

    /// The content of an entry, which may be damaged.
    pub fn get_file(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.directory.as_ref()?.join(name);
        let content = fs::read(&path).ok()?;
        // What was used last is kept longest.
        let _ = File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(content)
    }

    /// Keeps an entry.
    pub fn put_file(&self, name: &str, content: &[u8]) {
        if let Some(directory) = &self.directory {
            // Others see the whole of an entry or nothing of it.
            let _ = fs::create_dir_all(directory).and_then(|()| {
                let mut file = tempfile::NamedTempFile::new_in(directory)?;
                file.write_all(content)?;
                file.persist(directory.join(name)).map_err(io::Error::from).map(drop)
            });
        }
    }

    /// Removes what was not used for longest, until the rest is within the limit.
    pub fn trim(&self) {
        self.trim_to(LIMIT);
    }

    fn trim_to(&self, limit: u64) {
        let Some(entries) = self.directory.as_ref().and_then(|directory| fs::read_dir(directory).ok()) else { return };
        let mut entries: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(|entry| {
                let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?))).ok()?;
                Some((metadata.modified().ok()?, metadata.len(), path))
            })
            .collect();
        entries.sort();
        let mut held: u64 = entries.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in entries {
            if held <= limit {
                break;
            }
            let _ = fs::remove_file(path);
            held -= length;
        }
    }
}

/// What stands for a module's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Their checksum.
    pub checksum: u64,
    /// How many they are.
    pub length: u64,
}

impl Identity {
    /// That of these bytes.
    pub fn of(bytes: &[u8]) -> Identity {
        Identity { checksum: fold(bytes), length: bytes.len() as u64 }
    }

    fn entry(&self, compress: Compress) -> String {
        format!("{:016x}-{:x}-{compress:?}-{VERSION}", self.checksum, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_kept_for_the_same_module_and_way_of_packing() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(&directory.path().join("made/when/needed"));
        assert_eq!(cache.get(&Identity::of(b"module"), Compress::Best), None);
        cache.put(&Identity::of(b"module"), Compress::Best, b"blob");
        assert_eq!(cache.get(&Identity::of(b"module"), Compress::Best).as_deref(), Some(b"blob".as_slice()));
        assert_eq!(cache.get(&Identity::of(b"module"), Compress::Fast), None);
        assert_eq!(cache.get(&Identity::of(b"Module"), Compress::Best), None);
        cache.put(&Identity::of(b"module"), Compress::Best, b"another");
        assert_eq!(cache.get(&Identity::of(b"module"), Compress::Best).as_deref(), Some(b"another".as_slice()));
    }

    #[test]
    fn a_cache_that_keeps_nothing_or_cannot_be_written_is_no_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for cache in [Cache::none(), Cache::at(file.path())] {
            cache.put(&Identity::of(b"module"), Compress::Best, b"blob");
            cache.trim();
            assert_eq!(cache.get(&Identity::of(b"module"), Compress::Best), None);
        }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        for (age, module) in [(30, b"old"), (20, b"mid"), (10, b"new")] {
            cache.put(&Identity::of(module), Compress::Fast, &[0; 100]);
            let time = SystemTime::now() - std::time::Duration::from_secs(age);
            File::open(directory.path().join(Identity::of(module).entry(Compress::Fast)))
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        assert!(cache.get(&Identity::of(b"old"), Compress::Fast).is_some(), "and is now the one used last");
        cache.trim_to(250);
        let kept = [b"old", b"mid", b"new"].map(|module| cache.get(&Identity::of(module), Compress::Fast).is_some());
        assert_eq!(kept, [true, false, true]);
    }

    #[test]
    fn several_builds_may_write_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path());
        let blobs: Vec<Vec<u8>> = (0..8).map(|number| vec![number; 100_000]).collect();
        std::thread::scope(|scope| {
            for blob in &blobs {
                scope.spawn(|| (0..50).for_each(|_| cache.put(&Identity::of(b"module"), Compress::Fast, blob)));
            }
            for _ in 0..200 {
                let read = cache.get(&Identity::of(b"module"), Compress::Fast);
                assert!(read.is_none_or(|read| blobs.contains(&read)), "an entry is whole");
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
