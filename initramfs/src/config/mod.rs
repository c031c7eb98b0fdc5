//! What an administrator says of modules in modprobe.d (modprobe.d(5)), merged into an image when it is built.
//!
//! Here: the words and what they mean, with kmod's rules. [`files`] finds the files and takes them apart. Deliberate
//! differences: every softdep line of a module counts (kmod takes the first it finds), and commands are not run.

mod files;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use modstrap::table::glob;

use crate::module::{SoftDependencies, normal};
use files::{Line, Place};

/// The configuration of an image. All names in it are [`normal`].
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Patterns, and the name of the module that is meant.
    pub aliases: Vec<(String, String)>,
    /// What deserves a user's attention: lines that are not understood or not honoured.
    pub notes: Vec<Note>,
    options: Vec<Options>,
    blacklist: BTreeSet<String>,
    /// By a pattern that modules' names match.
    soft: Vec<(String, SoftDependencies)>,
}

/// Parameters that one line gives to a module.
#[derive(Clone, Debug)]
struct Options {
    name: String,
    text: String,
    place: Place,
}

/// What a user should know of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    place: Place,
    text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why a line is passed over.
type Refusal = &'static str;

impl Config {
    /// Reads directories and files as kmod reads those of `modprobe -C`: of a directory each file called `*.conf`, all in
    /// the order of their names; of two files of one name that from the place that is given first.
    pub fn read(places: &[PathBuf]) -> Result<Config> {
        let mut config = Config::default();
        for file in files::find(places)? {
            for line in files::lines(&file)? {
                config.take(line);
            }
        }
        Ok(config)
    }

    /// The parameters of a module, as the kernel takes them: all lines add up.
    pub fn options(&self, module: &str) -> String {
        let texts = self.options.iter().filter(|options| options.name == module).map(|options| options.text.as_str());
        texts.collect::<Vec<_>>().join(" ")
    }

    /// Whether no alias is to load this module.
    pub fn is_blacklisted(&self, module: &str) -> bool {
        self.blacklist.contains(module)
    }

    /// The soft and weak dependencies of a module that are stated here.
    pub fn soft(&self, module: &str) -> SoftDependencies {
        let fitting = self.soft.iter().filter(|(pattern, _)| glob::matches(pattern.as_bytes(), module.as_bytes()));
        fitting.fold(SoftDependencies::default(), |all, (_, dependencies)| all.and(dependencies))
    }

    /// Notes each line of parameters that has no module to go to. `fate` says what becomes of a name's parameters where
    /// something stands against them.
    pub(crate) fn note_lost_options(&mut self, fate: impl Fn(&str) -> Option<&'static str>) {
        for options in &self.options {
            if let Some(fate) = fate(&options.name) {
                let text = format!("options {}: {fate}", options.name);
                self.notes.push(Note { place: options.place.clone(), text });
            }
        }
    }

    fn take(&mut self, line: Line) {
        let text = line.text.trim();
        // kmod takes a '#' for a comment in the first column alone, and warns of others.
        if text.is_empty() || text.starts_with('#') {
            return;
        }
        let (word, rest) = split(text);
        let (name, value) = split(rest);
        let is_text = !text.contains(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_control() && c != '\t');
        let taken = if is_text {
            self.take_directive(word, name, value, &line.place)
        } else {
            Err("it holds what is not text, passed over")
        };
        if let Err(refusal) = taken {
            self.notes.push(Note { place: line.place, text: format!("{refusal}: {text}") });
        }
    }

