//! What was read of a tree's module files, kept between builds: to unpack and read thousands takes most of the time of a
//! build that has all else at hand.
//!
//! A record counts as long as its file is the very one that was read, by all that the system says of it without opening
//! it. What cannot be used, for whatever reason, is read anew, and says nothing.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use modstrap::table::fold;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::module::Module;

/// What the records were made by: those of other sources may say other things.
const MAKER: &str = env!("MODSTRAP_SOURCES");

/// A file that was changed less than this before it was read may be changed again without showing it.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells a file from what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of a file with this metadata.
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether every change from now on will show.
    fn is_settled(&self) -> bool {
        let changed =
            u64::try_from(self.changed.0).map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        changed.is_ok_and(|changed| SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED))
    }
}

/// The records of one tree, by the files' paths below its directory.
pub(super) struct Records(HashMap<PathBuf, (Stamp, Module)>);

impl Records {
    /// Those that the cache has of the tree in `directory`.
    pub(super) fn load(cache: &Cache, directory: &Path) -> Records {
        let read = || {
            let bytes = cache.get_file(&name(directory)?)?;
            let (checksum, content) = bytes.split_first_chunk()?;
            let is_whole = u64::from_le_bytes(*checksum) == fold(content);
            let records: Vec<(Stamp, Module)> = postcard::from_bytes(is_whole.then_some(content)?).ok()?;
            Some(records.into_iter().map(|(stamp, module)| (module.path.clone(), (stamp, module))).collect())
        };
        Records(read().unwrap_or_default())
    }

    /// The module in a file, if the record of it is of this very file.
    pub(super) fn take(&mut self, path: &Path, stamp: &Stamp) -> Option<Module> {
        self.0.remove(path).filter(|(of, _)| of == stamp).map(|(_, module)| module)
    }

    /// Keeps records of these modules for later builds.
    pub(super) fn save<'m>(cache: &Cache, directory: &Path, modules: impl Iterator<Item = (&'m Stamp, &'m Module)>) {
        let kept: Vec<_> = modules.filter(|(stamp, _)| stamp.is_settled()).collect();
        if let (Some(name), Ok(content)) = (name(directory), postcard::to_stdvec(&kept)) {
            cache.put_file(&name, &[&fold(&content).to_le_bytes(), content.as_slice()].concat());
            cache.trim();
        }
    }
}

/// The name of a tree's records in the cache.
fn name(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    Some(format!("tree-{:016x}-{MAKER}", fold(directory.as_os_str().as_encoded_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stands_for_its_file_and_for_no_other() {
        let (cached, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let cache = Cache::at(cached.path());
        let stamp = Stamp { device: 1, inode: 2, length: 3, modified: (4, 5), changed: (6, 7) };
        let young = Stamp { changed: (i64::MAX, 0), ..stamp };
        let [old, new] = ["old.ko", "new.ko"].map(Path::new);
        let [module, other] = [old, new].map(|path| Module::sample(path, &["x"], &["y"]));
        Records::save(&cache, tree.path(), [(&stamp, &module), (&young, &other)].into_iter());
        let take = |path, stamp| Records::load(&cache, tree.path()).take(path, &stamp);
        assert_eq!(take(old, stamp), Some(module));
        assert_eq!(take(old, Stamp { modified: (4, 6), ..stamp }), None, "it was changed");
        assert_eq!(take(old, Stamp { changed: (6, 8), ..stamp }), None, "it was replaced");
        assert_eq!(take(new, young), None, "it may change once more");
        assert!(Records::load(&cache, cached.path()).0.is_empty(), "another tree");
    }
}
