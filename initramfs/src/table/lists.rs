//! The section of load orders: modules that load the same share one.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use modstrap::table::glob;
use modstrap::table::layout::list;

use super::Entry;
use crate::closure::Link;

/// The section in the making, and that of the aliases in it.
pub(super) struct Lists {
    modules: usize,
    bytes: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
    choices: Vec<Vec<u8>>,
}

impl Lists {
    /// For a table of so many modules.
    pub(super) fn new(modules: usize) -> Self {
        Lists { modules, bytes: Vec::new(), places: HashMap::new(), choices: Vec::new() }
    }

    /// Where the lists of a module stand, in units of a link; they are added where they are new.
    pub(super) fn place(&mut self, own: usize, entry: &Entry) -> Result<u32> {
        let (plan, closure) = (self.links(own, &entry.plan)?, self.links(own, &entry.closure)?);
        let mut number = count(&plan)? << list::COUNT_SHIFT;
        ensure!(number >> list::COUNT_SHIFT == count(&plan)?, TOO_MANY);
        let mut lists = plan.concat();
        if closure != plan {
            number |= list::HAS_CLOSURE;
            lists.extend(count(&closure)?.to_le_bytes());
            lists.extend(closure.concat());
        }
        lists.splice(..0, number.to_le_bytes());
        let next = (self.bytes.len() / list::LINK) as u32;
        let place = *self.places.entry(lists).or_insert_with_key(|lists| {
            self.bytes.extend(lists);
            next
        });
        ensure!(place < 1 << 24, TOO_MANY);
        Ok(place)
    }

    fn links(&mut self, own: usize, links: &[Link]) -> Result<Vec<[u8; list::LINK]>> {
        let numbers = links.iter().map(|link| self.number(own, link)).collect::<Result<Vec<u16>>>()?;
        ensure!(numbers.contains(&list::OWN), "its load order does not hold itself");
        Ok(numbers.into_iter().map(u16::to_le_bytes).collect())
    }

    fn number(&mut self, own: usize, link: &Link) -> Result<u16> {
        match link {
            Link::Own => Ok(list::OWN),
            Link::Module { index, soft: false } if *index == own => Ok(list::OWN),
            Link::Module { index, soft } => {
                let count = self.modules;
                ensure!(*index < count, "its load order names module number {index} of {count}");
                Ok(*index as u16 | if *soft { list::SOFT } else { 0 })
            }
            Link::Choice(alias) => {
                let mut alias = alias.clone().into_bytes();
                ensure!(!alias.contains(&0), "its load order has a choice that is no text");
                glob::normalise(&mut alias);
                let known = self.choices.iter().position(|other| *other == alias);
                let number = known.unwrap_or_else(|| {
                    self.choices.push(alias);
                    self.choices.len() - 1
                });
                ensure!(number < usize::from(list::NUMBER), TOO_MANY);
                Ok(number as u16 | list::CHOICE)
            }
        }
    }

    /// The two sections.
    pub(super) fn into_bytes(self) -> (Vec<u8>, Vec<u8>) {
        let ended = self.choices.into_iter().flat_map(|alias| alias.into_iter().chain([0]));
        (self.bytes, ended.collect())
    }
}

const TOO_MANY: &str = "its dependencies are more than a table can hold; choose fewer modules";

fn count(links: &[[u8; list::LINK]]) -> Result<u16> {
    u16::try_from(links.len()).context(TOO_MANY)
}
