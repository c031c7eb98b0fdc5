//! Load orders.

use super::layout::{Section, list, module};
use super::{ModuleId, Table, texts, u16_at, u32_at};

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
#[derive(Clone)]
pub struct Links<'a> {
    own: ModuleId,
    links: &'a [u8],
    left: u16,
    choices: &'a [u8],
}

impl<'a> Links<'a> {
    #[inline(never)]
    pub(super) fn new(table: &Table<'a>, own: ModuleId, boot: bool) -> Self {
        let place = u32_at(table.record(own), module::LIST) as usize & PLACE;
        let mut list = table.section(Section::Lists).get(list::LINK * place..).unwrap_or_default();
        let number = u16_at(list, 0);
        let mut left = number >> list::COUNT_SHIFT;
        if boot && number & list::HAS_CLOSURE != 0 {
            list = list.get(list::LINK * (1 + usize::from(left))..).unwrap_or_default();
            left = u16_at(list, 0);
        }
        let links = list.get(list::LINK..).unwrap_or_default();
        Links { own, links, left, choices: table.section(Section::Choices) }
    }
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Link<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (&link, rest) = self.links.split_first_chunk()?;
        self.links = rest;
        let link = u16::from_le_bytes(link);
        let number = link & list::NUMBER;
        Some(match link {
            list::OWN => Link::Module { module: self.own, soft: false },
            _ if link & list::CHOICE != 0 => Link::Choice(texts(self.choices).nth(number.into()).unwrap_or_default()),
            _ => Link::Module { module: ModuleId(number), soft: link & list::SOFT != 0 },
        })
    }
}

/// The bits of a place, read as 32.
const PLACE: usize = 0xff_ffff;
