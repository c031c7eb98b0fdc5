//! A treemap as an SVG file that needs nothing else: each part says its name and bytes when it is pointed at, those that
//! have the room have a label, and the colours are for a light background or a dark one, as the reader has it.

use svg::Document;
use svg::node::element::{Group, Rectangle, Style, Text, Title};

use crate::text::{grouped, share};
use crate::treemap::{Area, Tile};

/// The size of the drawing, in pixels at 100 %.
const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 824.0;
/// The room of the heading above the map.
const HEADING: f64 = 24.0;
/// The size of the labels, and how wide a letter of theirs is: 0.6 of that, in common fonts of one width.
const LETTER: f64 = 11.0;
const LETTER_WIDTH: f64 = 0.6 * LETTER;
/// The room of a line, and what is free on both sides of a label.
const LINE: f64 = 14.0;
const MARGIN: f64 = 4.0;
/// How many colours there are; parts of one group have the same.
const COLOURS: usize = 8;

/// The drawing.
pub fn draw(whole: &Tile) -> String {
    let mut drawing = Drawing { whole: whole.bytes, ..Drawing::default() };
    let map = Area { x: 0.0, y: HEADING, width: WIDTH, height: HEIGHT - HEADING };
    drawing.divide(whole, map, &mut Vec::new());
    drawing.label_leaves();
    let heading = format!("{}: {} bytes", whole.name, grouped(whole.bytes));
    Document::new()
        .set("viewBox", (0, 0, WIDTH, HEIGHT))
        .set("width", WIDTH)
        .set("height", HEIGHT)
        .add(Title::new(heading.clone()))
        .add(Style::new(style()))
        .add(Rectangle::new().set("class", "ground").set("width", "100%").set("height", "100%"))
        .add(Text::new(heading).set("class", "heading").set("x", MARGIN).set("y", HEADING - 8.0))
        .add(drawing.leaves)
        .add(drawing.outlines)
        .add(drawing.labels)
        .to_string()
}

/// A drawing in the making.
#[derive(Default)]
struct Drawing<'a> {
    /// The bytes of all together.
    whole: u64,
    leaves: Group,
    outlines: Group,
    labels: Group,
    /// The leaves that may have labels yet.
    unlabelled: Vec<(&'a str, Area)>,
    /// Where there are labels.
    taken: Vec<Area>,
    /// How many groups of leaves there are.
    groups: usize,
}

impl<'a> Drawing<'a> {
    /// Draws the parts of a tile, whose name is the last of `path`.
    fn divide(&mut self, tile: &'a Tile, area: Area, path: &mut Vec<&'a str>) {
        let colour = self.groups % COLOURS;
        self.groups += 1;
        for (part, area) in tile.lay_out(area) {
            path.push(&part.name);
            if part.parts.is_empty() {
                self.leaf(part, area, path, colour);
            } else {
                self.outlines = std::mem::take(&mut self.outlines).add(rectangle(area).set("class", "group"));
                self.label(&[&part.name], area, "name");
                self.divide(part, area, path);
            }
            path.pop();
        }
    }

    fn leaf(&mut self, leaf: &'a Tile, area: Area, path: &[&str], colour: usize) {
        let share = share(leaf.bytes, self.whole);
        let title = format!("{}: {} bytes, {share:.1} %", path.join(" › "), grouped(leaf.bytes));
        let shape = rectangle(area).set("class", format!("leaf c{colour}")).set("data-bytes", leaf.bytes);
        self.leaves = std::mem::take(&mut self.leaves).add(shape.add(Title::new(title)));
        self.unlabelled.push((&leaf.name, area));
    }

    /// Labels the leaves, where groups have left room.
    fn label_leaves(&mut self) {
        for (name, area) in std::mem::take(&mut self.unlabelled) {
            self.label(&ends(name), area, "label");
        }
    }

