//! A boot that cannot go on: why, in one sentence; what was seen; and the end that the user chose.
//!
//! Failures carry what their sentences need; the sentences themselves stand here and nowhere else.

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::system::{RebootCommand, reboot};

use crate::cmdline::OnFail;
use crate::device::{Driverless, driverless};
use crate::helper;
use crate::machine::Machine;
use crate::module::Modules;
use crate::report::{Level, Line, Log, push_errno, push_sentence};
use crate::root::mount::MOUNT_POINT;
use crate::sys::{Program, console, exit};
use crate::table::{Damage, glob};
use crate::text::entries;

/// What kind of problem ends a boot. Of those with a network's links, the later ones come further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Not started by the kernel as its first process.
    NotFirst,
    /// A kernel file system could not be mounted.
    KernelMount,
    /// A file of the image cannot be read.
    ImageFile,
    /// The table is not a table.
    NotATable,
    /// The table has another format.
    TableVersion,
    /// The table is damaged.
    TableDamaged,
    /// The table was made for another release.
    OtherRelease,
    /// The table was made for another build.
    OtherBuild,
    /// No `root=`.
    NoRoot,
    /// A `root=` that the loader does not understand.
    RootForm,
    /// The kernel tells of no devices.
    Events,
    /// The loader has no network, and the root is on one.
    NoNetwork,
    /// The root did not appear.
    RootMissing,
    /// The root holds nothing that can be recognised.
    Unrecognised,
    /// The root holds something that no kernel mounts as a root.
    NotAFileSystem,
    /// The module for the root's file system is not there.
    NoFileSystem,
    /// The module for the root's file system is there, and did not load.
    FileSystemModule,
    /// The kernel refused to mount the root.
    RootMount,
    /// The kernel refused the upper layer of the overlay.
    Overlay,
    /// The root has no init.
    NoInit,
    /// The init that was asked for, of the root or the image, is not there.
    NoSuchInit,
    /// A step of the handoff failed.
    HandOff,
    /// The network did not begin at all.
    Network,
    /// No link that could be tried.
    NoLink,
    /// Links, and none with a cable.
    NoCarrier,
    /// No router advertised a network.
    NoRouter,
    /// No DHCP server gave an address.
    NoOffer,
    /// A server that is not given by its address.
    ServerName,
    /// Nobody said which server.
    NoServerAddress,
    /// The server does not answer.
    NoServer,
    /// The server speaks no version of NFS that is wanted.
    NfsVersion,
    /// The server has no such directory.
    NoExport,
    /// The server does not let this machine have the directory.
    NotExported,
    /// The name of a server's disk is of no form that is known.
    RemoteForm,
    /// The module for a server's disks is there, and did not load.
    ProtocolModule,
    /// The module for a server's disks is not there.
    NoProtocol,
    /// What answers is no server of NBD.
    NotNbd,
    /// The server of NBD says what no server may.
    NbdLies,
    /// The server's export is no disk for this kernel.
    NbdUnfit,
    /// The server has no such export.
    NbdUnknown,
    /// The server of NBD wants TLS.
    NbdTls,
    /// The server of NBD does not want to.
    NbdDenied,
    /// The kernel does not take the export.
    NbdDevice,
    /// The kernel did not connect to the subsystem.
    NvmeRefused,
    /// The subsystem has no such namespace.
    NvmeNamespace,
}

/// A boot cannot go on. Why is noted in the [`Log`], which whoever makes a failure has at hand: so a failure costs
/// nothing to pass on.
#[derive(Debug)]
pub struct Failure(());

impl Log {
    /// Notes a problem with `subject`.
    pub fn fail(&mut self, problem: Problem, subject: &[u8]) -> Failure {
        self.fail_as(problem, subject, b"", None)
    }

