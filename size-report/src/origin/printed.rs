//! The path in a demangled name, which is all that the legacy mangling offers.

use super::{OUR_CRATES, STANDARD};

/// The path of a demangled name: of the item itself, or of the impl it stands in.
pub fn path(name: &str) -> Vec<&str> {
    let Some(inside) = name.strip_prefix('<') else {
        return plain_path(name);
    };
    let inside = &inside[..end_of_type(inside)];
    match split_as(inside) {
        (of_type, None) => type_path(of_type),
        (of_type, Some(of_trait)) => impl_path(type_path(of_type), type_path(of_trait)),
    }
}

/// Which of the two an `impl Trait for Type` stands beside (see the rules above).
fn impl_path<'a>(of_type: Vec<&'a str>, of_trait: Vec<&'a str>) -> Vec<&'a str> {
    let rank = |path: &[&str]| match path {
        [krate, _, ..] if OUR_CRATES.contains(krate) => 3,
        [krate, _, ..] if !STANDARD.contains(krate) => 2,
        [_, _, ..] => 1,
        _ => 0, // a primitive type: no path, no crate
    };
    if rank(&of_trait) > rank(&of_type) { of_trait } else { of_type }
}

/// The path of a type's head, and a mark that an item (its method) stands in it: `&mut a::b::C<D>` is `a, b, C`.
fn type_path(name: &str) -> Vec<&str> {
    let mut head = name;
    loop {
        let rest = head.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_' && c != '<');
        let rest = ["mut ", "const ", "dyn "].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
        if rest.len() == head.len() {
            break;
        }
        head = rest;
    }
    if head.starts_with('<') { path(head) } else { plain_path(head) }
}

/// The segments of a path up to its generic arguments. An impl block counts as a segment: something stands in it.
fn plain_path(name: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '{' || c == '}';
    let mut path = Vec::new();
    for segment in name.split("::") {
        let end = segment.find(|c| !is_name(c)).unwrap_or(segment.len());
        path.push(if segment.starts_with('<') { "<impl>" } else { &segment[..end] });
        if end < segment.len() {
            break;
        }
    }
    path
}

/// Where the type that opened with `<` closes.
fn end_of_type(name: &str) -> usize {
    top_level(name).find(|&(_, c, depth)| c == '>' && depth == 0).map_or(name.len(), |(at, ..)| at)
}

/// `Type as Trait` in its two halves.
fn split_as(name: &str) -> (&str, Option<&str>) {
    top_level(name)
        .find(|&(at, c, depth)| c == ' ' && depth == 0 && name[at..].starts_with(" as "))
        .map_or((name, None), |(at, ..)| (&name[..at], Some(&name[at + " as ".len()..])))
}

/// The characters of a name, each with the number of `<` open before it; without the `>` of `->`, which closes none.
fn top_level(name: &str) -> impl Iterator<Item = (usize, char, i32)> + '_ {
    let mut depth = 0;
    let is_bracket_of_arrow = |at: usize| name[..at].ends_with('-') && name[at..].starts_with('>');
    let characters = name.char_indices().filter(move |&(at, _)| !is_bracket_of_arrow(at));
    characters.map(move |(at, c)| {
        let here = depth;
        depth += i32::from(c == '<') - i32::from(c == '>');
        (at, c, here)
    })
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn trait_of_ours_for_a_foreign_type() {
        assert_eq!(path("<core::option::Option<T> as modstrap::report::Line>::write"), ["modstrap", "report", "Line"]);
        assert_eq!(path("<u32 as modstrap::report::Line>::write"), ["modstrap", "report", "Line"]);
        assert_eq!(path("<&mut heapless::vec::Vec<T> as core::fmt::Write>::write_str"), ["heapless", "vec", "Vec"]);
        assert_eq!(path("<fn(u8) -> u8 as modstrap::a::B>::c"), ["modstrap", "a", "B"]);
    }
}
