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
    /// In the order of the lines.
    pub aliases: Vec<Alias>,
    /// What deserves a user's attention: lines that are not understood or not honoured.
    pub notes: Vec<Note>,
    options: Vec<Options>,
    blacklist: BTreeSet<String>,
    /// By a pattern that modules' names match.
    soft: Vec<(String, SoftDependencies)>,
}

/// An alias that one line gives to a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// What names must match.
    pub pattern: String,
    /// The name of the module that is meant.
    pub module: String,
    place: Place,
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
    /// What the line was to do matters, and is not done.
    pub is_warning: bool,
    place: Place,
    text: String,
}

impl Note {
    fn new(place: Place, text: String) -> Note {
        Note { is_warning: false, place, text }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// Why a line is passed over.
type Refusal = &'static str;

/// What an administrator has run in place of a module that is not to be loaded.
const NOTHING: [&str; 3] = ["true", "false", ":"];

impl Config {
    /// Reads directories and files as kmod reads those of `modprobe -C`: of a directory each file called `*.conf`, all in
    /// the order of their names; of two files of one name that from the place that is given first.
    pub fn read(places: &[PathBuf]) -> Result<Config> {
        let mut config = Config::default();
        for file in files::find(places)? {
            match file.lines()? {
                Ok(lines) => lines.into_iter().for_each(|line| config.take(line)),
                Err(note) => config.notes.push(note),
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

    /// The warnings among the notes, or all others.
    pub fn told(&self, as_warnings: bool) -> Vec<String> {
        self.notes.iter().filter(|note| note.is_warning == as_warnings).map(Note::to_string).collect()
    }

    /// Notes each line of parameters that has no module to go to. `fate` says what becomes of a name's parameters where
    /// something stands against them.
    pub(crate) fn note_lost_options(&mut self, fate: impl Fn(&str) -> Option<&'static str>) {
        for options in &self.options {
            if let Some(fate) = fate(&options.name) {
                let text = format!("options {}: {fate}", options.name);
                self.notes.push(Note::new(options.place.clone(), text));
            }
        }
    }

    /// Notes each alias that leads nowhere. `fate` says where a name leads that is no module's.
    pub(crate) fn note_lost_aliases(&mut self, fate: impl Fn(&str) -> Option<&'static str>) {
        for Alias { pattern, module, place } in &self.aliases {
            if let Some(fate) = fate(module) {
                self.notes.push(Note::new(place.clone(), format!("alias {pattern} {module}: {fate}")));
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
            self.notes.push(Note::new(line.place, format!("{refusal}: {text}")));
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
            "alias" => {
                let module = checked(split(value).0)?;
                self.aliases.push(Alias { pattern: key, module, place: place.clone() });
            }
            "options" if value.matches('"').count() % 2 == 1 => return Err("a quote is not closed, passed over"),
            "options" => self.options.push(Options { name: key, text: value.replace('\t', " "), place: place.clone() }),
            "blacklist" => drop(self.blacklist.insert(key)),
            "softdep" => self.soft.push((key, SoftDependencies::parse(value))),
            "weakdep" => {
                let neither = value.split_whitespace().map(normal).collect();
                self.soft.push((key, SoftDependencies { neither, ..SoftDependencies::default() }));
            }
            "install" => self.note_command(&key, value, place),
            "remove" => return Err("commands are not run in an initramfs"),
            _ => return Err("no other file is read (kmod no longer does either)"),
        }
        Ok(())
    }

    /// Notes what becomes of a module for which a command is to be run: most of these commands are to keep it out.
    fn note_command(&mut self, module: &str, command: &str, place: &Place) {
        let program = split(command).0;
        let text = format!(
            "install {module} {command}: commands are not run in an initramfs, so {module} is loaded all the same; \
             modstrap.mask={module} on the kernel command line (or in --cmdline) keeps it out, `blacklist {module}` keeps \
             devices from loading it"
        );
        let is_warning = NOTHING.contains(&program.rsplit('/').next().unwrap_or_default());
        self.notes.push(Note { is_warning, place: place.clone(), text });
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
        let aliases: Vec<(&str, &str)> = config.aliases.iter().map(|a| (&*a.pattern, &*a.module)).collect();
        assert_eq!(aliases, [("my_[a-b]*", "e_4")]);
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
        assert_eq!(notes("\n\nremove a y\n"), ["x.conf, line 3: commands are not run in an initramfs: remove a y"]);
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

    #[test]
    fn a_command_that_was_to_keep_a_module_out_is_a_warning() {
        let text = "x.conf, line 1: install a-b /bin/false x: commands are not run in an initramfs, so a_b is loaded all \
            the same; modstrap.mask=a_b on the kernel command line";
        let note = &notes("install a-b /bin/false x")[0];
        assert!(note.starts_with(&text.replace("install a-b", "install a_b")), "{note}");
        for (command, is_warning) in [
            ("/bin/false", true),
            ("/bin/true x", true),
            ("/usr/bin/false", true),
            ("/usr/bin/true", true),
            ("true", true),
            (":", true),
            ("/sbin/modprobe --ignore-install a", false),
            ("/bin/falsetto", false),
        ] {
            assert_eq!(config(&format!("install a {command}")).notes[0].is_warning, is_warning, "{command}");
        }
    }

    #[test]
    fn what_cannot_be_read_in_a_directory_is_passed_over_with_a_note() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::os::unix::fs::symlink("nowhere", path("a.conf")).unwrap();
        std::fs::write(path("b.conf"), "options b x=1").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("c.conf"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("d.conf")).unwrap();
        let config = Config::read(&[directory.path().into()]).unwrap();
        assert_eq!(config.options("b"), "x=1");
        let notes: Vec<String> = config.notes.iter().map(ToString::to_string).collect();
        let note = |name: &str, reason: &str| format!("{}: passed over: {reason}", path(name).display());
        assert_eq!(notes, [note("a.conf", "it is a link to nothing"), note("c.conf", "it is no regular file")]);
        assert!(Config::read(&[path("a.conf")]).is_err(), "what the user names must be there");
    }
}