    /// Notes a problem. Its sentence names `subject` where the pattern has `%`, and `detail` where it has `&`; the
    /// kernel's reason comes last.
    #[inline(never)]
    pub fn fail_as(&mut self, problem: Problem, subject: &[u8], detail: &[u8], errno: Option<Errno>) -> Failure {
        self.reason = Line::new();
        push_sentence(&mut self.reason, problem.pattern(), subject, detail);
        if let Some(errno) = errno {
            self.reason.push(b": ");
            push_errno(&mut self.reason, b"", errno);
        }
        Failure(())
    }
}

impl Problem {
    /// The sentences, in the order of the problems.
    const PATTERNS: &[u8] = b"\
not process 1: this is the init of an initramfs\0\
cannot mount %\0\
the image's % cannot be read\0\
% is no module table: build the image anew\0\
% has another format version: loader and builder do not belong together\0\
% is damaged: build the image anew, and check memory and medium\0\
the image was built for kernel %, but this is kernel &\0\
the image was built for another build of kernel %\0\
the command line has no root=\0\
root=% is of no form that is known here\0\
cannot listen to the kernel's events\0\
root=% is on a network: build the image with --with net\0\
root=% did not appear\0\
% holds no file system that is known here: give rootfstype=\0\
% holds &, which cannot be mounted as a root\0\
cannot mount %: neither the kernel nor the image knows &; build with --include &\0\
cannot mount %: the module of & did not load (see above)\0\
cannot mount % as &\0\
cannot mount modstrap.overlay=%\0\
the root has no init: neither /sbin/init, /etc/init, /bin/init nor /bin/sh\0\
the & has no executable init=%\0\
cannot hand over to %";

    /// Those that only a network has, which come after all others; without network nobody has them.
    const NETWORK_PATTERNS: &[u8] = if !cfg!(feature = "network") {
        b""
    } else {
        b"\
cannot use the network\0\
no network link came that could be tried: is its driver in the image (--with net)?\0\
no network link has a carrier (see above)\0\
no router has advertised a network of IPv6 (see above)\0\
no DHCP server has given an address (see above)\0\
%: the server must be given by its address\0\
no server is known for root=%: neither nfsroot=, ip= nor DHCP gives one\0\
no answer by & from the server %\0\
cannot mount %: the server does not speak that version of NFS, or the image lacks nfsv3 or nfsv4\0\
cannot mount %: the server has no such directory, or hides it from this machine\0\
cannot mount %: the server does not export it to this machine\0\
% is of another form than nbd:ADDRESS:PORT[:NAME] and nvme+tcp://ADDRESS[:PORT]/NQN\0\
cannot use %: the module & did not load (see above)\0\
cannot use %: neither the kernel nor the image has &; build with --with net\0\
%: that server does not speak NBD, or only its oldstyle negotiation\0\
%: the server breaks the protocol of NBD\0\
%: what the server has is too small for a disk, or its blocks are too large for the kernel\0\
%: the server has no such export\0\
%: the server wants TLS, which is not spoken here\0\
%: the server refuses: &\0\
%: the kernel makes no disk of it\0\
%: no connection to the subsystem (&)\0\
%: the subsystem has no such namespace"
    };

    /// The sentence for it.
    fn pattern(self) -> &'static [u8] {
        let (patterns, number) = match (self as usize).checked_sub(Problem::Network as usize) {
            Some(number) => (Self::NETWORK_PATTERNS, number),
            None => (Self::PATTERNS, self as usize),
        };
        entries(patterns).nth(number).unwrap_or_default()
    }
}

impl From<Damage> for Problem {
    fn from(damage: Damage) -> Problem {
        match damage {
            Damage::NotATable => Problem::NotATable,
            Damage::Version(_) => Problem::TableVersion,
            Damage::Length | Damage::Section | Damage::Checksum => Problem::TableDamaged,
        }
    }
}

