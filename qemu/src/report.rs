//! What the real init of the tests found, read back from the console. `tree/rc` prints it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::tree::MARKER;

/// The sections of the init's report, each a list of lines:
///
/// | section | lines |
/// |---|---|
/// | `cmdline`, `environ` | the arguments and the environment of pid 1, one a line |
/// | `pid1` | its signal masks, from /proc/1/status |
/// | `files` | its open descriptors: number and target |
/// | `kernel` | /proc/cmdline |
/// | `uname`, `uptime` | `uname -a`, /proc/uptime |
/// | `mounts` | /proc/mounts |
/// | `unevictable` | that line of /proc/meminfo: an initramfs left in memory counts there |
/// | `dev` | the names in /dev |
/// | `modules` | the loaded modules |
/// | `tainted`, `printk`, `modprobe` | the sysctls tainted, printk_devkmsg and modprobe |
/// | `processes` | all but kernel threads: pid and arguments |
/// | `kmsg` | the loader's lines in the kernel log, also those that the console did not show |
/// | `hardware` | the record of the machine, where the root has [a recorder](crate::tree::add_recorder) |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    sections: BTreeMap<String, Vec<String>>,
}

impl Report {
    /// Reads the report out of a console's text; an error says what of it is missing.
    pub fn parse(console: &str) -> Result<Self> {
        let (_, text) = console.split_once(MARKER).context("the console has no report of the real init")?;
        let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut name = "";
        for line in text.lines() {
            match line.strip_prefix("== ") {
                Some("end") => return Ok(Self { sections }),
                Some(section) => {
                    name = section;
                    sections.insert(name.to_owned(), Vec::new());
                }
                None => sections.get_mut(name).into_iter().for_each(|lines| lines.push(line.to_owned())),
            }
        }
        bail!("the real init's report breaks off in section `{name}`")
    }

    /// The lines of a section; an error if the report has none of that name.
    pub fn section(&self, name: &str) -> Result<&[String]> {
        self.sections.get(name).map(Vec::as_slice).with_context(|| format!("the report has no section `{name}`"))
    }

    /// The first line of a section.
    pub fn line(&self, name: &str) -> Result<&str> {
        self.section(name)?.first().map(String::as_str).with_context(|| format!("section `{name}` is empty"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(tail: &str) -> String {
        format!("noise\n{MARKER}\n== cmdline\n/sbin/init\nsingle\n== environ\n== uname\nLinux\n{tail}")
    }

    #[test]
    fn sections_are_lists_of_lines() {
        let report = Report::parse(&console("== end\n")).unwrap();
        assert_eq!(report.section("cmdline").unwrap(), ["/sbin/init", "single"]);
        assert_eq!(report.line("uname").unwrap(), "Linux");
        assert!(report.section("environ").unwrap().is_empty() && report.line("environ").is_err());
        assert!(report.section("mounts").is_err());
    }

    #[test]
    fn a_report_that_breaks_off_says_where() {
        assert!(Report::parse(&console("")).unwrap_err().to_string().contains("`uname`"));
        assert!(Report::parse("noise").is_err());
    }
}
