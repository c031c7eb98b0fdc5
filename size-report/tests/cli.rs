//! The program as a user calls it, on the loader of this workspace.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn size_report(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_size-report");
    Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", stderr(output)))
}

fn sum(map: &Value) -> u64 {
    map.as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum()
}

/// A budget of so many bytes for the architecture the tests run on.
fn budget(bytes: u64) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("[{}]\nloader = {bytes}\n", std::env::consts::ARCH)).unwrap();
    file
}

/// The report on this workspace's loader under a budget of so many bytes.
fn report_within(bytes: u64, arguments: &[&str]) -> Output {
    let budget = budget(bytes);
    let arguments = [&["--json", "--budget", budget.path().to_str().unwrap()], arguments].concat();
    size_report(&arguments)
}

#[test]
fn loader_keeps_its_budget() {
    let output = size_report(&["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["budget"]["ok"], true);
}

#[test]
fn every_byte_is_accounted_for() {
    let drawing = tempfile::NamedTempFile::new().unwrap();
    let output = report_within(1 << 20, &["--svg", drawing.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let loader = &json(&output)["loader"];
    let bytes = loader["bytes"].as_u64().unwrap();
    assert_eq!(fs::metadata(loader["path"].as_str().unwrap()).unwrap().len(), bytes);
    assert_eq!(sum(&loader["crates"]) + sum(&loader["other"]), bytes);
    assert_eq!(sum(&loader["modules"]), loader["crates"]["modstrap"]);
    for (name, of_crate) in loader["crates"].as_object().unwrap() {
        let functions = loader["functions"].as_array().unwrap().iter();
        let bytes = functions.filter(|function| function["crate"] == *name).map(|function| &function["bytes"]);
        assert_eq!(bytes.map(|bytes| bytes.as_u64().unwrap()).sum::<u64>(), of_crate.as_u64().unwrap(), "{name}");
    }
    let drawing = fs::read_to_string(drawing.path()).unwrap();
    let drawing = roxmltree::Document::parse(&drawing).unwrap();
    let drawn = drawing.descendants().filter_map(|node| node.attribute("data-bytes")?.parse::<u64>().ok());
    assert_eq!(drawn.sum::<u64>(), bytes);
    let bss = loader["sections"][".bss"].as_u64().unwrap_or(0);
    assert!(sum(&loader["sections"]) - bss <= bytes);
    assert!(loader["sections"][".text"].as_u64().unwrap() > bytes / 2);
}

#[test]
fn loader_over_its_budget_fails_and_names_the_largest() {
    let output = report_within(100, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["budget"], serde_json::json!({ "bytes": 100, "ok": false }));
    let message = stderr(&output);
    assert!(message.contains("more than its budget of 100"), "{message}");
    assert!(message.contains("largest modules: ") && message.contains("largest crates: "), "{message}");
}

#[test]
fn report_against_itself_shows_no_change() {
    let earlier = tempfile::NamedTempFile::new().unwrap();
    fs::write(earlier.path(), report_within(1 << 20, &[]).stdout).unwrap();
    let output = report_within(1 << 20, &["--against", earlier.path().to_str().unwrap()]);
    let delta = &json(&output)["delta"];
    assert_eq!(delta["bytes"], 0);
    assert_eq!(delta["modules"], serde_json::json!({}));
}

#[test]
fn revision_is_built_and_measured_like_this_one() {
    let budget = budget(1 << 20);
    let packed = "packed = [{ name = \"everything\", features = [\"network\", \"tools\"], bytes = 1000000 }]\n";
    fs::write(budget.path(), fs::read_to_string(budget.path()).unwrap() + packed).unwrap();
    let output = size_report(&["--json", "--budget", budget.path().to_str().unwrap(), "--against", "HEAD"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let delta = &json(&output)["delta"];
    assert_eq!(delta["left_out"], serde_json::json!([]), "this revision can be measured as this program knows it");
    let changed = |table: &str| -> i64 {
        delta[table].as_object().unwrap().values().map(|change| change.as_i64().unwrap()).sum()
    };
    assert_eq!(changed("crates") + changed("other"), delta["bytes"].as_i64().unwrap());
    assert_eq!(delta["commit"].as_str().unwrap().len(), 40);
}

#[test]
fn dynamic_program_is_refused() {
    let ls = "/bin/ls";
    assert!(Path::new(ls).exists());
    let output = size_report(&["--loader", ls, "--symbols", ls]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("PT_INTERP"), "{}", stderr(&output));
}

#[test]
fn file_that_is_no_image_is_refused_by_name() {
    let output = size_report(&["--image", "Cargo.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Cargo.toml is not an image of modstrap"), "{}", stderr(&output));
}
