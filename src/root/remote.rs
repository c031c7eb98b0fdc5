//! A root on a disk that a server lends, by NBD or by NVMe over TCP.

use super::mount;
use super::server::Server;
use crate::cmdline::CommandLine;
use crate::device::Disk;
use crate::failure::{self, Failure, Problem};
use crate::machine::Machine;
use crate::module::{Answer, Modules};
use crate::net::remote::{Kind, Remote};
use crate::net::{Lease, Trouble};
use crate::report::{Line, Log};

/// The names of the disks that the command line names beside the root, to be searched for it.
pub fn beside_root<'a>(cmdline: &CommandLine<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    cmdline.values(b"netroot").filter(|disk| !disk.is_empty())
}

/// Gets the disk of this name, and mounts it.
pub fn mount(
    text: &[u8],
    cmdline: &CommandLine,
    lease: &Lease,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<bool, Failure> {
    let disk = attach(text, cmdline, lease, modules, log)?;
    let mut own = cmdline.clone();
    if let Some(Remote { kind: Kind::Nbd { types, flags, .. }, .. }) = Remote::parse(text) {
        own.root_type = Some(types).filter(|types| !types.is_empty()).or(own.root_type);
        own.root_flags = if flags.is_empty() { own.root_flags } else { flags };
    }
    let mounted = mount::disk(&disk, &own, modules, log);
    if mounted.is_err() && modules.machine().file_system(&disk).is_none() {
        // It may have partitions.
        failure::survey(false, modules, log);
    }
    mounted.map(|()| true)
}

/// Gets the disk of this name from its server.
pub fn attach(
    text: &[u8],
    cmdline: &CommandLine,
    lease: &Lease,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<Disk, Failure> {
    let mut remote = Remote::parse(text).ok_or_else(|| log.fail(Problem::RemoteForm, text))?;
    remote.server = remote.server.or(lease.server());
    if remote.server.is_none() {
        return Err(log.fail(Problem::NoServerAddress, text));
    }
    let (module, protocol): (&[u8], &[u8]) = match remote.kind {
        Kind::Nbd { .. } => (b"nbd", b"NBD"),
        Kind::Nvme { .. } => (b"nvme_tcp", b"NVMe"),
    };
    load(module, text, modules, log)?;
    let server = Server { address: remote.server, port: remote.port, protocol };
    let (mut words, mut trouble) = (Line::new(), None);
    server.wait(cmdline, modules, log, &mut |machine| {
        match machine.attach(&remote, cmdline, &mut words) {
            Ok(()) => {}
            Err(Trouble::Passing(errno)) => return Err(errno),
            Err(Trouble::Lasting(problem, errno)) => trouble = Some((problem, errno)),
        }
        Ok(())
    })?;
    match trouble {
        None => Ok(Disk::called(words.as_bytes())),
        Some((problem, errno)) => Err(log.fail_as(problem, text, words.as_bytes(), errno)),
    }
}

/// Loads the module that speaks with the server of this name.
pub fn load(module: &[u8], name: &[u8], modules: &mut Modules<impl Machine>, log: &mut Log) -> Result<(), Failure> {
    match modules.load_named(module, log) {
        Answer::Loaded => Ok(()),
        Answer::Failed => Err(log.fail_as(Problem::ProtocolModule, name, module, None)),
        Answer::Nobody => Err(log.fail_as(Problem::NoProtocol, name, module, None)),
    }
}
