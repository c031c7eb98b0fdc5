//! The story of one boot, from the kernel's first process to the real init.

use core::convert::Infallible;

use rustix::process::getpid;

use crate::cmdline::{COMMAND_LINE, CommandLine, OnFail};
use crate::device::Stage;
use crate::failure::{self, Failure, Problem};
use crate::file;
use crate::handoff;
use crate::helper::Requests;
use crate::kernel;
use crate::machine::{Machine, Running};
use crate::module::{Loading, Modules};
use crate::report::{Level, Log};
use crate::root::{Pace, RootSpec, Search, overlay};
use crate::store;
use crate::sys::{FileMap, Program};
use crate::table::Table;
use crate::table::layout::{BLOBS_PATH, TABLE_PATH};

/// Boots: becomes the real init, or says why not and ends as the user chose.
pub fn boot(mut program: Program) -> ! {
    let mut log = Log::begin();
    let mut on_fail = OnFail::Panic;
    let Err(failure) = run(&mut program, &mut log, &mut on_fail);
    failure::end(failure, on_fail, &mut program, &mut log)
}

/// The boot itself; comes back only with a failure.
fn run(program: &mut Program, log: &mut Log, on_fail: &mut OnFail) -> Result<Infallible, Failure> {
    if !getpid().is_init() {
        return Err(log.fail(Problem::NotFirst, b""));
    }
    handoff::mount_kernel_file_systems(log)?;
    log.open();

    // Known before the table is, so that a damaged table ends as the user chose.
    *on_fail = CommandLine::parse(file::read(c"/proc/cmdline", &mut [0; COMMAND_LINE])).on_fail;
    let table_file = image_file(TABLE_PATH, log)?;
    let table = Table::open(&table_file).map_err(|damage| log.fail(damage.into(), TABLE_PATH.as_bytes()))?;
    let words = store::words(&table);
    let cmdline = CommandLine::parse(words.as_bytes());
    *on_fail = cmdline.on_fail;
    if let Some(word) = cmdline.odd {
        log.say(Level::Warning, &[b"no meaning is known of the word ", word]);
    }
    kernel::check(&table, &cmdline, log)?;

    let blobs = image_file(BLOBS_PATH, log)?;
    let requests = Requests::begin();
    let mut modules = Modules::new(&table, &cmdline, Running::new(&blobs, None), Loading::Boot);
    reach_root(&cmdline, &mut modules, log)?;
    let init = handoff::find_init(&cmdline, log)?;
    modules.machine_mut().let_go();
    requests.end(log);
    Err(handoff::hand_off(program, &init, &cmdline, log))
}

/// Loads drivers, cheap ones first and no more than needed, until the root is there; mounts it.
pub fn reach_root(cmdline: &CommandLine, modules: &mut Modules<impl Machine>, log: &mut Log) -> Result<(), Failure> {
    let root = cmdline.root().ok_or_else(|| log.fail(Problem::NoRoot, b""))?;
    let spec = RootSpec::parse(root, cmdline.root_type).ok_or_else(|| log.fail(Problem::RootForm, root))?;
    let mut search = Search::new(spec, cmdline, log)?;
    modules.load_wanted(log);
    // The socket first: what happens while the devices are read is an event, and none falls between.
    modules.machine_mut().listen().map_err(|errno| log.fail_as(Problem::Events, b"", b"", Some(errno)))?;

    let first = Stage::first(&spec, search.reach(), modules.machine().has_device_tree());
    let mut pace = Pace::begin(first, cmdline.patience);
    while !search.mount(modules, log)? {
        if !pace.load_drivers(modules, log) {
            modules.load_known_file_system(log);
            let pause = pace.next(modules.machine().now(), root, log);
            let Some(pause) = pause else { return Err(search.missing(root, modules, log)) };
            modules.machine_mut().wait(pause);
        }
    }
    overlay::lay(cmdline, modules, log)
}

fn image_file(path: &str, log: &mut Log) -> Result<FileMap, Failure> {
    store::map(b"", path).map_err(|errno| log.fail_as(Problem::ImageFile, path.as_bytes(), b"", Some(errno)))
}
