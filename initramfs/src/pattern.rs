//! The words with which the builder's facts speak of modules: patterns, names, and the mark for what the reference tree
//! does not have.

use std::fmt;

use anyhow::Result;
use globset::{GlobBuilder, GlobMatcher};

use crate::module::{Module, normal};
use crate::requests::parts;
use crate::tree::Tree;

/// A module, or a part of the kernel itself that could have been one.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Its name, with '_' for '-'.
    pub name: &'a str,
    /// Its place in the kernel's sources, see [`Module::place`].
    pub place: Option<&'a str>,
}

impl<'a> From<&'a Module> for Part<'a> {
    fn from(module: &'a Module) -> Self {
        Part { name: &module.name, place: module.place.as_deref() }
    }
}

/// Modules, by their place in the kernel's sources or by name.
#[derive(Debug)]
pub(crate) struct Pattern {
    glob: GlobMatcher,
    by_place: bool,
    elsewhere: bool,
}

/// A module, an alias or a part of the kernel.
#[derive(Debug)]
pub(crate) struct Name {
    name: String,
    elsewhere: bool,
}

/// The mark of what the reference tree does not have.
const ELSEWHERE: char = '~';

impl Pattern {
    pub(crate) fn parse(word: &str) -> Result<Pattern> {
        let (elsewhere, word) = marked(word);
        let glob = GlobBuilder::new(&normal(word)).literal_separator(false).build()?.compile_matcher();
        Ok(Pattern { glob, by_place: word.contains('/'), elsewhere })
    }

    pub(crate) fn fits(&self, part: Part) -> bool {
        match self.by_place {
            true => part.place.is_some_and(|place| self.glob.is_match(place)),
            false => self.glob.is_match(part.name),
        }
    }

    /// Whether it matches something of `tree`, or need not.
    pub(crate) fn is_in(&self, tree: &Tree) -> bool {
        let module = tree.modules.iter().any(|module| self.fits(module.into()));
        self.elsewhere || module || tree.builtin.parts().any(|part| self.fits(part))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.glob.glob().glob())
    }
}

impl Name {
    pub(crate) fn parse(word: &str) -> Name {
        let (elsewhere, word) = marked(word);
        Name { name: normal(word), elsewhere }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether something of `tree` goes by it, or need not.
    pub(crate) fn is_in(&self, tree: &Tree) -> bool {
        let simple = |part: &&String| !part.contains('(');
        self.elsewhere || parts(&self.name).iter().filter(simple).all(|part| !tree.find(part).is_empty())
    }
}

fn marked(word: &str) -> (bool, &str) {
    word.strip_prefix(ELSEWHERE).map_or((false, word), |word| (true, word))
}
