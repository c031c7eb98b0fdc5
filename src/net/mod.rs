//! The network, as far as a root needs it: links are brought up, several are tried at once, and what the command line, a
//! DHCP server or a router gives them is set, and left for the real init.
//!
//! Nothing here waits: [`Network::advance`] does what can be done by now, and whoever waits does so on the sockets of
//! [`Network::sockets`], at most until [`Network::due`]. Times are in milliseconds.
//!
//! Who mounts a root over the network asks the [machine](crate::machine::Machine::network) for the [`Lease`], and for
//! connections [`connect`].

pub mod address;
mod attached;
mod connect;
pub mod dhcp;
pub mod ip;
mod kernel;
pub mod lease;
mod leave;
mod link;
pub mod nbd;
mod netlink;
pub mod nvme;
pub mod remote;
pub mod rpc;

use heapless::Vec;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::system::sethostname;

use self::dhcp::Client;
use self::dhcp::client::{Counts, Identity};
use self::dhcp::wire::RECEIVED;
use self::ip::{Ip, Method, WORDS, Wish};
use self::lease::role;
use self::link::{Link, Name, Netlink};
use crate::cmdline::CommandLine;
use crate::failure::Problem;
use crate::report::{Level, Line, Log};
use crate::sys::PacketSocket;
use crate::table::fold;
use crate::text::entries;

pub use address::Address;
pub use attached::Attached;
pub use connect::{ask, connect};
pub use lease::Lease;

/// Why there is nothing to be had from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: the server may be slower to start than its clients.
    Passing(Errno),
    /// It will not, and this is what is wrong.
    Lasting(Problem, Option<Errno>),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::Passing(errno)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Trouble {
        Trouble::Lasting(problem, None)
    }
}

/// How many links are tried at once.
const LINKS: usize = 16;

/// The network of this machine.
#[derive(Default)]
pub struct Network {
    sockets: Option<Sockets>,
    links: Vec<Tried, LINKS>,
    /// The `ip=` words that are done.
    done: [bool; WORDS],
    /// What the first of them brought.
    lease: Option<Lease>,
    /// Whether that is all.
    is_ready: bool,
}

struct Sockets {
    netlink: Netlink,
    packets: PacketSocket,
}

/// A link that is being tried.
struct Tried {
    link: Link,
    /// The number of the `ip=` that it is for; none where it only carries a virtual link.
    word: Option<usize>,
    state: State,
}

enum State {
    /// No cable, as far as is known.
    NoCarrier,
    /// A server is asked.
    Asking(Client),
    /// What it gets is awaited from elsewhere.
    Listening,
    /// It has what it needs.
    Done,
}

impl Network {
    /// Does what can be done by now. What the first link was given, once, when all that the command line wants is done.
    #[inline(never)]
    pub fn advance(&mut self, cmdline: &CommandLine, now: u64, log: &mut Log) -> Result<Option<Lease>, Errno> {
        if !self.is_ready && !self.is_done_already(log) {
            if self.sockets.is_none() {
                ip::each(cmdline, Some(log), &mut |_, _| ());
            }
            let sockets = match self.sockets.take() {
                Some(sockets) => sockets,
                None => Sockets::open()?,
            };
            self.go_on(&sockets, cmdline, now, log);
            self.sockets = Some(sockets).filter(|_| !self.is_ready);
        }
        Ok(if self.is_ready { Some(self.lease.take().unwrap_or_default()) } else { None })
    }

    /// The sockets on which something may happen.
    pub fn sockets(&self) -> Option<[BorrowedFd<'_>; 2]> {
        let Sockets { netlink, packets } = self.sockets.as_ref()?;
        Some([netlink.events(), packets.as_fd()])
    }

    /// When there is something to do even if nothing happens.
    pub fn due(&self) -> u64 {
        let due = |tried: &Tried| if let State::Asking(client) = &tried.state { client.due() } else { u64::MAX };
        self.links.iter().map(due).min().unwrap_or(u64::MAX)
    }

