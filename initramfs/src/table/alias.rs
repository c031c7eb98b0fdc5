//! Taking patterns apart: a front, a literal key, and a tail, as [`front`](modstrap::table::layout::front) says.
//!
//! Any cut between the three is right as long as the key is literal. Where to cut decides how much a table shares and
//! how much a lookup tries in vain, so it is the aliases themselves that say it: what many have in common.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Result, bail, ensure};
use modstrap::table::glob;
use modstrap::table::layout::{block, front, layer};

use super::shared;

/// A front pays where so many different patterns have it; fewer are better tried one by one.
const FRONT_LEAST: usize = 8;
/// How many fronts a table has at most beside those that are empty.
const FRONTS: usize = 100;
// Each layer has an empty one.
const _: () = assert!(FRONTS + layer::BUILTIN as usize <= front::MAX as usize);
/// The end of a key goes to the tail only where so many patterns of a front share it.
const TAIL_LEAST: usize = 8;
/// How far the end of a key may go to the tail.
const TAIL_WORD: usize = 5;

/// A name or a pattern of some layer, normalised, and the number of its module.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    layer: u8,
    text: Vec<u8>,
    module: u16,
}

impl Alias {
    pub(super) fn new(layer: u8, text: &str, module: u16) -> Result<Alias> {
        let mut text = text.as_bytes().to_vec();
        if text.iter().any(u8::is_ascii_control) {
            bail!("its alias {} holds control characters", text.escape_ascii());
        }
        ensure!(
            !is_of_names(layer) || is_module_name(&text),
            "{:?} is no name that a module can have",
            text.escape_ascii()
        );
        ensure!(
            text.len() < block::KEY_MAX + block::TAIL_MAX,
            "its alias of {} characters is longer than a table can hold: {}...",
            text.len(),
            text[..60].escape_ascii()
        );
        glob::normalise(&mut text);
        Ok(Alias { layer, text, module })
    }
}

/// Whether a layer holds names of modules, which are keys as they are.
fn is_of_names(layer: u8) -> bool {
    matches!(layer, layer::NAMES | layer::BUILTIN_NAMES)
}

/// The kernel keeps names of up to 55 bytes (include/linux/module_symbol.h, `MODULE_NAME_LEN` on 64 bits).
fn is_module_name(text: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != front::NO_NAME;
    (1..=block::NAME_MAX).contains(&text.len()) && text.iter().all(is_plain) && literal(text) == text.len()
}

/// An alias taken apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pattern {
    pub(super) layer: u8,
    pub(super) front: Vec<u8>,
    pub(super) key: Vec<u8>,
    /// One tail, or several alternatives.
    pub(super) tail: Vec<u8>,
    pub(super) module: u16,
}

/// Takes all aliases apart; each pattern comes out once, sorted by layer, front and key.
pub(super) fn split(aliases: &[Alias]) -> Result<Vec<Pattern>> {
    let fronts = Fronts::new(aliases);
    let halves: Vec<Half> = aliases.iter().map(|alias| Half::new(alias, &fronts)).collect();
    let tails = count_tails(&halves);
    let mut merged: BTreeMap<_, BTreeSet<&[u8]>> = BTreeMap::new();
    for half in halves {
        let (key, tail) = half.rest.split_at(half.cut(&tails));
        merged.entry((half.layer, half.front, key, half.module)).or_default().insert(tail);
    }
    let mut patterns = Vec::new();
    for ((layer, front, key, module), tails) in merged {
        let pattern = |tail: Vec<u8>| Pattern { layer, front: front.to_vec(), key: key.to_vec(), tail, module };
        let alternatives = tails.iter().copied().collect::<Vec<_>>().join(&block::ALTERNATIVE);
        match alternatives.len() <= block::TAIL_MAX {
            true => patterns.push(pattern(alternatives)),
            false => patterns.extend(tails.into_iter().map(|tail| pattern(tail.to_vec()))),
        }
    }
    patterns.sort();
    Ok(patterns)
}

/// How long the text is up to its first special character.
fn literal(text: &[u8]) -> usize {
    text.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(text.len())
}

