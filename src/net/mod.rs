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
use self::dhcp::client::Counts;
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
    links: Links,
    /// Whether all is done.
    is_ready: bool,
}

struct Sockets {
    netlink: Netlink,
    packets: PacketSocket,
}

/// The links that are being tried.
#[derive(Default)]
struct Links {
    tried: Vec<Tried, LINKS>,
    /// The `ip=` words that are done.
    done: [bool; WORDS],
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

/// What there is to go on with at one time.
struct Turn<'a, 'c> {
    sockets: &'a Sockets,
    cmdline: &'a CommandLine<'c>,
    now: u64,
    /// For what the first of the `ip=` words brings.
    lease: &'a mut Lease,
    log: &'a mut Log,
}

impl Network {
    /// Does what can be done by now. Whether all that the command line wants is done; `lease` is then what the first link was
    /// given. Where the kernel has done it, and no more is `wanted` than it tells of, that will do.
    pub fn advance(
        &mut self,
        cmdline: &CommandLine,
        wanted: bool,
        now: u64,
        lease: &mut Lease,
        log: &mut Log,
    ) -> Result<bool, Errno> {
        if self.sockets.is_none() {
            // Of several words the kernel reads the last.
            if !wanted && ip::numbered(cmdline, 1, &mut Lease::default()).is_none() && kernel::has_configured(lease) {
                kernel::leave_resolver();
                log.say(Level::Info, &[b"the kernel has configured the network"]);
                return Ok(true);
            }
            ip::say_odd(cmdline, log);
            self.sockets = Some(Sockets::open()?);
        }
        if let Some(sockets) = &self.sockets
            && !self.is_ready
        {
            self.is_ready = self.links.go_on(&mut Turn { sockets, cmdline, now, lease, log });
        }
        Ok(self.is_ready)
    }

    /// The sockets on which something may happen.
    pub fn sockets(&self) -> Option<[BorrowedFd<'_>; 2]> {
        let Sockets { netlink, packets } = self.sockets.as_ref().filter(|_| !self.is_ready)?;
        Some([netlink.events(), packets.as_fd()])
    }

    /// When there is something to do even if nothing happens.
    pub fn due(&self) -> u64 {
        let due = |tried: &Tried| if let State::Asking(client) = &tried.state { client.due() } else { u64::MAX };
        self.links.tried.iter().map(due).min().unwrap_or(u64::MAX)
    }

    /// Says what became of each link; what is wrong.
    pub fn survey(&self, log: &mut Log) -> Problem {
        let mut problem = Problem::NoLink;
        for Tried { link, state, .. } in &self.links.tried {
            let mut line = Line::of(&[b"seen: ", link.name.as_bytes(), b" "]);
            link.push_hardware(&mut line);
            let (words, found): (&[u8], _) = match state {
                State::NoCarrier => (b": no carrier", Problem::NoCarrier),
                State::Asking(client) => {
                    push_counts(&mut line, client.counts);
                    (b"", Problem::NoOffer)
                }
                State::Listening => (b": no router has advertised a network", Problem::NoRouter),
                State::Done => (b": configured", Problem::NoLink),
            };
            line.push(words);
            // The one that came furthest tells most.
            problem = problem.max(found);
            log.say(Level::Error, &[line.as_bytes()]);
        }
        problem
    }
}

impl Links {
    /// Goes on with all of them. Whether all that is wanted is done.
    fn go_on(&mut self, turn: &mut Turn) -> bool {
        let sockets = turn.sockets;
        sockets.netlink.drain();
        link::list(&mut |name| self.see(name, turn));
        let mut buffer = [0; RECEIVED];
        loop {
            // When none is left, what needs none is done.
            let packet = sockets.packets.receive(&mut buffer).ok();
            for tried in &mut self.tried {
                tried.go_on(packet, &mut self.done, turn);
            }
            if packet.is_none() {
                break;
            }
        }
        let is_ready = ip::words(turn.cmdline).zip(&self.done).all(|(ip, done)| ip.method == Method::Off || *done);
        if is_ready {
            // The links that were tried in vain are switched off, as the kernel does.
            for tried in self.tried.iter().filter(|tried| tried.word.is_some() && !matches!(tried.state, State::Done)) {
                let _ = sockets.netlink.set_up(tried.link.index, false);
            }
        }
        is_ready
    }

