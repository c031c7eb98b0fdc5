//! Events of the kernel: devices come and go (NETLINK_KOBJECT_UEVENT, lib/kobject_uevent.c).

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::sys::{sleep, timespec};

/// The socket that the kernel tells of devices.
pub struct Events {
    socket: OwnedFd,
}

/// What events told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Something went away, or events were lost: what was known of devices may be wrong.
    pub forget: bool,
}

impl Events {
    /// Opens the socket. What happens from now on is kept until it is read.
    #[inline(never)]
    pub fn listen() -> io::Result<Events> {
        const KERNEL_GROUP: u32 = 1;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT))?;
        bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Events { socket })
    }

    /// Waits for events for at most so many milliseconds, and takes what there are. Events come in flocks: a moment is
    /// left for the rest of one, and the devices are looked at once for all.
    ///
    /// What happens on `others` ends the wait too, and is left there.
    pub fn wait(&self, others: Option<[BorrowedFd; 2]>, limit: u64) -> News {
        const FLOCK: u64 = 5;
        let [first, second] = others.unwrap_or([self.socket.as_fd(); 2]);
        let mut sockets =
            [self.socket.as_fd(), first, second].map(|socket| PollFd::from_borrowed_fd(socket, PollFlags::IN));
        let _ = poll(&mut sockets, Some(&timespec(limit)));
        if !sockets[0].revents().is_empty() {
            sleep(FLOCK.min(limit));
        }
        let mut news = News::default();
        // The first bytes tell what an event is: `remove@/devices/...`; the kernel cuts the rest off.
        let mut event = [0; 8];
        loop {
            match io::read(&self.socket, &mut event) {
                Ok(_) => news.forget |= event.starts_with(b"remove@"),
                // The kernel could not keep all of them.
                Err(Errno::NOBUFS) => news.forget = true,
                Err(Errno::INTR) => continue,
                Err(_) => return news,
            }
        }
    }
}
