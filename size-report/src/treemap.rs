//! A whole and its parts as areas: every byte has the same room.
//!
//! The layout is the squarified one (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000): rows along the shorter side, to
//! each of which parts are added as long as that makes the worst of them more like a square.

use std::collections::BTreeMap;

use crate::image::{self, Image};
use crate::loader::Loader;

/// Something that takes bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// What it is called.
    pub name: String,
    /// Its bytes: those of its parts, if it has any.
    pub bytes: u64,
    /// Its parts, the largest first, none without bytes.
    pub parts: Vec<Tile>,
}

/// An area, in any unit of length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Its left edge.
    pub x: f64,
    /// Its upper edge.
    pub y: f64,
    /// How wide it is.
    pub width: f64,
    /// How high it is.
    pub height: f64,
}

impl Tile {
    /// What is not divided further.
    pub fn leaf(name: impl Into<String>, bytes: u64) -> Tile {
        Tile { name: name.into(), bytes, parts: Vec::new() }
    }

    /// What these parts make.
    pub fn group(name: impl Into<String>, parts: impl IntoIterator<Item = Tile>) -> Tile {
        let mut parts: Vec<Tile> = parts.into_iter().filter(|part| part.bytes > 0).collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Tile { name: name.into(), bytes: parts.iter().map(|part| part.bytes).sum(), parts }
    }

    /// Where each part is when all together fill `area`.
    pub fn lay_out(&self, area: Area) -> Vec<(&Tile, Area)> {
        let scale = area.width * area.height / self.bytes as f64;
        let sizes: Vec<f64> = self.parts.iter().map(|part| part.bytes as f64 * scale).collect();
        self.parts.iter().zip(squarified(&sizes, area)).collect()
    }
}

impl From<&Loader> for Tile {
    /// Crates, and of ours the modules, by function; and what belongs to no crate.
    fn from(loader: &Loader) -> Tile {
        let mut crates: BTreeMap<&str, BTreeMap<&str, Vec<Tile>>> = BTreeMap::new();
        for function in &loader.functions {
            let modules = crates.entry(&function.krate).or_default();
            let module = function.module.as_deref().unwrap_or_default();
            modules.entry(module).or_default().push(Tile::leaf(&function.name, function.bytes));
        }
        let of_crate = |(krate, modules): (&str, BTreeMap<&str, Vec<Tile>>)| {
            let (without, within): (Vec<_>, Vec<_>) = modules.into_iter().partition(|(module, _)| module.is_empty());
            let functions = without.into_iter().flat_map(|(_, functions)| functions);
            let modules = within.into_iter().map(|(module, functions)| Tile::group(module, functions));
            Tile::group(krate, functions.chain(modules))
        };
        let other = loader.other.iter().map(|(name, &bytes)| Tile::leaf(format!("({name})"), bytes));
        let name = format!("loader for {}", loader.arch);
        Tile::group(name, crates.into_iter().map(of_crate).chain(other))
    }
}

impl From<&Image> for Tile {
    /// Parts, and of the blobs the modules, by kind of section.
    fn from(image: &Image) -> Tile {
        let of_module = |module: &image::Module| {
            let kinds = module.kinds.iter().map(|(kind, cost)| Tile::leaf(kind, cost.packed));
            Tile::group(&module.whole.name, kinds)
        };
        let frames = Tile::leaf(image::FRAMES, image.stages.framed - image.stages.deflated);
        let blobs = Tile::group(image::BLOBS, image.modules.iter().map(of_module).chain([frames]));
        let others = image.parts.iter().filter(|(part, _)| *part != image::BLOBS);
        let others = others.map(|(part, &bytes)| Tile::leaf(part, bytes));
        let name = image.path.file_name().unwrap_or_default().to_string_lossy();
        Tile::group(format!("image {name}"), others.chain([blobs]))
    }
}

/// Areas of these sizes, the largest first, that fill `space` together.
fn squarified(mut sizes: &[f64], mut space: Area) -> Vec<Area> {
    let mut areas = Vec::with_capacity(sizes.len());
    while !sizes.is_empty() {
        let side = space.width.min(space.height);
        let is_better = |count: &usize| worst(&sizes[..count + 1], side) <= worst(&sizes[..*count], side);
        let count = (1..sizes.len()).take_while(is_better).count() + 1;
        let (row, rest) = sizes.split_at(count);
        space = lay_row(row, side, space, &mut areas);
        sizes = rest;
    }
    areas
}

/// How far from a square the worst area of a row along a side is.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let ratio = |size: &f64| (side * side * size / (sum * sum)).max(sum * sum / (side * side * size));
    row.iter().map(ratio).fold(1.0, f64::max)
}

/// Lays a row along the shorter side of the space, and gives back what is left of it.
fn lay_row(row: &[f64], side: f64, space: Area, areas: &mut Vec<Area>) -> Area {
    let thickness = row.iter().sum::<f64>() / side;
    let Area { x, y, width, height } = space;
    let mut along = 0.0;
    for size in row {
        let length = size / thickness;
        areas.push(match width < height {
            true => Area { x: x + along, y, width: length, height: thickness },
            false => Area { x, y: y + along, width: thickness, height: length },
        });
        along += length;
    }
    match width < height {
        true => Area { y: y + thickness, height: height - thickness, ..space },
        false => Area { x: x + thickness, width: width - thickness, ..space },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_example_is_laid_out_as_in_the_paper() {
        let parts = [6, 6, 4, 3, 2, 2, 1].map(|bytes| Tile::leaf("part", bytes));
        let whole = Tile::group("whole", parts);
        let areas = whole.lay_out(Area { x: 0.0, y: 0.0, width: 6.0, height: 4.0 });
        let found: Vec<[f64; 4]> = areas
            .iter()
            .map(|(_, area)| [area.x, area.y, area.width, area.height].map(|length| (length * 100.0).round() / 100.0))
            .collect();
        // Figure 4 of the paper: two below each other, then 4 and 3 in a row, then 2, 2 and 1.
        let expected = [
            [0.0, 0.0, 3.0, 2.0],
            [0.0, 2.0, 3.0, 2.0],
            [3.0, 0.0, 1.71, 2.33],
            [4.71, 0.0, 1.29, 2.33],
            [3.0, 2.33, 1.2, 1.67],
            [4.2, 2.33, 1.2, 1.67],
            [5.4, 2.33, 0.6, 1.67],
        ];
        assert_eq!(found, expected);
    }
}
