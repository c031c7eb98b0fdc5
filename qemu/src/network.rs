//! Network cards of the guest, and what they are connected to.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::drive::{escape, for_machine};

/// Models of network cards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Model {
    /// virtio.
    #[default]
    VirtioNet,
    /// Intel 82540EM.
    E1000,
    /// Intel 82574L.
    E1000e,
    /// Intel 82576.
    Igb,
    /// Realtek 8139C+.
    Rtl8139,
    /// VMware's third paravirtual card.
    Vmxnet3,
    /// CDC Ethernet behind xHCI.
    Usb,
}

impl Model {
    /// QEMU's devices for a card: what must be there first, and the card itself.
    fn devices(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::VirtioNet => (None, "virtio-net-pci"),
            Self::E1000 => (None, "e1000"),
            Self::E1000e => (None, "e1000e"),
            Self::Igb => (None, "igb"),
            Self::Rtl8139 => (None, "rtl8139"),
            Self::Vmxnet3 => (None, "vmxnet3"),
            Self::Usb => (Some("qemu-xhci,id=nichost{n}"), "usb-net,bus=nichost{n}.0"),
        }
    }
}

/// What a card is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wire {
    /// QEMU's own network: DHCP and router advertisements, and the host at 10.0.2.2.
    User,
    /// A [peer](crate::server::Peer): where it listens, and where QEMU is to.
    Peer(PathBuf, PathBuf),
    /// Another guest, by a socket, at which this one or the other listens.
    Guest(PathBuf, bool),
}

/// A network card. Its hardware address is `52:54:00:12:34:` and its number, from 0x01 on; `12:35` where another guest
/// is joined to it, and it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    model: Model,
    wire: Wire,
    capture: Option<PathBuf>,
}

impl Nic {
    /// A card on QEMU's own network, which reaches servers of the host at 10.0.2.2.
    pub fn user(model: Model) -> Self {
        Self { model, wire: Wire::User, capture: None }
    }

    /// A card whose frames go to a socket, and that takes those that come to another: each datagram is a frame.
    pub fn peer(model: Model, peer: impl Into<PathBuf>, own: impl Into<PathBuf>) -> Self {
        Self { model, wire: Wire::Peer(peer.into(), own.into()), capture: None }
    }

    /// A card that is joined to another guest's by a socket. One of the two listens.
    pub fn joined(model: Model, socket: impl Into<PathBuf>, listens: bool) -> Self {
        Self { model, wire: Wire::Guest(socket.into(), listens), capture: None }
    }

    /// Writes all frames to a file, in the form that tcpdump and tshark read.
    #[must_use]
    pub fn capture(mut self, file: impl Into<PathBuf>) -> Self {
        self.capture = Some(file.into());
        self
    }

    /// What QEMU needs for this card, the `number`th of `machine`.
    pub(crate) fn arguments(&self, number: usize, machine: &str) -> Vec<String> {
        let fill = |template: &str| for_machine(template, machine).replace("{n}", &number.to_string());
        let unix = |end: &str, path: &Path| format!("{end}.type=unix,{end}.path={}", escape(path));
        let (host, card) = self.model.devices();
        let mut arguments = Vec::new();
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        match &self.wire {
            Wire::User => add("-netdev", fill("user,id=net{n}")),
            Wire::Peer(peer, own) => {
                add("-netdev", format!("{},{},{}", fill("dgram,id=net{n}"), unix("local", own), unix("remote", peer)));
            }
            Wire::Guest(socket, listens) => {
                let role = if *listens { "server=on" } else { "server=off,reconnect-ms=200" };
                add("-netdev", format!("{},{role},{}", fill("stream,id=net{n}"), unix("addr", socket)));
            }
        }
        if let Some(file) = &self.capture {
            add("-object", format!("{},file={}", fill("filter-dump,id=dump{n},netdev=net{n}"), escape(file)));
        }
        if let Some(host) = host {
            add("-device", fill(host));
        }
        // Two guests on one wire have different addresses.
        let side = if matches!(self.wire, Wire::Guest(_, true)) { 0x35 } else { 0x34 };
        add("-device", format!("{},netdev=net{number},mac=52:54:00:12:{side:02x}:{number:02x}", fill(card)));
        arguments
    }
}