    /// Says what became of each link; what is wrong.
    #[inline(never)]
    pub fn survey(&self, log: &mut Log) -> Problem {
        let mut problem = Problem::NoLink;
        for Tried { link, state, .. } in &self.links {
            let mut line = Line::of(&[b"seen: ", link.name.as_bytes(), b" "]);
            link.push_hardware(&mut line);
            match state {
                State::NoCarrier => line.push(b": no carrier"),
                State::Asking(client) => push_counts(&mut line, client.counts),
                State::Listening => line.push(b": no router has advertised a network"),
                State::Done => line.push(b": configured"),
            }
            problem = match state {
                State::NoCarrier if problem == Problem::NoLink => Problem::NoCarrier,
                State::Asking(_) => Problem::NoOffer,
                State::Listening if problem != Problem::NoOffer => Problem::NoRouter,
                _ => problem,
            };
            log.say(Level::Error, &[line.as_bytes()]);
        }
        problem
    }

    /// Whether the kernel has done it all.
    fn is_done_already(&mut self, log: &mut Log) -> bool {
        if self.sockets.is_none() {
            self.lease = kernel::lease();
            self.is_ready = self.lease.is_some();
            if self.is_ready {
                log.say(Level::Info, &[b"the kernel has configured the network"]);
            }
        }
        self.is_ready
    }

    fn go_on(&mut self, sockets: &Sockets, cmdline: &CommandLine, now: u64, log: &mut Log) {
        sockets.netlink.drain();
        link::list(&mut |name| self.see(name, &sockets.netlink, cmdline, log));
        let mut buffer = [0; RECEIVED];
        while let Ok((index, packet)) = sockets.packets.receive(&mut buffer) {
            for place in 0..self.links.len() {
                self.go_on_with(place, Some((index, packet)), sockets, cmdline, now, log);
            }
        }
        for place in 0..self.links.len() {
            self.go_on_with(place, None, sockets, cmdline, now, log);
        }
        self.is_ready = true;
        ip::each(cmdline, None, &mut |number, ip| {
            self.is_ready &= ip.method == Method::Off || self.done.get(number) == Some(&true);
        });
        if self.is_ready {
            // The links that were tried in vain are switched off, as the kernel does.
            for tried in self.links.iter().filter(|tried| tried.word.is_some() && !matches!(tried.state, State::Done)) {
                let _ = sockets.netlink.set_up(tried.link.index, false);
            }
        }
    }

    /// Takes note of a link, if it is new and wanted, and brings it up.
    #[inline(never)]
    fn see(&mut self, name: &[u8], netlink: &Netlink, cmdline: &CommandLine, log: &mut Log) {
        if self.links.iter().any(|tried| tried.link.name.as_bytes() == name) {
            return;
        }
        let Some(mut link) = Link::named(name) else { return };
        let wish = Wish::of(cmdline, name, &link.hardware);
        if wish.word.is_none() && wish.vlan.is_none() {
            return;
        }
        let mut result = Ok(());
        if let Some(name) = wish.name {
            link.name = Name::of(&[name]);
            result = netlink.rename(link.index, &link.name);
        }
        result = result.and_then(|()| netlink.set_up(link.index, true));
        if let Some(name) = wish.vlan {
            result = result.and_then(|()| netlink.add_vlan(&Name::of(&[name]), link.index, ip::vlan_number(name)));
        }
        if let Err(errno) = result {
            log.say_errno(Level::Warning, &[link.name.as_bytes(), b": cannot be brought up"], errno);
        }
        let _ = self.links.push(Tried { link, word: wish.word, state: State::NoCarrier });
    }

