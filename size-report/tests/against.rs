//! `--against REVISION`, on small repositories with a loader of a few functions and no dependencies.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const MANIFEST: &str = r#"
[package]
name = "modstrap"
version = "0.0.0"
edition = "2024"
[workspace]
[features]
bin = []
[[bin]]
name = "init"
path = "main.rs"
required-features = ["bin"]
test = false
[profile.loader]
inherits = "release"
panic = "abort"
strip = true
"#;

const BUILD_SCRIPT: &str = r#"
fn main() {
    for argument in ["-nostartfiles", "-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
"#;

/// A repository of its own, whose one commit has a loader of this source.
struct Repository(TempDir);

impl Repository {
    fn new(main: &str) -> Repository {
        let repository = Repository(tempfile::tempdir().unwrap());
        repository.write("Cargo.toml", MANIFEST);
        repository.write("build.rs", BUILD_SCRIPT);
        repository.write("main.rs", main);
        repository.write(".gitignore", "/target\nCargo.lock\n");
        repository.write("size-report/budget.toml", &format!("[{}]\nloader = 100000\n", std::env::consts::ARCH));
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        let author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
        self.git(&[&author, ["commit", "--quiet", "--message", "A loader"].as_slice()].concat());
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(self.0.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn size_report(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_size-report"));
        command.args(arguments).current_dir(self.0.path()).env_remove("CARGO_TARGET_DIR");
        command
    }

    #[track_caller]
    fn has_no_other_worktree(&self) {
        assert_eq!(self.git(&["worktree", "list"]).lines().count(), 1);
        assert!(!self.0.path().join("target/size-report/against/tree").exists());
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn delta(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
    report["delta"].take()
}

/// A loader with these functions, each of which takes the last one's result this many times.
fn loader(functions: &[(&str, usize)]) -> String {
    let mut source = "#![no_std]\n#![no_main]\nuse core::hint::black_box;\n\
        #[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n"
        .to_owned();
    let mut calls = "black_box(7)".to_owned();
    let mut bodies = String::new();
    for (name, times) in functions {
        let body = "n = black_box(n) ^ n << 3;\n".repeat(*times);
        bodies += &format!("#[inline(never)]\npub fn {name}(mut n: u64) -> u64 {{\n{body}n\n}}\n");
        calls = format!("boot::{name}({calls})");
    }
    source += &format!("mod boot {{\nuse core::hint::black_box;\n{bodies}}}\n");
    source += &format!("#[unsafe(no_mangle)]\nextern \"C\" fn _start() -> ! {{ black_box({calls}); loop {{}} }}\n");
    source
}

fn sum(changes: &Value) -> i64 {
    changes.as_object().unwrap().values().map(|change| change.as_i64().unwrap()).sum()
}

#[test]
fn functions_that_came_went_grew_and_shrank_are_told() {
    let repository = Repository::new(&loader(&[("goes", 4), ("grows", 2), ("same", 5), ("shrinks", 9)]));
    repository.write("main.rs", &loader(&[("comes", 4), ("grows", 20), ("same", 5), ("shrinks", 3)]));
    let first = repository.size_report(&["--against", "HEAD", "--json"]).output().unwrap();
    let delta_of_first = delta(&first);
    assert_eq!(delta_of_first["against"], "HEAD");
    assert_eq!(delta_of_first["commit"].as_str(), Some(repository.git(&["rev-parse", "HEAD"]).trim()));
    assert_eq!(
        delta_of_first["bytes"].as_i64().unwrap(),
        sum(&delta_of_first["crates"]) + sum(&delta_of_first["other"])
    );
    assert_eq!(sum(&delta_of_first["modules"]), sum(&delta_of_first["crates"]));
    let functions = delta_of_first["functions"].as_array().unwrap();
    let of = |name: &str| functions.iter().find(|change| change["name"] == format!("init::boot::{name}"));
    let sides = |name| of(name).map(|change| [&change["before"], &change["now"]].map(Value::as_u64)).unwrap();
    assert!(matches!(sides("comes"), [None, Some(_)]));
    assert!(matches!(sides("goes"), [Some(_), None]));
    assert!(matches!(sides("grows"), [Some(before), Some(now)] if before < now));
    assert!(matches!(sides("shrinks"), [Some(before), Some(now)] if before > now));
    assert!(of("same").is_none());
    assert_eq!(functions[0]["name"], "init::boot::grows", "the largest change first");
    repository.has_no_other_worktree();

    let again = repository.size_report(&["--against", "HEAD", "--json"]).output().unwrap();
    assert_eq!(delta(&again), delta_of_first);
    assert!(!stderr(&again).contains("Compiling"), "it was built already: {}", stderr(&again));
    let text = repository.size_report(&["--against", "HEAD", "--functions", "1"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("functions: 1 added, 1 gone, 1 grown, 1 shrunk"), "{text}");
    assert!(text.contains("grown   init::boot::grows\n") && !text.contains("added   init"), "{text}");
}

#[test]
fn what_was_built_for_another_revision_is_not_taken() {
    let repository = Repository::new(&loader(&[("one", 2)]));
    repository.write("main.rs", &loader(&[("one", 3)]));
    repository.commit();
    let functions = |revision| {
        let output = repository.size_report(&["--against", revision, "--json"]).output().unwrap();
        delta(&output)["functions"].as_array().unwrap().len()
    };
    assert_eq!([functions("HEAD~"), functions("HEAD"), functions("HEAD~")], [1, 0, 1]);
}

#[test]
fn revision_that_does_not_build_is_an_error_with_cargos_words() {
    let repository = Repository::new("no program at all");
    repository.write("main.rs", &loader(&[]));
    let output = repository.size_report(&["--against", "HEAD"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("error: expected one of"), "{message}");
    let commit = &repository.git(&["rev-parse", "HEAD"])[..12];
    let sentence = format!("size-report: the revision HEAD ({commit}): the loader does not build");
    assert!(message.contains(&sentence), "{message}");
    repository.has_no_other_worktree();
}

#[test]
fn runs_at_one_time_wait_for_each_other() {
    let repository = Repository::new(&loader(&[("one", 2)]));
    repository.write("main.rs", &loader(&[("two", 2)]));
    let run = || {
        repository
            .size_report(&["--against", "HEAD", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let deltas = [run(), run()].map(|run| delta(&run.wait_with_output().unwrap()));
    assert_eq!(deltas[0], deltas[1]);
    repository.has_no_other_worktree();
}

#[test]
fn checkout_of_a_run_that_was_killed_is_replaced() {
    let repository = Repository::new(&loader(&[("one", 2)]));
    let tree = "target/size-report/against/tree";
    repository.git(&["worktree", "add", "--quiet", "--detach", tree]);
    repository.write(&format!("{tree}/main.rs"), "half a file");
    assert_eq!(delta(&repository.size_report(&["--against", "HEAD", "--json"]).output().unwrap())["bytes"], 0);
    repository.has_no_other_worktree();
}

#[test]
fn what_is_neither_a_file_nor_a_revision_is_refused() {
    let repository = Repository::new(&loader(&[]));
    let output = repository.size_report(&["--against", "earlier.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("earlier.json is neither a file nor a revision"), "{}", stderr(&output));
}
