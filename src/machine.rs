//! The machine that a boot works on: the running one, or on the host the record of one.

use core::ffi::CStr;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{self, Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::system::init_module;

#[cfg(feature = "network")]
use crate::cmdline::CommandLine;
use crate::device::{self, Disk, Events};
#[cfg(feature = "network")]
use crate::failure::Problem;
use crate::file::{self, Path};
use crate::module::{Blob, Corrupt, Parameters, Worker};
#[cfg(feature = "network")]
use crate::net::remote::Remote;
#[cfg(feature = "network")]
use crate::net::{self, Address, Attached, Lease, Network, Trouble};
use crate::report::Line;
#[cfg(feature = "network")]
use crate::report::Log;
use crate::root::mount::MOUNT_POINT;
use crate::root::superblock::FsKind;
use crate::root::{self, Finder, RootSpec, overlay};
use crate::sys::{self, Buffer, lock_byte};
use crate::table::{ModuleId, fold};
use crate::text::{split, split_once};

/// What the kernel has of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// It is being loaded, or unloaded.
    Coming,
    /// It is there, loaded to the end or built in.
    Live,
}

/// Why a module was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The kernel refused it.
    Kernel(Errno),
    /// Its blob is not what the builder wrote.
    Corrupt,
}

/// Why a module is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'a> {
    /// A device asks for it: the device's path below /sys/devices.
    Device(&'a [u8]),
    /// It answers to this name, which the boot or the kernel asks for.
    Name(&'a [u8]),
    /// It is among those that answer to an alias of which a module needs one.
    Choice(ModuleId, &'a [u8]),
    /// A module cannot be loaded without it.
    Dependency(ModuleId),
    /// A module is better off with it.
    Soft(ModuleId),
}

/// What a boot needs to know of a machine and its kernel, and does to them. Times are in milliseconds.
pub trait Machine {
    /// Calls `visit` with the path below /sys/devices and the normalised modalias of each device that no driver has
    /// taken.
    fn undriven(&self, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// Calls `visit` with the normalised modalias of the processor, if it has one.
    fn processor(&self, visit: &mut dyn FnMut(&[u8]));

    /// Whether a device tree describes it.
    fn has_device_tree(&self) -> bool;

    /// What the kernel has of a module.
    fn presence(&self, name: &[u8]) -> Presence;

    /// Makes a module this process's to load, until its end; or else the process whose it is.
    fn claim(&self, module: ModuleId) -> Result<(), u32>;

    /// A number that changes while a process gets on with its work.
    fn progress(&self, process: u32) -> u64;

    /// Hands the module whose blob begins at `blob` to the kernel.
    fn insert(&mut self, name: &[u8], blob: u64, parameters: &CStr) -> Result<(), Refusal>;

    /// Whether it has several processors, for workers beside this process.
    fn is_parallel(&self) -> bool {
        false
    }

    /// Sets a worker on the module whose blob begins at `blob`.
    fn work_on(&self, _blob: u64, _parameters: &Parameters) -> Option<Worker> {
        None
    }

    /// Calls `visit` with each line that the kernel has logged since the last insertion began, which was refused with
    /// `errno`. If that speaks of a policy, settings follow: whether modules are switched off (0 or 1), and the names of
    /// the security modules.
    fn evidence(&self, errno: Errno, visit: &mut dyn FnMut(&[u8])) {
        let _ = (errno, visit);
    }

    /// Takes note of why a module is about to be loaded, before its insertion or that of what it needs.
    fn explain(&mut self, _module: ModuleId, _why: Why) {}

    /// Begins to listen to what happens to devices.
    fn listen(&mut self) -> Result<(), Errno>;

    /// Waits until something happens to devices, at most so long.
    fn wait(&mut self, limit: u64);

    /// Lets so much time pass.
    fn sleep(&mut self, time: u64);

    /// The time since power-on.
    fn now(&self) -> u64;

    /// The root's disk, if it is there by now and can be read.
    fn find(&mut self, root: &RootSpec) -> Option<Disk>;

    /// Calls `visit` for each disk and partition that holds anything, in the order of their names, until it returns
    /// false.
    fn disks(&self, visit: &mut dyn FnMut(&Disk) -> bool);

    /// What is on a disk, if it is known and the disk can be read.
    fn file_system(&self, disk: &Disk) -> Option<FsKind>;

    /// What a report says of a disk.
    fn describe(&self, disk: &Disk) -> Line;

    /// Goes on with the network, as far as that comes without waiting. Whether all is done; `lease` is then what it was given,
    /// where that is `wanted` all of it.
    #[cfg(feature = "network")]
    fn network(&mut self, cmdline: &CommandLine, wanted: bool, lease: &mut Lease, log: &mut Log)
    -> Result<bool, Errno>;

    /// Says what became of the network; what is wrong with it.
    #[cfg(feature = "network")]
    fn survey_network(&self, log: &mut Log) -> Problem;

    /// Asks a server a question of one message by TCP, and waits some seconds for what it answers, whose length is returned.
    #[cfg(feature = "network")]
    fn ask(&mut self, server: &Address, port: u16, question: &[u8], answer: &mut [u8]) -> Result<usize, Errno>;

    /// Makes a disk that a server lends one of this machine. `words` is then its name, or what the server or the kernel says of a
    /// refusal.
    #[cfg(feature = "network")]
    fn attach(&mut self, remote: &Remote, cmdline: &CommandLine, words: &mut Line) -> Result<(), Trouble>;

    /// Mounts the root.
    fn mount(&mut self, source: &CStr, kind: &CStr, flags: MountFlags, options: &CStr) -> Result<(), Errno>;

    /// Moves the mounted root aside, to be the lower layer of an overlay, and mounts a tmpfs with these options for the
    /// upper one.
    fn set_aside(&mut self, _options: &CStr) -> Result<(), Errno> {
        Ok(())
    }
}

/// The machine that this program runs on.
pub struct Running<'a> {
    decoder: Decoder<'a>,
    claims: Option<BorrowedFd<'a>>,
    kmsg: Option<OwnedFd>,
    events: Option<Events>,
    finder: Finder,
    #[cfg(feature = "network")]
    network: Network,
    #[cfg(feature = "network")]
    attached: Attached,
}

impl<'a> Running<'a> {
    /// The machine, the blob file of the modules that it may get, and the file in which those who load modules at the
    /// same time claim them, a byte for each.
    pub fn new(blobs: &'a [u8], claims: Option<BorrowedFd<'a>>) -> Self {
        let kmsg = file::open_as(c"/dev/kmsg", OFlags::RDONLY | OFlags::NONBLOCK).ok();
        Running {
            decoder: Decoder::new(blobs),
            claims,
            kmsg,
            events: None,
            finder: Finder::default(),
            #[cfg(feature = "network")]
            network: Network::default(),
            #[cfg(feature = "network")]
            attached: Attached::default(),
        }
    }
}

impl Running<'_> {
    /// Passes over what the kernel has logged so far.
    fn pass_log(&self) {
        if let Some(kmsg) = &self.kmsg {
            let _ = fs::seek(kmsg, SeekFrom::End(0));
        }
    }

    /// Leaves to the system what only the initramfs watches over.
    pub fn let_go(&mut self) {
        #[cfg(feature = "network")]
        self.attached.let_go();
    }
}

impl Machine for Running<'_> {
    fn undriven(&self, visit: &mut dyn FnMut(&[u8], &[u8])) {
        device::undriven(visit);
    }

    fn processor(&self, visit: &mut dyn FnMut(&[u8])) {
        device::processor(visit);
    }

    fn has_device_tree(&self) -> bool {
        file::exists(c"/sys/firmware/devicetree/base/compatible")
    }

    fn presence(&self, name: &[u8]) -> Presence {
        presence(name)
    }

    fn claim(&self, module: ModuleId) -> Result<(), u32> {
        self.claims.map_or(Ok(()), |claims| lock_byte(claims, module.0))
    }

    fn progress(&self, process: u32) -> u64 {
        let mut path = Path::of(&[b"/proc/"]);
        path.push_number(process.into());
        path.push(b"/stat");
        // Its times are among these; one that waits has all of them as they were.
        fold(file::read(path.as_c_str(), &mut [0; 512]))
    }

    fn insert(&mut self, _name: &[u8], blob: u64, parameters: &CStr) -> Result<(), Refusal> {
        self.pass_log();
        let image = self.decoder.decode(blob)?;
        init_module(image, parameters).map_err(Refusal::Kernel)
    }

    fn is_parallel(&self) -> bool {
        // `0` alone, or a list of ranges like `0-3`.
        file::read(c"/sys/devices/system/cpu/online", &mut [0; 8]).len() > 2
    }

    fn work_on(&self, blob: u64, parameters: &Parameters) -> Option<Worker> {
        let decoder = &mut Decoder::new(self.decoder.blobs);
        Worker::start(|| decoder.decode(blob).ok(), |image| init_module(image, parameters.as_c_str()).is_ok())
    }

    #[inline(never)]
    fn evidence(&self, errno: Errno, visit: &mut dyn FnMut(&[u8])) {
        if let Some(kmsg) = &self.kmsg {
            for record in split(file::read_on(kmsg, &mut [0; LOG]), b'\n') {
                visit(split_once(record, b';').map_or(b"", |(_, line)| line));
            }
        }
        if matches!(errno, Errno::PERM | Errno::ACCESS) {
            read_policy(visit);
        }
    }

    fn listen(&mut self) -> Result<(), Errno> {
        self.events = Some(Events::listen()?);
        Ok(())
    }

    fn wait(&mut self, limit: u64) {
        #[cfg(feature = "network")]
        let (others, limit) = (self.network.sockets(), limit.min(self.network.due().saturating_sub(sys::now())));
        #[cfg(not(feature = "network"))]
        let others = None;
        if self.events.as_ref().is_some_and(|events| events.wait(others, limit).forget) {
            self.finder.forget();
        }
    }

    fn sleep(&mut self, time: u64) {
        sys::sleep(time);
    }

    fn now(&self) -> u64 {
        sys::now()
    }

    fn find(&mut self, root: &RootSpec) -> Option<Disk> {
        self.finder.find(root)
    }

    fn disks(&self, visit: &mut dyn FnMut(&Disk) -> bool) {
        device::disks(visit);
    }

    fn file_system(&self, disk: &Disk) -> Option<FsKind> {
        disk.superblock().map(|superblock| superblock.kind)
    }

    fn describe(&self, disk: &Disk) -> Line {
        root::describe(disk)
    }

    #[cfg(feature = "network")]
    fn network(
        &mut self,
        cmdline: &CommandLine,
        wanted: bool,
        lease: &mut Lease,
        log: &mut Log,
    ) -> Result<bool, Errno> {
        self.network.advance(cmdline, wanted, sys::now(), lease, log)
    }

    #[cfg(feature = "network")]
    fn survey_network(&self, log: &mut Log) -> Problem {
        self.network.survey(log)
    }

    #[cfg(feature = "network")]
    fn ask(&mut self, server: &Address, port: u16, question: &[u8], answer: &mut [u8]) -> Result<usize, Errno> {
        const LIMIT: u64 = 3000;
        net::ask(server, port, question, answer, LIMIT)
    }

    #[cfg(feature = "network")]
    fn attach(&mut self, remote: &Remote, cmdline: &CommandLine, words: &mut Line) -> Result<(), Trouble> {
        self.pass_log();
        let attached = self.attached.add(remote, cmdline, words);
        if matches!(attached, Err(Trouble::Lasting(Problem::NvmeRefused, _))) {
            self.evidence(Errno::IO, &mut |line| {
                // The first line tells most, but for one about the wish to connect for ever.
                if words.as_bytes().is_empty() && line.starts_with(b"nvme") && !line.ends_with(b"forever") {
                    *words = Line::of(&[line]);
                }
            });
        }
        attached
    }

    fn mount(&mut self, source: &CStr, kind: &CStr, flags: MountFlags, options: &CStr) -> Result<(), Errno> {
        let _ = fs::mkdir(MOUNT_POINT, Mode::from_raw_mode(0o755));
        mount(source, MOUNT_POINT, kind, flags, options)
    }

    fn set_aside(&mut self, options: &CStr) -> Result<(), Errno> {
        overlay::set_aside(options)
    }
}

