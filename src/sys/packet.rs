//! Packet sockets: rustix knows no addresses of links.
//!
//! The kernel makes the Ethernet header, and takes it off: what is sent and received is an IPv4 packet.

use core::mem::size_of;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, eth, sendto, socket_with};

/// `ETH_P_IP` (include/uapi/linux/if_ether.h).
const IPV4: u16 = 0x0800;

/// `struct sockaddr_ll` (include/uapi/linux/if_packet.h).
#[repr(C)]
struct Address {
    family: u16,
    protocol: u16,
    index: u32,
    hardware_type: u16,
    packet_type: u8,
    length: u8,
    hardware: [u8; 8],
}

const _: () = assert!(size_of::<Address>() == 20);

// Safety: the pointer is to a whole address of that size, of a family whose addresses have this form, and is used while
// the address is borrowed.
unsafe impl SocketAddrArg for Address {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f((&raw const *self).cast(), size_of::<Address>() as SocketAddrLen)
    }
}

/// A socket for the IPv4 packets of all links.
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// Opens it. What arrives from now on is kept until it is received.
    pub fn open() -> io::Result<PacketSocket> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::PACKET, SocketType::DGRAM, flags, Some(eth::IP)).map(PacketSocket)
    }

    /// Sends a packet to all on a link.
    pub fn broadcast(&self, index: u32, packet: &[u8]) -> io::Result<()> {
        let address = Address {
            family: AddressFamily::PACKET.as_raw(),
            protocol: IPV4.to_be(),
            index,
            hardware_type: 0,
            packet_type: 0,
            length: 6,
            hardware: [0xff; 8],
        };
        sendto(&self.0, packet, SendFlags::empty(), &address).map(drop)
    }

    /// A packet that has arrived, whatever link it came by; an error if there is none. What is longer than the buffer is cut off.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let length = io::read(&self.0, &mut *buffer)?;
        Ok(buffer.get(..length).unwrap_or_default())
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
