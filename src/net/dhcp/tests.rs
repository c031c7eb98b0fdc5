use std::net::Ipv4Addr;

use super::client::Client;
use super::wire::{Message, Sent, option};
use crate::net::address::Address;
use crate::net::ip::Method;
use crate::net::lease::{Lease, role, text};

const HARDWARE: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const ID: u32 = 0xdead_beef;

/// A server's message, as a packet; options are given in full.
#[derive(Clone)]
struct Reply {
    id: u32,
    hardware: [u8; 6],
    yours: [u8; 4],
    next_server: [u8; 4],
    file: Vec<u8>,
    server_name: Vec<u8>,
    options: Vec<u8>,
}

impl Reply {
    fn new(kind: u8, server: u8) -> Reply {
        Reply {
            id: ID,
            hardware: HARDWARE,
            yours: [10, 0, 0, 100 + server],
            next_server: [0; 4],
            file: Vec::new(),
            server_name: Vec::new(),
            options: vec![53, 1, kind, 54, 4, 10, 0, 0, server],
        }
    }

    fn with(mut self, number: u8, value: &[u8]) -> Reply {
        self.options.extend([&[number, value.len() as u8], value].concat());
        self
    }

    fn packet(&self) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[4..8].copy_from_slice(&self.id.to_be_bytes());
        message[16..20].copy_from_slice(&self.yours);
        message[20..24].copy_from_slice(&self.next_server);
        message[28..34].copy_from_slice(&self.hardware);
        message[44..44 + self.server_name.len()].copy_from_slice(&self.server_name);
        message[108..108 + self.file.len()].copy_from_slice(&self.file);
        message[236..240].copy_from_slice(&[99, 130, 83, 99]);
        message.extend(&self.options);
        message.push(option::END);
        packet(&message)
    }
}

/// A datagram from a server to a client, with a sound header.
fn packet(message: &[u8]) -> Vec<u8> {
    let length = |more: usize| ((message.len() + more) as u16).to_be_bytes();
    let [high, low] = length(28);
    let mut header = [0x45, 0, high, low, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 255, 255, 255, 255];
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], &[0, 67, 0, 68], &length(8), &[0, 0], message].concat()
}

fn client(method: Method) -> Client {
    Client::new(HARDWARE, method, ID, 1000)
}

/// The lease that a packet grants, if it does.
fn take(client: &mut Client, packet: &[u8], now: u64) -> Option<Lease> {
    let mut lease = Lease::default();
    client.take(packet, now, &mut lease).then_some(lease)
}

/// What the client sends now, as its kind, the server that it names, and its whole packet.
fn sent(client: &mut Client, now: u64) -> Option<(u8, Vec<u8>, Vec<u8>)> {
    let packet = client.send(&Lease::default(), b"", now)?.finish().to_vec();
    Some((first(&packet, 53).first().copied().unwrap_or(0), first(&packet, 54), packet))
}

fn first(packet: &[u8], wanted: u8) -> Vec<u8> {
    let mut options = &packet[268..];
    while let [number, rest @ ..] = options {
        match *number {
            0 => options = rest,
            255 => break,
            number if number == wanted => return rest[1..=usize::from(rest[0])].to_vec(),
            _ => options = &rest[1 + usize::from(rest[0])..],
        }
    }
    Vec::new()
}

const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

#[test]
fn an_exchange_of_four_messages() {
    let mut client = client(Method::Dhcp);
    let (kind, server, packet) = sent(&mut client, 1000).unwrap();
    assert_eq!((kind, server), (1, Vec::new()));
    assert_eq!(packet.len(), 328);
    assert_eq!(packet[..4], [0x45, 0, 1, 72]);
    assert!(take(&mut client, &Reply::new(OFFER, 1).packet(), 1100).is_none());
    let (kind, server, packet) = sent(&mut client, 1100).unwrap();
    assert_eq!((kind, server), (3, vec![10, 0, 0, 1]));
    assert_eq!(first(&packet, 50), [10, 0, 0, 101]);
    let lease = take(&mut client, &Reply::new(ACK, 1).packet(), 1200).unwrap();
    assert_eq!(*lease.address(role::OWN), Address::of(&[10, 0, 0, 101]));
    assert_eq!(*lease.address(role::SERVER), Address::of(&[10, 0, 0, 1]));
}

#[test]
fn what_was_sent_is_sent_again_with_growing_pauses() {
    let mut client = client(Method::Dhcp);
    let mut times = Vec::new();
    for now in 1000..40_000 {
        if sent(&mut client, now).is_some() {
            times.push(now);
        }
    }
    let pauses: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let is_about = |pause: u64, expected: u64| (expected..=expected * 5 / 4).contains(&pause);
    assert!(is_about(pauses[0], 1000) && is_about(pauses[1], 2000), "{pauses:?}");
    assert!(pauses[2..].iter().all(|pause| is_about(*pause, 4000)), "{pauses:?}");
    assert!(times.len() >= 9, "{times:?}");
}