    /// Puts the first of these names that fits into a free line of an area, the highest one.
    fn label(&mut self, names: &[&str], area: Area, class: &str) {
        let Some(name) = names.iter().find(|name| label_width(name) <= area.width) else { return };
        let lines = ((area.height - MARGIN) / LINE).max(0.0) as usize;
        let line =
            |number: usize| Area { y: area.y + number as f64 * LINE, width: label_width(name), height: LINE, ..area };
        let is_free = |place: &Area| !self.taken.iter().any(|taken| overlap(place, taken));
        let Some(place) = (0..lines).map(line).find(is_free) else { return };
        let label = Text::new(*name).set("class", class);
        let label = label.set("x", rounded(place.x + MARGIN)).set("y", rounded(place.y + LINE - 2.0));
        self.labels = std::mem::take(&mut self.labels).add(label);
        self.taken.push(place);
    }
}

/// A path and what follows each of its `::` outside of angle brackets, the longest first.
fn ends(path: &str) -> Vec<&str> {
    let is_whole = |end: &&str| end.matches('<').count() == end.matches('>').count();
    let ends = path.match_indices("::").map(|(at, colons)| &path[at + colons.len()..]);
    [path].into_iter().chain(ends.filter(is_whole)).collect()
}

fn label_width(name: &str) -> f64 {
    name.chars().count() as f64 * LETTER_WIDTH + 2.0 * MARGIN
}

fn overlap(one: &Area, other: &Area) -> bool {
    let apart = |start: f64, length: f64, other: f64, others: f64| start + length <= other || other + others <= start;
    !apart(one.x, one.width, other.x, other.width) && !apart(one.y, one.height, other.y, other.height)
}

fn rectangle(area: Area) -> Rectangle {
    let Area { x, y, width, height } = area;
    let corner = Rectangle::new().set("x", rounded(x)).set("y", rounded(y));
    corner.set("width", rounded(width)).set("height", rounded(height))
}

/// A length to a ten-thousandth of a pixel.
fn rounded(length: f64) -> f64 {
    (length * 10_000.0).round() / 10_000.0
}

