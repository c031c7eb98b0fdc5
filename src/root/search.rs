//! The search for the root: an attempt to mount it whenever it may have come.

use rustix::io::Errno;

use super::mount;
use super::spec::RootSpec;
use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::machine::Machine;
use crate::module::Modules;
use crate::report::{Level, Log};

/// A search that goes on until the root is mounted.
pub struct Search<'a> {
    spec: RootSpec<'a>,
    cmdline: &'a CommandLine<'a>,
    refusal: Option<Errno>,
}

impl<'a> Search<'a> {
    /// A search for this root.
    pub fn new(spec: RootSpec<'a>, cmdline: &'a CommandLine<'a>) -> Self {
        Search { spec, cmdline, refusal: None }
    }

    /// Mounts the root, if it is there by now. Whether it was.
    pub fn mount(&mut self, modules: &mut Modules<impl Machine>, log: &mut Log) -> Result<bool, Failure> {
        if let RootSpec::Share { kind, tag } = self.spec {
            // Only an attempt tells whether a device with this tag is there.
            let attempt = mount::share(kind, tag, self.cmdline, modules, log);
            self.refusal = attempt.err();
            return Ok(attempt.is_ok());
        }
        let Some(disk) = modules.machine_mut().find(&self.spec) else { return Ok(false) };
        if self.cmdline.root_delay > 0 {
            log.say(Level::Error, &[b"the root is there; pausing as rootdelay= asks"]);
            modules.machine_mut().sleep(self.cmdline.root_delay);
        }
        mount::disk(&disk, self.cmdline, modules, log).map(|()| true)
    }

    /// The failure of a search that found nothing.
    pub fn missing(&self, root: &[u8], log: &mut Log) -> Failure {
        log.fail_as(Problem::RootMissing, root, b"", self.refusal)
    }
}
