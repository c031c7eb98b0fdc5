//! A root on a server of 9p over TCP: its address is the root's tag, and the options of the mount say `trans=tcp`, as the
//! kernel has it (Documentation/filesystems/9p.rst).

use super::mount::{self, NINE_P_ANYWHERE};
use super::remote;
use super::server::Server;
use crate::cmdline::CommandLine;
use crate::failure::{Failure, Problem};
use crate::file::Path;
use crate::machine::Machine;
use crate::module::Modules;
use crate::net::Address;
use crate::net::remote::option;
use crate::report::{Line, Log};

/// The port of 9p.
const PORT: u16 = 564;

/// What a client says first, `Tversion`: its length and kind, no tag, the longest message, and the protocol.
const HELLO: &[u8; 21] = b"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\09P2000.L";

/// Mounts what this server has, once it answers.
pub fn mount(
    address: &[u8],
    cmdline: &CommandLine,
    modules: &mut Modules<impl Machine>,
    log: &mut Log,
) -> Result<(), Failure> {
    let Some(server) = Address::parse(address) else { return Err(log.fail(Problem::ServerName, address)) };
    remote::load(b"9pnet_fd", address, modules, log)?;
    let port = option(cmdline.root_flags, b"port=").and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT);
    let server = Server { address: server, port, protocol: b"9p" };
    server.wait(cmdline, modules, log, &mut |machine| {
        machine.ask(&server.address, server.port, HELLO, &mut [0; HELLO.len()]).map(drop)
    })?;
    let (flags, options) = mount::options(cmdline, NINE_P_ANYWHERE, cmdline.root_flags);
    let mut source = Line::new();
    server.address.push_to(&mut source);
    mount::with_options(&Path::of(&[source.as_bytes()]), b"9p", flags, &options, modules, log)
}