fn style() -> String {
    let colours = |saturation: u32, light: u32| -> String {
        let rule = |colour: usize| {
            // Neighbours in number, which are often neighbours in the map, are far apart on the circle.
            let hue = colour * 3 % COLOURS * 360 / COLOURS;
            format!(".c{colour} {{ fill: hsl({hue}, {saturation}%, {light}%); }}\n")
        };
        (0..COLOURS).map(rule).collect()
    };
    let theme = |ground: &str, ink: &str| {
        format!(
            ".ground {{ fill: {ground}; }}\n.leaf, .group {{ stroke: {ground}; }}\ntext {{ fill: {ink}; }}\n\
             .name {{ stroke: {ground}; }}\n"
        )
    };
    format!(
        "text {{ font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {LETTER}px; pointer-events: none; }}\n\
         .heading {{ font-size: 14px; }}\n\
         .name {{ font-weight: bold; paint-order: stroke; stroke-width: 3px; stroke-opacity: 0.7; }}\n\
         .leaf {{ stroke-width: 0.3px; }}\n.group {{ fill: none; stroke-width: 2px; pointer-events: none; }}\n\
         {}{}@media (prefers-color-scheme: dark) {{\n{}{}}}\n",
        theme("#ffffff", "#111111"),
        colours(60, 80),
        theme("#16181c", "#eeeeee"),
        colours(35, 30)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::{Document, Node};

    fn whole() -> Tile {
        let functions =
            |count: u64| (1..=count).map(|bytes| Tile::leaf(format!("a::<b & \"c\">::f{bytes}"), bytes * bytes));
        Tile::group(
            "loader",
            [
                Tile::group("large", [Tile::group("inner", functions(60)), Tile::group("other", functions(20))]),
                Tile::group("small", functions(5)),
                Tile::leaf("(constants)", 13_000),
                Tile::leaf("nothing", 0),
            ],
        )
    }

    fn length(node: &Node, name: &str) -> f64 {
        node.attribute(name).unwrap().parse().unwrap()
    }

    fn area(node: &Node) -> Area {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| length(node, name));
        Area { x, y, width, height }
    }

    fn leaves<'a>(document: &'a Document) -> Vec<Node<'a, 'a>> {
        let is_leaf = |node: &Node| node.attribute("class").is_some_and(|class| class.starts_with("leaf "));
        document.descendants().filter(is_leaf).collect()
    }

    #[test]
    fn areas_are_as_bytes_within_the_map_and_apart() {
        let whole = whole();
        let drawing = draw(&whole);
        let document = Document::parse(&drawing).unwrap();
        let leaves = leaves(&document);
        assert_eq!(leaves.len(), 60 + 20 + 5 + 1);
        assert_eq!(leaves.iter().map(|leaf| length(leaf, "data-bytes")).sum::<f64>(), whole.bytes as f64);
        let scale = WIDTH * (HEIGHT - HEADING) / whole.bytes as f64;
        let areas: Vec<Area> = leaves.iter().map(area).collect();
        for (leaf, area) in leaves.iter().zip(&areas) {
            let expected = length(leaf, "data-bytes") * scale;
            let rounding = (area.width + area.height) * 0.0002;
            assert!((area.width * area.height - expected).abs() < rounding, "{area:?} for {expected}");
            assert!(area.x >= 0.0 && area.x + area.width <= WIDTH + 0.001, "{area:?}");
            assert!(area.y >= HEADING && area.y + area.height <= HEIGHT + 0.001, "{area:?}");
        }
        let shrunk = |area: &Area| Area { width: area.width - 0.001, height: area.height - 0.001, ..*area };
        for (number, one) in areas.iter().enumerate() {
            let other = areas[..number].iter().find(|other| overlap(&shrunk(one), &shrunk(other)));
            assert_eq!(other, None, "{one:?}");
        }
    }

    #[test]
    fn labels_fit_and_do_not_overlap() {
        let whole = whole();
        let drawing = draw(&whole);
        let document = Document::parse(&drawing).unwrap();
        let is_label = |node: &Node| matches!(node.attribute("class"), Some("label" | "name"));
        let labels: Vec<(&str, Area)> = document
            .descendants()
            .filter(is_label)
            .map(|node| {
                let name = node.text().unwrap().trim();
                let (x, y) = (length(&node, "x") - MARGIN, length(&node, "y") + 2.0 - LINE);
                (name, Area { x, y, width: label_width(name), height: LINE - 0.001 })
            })
            .collect();
        for name in ["large", "inner", "(constants)", "a::<b & \"c\">::f60"] {
            assert!(labels.iter().any(|(label, _)| *label == name), "{name}");
        }
        let is_end = |label: &str| label.ends_with("f30") && !label.starts_with("a::");
        assert!(labels.iter().any(|(label, _)| is_end(label)), "a part too small for its whole name has the end of it");
        for (number, (name, one)) in labels.iter().enumerate() {
            assert!(one.x + one.width <= WIDTH + 0.001 && one.y + one.height <= HEIGHT + 0.001, "{name}");
            assert!(!labels[..number].iter().any(|(_, other)| overlap(one, other)), "{name}");
        }
    }

    #[test]
    fn labels_are_ends_of_paths() {
        assert_eq!(ends("a::b::c"), ["a::b::c", "b::c", "c"]);
        assert_eq!(ends("<a::b as c::d>::e"), ["<a::b as c::d>::e", "e"]);
    }

    #[test]
    fn tooltips_say_path_bytes_and_share() {
        let whole = whole();
        let drawing = draw(&whole);
        let document = Document::parse(&drawing).unwrap();
        let titles: Vec<&str> =
            leaves(&document).iter().map(|leaf| leaf.first_element_child().unwrap().text().unwrap()).collect();
        let share = 100.0 * 3600.0 / whole.bytes as f64;
        let expected = format!("large › inner › a::<b & \"c\">::f60: 3,600 bytes, {share:.1} %");
        assert!(titles.contains(&expected.as_str()), "{titles:?}");
        assert!(drawing.contains("prefers-color-scheme: dark"));
    }
}