/// Lists what a user needs to see why there is no root: block devices and what is on them, devices that no module of
/// the image drives, and modules that did not load.
pub fn survey(is_remote: bool, modules: &Modules<impl Machine>, log: &mut Log) {
    if !cfg!(feature = "reasons") {
        return;
    }
    if !is_remote {
        survey_disks(modules, log);
    }
    let mut left = UNDRIVEN;
    driverless(modules, &mut |Driverless { path, modalias, blacklisted }| {
        if left > 0 && may_lead_to_the_root(modalias, is_remote) {
            left -= 1;
            match blacklisted {
                Some(module) => log.say(Level::Error, &[module.as_bytes(), b" is blacklisted, and would drive ", path]),
                None => log.say(Level::Error, &[b"no driver in the image for ", path, b" (", modalias, b")"]),
            }
        }
    });
    for failed in modules.failed() {
        modules.say_failed(failed, Level::Error, log);
    }
}

fn survey_disks(modules: &Modules<impl Machine>, log: &mut Log) {
    let mut any = false;
    modules.machine().disks(&mut |disk| {
        any = true;
        log.say(Level::Error, &[b"seen: ", modules.machine().describe(disk).as_bytes()]);
        true
    });
    if !any {
        log.say(Level::Error, &[b"seen: no block device at all"]);
    }
}

/// How many devices without a driver a report lists.
const UNDRIVEN: usize = 16;

/// Modaliases of the buses that disks hang on. A PCI device must say that it is mass storage, a bus controller like USB,
/// an SD host, or older than such classes.
const WAYS_TO_A_DISK: &[u8] = b"virtio:*\0usb:*\0scsi:*\0nvme*\0mmc:*\0vmbus:*\0xen:*\0sdio:*\0of:*\0\
    pci:*bc0[01]*\0pci:*bc0C03*\0pci:*bc0805*";

/// Modaliases of network devices, and of what they hang on.
const WAYS_TO_A_NETWORK: &[u8] = b"virtio:d00000001v*\0usb:*\0vmbus:*\0xen:*\0of:*\0pci:*bc02*\0pci:*bc0C03*";

fn may_lead_to_the_root(modalias: &[u8], is_remote: bool) -> bool {
    let ways = if is_remote { WAYS_TO_A_NETWORK } else { WAYS_TO_A_DISK };
    entries(ways).any(|pattern| glob::matches(pattern, modalias))
}

/// Says why, as the last line, and ends.
pub fn end(Failure(()): Failure, on_fail: OnFail, program: &mut Program, log: &mut Log) -> ! {
    helper::tell(Level::Error, log);
    let sentence = log.reason.clone();
    if on_fail == OnFail::Shell {
        log.say(Level::Error, &[b"cannot boot: ", sentence.as_bytes(), b"; starting a shell"]);
        start_shell(program, log);
    }
    log.say(Level::Error, &[b"cannot boot: ", sentence.as_bytes()]);
    let command = match on_fail {
        OnFail::Reboot => RebootCommand::Restart,
        OnFail::PowerOff => RebootCommand::PowerOff,
        OnFail::Halt => RebootCommand::Halt,
        // The kernel panics when process 1 ends.
        OnFail::Panic | OnFail::Shell => exit(1),
    };
    // A root that was mounted already is left in good order.
    let _ = unmount(MOUNT_POINT, UnmountFlags::empty());
    rustix::fs::sync();
    let _ = reboot(command);
    exit(1)
}

/// Becomes the shell of the image, if it has one.
fn start_shell(program: &mut Program, log: &mut Log) {
    // Job control needs a session with a terminal of its own; without one the shell says so and works all the same.
    let _ = setsid();
    program.drop_arguments();
    let _ = ioctl_tiocsctty(console());
    for shell in &[c"/bin/sh", c"/usr/bin/sh", c"/bin/bash", c"/sbin/sh"] {
        program.become_other(shell);
    }
    log.say(Level::Error, &[b"the image has no shell: build it with --file SHELL:/bin/sh"]);
}