#[test]
fn a_request_says_the_seconds_of_its_discovery() {
    let mut client = client(Method::Any);
    let seconds = |packet: &[u8]| u16::from_be_bytes([packet[36], packet[37]]);
    let mut last = 0;
    for now in 1000..9000 {
        last = sent(&mut client, now).map_or(last, |(_, _, packet)| seconds(&packet));
    }
    assert!((5..=7).contains(&last), "{last}");
    take(&mut client, &Reply::new(OFFER, 1).packet(), 9000);
    for now in 9000..11_000 {
        let request = sent(&mut client, now);
        assert!(request.is_none_or(|(kind, _, packet)| kind == 3 && seconds(&packet) == last));
    }
}

#[test]
fn only_the_server_of_the_offer_grants_it() {
    let mut client = client(Method::Any);
    sent(&mut client, 1000);
    // Before there was any offer nobody grants anything.
    assert!(take(&mut client, &Reply::new(ACK, 1).packet(), 1100).is_none());
    take(&mut client, &Reply::new(OFFER, 1).packet(), 1100);
    take(&mut client, &Reply::new(OFFER, 2).packet(), 1100);
    assert_eq!(sent(&mut client, 1100).unwrap().1, [10, 0, 0, 1]);
    for foreign in [
        Reply::new(ACK, 2),
        Reply::new(NAK, 2),
        Reply { id: 7, ..Reply::new(ACK, 1) },
        Reply { hardware: [1; 6], ..Reply::new(ACK, 1) },
        Reply { yours: [0; 4], ..Reply::new(ACK, 1) },
        Reply { yours: [127, 0, 0, 1], ..Reply::new(ACK, 1) },
        Reply { yours: [255; 4], ..Reply::new(ACK, 1) },
    ] {
        assert!(take(&mut client, &foreign.packet(), 1200).is_none());
    }
    assert!(take(&mut client, &Reply::new(ACK, 1).packet(), 1200).is_some());
}

#[test]
fn after_a_refusal_another_server_is_preferred_for_a_while() {
    let mut client = client(Method::Dhcp);
    sent(&mut client, 1000);
    take(&mut client, &Reply::new(OFFER, 1).packet(), 1100);
    sent(&mut client, 1100);
    take(&mut client, &Reply::new(NAK, 1).packet(), 1200);
    assert_eq!(client.counts.refusals, 1);
    assert_eq!(sent(&mut client, 1200).unwrap().0, 1);
    take(&mut client, &Reply::new(OFFER, 1).packet(), 1300);
    take(&mut client, &Reply::new(OFFER, 2).packet(), 1300);
    assert_eq!(sent(&mut client, 1300).unwrap().1, [10, 0, 0, 2]);
    // The second one says nothing: after three requests all begins anew, with whoever there is.
    let mut now = 1300;
    let mut again = || {
        now = client.due();
        let sent = sent(&mut client, now).unwrap();
        take(&mut client, &Reply::new(OFFER, 2).packet(), now);
        sent.0
    };
    assert_eq!([again(), again(), again(), again(), again(), again()], [3, 3, 1, 1, 1, 3]);
}

#[test]
fn a_server_of_bootp_is_heard_unless_dhcp_is_asked_for() {
    let reply = Reply { options: vec![1, 4, 255, 255, 0, 0], ..Reply::new(0, 1) }.packet();
    for (method, granted) in [(Method::Any, true), (Method::Bootp, true), (Method::Dhcp, false)] {
        let mut client = client(method);
        let (kind, ..) = sent(&mut client, 1000).unwrap();
        assert_eq!(kind, u8::from(method != Method::Bootp));
        let lease = take(&mut client, &reply, 1100);
        assert_eq!(lease.map(|lease| lease.prefix), granted.then_some(16), "{method:?}");
    }
}

fn granted(reply: Reply) -> Lease {
    let mut client = client(Method::Dhcp);
    sent(&mut client, 1000);
    take(&mut client, &Reply::new(OFFER, 1).packet(), 1000);
    sent(&mut client, 1000);
    take(&mut client, &reply.packet(), 1000).unwrap()
}

fn routes(lease: &Lease) -> Vec<String> {
    let mut routes = Vec::new();
    lease.each_route(&mut |network, prefix, gateway| {
        routes.push(format!("{}/{prefix} {}", Ipv4Addr::from(network), Ipv4Addr::from(gateway.v4())));
    });
    routes
}

#[test]
fn options_are_read_wherever_they_stand() {
    let mut reply = Reply::new(ACK, 1).with(52, &[3]).with(17, b"/export/").with(42, &[10, 0, 0, 5, 10, 0, 0, 6]);
    reply.file = [&[17, 4], &b"root"[..], &[255]].concat();
    reply.server_name = [&[12, 4], &b"box\0"[..], &[255]].concat();
    let lease = granted(reply);
    assert_eq!(lease.text(text::ROOT_PATH), b"/export/root");
    assert_eq!(lease.text(text::HOST), b"box");
    assert_eq!(lease.text(text::FILE), b"");
    assert_eq!(*lease.address(role::TIME_SERVER + 1), Address::of(&[10, 0, 0, 6]));
    let mut reply = Reply::new(ACK, 1);
    reply.file = b"pxelinux.0".to_vec();
    assert_eq!(granted(reply).text(text::FILE), b"pxelinux.0");
}