/// How much is read of what the kernel logs during one insertion, in bytes. Each record has a head, a semicolon and a
/// line (Documentation/ABI/testing/dev-kmsg).
const LOG: usize = 8192;

/// Calls `visit` with the settings that forbid modules.
fn read_policy(visit: &mut dyn FnMut(&[u8])) {
    const SECURITY: &CStr = c"/sys/kernel/security";
    // Where it is mounted already, the kernel refuses to do so again.
    let mounted = mount(c"securityfs", SECURITY, c"securityfs", MountFlags::empty(), None);
    let mut show = |path| visit(file::read(path, &mut [0; 200]).trim_ascii_end());
    show(c"/proc/sys/kernel/modules_disabled");
    show(c"/sys/kernel/security/lsm");
    if mounted.is_ok() {
        let _ = unmount(SECURITY, UnmountFlags::empty());
    }
}

/// What the running kernel has of a module.
#[inline(never)]
pub fn presence(name: &[u8]) -> Presence {
    let mut buffer = [0; 16];
    let directory = Path::of(&[b"/sys/module/", name]);
    let state = Path::of(&[directory.as_bytes(), b"/initstate"]);
    match file::read(state.as_c_str(), &mut buffer).first() {
        Some(b'l') => Presence::Live,
        Some(_) => Presence::Coming,
        // What is built in has no state.
        None if file::exists(directory.as_c_str()) => Presence::Live,
        None => Presence::Absent,
    }
}

/// Where modules are decoded, one after the other, in the same memory.
pub struct Decoder<'a> {
    blobs: &'a [u8],
    image: Buffer,
    streams: Buffer,
}

impl<'a> Decoder<'a> {
    /// One for the modules in this blob file.
    pub fn new(blobs: &'a [u8]) -> Decoder<'a> {
        Decoder { blobs, image: Buffer::empty(), streams: Buffer::empty() }
    }

    /// The module whose blob begins at `blob`, as the kernel takes it.
    #[inline(never)]
    pub fn decode(&mut self, blob: u64) -> Result<&[u8], Refusal> {
        let blob = Blob::at(self.blobs, blob).ok_or(Refusal::Corrupt)?;
        if let Some(image) = blob.stored() {
            return Ok(image);
        }
        self.image.renew(blob.raw_length()).map_err(Refusal::Kernel)?;
        self.streams.renew(blob.streams_length()).map_err(Refusal::Kernel)?;
        match blob.unpack::<true>(&mut self.image, &mut self.streams) {
            Ok(()) => Ok(&self.image),
            Err(Corrupt) => Err(Refusal::Corrupt),
        }
    }
}
