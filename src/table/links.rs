//! Load orders.

use super::layout::{Section, list, module};
use super::{ModuleId, Table, u16_at, u32_at};

/// One element of a module's load order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link<'a> {
    /// A module to load.
    Module {
        /// The module.
        module: ModuleId,
        /// Loaded if it can be; its failure does not matter.
        soft: bool,
    },
    /// Load the first module that this machine's processor can run, of those that answer to this alias; that there is
    /// none does not matter. Only in the load orders of boots.
    Choice(&'a [u8]),
}

/// The links of a module's plan or, for a boot, of its closure.
pub(super) struct Links<'a> {
    own: ModuleId,
    links: &'a [u8],
    choices: &'a [u8],
}

impl<'a> Links<'a> {
    #[inline(never)]
    pub(super) fn new(table: &Table<'a>, own: ModuleId, boot: bool) -> Self {
        let place = u32_at(table.record(own), module::LIST) as usize & PLACE;
        let plan = table.section(Section::Lists).get(list::LINK * place..).unwrap_or_default();
        let number = u16_at(plan, 0);
        let (links, behind) = cut(plan, number >> list::COUNT_SHIFT);
        let links = match boot && number & list::HAS_CLOSURE != 0 {
            true => cut(behind, u16_at(behind, 0)).0,
            false => links,
        };
        Links { own, links, choices: table.section(Section::Choices) }
    }
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Link<'a>> {
        let (&link, rest) = self.links.split_first_chunk()?;
        self.links = rest;
        let link = u16::from_le_bytes(link);
        let number = link & list::NUMBER;
        Some(match link {
            list::OWN => Link::Module { module: self.own, soft: false },
            _ if link & list::CHOICE != 0 => {
                Link::Choice(self.choices.split(|&byte| byte == 0).nth(number.into()).unwrap_or_default())
            }
            _ => Link::Module { module: ModuleId(number), soft: link & list::SOFT != 0 },
        })
    }
}

/// The links of a list that holds so many, and what stands behind it.
fn cut(list: &[u8], count: u16) -> (&[u8], &[u8]) {
    let links = list.get(list::LINK..).unwrap_or_default();
    links.split_at_checked(list::LINK * usize::from(count)).unwrap_or_default()
}

/// The bits of a place, read as 32.
const PLACE: usize = 0xff_ffff;
