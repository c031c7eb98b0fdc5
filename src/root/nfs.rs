//! A root on an NFS server: where it is, as the kernel's `nfsroot=` (fs/nfs/nfsroot.c), dracut's `root=nfs:` or a DHCP
//! server says, and mounting it by the kernel's own client.

use rustix::io::Errno;

use super::mount;
use super::server::Server;
use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::machine::Machine;
use crate::module::{Answer, Modules};
use crate::net::address::server;
use crate::net::lease::{role, text};
use crate::net::{Address, Lease, rpc};
use crate::report::{Line, Log};
use crate::text::{parse_number, split};

/// Where directories are that are not given as a path.
const DIRECTORY: &[u8] = b"/tftpboot/";

/// The port of NFS.
const PORT: u16 = 2049;

/// The versions that are tried where none is named, each with its program's own number. 4.2 is not among them: some servers
/// say that they have it, and fail when they are read from (`READ_PLUS` of nfs-ganesha 4).
static VERSIONS: [(&[u8], u32); 3] = [(b"4.1", 4), (b"4.0", 4), (b"3", 3)];

/// Where the root is, and how it is mounted.
struct Place<'a> {
    server: Address,
    directory: &'a [u8],
    /// The options of the DHCP server, and those of the command line behind them.
    options: Line,
}

