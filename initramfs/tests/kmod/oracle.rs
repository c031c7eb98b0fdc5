//! The installed kmod, asked about a tree of ours.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use modstrap_initramfs::module::normal;
use tempfile::TempDir;

/// kmod's view of a module tree.
pub struct Kmod {
    root: TempDir,
    release: String,
    /// For modprobe's `-C`, in this order.
    places: Vec<PathBuf>,
}

/// A name that kmod knows from the oracle's configuration alone: asked for between others, its answer parts theirs.
const MARK: &str = "modstrap_mark";
/// What modprobe prints for it as a plan.
const MARK_PLAN: &str = "install :";

impl Kmod {
    /// kmod on the tree in `directory`, which is not touched: depmod writes beside links to its files. `places` are
    /// directories and files of modprobe.d.
    pub fn new(directory: &Path, release: &str, places: &[PathBuf]) -> Kmod {
        let kmod = Kmod::without_indexes(directory, release, places);
        let depmod = kmod.depmod(&[]);
        assert!(depmod.status.success(), "depmod: {}", String::from_utf8_lossy(&depmod.stderr));
        kmod
    }

    /// The same before depmod has run.
    pub fn without_indexes(directory: &Path, release: &str, places: &[PathBuf]) -> Kmod {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("lib/modules").join(release);
        std::fs::create_dir_all(&own).unwrap();
        for entry in std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let entry = entry.unwrap();
            symlink(std::fs::canonicalize(entry.path()).unwrap(), own.join(entry.file_name())).unwrap();
        }
        let mark = root.path().join("mark.conf");
        std::fs::write(&mark, format!("install {MARK} :\n")).unwrap();
        Kmod { root, release: release.into(), places: places.iter().cloned().chain([mark]).collect() }
    }

    /// Runs depmod over the tree.
    pub fn depmod(&self, arguments: &[&str]) -> std::process::Output {
        let nothing = self.root.path().join("lib");
        let mut command = Command::new("depmod");
        command.arg("-b").arg(self.root.path()).args(arguments);
        // The machine's own configuration is none of this tree's.
        if !arguments.contains(&"-C") {
            command.arg("-C").arg(nothing);
        }
        command.arg(&self.release).output().expect("depmod runs; install kmod")
    }

    /// Makes one line of a module's several lines of soft dependencies, of which kmod reads the first alone.
    pub fn join_soft_dependencies(&self) {
        let path = self.root.path().join("lib/modules").join(&self.release).join("modules.softdep");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines: std::collections::BTreeMap<&str, (String, String)> = Default::default();
        for words in text.lines().filter_map(|line| line.strip_prefix("softdep ")) {
            let (module, rest) = words.split_once(' ').unwrap();
            let (before, after) = lines.entry(module).or_default();
            let (pre, post) = rest.split_once("post:").unwrap_or((rest, ""));
            before.push_str(pre.split_once("pre:").map_or("", |(_, pre)| pre));
            before.push(' ');
            after.push_str(post);
            after.push(' ');
        }
        let line = |(module, (before, after)): (&&str, &(String, String))| {
            format!("softdep {module} pre: {before} post: {after}\n")
        };
        std::fs::write(&path, lines.iter().map(line).collect::<String>()).unwrap();
    }

    /// The paths of the modules that modprobe would load for each name, in its order.
    pub fn plans(&self, names: &[&str]) -> Vec<Vec<PathBuf>> {
        let path =
            |line: &str| line.strip_prefix("insmod ").map(|words| PathBuf::from(words.split(' ').next().unwrap()));
        let answers = self.ask("--show-depends", names, MARK_PLAN);
        answers.iter().map(|lines| lines.iter().filter_map(|line| path(line)).collect()).collect()
    }

    /// The names of the modules that modprobe would load for each name, each once.
    pub fn plan_sets(&self, names: &[&str]) -> Vec<BTreeSet<String>> {
        let name = |path: &PathBuf| {
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            normal(file.split(".ko").next().unwrap())
        };
        self.plans(names).iter().map(|paths| paths.iter().map(name).collect()).collect()
    }

    /// The modules, built in or not, that answer to each name, in kmod's order.
    pub fn answers(&self, names: &[&str]) -> Vec<Vec<String>> {
        self.ask("--resolve-alias", names, MARK)
    }

    /// What `modprobe -c` prints, without the indexes.
    pub fn configuration(&self) -> Vec<String> {
        let text = self.run(&["--showconfig"]);
        let configuration = text.lines().take_while(|line| !line.starts_with("# End of configuration files"));
        configuration.map(str::to_string).collect()
    }

    /// The lines that one run of modprobe prints for each of many names.
    fn ask(&self, what: &str, names: &[&str], mark: &str) -> Vec<Vec<String>> {
        if names.is_empty() {
            return Vec::new();
        }
        let mut arguments = vec!["--quiet", "--all", what, "--"];
        for name in names {
            arguments.extend([*name, MARK]);
        }
        let text = self.run(&arguments);
        let lines: Vec<String> = text.lines().map(|line| line.trim_end().to_string()).collect();
        let mut answers: Vec<Vec<String>> = lines.split(|line| line == mark).map(<[String]>::to_vec).collect();
        assert_eq!(answers.pop(), Some(Vec::new()), "modprobe stopped early");
        assert_eq!(answers.len(), names.len(), "one answer for each name");
        answers
    }

    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("modprobe");
        command.arg("--dirname").arg(self.root.path()).arg("--set-version").arg(&self.release);
        self.places.iter().for_each(|place| {
            command.arg("--config").arg(place);
        });
        command.args(arguments).env_remove("MODPROBE_OPTIONS").stderr(Stdio::null());
        let output = command.output().expect("modprobe runs; install kmod");
        String::from_utf8(output.stdout).expect("names are ASCII")
    }
}
