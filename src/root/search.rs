//! The search for the root: an attempt to mount it whenever it may have come.

use rustix::io::Errno;

use super::mount;
use super::spec::RootSpec;
#[cfg(feature = "network")]
use super::{nfs, nine_p, remote, spec};
use crate::cmdline::CommandLine;
use crate::device::Reach;
use crate::failure::{self, Failure, Problem};
use crate::machine::Machine;
use crate::module::Modules;
#[cfg(feature = "network")]
use crate::net::lease::{Lease, text};
use crate::report::{Level, Log};
use crate::text::split;

/// A search that goes on until the root is mounted.
pub struct Search<'a> {
    spec: RootSpec<'a>,
    cmdline: &'a CommandLine<'a>,
    reach: Reach,
    refusal: Option<Errno>,
    has_network: bool,
    #[cfg(feature = "network")]
    lease: Lease,
}

impl<'a> Search<'a> {
    /// A search for this root; a failure where the loader cannot search for such a one.
    pub fn new(spec: RootSpec<'a>, cmdline: &'a CommandLine<'a>, log: &mut Log) -> Result<Self, Failure> {
        if is_remote(&spec, cmdline) && !cfg!(feature = "network") {
            return Err(log.fail(Problem::NoNetwork, cmdline.root.unwrap_or_default()));
        }
        Ok(Search {
            spec,
            cmdline,
            reach: reach(&spec, cmdline),
            refusal: None,
            has_network: false,
            #[cfg(feature = "network")]
            lease: Lease::default(),
        })
    }

    /// How far the boot has to reach.
    pub fn reach(&self) -> Reach {
        self.reach
    }

    /// Mounts the root, if it is there by now, and the network where that is needed. Whether it was.
    pub fn mount(&mut self, modules: &mut Modules<impl Machine>, log: &mut Log) -> Result<bool, Failure> {
        #[cfg(feature = "network")]
        if self.reach != Reach::Machine && !self.has_network {
            let lease = &mut self.lease;
            let wanted =
                matches!(self.spec, RootSpec::Nfs { location, .. } if nfs::asks_server(location, self.cmdline));
            let is_ready = modules.machine_mut().network(self.cmdline, wanted, lease, log);
            self.has_network = is_ready.map_err(|errno| log.fail_as(Problem::Network, b"", b"", Some(errno)))?;
            if !self.has_network {
                return Ok(false);
            }
            for disk in remote::beside_root(self.cmdline) {
                remote::attach(disk, self.cmdline, lease, modules, log)?;
            }
            let root_path = lease.text(text::ROOT_PATH);
            match self.spec {
                RootSpec::Remote(root) => return remote::mount(root, self.cmdline, lease, modules, log),
                RootSpec::Nfs { location: Some(b""), .. } if spec::is_disk(root_path) => {
                    return remote::mount(root_path, self.cmdline, lease, modules, log);
                }
                RootSpec::Nfs { location, only_v4 } => {
                    return nfs::mount(location, only_v4, self.cmdline, lease, modules, log).map(|()| true);
                }
                RootSpec::Share { tag, .. } if is_remote(&self.spec, self.cmdline) => {
                    return nine_p::mount(tag, self.cmdline, modules, log).map(|()| true);
                }
                _ => {}
            }
        }
        if let RootSpec::Share { kind, tag } = self.spec
            && cfg!(feature = "shares")
        {
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

    /// The failure of a search that found nothing; says what was seen.
    pub fn missing(&self, root: &[u8], modules: &Modules<impl Machine>, log: &mut Log) -> Failure {
        let is_offline = self.reach != Reach::Machine && !self.has_network;
        failure::survey(is_offline, modules, log);
        #[cfg(feature = "network")]
        if is_offline {
            let problem = modules.machine().survey_network(log);
            return log.fail(problem, root);
        }
        log.fail_as(Problem::RootMissing, root, b"", self.refusal)
    }
}

/// How far the boot has to reach: to a network if the root is there, by itself or on the disk of a `netroot=`; or if
/// `rd.neednet` asks for it. The words' meaning is dracut's.
fn reach(spec: &RootSpec, cmdline: &CommandLine) -> Reach {
    if !cfg!(feature = "network") {
        Reach::Machine
    } else if is_remote(spec, cmdline) || cmdline.last(b"netroot").is_some() {
        Reach::Network
    } else if cmdline.last(b"rd.neednet").is_some_and(|value| value != b"0") {
        Reach::Both
    } else {
        Reach::Machine
    }
}

/// Whether the root is on another machine, and a network is needed to reach it. That a server has a root of 9p, only the
/// options of its mount tell.
#[inline(never)]
fn is_remote(spec: &RootSpec, cmdline: &CommandLine) -> bool {
    let is_nine_p = matches!(spec, RootSpec::Share { kind: b"9p", .. });
    spec.is_remote() || is_nine_p && split(cmdline.root_flags, b',').any(|word| word == b"trans=tcp")
}