impl<'a> Place<'a> {
    /// The place that the command line names, where it is silent the DHCP server, and else the kernel's default. None where
    /// the server is not given by its address.
    fn find(location: Option<&'a [u8]>, cmdline: &CommandLine<'a>, lease: &'a Lease) -> Option<Place<'a>> {
        let mut place = Place { server: lease.server(), directory: b"/tftpboot/%s", options: Line::new() };
        let root_path = lease.text(text::ROOT_PATH);
        place.take(root_path.strip_prefix(b"nfs:").unwrap_or(root_path), b',')?;
        place.take(written(location, cmdline), if location.is_some() { b':' } else { b',' })?;
        place.options.push(cmdline.root_flags);
        Some(place)
    }

    /// Takes `[SERVER:][DIRECTORY][,OPTIONS]`. dracut has a colon before the options, too.
    fn take(&mut self, text: &'a [u8], separator: u8) -> Option<()> {
        let mut rest = text;
        if let Some((server, behind)) = server(text) {
            self.server = Address::parse(server)?;
            rest = behind;
        }
        let end = rest.iter().position(|byte| *byte == b',' || *byte == separator).unwrap_or(rest.len());
        let (directory, options) = rest.split_at_checked(end)?;
        if !directory.is_empty() && directory != b"default" {
            self.directory = directory;
        }
        self.options.push(options.get(1..).unwrap_or_default());
        self.options.push(b",");
        Some(())
    }

    /// `SERVER:DIRECTORY`, as the kernel takes it; `%s` in the directory is this host's name, or else its address.
    fn source(&self, lease: &Lease) -> Line {
        let (open, close): (&[u8], &[u8]) = if self.server.is_v6() { (b"[", b"]:") } else { (b"", b":") };
        let mut source = Line::of(&[open]);
        self.server.push_to(&mut source);
        source.push(close);
        if !self.directory.starts_with(b"/") {
            source.push(DIRECTORY);
        }
        let mut rest = self.directory;
        while let Some((byte, behind)) = rest.split_first() {
            match rest.strip_prefix(b"%s") {
                Some(behind) => {
                    match lease.host() {
                        b"" => lease.address(role::OWN).push_to(&mut source),
                        host => source.push(host),
                    }
                    rest = behind;
                }
                None => {
                    source.push(core::slice::from_ref(byte));
                    rest = behind;
                }
            }
        }
        source
    }

    /// What stands behind this name in the last option that begins with it and goes on so.
    fn option(&self, name: &[u8], goes_on: fn(&[u8]) -> bool) -> Option<&[u8]> {
        let mut found = None;
        for word in split(self.options.as_bytes(), b',') {
            found = word.strip_prefix(name).filter(|rest| goes_on(rest)).or(found);
        }
        found
    }

    /// The version that the options name, if they do.
    fn version(&self) -> Option<&[u8]> {
        let is_number = |version: &[u8]| version.first().is_some_and(u8::is_ascii_digit);
        let option = |name| self.option(name, is_number);
        option(b"vers=").or_else(|| option(b"nfsvers=")).or_else(|| option(b"v"))
    }

    /// The server, and its port.
    fn server(&self) -> Server {
        let port = self.option(b"port=", |_| true).and_then(parse_number).and_then(|port| u16::try_from(port).ok());
        Server { address: self.server, port: port.unwrap_or(PORT), protocol: b"NFS" }
    }

    /// Mounts by one version.
    fn mount_as(
        &self,
        version: &[u8],
        source: &Line,
        cmdline: &CommandLine,
        modules: &mut Modules<impl Machine>,
        log: &mut Log,
    ) -> Result<(), Errno> {
        let is_v4 = version.starts_with(b"4");
        // The kernel asks for it too, and is content with any answer.
        modules.load_named(if is_v4 { b"nfsv4" } else { b"nfsv3" }, log);
        let mut needed = Line::of(&[b"vers=", version, b",addr="]);
        self.server.push_to(&mut needed);
        // Without it all ways to prove oneself are loaded; and before version 4 there is nobody yet who would keep locks.
        needed.push(if is_v4 { b",sec=sys" } else { b",sec=sys,nolock" });
        let kind: &[u8] = if is_v4 { b"nfs4" } else { b"nfs" };
        let (flags, options) = mount::options(cmdline, needed.as_bytes(), self.options.as_bytes());
        mount::mount_or_read_only(source.as_c_str(), kind, flags, &options, modules.machine_mut(), log)?;
        mount::say_mounted(source.as_bytes(), kind, modules, log);
        Ok(())
    }
}

/// What the command line says of the place.
fn written<'a>(location: Option<&'a [u8]>, cmdline: &CommandLine<'a>) -> &'a [u8] {
    location.or_else(|| cmdline.last(b"nfsroot")).unwrap_or_default()
}

/// Whether the place may depend on what a DHCP server says: on the root's path, or on this host's address.
pub fn asks_server(location: Option<&[u8]>, cmdline: &CommandLine) -> bool {
    let written = written(location, cmdline);
    !written.contains(&b'/') || written.contains(&b'%')
}

/// Mounts the root, once its server answers.
pub fn mount(
    location: Option<&[u8]>,
    only_v4: bool,
    cmdline: &CommandLine,
    lease: &Lease,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    let root = written(location, cmdline);
    let Some(place) = Place::find(location, cmdline, lease) else { return Err(log.fail(Problem::ServerName, root)) };
    if place.server.is_none() {
        return Err(log.fail(Problem::NoServerAddress, root));
    }
    let source = place.source(lease);
    if modules.load_file_system(b"nfs", log) == Answer::Failed {
        return Err(log.fail_as(Problem::FileSystemModule, source.as_bytes(), b"nfs", None));
    }
    let named = place.version();
    let newest = await_server(&place, named, cmdline, modules, log)?;
    let mut refusal = Errno::PROTONOSUPPORT;
    for &(version, program) in &VERSIONS {
        if named.is_none() && (program > newest || only_v4 && program < 4) {
            continue;
        }
        match place.mount_as(named.unwrap_or(version), &source, cmdline, modules, log) {
            Ok(()) => return Ok(()),
            // That a version is not spoken tells less than what another one is answered.
            Err(errno) if refusal == Errno::PROTONOSUPPORT => refusal = errno,
            Err(_) => {}
        }
        if named.is_some() {
            break;
        }
    }
    let (problem, errno) = match refusal {
        Errno::NOENT => (Problem::NoExport, None),
        Errno::ACCESS | Errno::PERM => (Problem::NotExported, None),
        Errno::PROTONOSUPPORT => (Problem::NfsVersion, None),
        Errno::NODEV => (Problem::NoFileSystem, None),
        errno => (Problem::RootMount, Some(errno)),
    };
    Err(log.fail_as(problem, source.as_bytes(), b"nfs", errno))
}

/// Waits until the server answers; the newest version of NFS that it speaks.
fn await_server(
    place: &Place,
    named: Option<&[u8]>,
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<u32, Failure> {
    let version = named.and_then(<[u8]>::first).map_or(4, |digit| u32::from(digit - b'0'));
    // Over UDP nothing is known before the mount.
    if place.option(b"proto=udp", |_| true).or(place.option(b"udp", <[u8]>::is_empty)).is_some() {
        return Ok(version);
    }
    let server = place.server();
    let mut newest = version;
    server.wait(cmdline, modules, log, &mut |machine| {
        let mut answer = [0; rpc::ANSWER];
        machine.ask(&server.address, server.port, &rpc::null(version as u8), &mut answer)?;
        newest = rpc::newest(&answer, version).ok_or(Errno::PROTO)?;
        Ok(())
    })?;
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(root_path: &str, host: &str) -> Lease {
        let mut lease = Lease::default();
        lease.set(role::OWN, Address::of(&[10, 0, 2, 15]));
        lease.set(role::SERVER, Address::of(&[10, 0, 2, 3]));
        lease.set(role::BOOT_SERVER, Address::of(&[10, 0, 2, 2]));
        lease.texts[text::ROOT_PATH].push(root_path.as_bytes());
        lease.texts[text::HOST].push(host.as_bytes());
        lease
    }

    /// The source and the options of a root.
    fn place(location: Option<&str>, words: &str, lease: &Lease) -> Option<(String, String)> {
        let cmdline = CommandLine::parse(words.as_bytes());
        let place = Place::find(location.map(str::as_bytes), &cmdline, lease)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let options = text(place.options.as_bytes());
        Some((text(place.source(lease).as_bytes()), options.trim_matches(',').into()))
    }

    #[track_caller]
    fn is(found: Option<(String, String)>, source: &str, options: &str) {
        assert_eq!(found, Some((source.to_string(), options.to_string())));
    }

    #[test]
    fn nfsroot_is_the_kernels() {
        let lease = lease("", "");
        is(place(None, "", &lease), "10.0.2.2:/tftpboot/10.0.2.15", "");
        is(place(None, "nfsroot=/srv/root", &lease), "10.0.2.2:/srv/root", "");
        is(place(None, "nfsroot=192.168.0.1:/srv/%s,vers=3,ro", &lease), "192.168.0.1:/srv/10.0.2.15", "vers=3,ro");
        is(place(None, "nfsroot=192.168.0.1:,vers=3", &lease), "192.168.0.1:/tftpboot/10.0.2.15", "vers=3");
        is(place(None, "nfsroot=client", &lease), "10.0.2.2:/tftpboot/client", "");
        is(place(None, "nfsroot=,nfsvers=4.1", &lease), "10.0.2.2:/tftpboot/10.0.2.15", "nfsvers=4.1");
        is(place(None, "nfsroot=/a:b,x nfsroot=/c:d,y", &lease), "10.0.2.2:/c:d", "y");
        is(place(None, "nfsroot=[fd00::1]:/srv", &lease), "[fd00:0000:0000:0000:0000:0000:0000:0001]:/srv", "");
    }

    #[test]
    fn a_dhcp_server_gives_defaults() {
        let named = lease("192.168.7.1:/export/%s,rsize=8192", "box.example.org");
        is(place(None, "", &named), "192.168.7.1:/export/box", "rsize=8192");
        is(place(None, "nfsroot=/other,vers=3", &named), "192.168.7.1:/other", "rsize=8192,vers=3");
        is(place(None, "nfsroot=10.9.9.9:default", &named), "10.9.9.9:/export/box", "rsize=8192");
        is(place(Some(""), "", &lease("nfs:192.168.7.1:/export", "")), "192.168.7.1:/export", "");
        let mut elsewhere = lease("/export", "");
        elsewhere.addresses[role::BOOT_SERVER] = Address::NONE;
        is(place(Some(""), "", &elsewhere), "10.0.2.3:/export", "");
    }

    #[test]
    fn dracuts_form_has_colons() {
        let lease = lease("", "");
        is(place(Some("192.168.0.1:/srv/root:vers=3,ro"), "", &lease), "192.168.0.1:/srv/root", "vers=3,ro");
        is(place(Some("192.168.0.1:/srv/root,vers=3"), "", &lease), "192.168.0.1:/srv/root", "vers=3");
        is(place(Some("/srv/root"), "", &lease), "10.0.2.2:/srv/root", "");
        assert_eq!(place(Some("server.example.org:/srv"), "", &lease), None);
    }

    #[test]
    fn the_last_version_that_is_named_counts() {
        let version = |options: &str| {
            let place = Place { server: Address::NONE, directory: b"", options: Line::of(&[options.as_bytes()]) };
            place.version().map(|version| String::from_utf8(version.to_vec()).unwrap())
        };
        assert_eq!(version("vers=3,ro,vers=4.1,vers=4.2").as_deref(), Some("4.2"));
        assert_eq!(version("vers=3,ro").as_deref(), Some("3"));
        assert_eq!(version(",v4.1,verbose").as_deref(), Some("4.1"));
        assert_eq!(version("ro,verbose"), None);
    }
}
