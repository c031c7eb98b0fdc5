//! What the kernel command line says of modules, read by the loader and by kmod: the same parameters for the same
//! modules, quote for quote, and the same blacklist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use modstrap::cmdline::CommandLine;

/// How many command lines are made up.
const LINES: usize = 1000;

/// Lines as people and boot loaders write them.
const WRITTEN: [&str; 12] = [
    "usb-storage.delay_use=3 usb_storage.quirks=1:2:u usb_storage.option",
    "root=/dev/sda1 quiet mod_simple.foo mod_simple.bar=1 mod-simple.bar=2",
    "zram.size=1.5G psmouse.proto=imps initrd=x.y fs.path=/a.b=c",
    "drm.edid=\"HDMI-A-1:edid/a b.bin\" b.x",
    "parport.dyndbg=\"file drivers/parport/ieee1284_ops.c +mpf\" b.x=1",
    "\"parport.dyndbg=file drivers/parport/ieee1284_ops.c +mpf\" b.x=1",
    "ivrs_acpihid[14:00.5]=AMDI0020:0 b.x=1",
    "b.\"x=1\" b\".y=1\" \"b.z\" \"b\".v=1 b.q=\"\" b.r=\"1\"2",
    "modprobe.blacklist=floppy,pcspkr modprobe.blacklist=i2c-i801 blacklist=no modprobe.blacklist",
    "b.open=\"x y",
    "\"b.open=x y",
    "  b.tabs=1\tb.lines=2\nb.feeds=3\x0bb.more=4\n",
];

/// Made-up lines of the pieces that matter: the same in each run.
fn made_up() -> impl Iterator<Item = String> {
    const PIECES: [&str; 24] = [
        "a", "b", "m", "-", "_", ".", ".", "=", "=", "\"", "\"", "\"", " ", " ", " ", "\t", "1", "[", "]", ",", " a.b",
        " a-b.c=", " m.x=\"", " \"m.y=",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % limit
    };
    (0..LINES).map(move |_| (0..4 + below(40)).map(|_| PIECES[below(PIECES.len())]).collect())
}

/// What a command line says of modules.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    parameters: BTreeMap<String, Vec<String>>,
    blacklist: BTreeSet<String>,
}

/// What kmod reads, for each line: `modprobe -c` in a mount namespace where the line is /proc/cmdline.
fn by_kmod(lines: &[String]) -> Vec<Said> {
    const SCRIPT: &str = "cd \"$1\"; mkdir conf; for at in $(seq \"$2\"); do
        mount --bind $((at - 1)) /proc/cmdline; modprobe -C conf -c || exit; umount /proc/cmdline; echo '# next'; done";
    let directory = tempfile::tempdir().unwrap();
    for (at, line) in lines.iter().enumerate() {
        fs::write(directory.path().join(at.to_string()), line).unwrap();
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]).arg(directory.path());
    let output = unshare.arg(lines.len().to_string()).output().expect("unshare, of util-linux");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).unwrap();
    let said: Vec<Said> = output.split("# next\n").map(said_by).collect();
    assert_eq!(said.len(), lines.len() + 1, "one answer for each line, and nothing behind the last");
    said.into_iter().take(lines.len()).collect()
}

/// The lines `options MODULE PARAMETER` and `blacklist MODULE` of a configuration.
fn said_by(configuration: &str) -> Said {
    let mut said = Said::default();
    for line in configuration.lines() {
        if let Some((module, parameter)) = line.strip_prefix("options ").and_then(|rest| rest.split_once(' ')) {
            // kmod takes nameless ones too, which no module has.
            let is_named = !parameter.is_empty() && !parameter.starts_with('=');
            if is_named && !module.is_empty() && module != "modprobe" {
                said.parameters.entry(module.into()).or_default().push(parameter.into());
            }
        } else if let Some(module) = line.strip_prefix("blacklist ") {
            said.blacklist.insert(module.replace('-', "_"));
        }
    }
    said
}

/// What the loader reads, asked for these modules.
fn by_loader(line: &str, modules: &BTreeSet<String>) -> Said {
    let line = CommandLine::parse(line.as_bytes());
    // kmod prints what separates words as spaces.
    let text = |pieces: [&[u8]; 3]| String::from_utf8(pieces.concat()).unwrap().replace(['\t', '\n', '\x0b'], " ");
    let parameters = |module: &String| line.parameters(module.as_bytes()).map(text).collect::<Vec<_>>();
    let all = modules.iter().map(|module| (module.clone(), parameters(module)));
    Said {
        parameters: all.filter(|(_, parameters)| !parameters.is_empty()).collect(),
        blacklist: modules.iter().filter(|module| line.blacklists(module.as_bytes())).cloned().collect(),
    }
}

#[test]
#[ignore = "needs kmod, and unshare, of util-linux"]
fn the_loader_reads_parameters_and_blacklists_as_kmod_does() {
    // What stands behind `--` is for the real init: kmod reads on, the kernel and the loader do not.
    let has_end = |line: &String| line.split_ascii_whitespace().any(|word| word == "--");
    let lines: Vec<String> =
        WRITTEN.map(String::from).into_iter().chain(made_up().filter(|line| !has_end(line))).collect();
    let mut told = 0;
    for (line, kmod) in lines.iter().zip(by_kmod(&lines)) {
        // Whatever kmod names, and whatever might be a name.
        let mut modules: BTreeSet<String> = kmod.parameters.keys().chain(&kmod.blacklist).cloned().collect();
        modules
            .extend(line.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).map(|name| name.replace('-', "_")));
        modules.retain(|module| !module.is_empty() && module != "modprobe");
        told += kmod.parameters.len() + kmod.blacklist.len();
        assert_eq!(by_loader(line, &modules), kmod, "{line:?}");
    }
    assert!(told > LINES, "only {told} parameters: the lines are too wild");
}

#[test]
#[ignore = "needs kmod, and unshare, of util-linux"]
fn where_the_loader_differs_from_kmod_it_is_for_a_reason() {
    let lines = ["a.b=1 -- a.c=2".to_owned(), "modprobe.blacklist=\"a,b\"".to_owned()];
    let kmod = by_kmod(&lines);
    // Words behind `--` are the real init's.
    assert_eq!(kmod[0].parameters["a"], ["b=1", "c=2"]);
    assert_eq!(by_loader(&lines[0], &["a".into()].into()).parameters["a"], ["b=1"]);
    // kmod takes quotes for parts of the names.
    assert_eq!(kmod[1].blacklist, ["\"a".into(), "b\"".into()].into());
    let modules = ["a".into(), "b".into()].into();
    assert_eq!(by_loader(&lines[1], &modules).blacklist, modules);
}