    /// Takes note of a link, if it is new and wanted, and brings it up.
    fn see(&mut self, name: &[u8], turn: &mut Turn) {
        if self.tried.iter().any(|tried| tried.link.name.as_bytes() == name) {
            return;
        }
        let Some(mut link) = Link::named(name) else { return };
        let wish = Wish::of(turn.cmdline, name, &link.hardware);
        if wish.word.is_none() && wish.vlan.is_none() {
            return;
        }
        let netlink = &turn.sockets.netlink;
        let mut result = Ok(());
        if let Some(name) = wish.name {
            link.name = Name::of(&[name]);
            result = netlink.rename(link.index, &link.name);
        }
        result = result.and_then(|()| netlink.set_up(link.index, true));
        // What the kernel has made of the command line is no longer needed, and may be wrong.
        netlink.take_address(link.index);
        if let Some(name) = wish.vlan {
            result = result.and_then(|()| netlink.add_vlan(&Name::of(&[name]), link.index, ip::vlan_number(name)));
        }
        if let Err(errno) = result {
            turn.log.say_errno(Level::Warning, &[link.name.as_bytes(), b": cannot be brought up"], errno);
        }
        let _ = self.tried.push(Tried { link, word: wish.word, state: State::NoCarrier });
    }
}

impl Tried {
    /// Goes on, a packet having come by any of the links, or none.
    fn go_on(&mut self, packet: Option<&[u8]>, done: &mut [bool; WORDS], turn: &mut Turn) {
        let Some(number) = self.word else { return };
        let Some(done @ false) = done.get_mut(number) else { return };
        let mut lease = Lease::default();
        let mut is_there = false;
        if let Some(packet) = packet {
            let State::Asking(client) = &mut self.state else { return };
            is_there = client.take(packet, turn.now, &mut lease);
        }
        let Some(ip) = ip::numbered(turn.cmdline, number, &mut lease) else { return };
        if !is_there && !self.advance(&ip, &mut lease, turn) {
            return;
        }
        self.state = State::Done;
        *done = true;
        lease.complete();
        give(&self.link, ip.method, &lease, turn);
        if number == 0 || turn.lease.address(role::OWN).is_none() {
            *turn.lease = lease;
        }
    }

    /// Does what is to be done now, without a lease from a server. Whether it gets one from elsewhere, which is then filled in.
    fn advance(&mut self, ip: &Ip, lease: &mut Lease, turn: &Turn) -> bool {
        let link = &self.link;
        if matches!(self.state, State::NoCarrier) && link.has_carrier() {
            // The number of an exchange is another one for each link, each machine and each boot.
            let id = (fold(&link.hardware) ^ turn.now.rotate_left(16)) as u32 ^ link.index;
            self.state = match ip.method {
                Method::Static | Method::Router => State::Listening,
                method => State::Asking(Client::new(link.hardware, method, id, turn.now)),
            };
        }
        match &mut self.state {
            State::Asking(client) => {
                let class = turn.cmdline.last(b"dhcpclass").unwrap_or_default();
                if let Some(mut message) = client.send(lease, class, turn.now) {
                    // A link that has lost its carrier takes nothing; the next message comes.
                    let _ = turn.sockets.packets.broadcast(link.index, message.finish());
                }
                false
            }
            State::Listening => ip.method == Method::Static || kernel::advertised(link.index, lease),
            _ => false,
        }
    }
}

/// Gives a link its lease, leaves that for the real init, and says so.
fn give(link: &Link, method: Method, lease: &Lease, turn: &mut Turn) {
    if method != Method::Router
        && let Err(errno) = turn.sockets.netlink.give(link.index, lease)
    {
        turn.log.say_errno(Level::Warning, &[link.name.as_bytes(), b": cannot be given all of its lease"], errno);
    }
    if !lease.host().is_empty() {
        let _ = sethostname(lease.host());
    }
    leave::leave(link.name.as_bytes(), method.name(), lease);
    let mut line = Line::of(&[link.name.as_bytes()]);
    push_address(&mut line, b": ", lease.address(role::OWN));
    line.push(b"/");
    line.push_number(lease.prefix.into());
    push_address(&mut line, b" by ", lease.address(role::SERVER));
    push_address(&mut line, b", gateway ", lease.address(role::GATEWAY));
    turn.log.say(Level::Info, &[line.as_bytes()]);
}

/// Adds a word and an address, if there is one.
fn push_address(line: &mut Line, word: &[u8], address: &Address) {
    if !address.is_none() {
        line.push(word);
        address.push_to(line);
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
fn push_counts(line: &mut Line, counts: Counts) {
    let Counts { sent, offers, refusals, dropped } = counts;
    let words = entries(b": DHCP requests sent: \0, offers: \0, refusals: \0, packets dropped: ");
    for (word, count) in words.zip(&[sent, offers, refusals, dropped]) {
        line.push(word);
        line.push_number((*count).into());
    }
}