    /// Goes on with a link, a packet having come by the link of that number, or none.
    #[inline(never)]
    fn go_on_with(
        &mut self,
        place: usize,
        packet: Option<(u32, &[u8])>,
        sockets: &Sockets,
        cmdline: &CommandLine,
        now: u64,
        log: &mut Log,
    ) {
        let Some(Tried { link, word: Some(number), state }) = self.links.get_mut(place) else { return };
        let Some(done) = self.done.get_mut(*number).filter(|done| !**done) else { return };
        let mut lease = Lease::default();
        let mut is_there = false;
        if let Some((index, packet)) = packet {
            match state {
                State::Asking(client) if index == link.index => is_there = client.take(packet, now, &mut lease),
                _ => return,
            }
        }
        ip::each(cmdline, None, &mut |other, ip| {
            if other != *number || !is_there && !advance(link, state, &ip, &sockets.packets, cmdline, now, &mut lease) {
                return;
            }
            *state = State::Done;
            *done = true;
            lease.complete(&ip.given);
            give(link, ip.method, &lease, &sockets.netlink, log);
            if *number == 0 || self.lease.is_none() {
                self.lease = Some(core::mem::take(&mut lease));
            }
        });
    }
}

/// Does for a link what is to be done now, without a lease from a server. Whether it gets one from elsewhere, which is then
/// filled in.
#[inline(never)]
fn advance(
    link: &Link,
    state: &mut State,
    ip: &Ip,
    packets: &PacketSocket,
    cmdline: &CommandLine,
    now: u64,
    lease: &mut Lease,
) -> bool {
    if matches!(state, State::NoCarrier) && link.has_carrier() {
        // The number of an exchange is another one for each link, each machine and each boot.
        let id = (fold(&link.hardware) ^ now.rotate_left(16)) as u32;
        *state = match ip.method {
            Method::Dhcp(protocol) => State::Asking(Client::new(link.hardware, protocol, id, now)),
            _ => State::Listening,
        };
    }
    match state {
        State::Asking(client) => {
            let class = cmdline.last(b"dhcpclass").unwrap_or_default();
            let identity = Identity { host: ip.given.host(), class, client: ip.client };
            if let Some(mut message) = client.send(&identity, now) {
                // A link that has lost its carrier takes nothing; the next message comes.
                let _ = packets.broadcast(link.index, message.finish());
            }
            false
        }
        State::Listening => ip.method == Method::Static || kernel::advertised(link.index, lease),
        _ => false,
    }
}

/// Gives a link its lease, leaves that for the real init, and says so.
#[inline(never)]
fn give(link: &Link, method: Method, lease: &Lease, netlink: &Netlink, log: &mut Log) {
    if method != Method::Router
        && let Err(errno) = netlink.give(link.index, lease)
    {
        log.say_errno(Level::Warning, &[link.name.as_bytes(), b": cannot be given all of its lease"], errno);
    }
    if !lease.host().is_empty() {
        let _ = sethostname(lease.host());
    }
    leave::leave(link.name.as_bytes(), method.name(), lease);
    let mut line = Line::of(&[link.name.as_bytes(), b": ", lease.address(role::OWN).text().as_bytes(), b"/"]);
    line.push_number(lease.prefix.into());
    push_address(&mut line, b" by ", lease.address(role::SERVER));
    push_address(&mut line, b", gateway ", lease.address(role::GATEWAY));
    log.say(Level::Info, &[line.as_bytes()]);
}

fn push_address(line: &mut Line, word: &[u8], address: Address) {
    if !address.is_none() {
        line.push(word);
        line.push(address.text().as_bytes());
    }
}

impl Sockets {
    /// Opens them, and switches the loopback on.
    fn open() -> Result<Sockets, Errno> {
        const LOOPBACK: u32 = 1;
        let netlink = Netlink::open()?;
        let _ = netlink.set_up(LOOPBACK, true);
        Ok(Sockets { netlink, packets: PacketSocket::open()? })
    }
}

/// Adds what was sent and heard.
#[inline(never)]
fn push_counts(line: &mut Line, counts: Counts) {
    let Counts { sent, offers, refusals, dropped } = counts;
    let words = entries(b": DHCP requests sent: \0, offers: \0, refusals: \0, packets dropped: ");
    for (word, count) in words.zip(&[sent, offers, refusals, dropped]) {
        line.push(word);
        line.push_number((*count).into());
    }
}