#[test]
fn classless_routes_replace_the_gateway() {
    let reply = Reply::new(ACK, 1).with(3, &[10, 0, 0, 1]);
    assert_eq!(routes(&granted(reply.clone())), ["0.0.0.0/0 10.0.0.1"]);
    let classless = [&[0, 10, 0, 0, 2][..], &[25, 192, 0, 2, 255, 10, 0, 0, 3], &[32, 192, 0, 2, 7, 0, 0, 0, 0]];
    let expected = ["0.0.0.0/0 10.0.0.2", "192.0.2.128/25 10.0.0.3", "192.0.2.7/32 0.0.0.0"];
    assert_eq!(routes(&granted(reply.clone().with(121, &classless.concat()))), expected);
    // In two parts (RFC 3396), and with an end that makes no sense.
    let whole = classless.concat();
    let (front, back) = whole.split_at(7);
    assert_eq!(routes(&granted(reply.with(121, front).with(121, back).with(121, &[33, 1]))), expected);
}

#[test]
fn what_nobody_says_follows_from_the_address() {
    let complete = |reply: Reply| {
        let mut lease = granted(reply);
        lease.complete();
        (lease.prefix, lease.address(role::BROADCAST).v4())
    };
    assert_eq!(complete(Reply::new(ACK, 1)), (8, [10, 255, 255, 255]));
    assert_eq!(complete(Reply::new(ACK, 1).with(1, &[255, 255, 255, 0])), (24, [10, 0, 0, 255]));
    assert_eq!(complete(Reply::new(ACK, 1).with(1, &[255, 0, 255, 0])), (8, [10, 255, 255, 255]));
    assert_eq!(complete(Reply { yours: [172, 16, 0, 9], ..Reply::new(ACK, 1) }), (16, [172, 16, 255, 255]));
    assert_eq!(complete(Reply { yours: [192, 168, 0, 9], ..Reply::new(ACK, 1) }), (24, [192, 168, 0, 255]));
}

#[test]
fn malformed_packets_are_dropped_and_counted() {
    let whole = Reply::new(OFFER, 1).with(15, b"example.org").packet();
    assert!(Message::parse(&whole).is_some());
    let changed = |at: usize, value: u8| {
        let mut packet = whole.clone();
        packet[at] = value;
        packet
    };
    let mut bad: Vec<Vec<u8>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
    // The version, the header's checksum, its length, the protocol, the ports, the kind of message and of hardware, the
    // cookie; an option longer than what is left.
    for (at, value) in
        [(0, 0x65), (10, 1), (0, 0x46), (9, 6), (21, 66), (23, 69), (28, 1), (29, 6), (30, 8), (264, 0), (269, 255)]
    {
        bad.push(changed(at, value));
    }
    let mut client = client(Method::Any);
    for (count, packet) in bad.iter().enumerate() {
        assert!(take(&mut client, packet, 1000).is_none());
        assert_eq!(client.counts.dropped as usize, count + 1, "{packet:?}");
    }
    // Padding behind the datagram is the link's.
    let padded = [whole, vec![0; 20]].concat();
    assert!(Message::parse(&padded).is_some());
}

#[test]
fn no_packet_makes_it_panic() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let mut reply = Reply::new(ACK, 1)
        .with(52, &[3])
        .with(121, &[24, 10, 0, 0, 10, 0, 0, 1])
        .with(17, b"/x")
        .with(3, &[1, 2, 3, 4]);
    reply.file = vec![12, 3, b'b', b'o', b'x', 255];
    let whole = reply.packet();
    let mut heard = 0;
    for _ in 0..200_000 {
        let mut message = whole[28..].to_vec();
        for _ in 0..=random(4) {
            let (at, value) = (random(message.len()), random(256) as u8);
            // Mostly among the options, where everything is.
            let at = if random(4) > 0 { 240 + at % (message.len() - 240) } else { at };
            message[at] = value;
        }
        message.truncate(message.len() - random(3) * random(10));
        let packet = packet(&message);
        let mut client = client(Method::Any);
        client.send(&Lease::default(), b"", 1000);
        take(&mut client, &Reply::new(OFFER, 1).packet(), 1000);
        client.send(&Lease::default(), b"", 1000);
        if let Some(mut lease) = take(&mut client, &packet, 1000) {
            heard += 1;
            lease.complete();
            lease.each_route(&mut |_, prefix, _| assert!(prefix <= 32));
        }
    }
    assert!(heard > 10_000, "{heard}");
}

#[test]
fn long_identities_are_left_out_rather_than_cut() {
    let mut sent = Sent::new(1, 2, &HARDWARE);
    sent.option(60, &[b'x'; 250]);
    sent.option(12, &[b'y'; 250]);
    let packet = sent.finish();
    assert!(packet.len() <= 576);
    assert_eq!(first(packet, 60).len(), 250);
    assert_eq!(first(packet, 12).len(), 0);
}