    fn take_directive(&mut self, word: &str, name: &str, value: &str, place: &Place) -> Result<(), Refusal> {
        const KNOWN: [&str; 9] =
            ["alias", "options", "blacklist", "softdep", "weakdep", "install", "remove", "include", "config"];
        const NEED_A_VALUE: [&str; 6] = ["alias", "options", "softdep", "weakdep", "install", "remove"];
        if !KNOWN.contains(&word) {
            return Err("not a directive of modprobe.d, passed over");
        }
        if name.is_empty() || value.is_empty() && NEED_A_VALUE.contains(&word) {
            return Err("incomplete, passed over");
        }
        let key = checked(name)?;
        match word {
            "alias" => self.aliases.push((key, checked(split(value).0)?)),
            "options" if value.matches('"').count() % 2 == 1 => return Err("a quote is not closed, passed over"),
            "options" => self.options.push(Options { name: key, text: value.replace('\t', " "), place: place.clone() }),
            "blacklist" => drop(self.blacklist.insert(key)),
            "softdep" => self.soft.push((key, SoftDependencies::parse(value))),
            "weakdep" => {
                let neither = value.split_whitespace().map(normal).collect();
                self.soft.push((key, SoftDependencies { neither, ..SoftDependencies::default() }));
            }
            "install" | "remove" => return Err("commands are not run in an initramfs"),
            _ => return Err("no other file is read (kmod no longer does either)"),
        }
        Ok(())
    }
}

/// The first word, and what follows it.
fn split(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// A name as modules are called. kmod refuses a bracket that nothing opened.
fn checked(name: &str) -> Result<String, Refusal> {
    let mut open = false;
    for byte in name.bytes() {
        match byte {
            b'[' => open = true,
            b']' if !open => return Err("a bracket is closed that was not opened, passed over"),
            b']' => open = false,
            _ => {}
        }
    }
    if open { Err("a bracket is not closed, passed over") } else { Ok(normal(name)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.conf");
        std::fs::write(&file, text).unwrap();
        Config::read(&[file]).unwrap()
    }

    fn notes(text: &str) -> Vec<String> {
        let notes = config(text).notes.into_iter().map(|note| note.to_string());
        notes.map(|note| note[note.find("x.conf").unwrap()..].to_string()).collect()
    }

    #[test]
    fn every_directive_is_taken() {
        let config = config(
            "# ours\n\nalias my-[a-b]* e-4\noptions a-b  x=1  y=\"2  3\" \nblacklist b-l trailing\noptions a_b z\n\
             softdep a-* pre: p-1 p2 post: q\nsoftdep a_b post: r\nweakdep a_b w-1 w2\noptions \\\n  c d\\\ne\n",
        );
        assert_eq!(config.aliases, [("my_[a-b]*".to_string(), "e_4".to_string())]);
        assert_eq!(config.options("a_b"), "x=1  y=\"2  3\" z");
        assert_eq!((config.options("c"), config.options("a")), ("de".into(), String::new()));
        assert!(config.is_blacklisted("b_l") && !config.is_blacklisted("trailing"));
        let soft = config.soft("a_b");
        assert_eq!((soft.before.join(" "), soft.after.join(" ")), ("p_1 p2".to_string(), "q r".to_string()));
        assert_eq!(soft.neither, ["w_1", "w2"]);
        assert_eq!(config.soft("b"), SoftDependencies::default());
        assert_eq!(config.notes, []);
    }

    #[test]
    fn what_is_not_honoured_is_noted_with_its_line() {
        let not_run = "commands are not run in an initramfs";
        assert_eq!(
            notes("install a /bin/true x\n\nremove a y\n"),
            [
                format!("x.conf, line 1: {not_run}: install a /bin/true x"),
                format!("x.conf, line 3: {not_run}: remove a y")
            ]
        );
        for (text, part) in [
            ("include /etc/x", "no other file is read"),
            ("frobnicate a b", "not a directive of modprobe.d, passed over: frobnicate a b"),
            ("options a", "incomplete"),
            ("alias a", "incomplete"),
            ("softdep a", "incomplete"),
            ("blacklist", "incomplete"),
            ("options a b=\"c", "a quote is not closed"),
            ("blacklist a]b", "a bracket is closed that was not opened"),
            ("alias a[b c", "a bracket is not closed"),
            ("options \u{0} b", "holds what is not text"),
        ] {
            let notes = notes(&format!("# one\n{text}\noptions x y"));
            assert!(notes.len() == 1 && notes[0].starts_with("x.conf, line 2: "), "{notes:?}");
            assert!(notes[0].contains(part), "{part} in {notes:?}");
        }
        assert!(notes("options a \u{e4}").is_empty());
    }
}