/// Where the longest word of a pattern begins, of those that only stars and words precede: 0 where that is the one it
/// begins with, not counting the name of a bus.
fn longest_word(text: &[u8]) -> usize {
    let mut at = literal(text);
    let bus = text[..at].iter().position(|&byte| byte == b':').map_or(0, |colon| colon + 1);
    let mut longest = (at - bus, 0);
    while text.get(at) == Some(&b'*') {
        let start = at + 1;
        at = start + literal(&text[start..]);
        if at - start > longest.0 {
            longest = (at - start, start);
        }
    }
    longest.1
}

/// The fronts worth having: for each layer and what precedes the longest words, how the words begin that many have.
struct Fronts<'a>(HashMap<(u8, &'a [u8]), usize>);

impl<'a> Fronts<'a> {
    fn new(aliases: &'a [Alias]) -> Self {
        let mut groups: BTreeMap<_, BTreeSet<&[u8]>> = BTreeMap::new();
        for Alias { layer, text, .. } in aliases {
            let (before, words) = text.split_at(longest_word(text));
            if !before.is_empty() {
                groups.entry((*layer, before)).or_default().insert(words);
            }
        }
        let worth = groups.into_iter().filter(|(_, words)| words.len() >= FRONT_LEAST);
        let mut worth: Vec<_> = worth.map(|(before, words)| (words.len(), before, common(&words))).collect();
        worth.retain(|(_, _, common)| *common > 0);
        worth.sort_by(|one, other| other.cmp(one));
        worth.truncate(FRONTS);
        Fronts(worth.into_iter().map(|(_, before, common)| (before, before.1.len() + common)).collect())
    }

    /// The length of an alias's front.
    fn length(&self, alias: &Alias) -> usize {
        let before = &alias.text[..longest_word(&alias.text)];
        self.0.get(&(alias.layer, before)).copied().unwrap_or(0)
    }
}

/// How long the literal text is that all of the words begin with.
fn common(words: &BTreeSet<&[u8]>) -> usize {
    let (Some(first), Some(last)) = (words.first(), words.last()) else { return 0 };
    let shortest = words.iter().map(|word| literal(word)).min().unwrap_or(0);
    shared(first, last).min(shortest)
}

/// An alias whose front is known.
struct Half<'a> {
    layer: u8,
    front: &'a [u8],
    rest: &'a [u8],
    module: u16,
}

/// How many patterns of a layer and a front end in a text.
type Tails<'a> = HashMap<(u8, &'a [u8], &'a [u8]), usize>;

fn count_tails<'a>(halves: &[Half<'a>]) -> Tails<'a> {
    let mut tails = Tails::new();
    for half in halves {
        half.cuts().for_each(|cut| *tails.entry(half.tail(cut)).or_default() += 1);
    }
    tails
}

impl<'a> Half<'a> {
    fn new(alias: &'a Alias, fronts: &Fronts) -> Self {
        let (front, rest) = alias.text.split_at(fronts.length(alias));
        Half { layer: alias.layer, front, rest, module: alias.module }
    }

    /// Where the key may end, the last place first: where the literal text does, or a word before that.
    fn cuts(&self) -> impl Iterator<Item = usize> + use<> {
        let longest = if is_of_names(self.layer) { block::NAME_MAX } else { block::KEY_MAX - 1 };
        let end = literal(self.rest).min(longest);
        let word = if end < self.rest.len() { TAIL_WORD } else { 0 };
        (end.saturating_sub(word)..=end).rev()
    }

    fn tail(&self, cut: usize) -> (u8, &'a [u8], &'a [u8]) {
        (self.layer, self.front, &self.rest[cut..])
    }

    /// Where the key ends: as much goes to the tail as nearly all have there.
    fn cut(&self, tails: &Tails) -> usize {
        let count = |cut: usize| tails.get(&self.tail(cut)).copied().unwrap_or(0);
        let mut cuts = self.cuts();
        let mut cut = cuts.next().unwrap_or(0);
        for next in cuts {
            if count(next) < TAIL_LEAST || count(next) * 10 < count(cut) * 9 {
                break;
            }
            cut = next;
        }
        cut
    }
}
