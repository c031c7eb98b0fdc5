//! The story of one boot, from the kernel's first process to the real init.

use core::convert::Infallible;

use rustix::process::getpid;

use crate::cmdline::{CommandLine, OnFail};
use crate::device::{Events, Stage, load_drivers};
use crate::failure::{self, Failure, Problem};
use crate::file;
use crate::handoff;
use crate::kernel;
use crate::module::Modules;
use crate::report::{Level, Line, Log};
use crate::root::mount::Mounted;
use crate::root::{RootSpec, Search, Wait};
use crate::sys::{FileMap, Instant, Program};
use crate::table::Table;
use crate::table::layout::{BLOBS_PATH, TABLE_PATH};

/// The kernel's limit for a command line is half of this, or less, on every architecture.
const COMMAND_LINE: usize = 4096;

/// Boots: becomes the real init, or says why not and ends as the user chose.
pub fn boot(mut program: Program) -> ! {
    let mut log = Log::new();
    let mut on_fail = OnFail::Panic;
    let Err(failure) = run(&mut program, &mut log, &mut on_fail);
    failure::end(&failure, on_fail, &mut program, &mut log)
}

/// Everything that can fail.
fn run(program: &mut Program, log: &mut Log, on_fail: &mut OnFail) -> Result<Infallible, Failure> {
    if !getpid().is_init() {
        return Err(Failure::new(Problem::NotFirst, &[]));
    }
    let start = Instant::now();
    handoff::mount_kernel_file_systems()?;
    log.open();

    let mut text = [0; COMMAND_LINE];
    let machine_words = file::read(c"/proc/cmdline", &mut text).unwrap_or_default();
    *on_fail = CommandLine::parse(b"", machine_words).on_fail;
    let table_file = image_file(TABLE_PATH)?;
    let table = Table::open(&table_file).map_err(|damage| Failure::from_damage(damage, TABLE_PATH))?;
    let cmdline = CommandLine::parse(table.cmdline(), machine_words);
    *on_fail = cmdline.on_fail;
    kernel::check(&table, &cmdline, log)?;

    let blobs = image_file(BLOBS_PATH)?;
    let mut modules = Modules::new(&table, &blobs, &cmdline);
    let root = reach_root(&cmdline, &mut modules, log)?;
    let init = handoff::find_init(&root, &cmdline)?;
    say_mounted(&root, start, &modules, log);
    Err(handoff::hand_off(program, &init))
}

/// Loads drivers, cheap ones first and no more than needed, until the root is there; mounts it.
fn reach_root(cmdline: &CommandLine, modules: &mut Modules, log: &mut Log) -> Result<Mounted, Failure> {
    let root = cmdline.root.ok_or_else(|| Failure::new(Problem::NoRoot, &[]))?;
    let spec = RootSpec::parse(root, cmdline.root_type).ok_or_else(|| Failure::new(Problem::RootForm, &[root]))?;
    let mut search = Search::new(spec, cmdline);
    // The socket first: what happens while the devices are read is an event, and none falls between.
    let events = Events::listen().map_err(|errno| Failure::new(Problem::Events, &[]).with_errno(errno))?;

    for stage in Stage::sequence(&spec) {
        let mut asked = 0;
        loop {
            let now_asked = load_drivers(&stage, modules, log, &mut || search.is_there());
            if let Some(mounted) = search.mount(modules, log)? {
                return Ok(mounted);
            }
            asked += now_asked;
            // What was asked may bring further devices at once, or by and by; what has settled brings none.
            if now_asked == 0 && !search.note(events.wait(stage.settling(asked))) {
                break;
            }
        }
    }
    wait_for_root(root, &mut search, &events, modules, log)
}

/// Every driver was asked: waits for devices that take their time, or that somebody plugs in.
fn wait_for_root(
    root: &[u8],
    search: &mut Search,
    events: &Events,
    modules: &mut Modules,
    log: &mut Log,
) -> Result<Mounted, Failure> {
    let mut wait = Wait::begin(search.patience());
    while let Some(pause) = wait.next(root, log) {
        search.note(events.wait(pause));
        load_drivers(&Stage::everything(&search.spec()), modules, log, &mut || search.is_there());
        if let Some(mounted) = search.mount(modules, log)? {
            return Ok(mounted);
        }
    }
    failure::survey(modules, log);
    Err(search.missing(root))
}

fn image_file(path: &str) -> Result<FileMap, Failure> {
    FileMap::open(path).map_err(|errno| Failure::new(Problem::ImageFile, &[path.as_bytes()]).with_errno(errno))
}

fn say_mounted(root: &Mounted, start: Instant, modules: &Modules, log: &mut Log) {
    let milliseconds = Instant::now().since(start).as_millis() as u64;
    let mut line = Line::of(&[b"root ", root.source.as_bytes(), b" (", root.kind.as_bytes(), b") mounted after "]);
    line.push_number(milliseconds);
    line.push(b" ms, ");
    line.push_number(modules.loaded().into());
    line.push(b" modules loaded");
    log.say(Level::Info, &[line.as_bytes()]);
}
