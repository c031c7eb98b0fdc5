//! The network before the root: what DHCP servers and routers give, in good and in bad days, and what is left of it for
//! the real init. The root itself is a disk, and `rd.neednet` asks for the network.

use anyhow::Result;
use modstrap_qemu::server::{Behaviour, Dhcp, Peer};
use modstrap_qemu::{Boot, Bus, FileSystem, Finished, Model, Nic, Recipe, Report};
use modstrap_tests::{Scratch, Verdict, boots};

use crate::networked;

boots! {
    qemus_own_server: by_qemu();
    all_that_a_server_can_give: everything();
    options_in_the_field_of_the_file: overloaded();
    a_server_that_refuses_beside_an_honest_one: beside(Behaviour::Refusing);
    a_server_that_forgets_beside_an_honest_one: beside(Behaviour::Forgetful);
    a_server_whose_packets_are_damaged_beside_an_honest_one: beside(Behaviour::Garbled);
    a_third_of_all_packets_is_lost: lossy();
    two_honest_servers: two_servers();
    a_server_behind_a_relay: behind_a_relay();
    a_virtual_link: virtual_link();
    a_link_without_a_cable: without_carrier();
    a_router_advertises_a_network: router();
    an_ipv6_address_from_the_command_line: static_v6();
    several_links_for_several_words: two_links();
    another_name_for_a_link: renamed();
    a_local_root_loads_no_network_driver: not_asked_for();
    no_link: fails("no network link came that could be tried: is its driver in the image (--with net)?");
    a_silent_server: silent();
    a_lying_server: lying();
}

/// Boots from a disk with the network asked for.
fn boot(scratch: &Scratch, words: &str) -> Result<Boot> {
    let drive = scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?;
    Ok(networked()?.boot().drive(drive).append(format!("root=/dev/vda rd.neednet=1 {words}")))
}

/// Boots on a wire with these servers.
fn with_servers(words: &str, servers: Vec<Dhcp>) -> Result<Finished> {
    let scratch = Scratch::new()?;
    let peer = Peer::start(Dhcp::serve(servers))?;
    boot(&scratch, words)?.nic(peer.nic(Model::VirtioNet)).run()
}

/// The boot reached its root, and found these lines in a section of its report.
#[track_caller]
fn has(finished: &Finished, section: &str, lines: &[&str]) -> Report {
    let report = finished.reached("/dev/vda (ext4)");
    let found = report.section(section).map(|lines| lines.join("\n")).unwrap_or_default();
    for line in lines {
        finished.expect(found.contains(line), format!("no {line} in {section}:\n{found}"));
    }
    report
}

fn by_qemu() -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, "ip=dhcp")?.nic(Nic::user(Model::VirtioNet)).run()?;
    let expected = ["DEVICE='eth0'", "PROTO='dhcp'", "IPV4ADDR='10.0.2.15'", "IPV4GATEWAY='10.0.2.2'"];
    has(&finished, "network", &expected);
    has(&finished, "network", &["IPV4BROADCAST='10.0.2.255'", "ROOTSERVER='10.0.2.2'", "nameserver 10.0.2.3"]);
    has(&finished, "addresses", &["lo    inet 127.0.0.1/8", "eth0    inet 10.0.2.15/24"]);
    has(&finished, "routes", &["default via 10.0.2.2 dev eth0"]);
    Ok(())
}

fn everything() -> Result<()> {
    let options = vec![
        (1, vec![255, 255, 255, 255]),
        (3, vec![192, 168, 77, 1]),
        (6, vec![192, 0, 2, 53, 192, 0, 2, 54]),
        (12, b"box".to_vec()),
        (15, b"example.org".to_vec()),
        (17, b"/it's/here".to_vec()),
        (26, vec![0x05, 0x78]),
        (42, vec![192, 0, 2, 123]),
        (51, vec![0, 0, 0x0e, 0x10]),
        // On the link itself; by a gateway; everywhere else by another, and not by that of option 3.
        (121, [&[24, 192, 168, 99, 0, 0, 0, 0][..], &[16, 172, 16, 192, 168, 77, 9], &[0, 192, 168, 77, 2]].concat()),
    ];
    let server = Dhcp { options, next_server: [192, 0, 2, 69].into(), ..Dhcp::default() };
    let finished = with_servers("ip=dhcp", vec![server])?;
    let files = ["IPV4NETMASK='255.255.255.255'", "IPV4DNS1='192.0.2.54'", "HOSTNAME='box'", "DNSDOMAIN='example.org'"];
    has(&finished, "network", &files);
    let files =
        ["IPV4GATEWAY='192.168.77.2'", "ROOTSERVER='192.0.2.69'", "ROOTPATH='/it'\\''s/here'", "DHCPLEASETIME='3600'"];
    has(&finished, "network", &files);
    has(&finished, "network", &["search example.org", "nameserver 192.0.2.53", "nameserver 192.0.2.54"]);
    let routes =
        ["192.168.99.0/24 dev eth0 scope link", "172.16.0.0/16 via 192.168.77.9", "default via 192.168.77.2 dev eth0"];
    let report = has(&finished, "routes", &routes);
    finished.expect(
        report.section("routes")?.iter().filter(|line| line.starts_with("default")).count() == 1,
        "two default routes",
    );
    has(&finished, "hostname", &["box"]);
    Ok(())
}

fn overloaded() -> Result<()> {
    let server = Dhcp { overloaded: vec![(12, b"inside".to_vec())], ..Dhcp::default() };
    let finished = with_servers("ip=::::mine::dhcp", vec![server.clone()])?;
    has(&finished, "hostname", &["mine"]);
    has(&with_servers("ip=dhcp", vec![server])?, "network", &["HOSTNAME='inside'", "filename=''"]);
    Ok(())
}

/// The honest server is the slower one.
fn beside(behaviour: Behaviour) -> Result<()> {
    let other =
        Dhcp { behaviour, server: [192, 168, 77, 66].into(), client: [192, 168, 77, 99].into(), ..Dhcp::default() };
    let finished = with_servers("ip=dhcp", vec![other, Dhcp::default()])?;
    has(&finished, "network", &["IPV4ADDR='192.168.77.20'"]);
    Ok(())
}

/// The first that offers is taken, and the second learns so from the request.
fn two_servers() -> Result<()> {
    let second = Dhcp { server: [192, 168, 77, 2].into(), client: [192, 168, 77, 30].into(), ..Dhcp::default() };
    let asked = second.asked.clone();
    let finished = with_servers("ip=dhcp", vec![Dhcp::default(), second])?;
    has(&finished, "network", &["IPV4ADDR='192.168.77.20'"]);
    let asked = asked.lock().map(|asked| asked.clone()).unwrap_or_default();
    finished.expect(asked == [1, 3], format!("the second server heard {asked:?}, not a discovery and a request"));
    Ok(())
}

/// The relay's own address is neither the server's nor the gateway.
fn behind_a_relay() -> Result<()> {
    let server = Dhcp { relay: Some([192, 168, 77, 250].into()), server: [172, 16, 9, 9].into(), ..Dhcp::default() };
    let finished = with_servers("ip=dhcp", vec![server])?;
    finished.says("eth0: 192.168.77.20/24 by 172.16.9.9, gateway 192.168.77.1");
    has(&finished, "routes", &["default via 192.168.77.1 dev eth0"]);
    Ok(())
}

/// The server is on the virtual link alone.
fn virtual_link() -> Result<()> {
    let scratch = Scratch::new()?;
    let peer = Peer::start(Dhcp::serve_tagged(5, vec![Dhcp::default()]))?;
    let words = "ifname=lan0:52:54:00:12:34:01 vlan=vlan5:lan0 ip=vlan5:dhcp";
    let finished = boot(&scratch, words)?.nic(peer.nic(Model::VirtioNet)).run()?;
    has(&finished, "network", &["DEVICE='vlan5'", "IPV4ADDR='192.168.77.20'"]);
    let report = has(&finished, "addresses", &["vlan5    inet 192.168.77.20/24"]);
    let is_on_lan0 = |line: &String| line.contains("lan0    inet 1");
    finished.expect(!report.section("addresses")?.iter().any(is_on_lan0), "the link below has an address");
    Ok(())
}

/// QEMU's monitor pulls the cable before the machine starts.
fn without_carrier() -> Result<()> {
    let scratch = Scratch::new()?;
    let commands = scratch.file("set_link net1 off\n")?;
    let boot = boot(&scratch, "ip=dhcp rootwait=2")?.nic(Nic::user(Model::VirtioNet)).argument("-chardev");
    let boot = boot.argument(format!("file,id=commands,path=/dev/null,input-path={}", commands.display()));
    let finished = boot.argument("-mon").argument("commands").run()?;
    finished.gave_up("no network link has a carrier (see above)");
    finished.says("seen: eth0 52:54:00:12:34:01: no carrier");
    Ok(())
}

fn lossy() -> Result<()> {
    let finished = with_servers("ip=dhcp rootwait=60", vec![Dhcp { loss: 30, ..Dhcp::default() }])?;
    has(&finished, "network", &["IPV4ADDR='192.168.77.20'"]);
    Ok(())
}

fn router() -> Result<()> {
    let scratch = Scratch::new()?;
    let finished = boot(&scratch, "ip=eth0:auto6")?.nic(Nic::user(Model::VirtioNet)).run()?;
    has(&finished, "addresses", &["inet6 fec0::5054:ff:fe12:3401/64"]);
    has(&finished, "network", &["IPV6PROTO='auto6'", "IPV6ADDR='fec0:0000:0000:0000:5054:00ff:fe12:3401'"]);
    Ok(())
}

fn static_v6() -> Result<()> {
    let scratch = Scratch::new()?;
    let words = "ip=[fec0::77]::[fec0::2]:64:box:eth0:none";
    let finished = boot(&scratch, words)?.nic(Nic::user(Model::VirtioNet)).run()?;
    has(&finished, "addresses", &["inet6 fec0::77/64"]);
    has(&finished, "network", &["IPV6PROTO='none'", "IPV6NETMASK='64'"]);
    Ok(())
}

fn two_links() -> Result<()> {
    let scratch = Scratch::new()?;
    let peer = Peer::start(Dhcp::serve(vec![Dhcp::default()]))?;
    let boot = boot(&scratch, "ip=eth1:dhcp ip=10.0.2.50::10.0.2.2:24:box:eth0:none")?;
    let finished = boot.nic(Nic::user(Model::VirtioNet)).nic(peer.nic(Model::VirtioNet)).run()?;
    has(&finished, "addresses", &["eth0    inet 10.0.2.50/24", "eth1    inet 192.168.77.20/24"]);
    has(&finished, "network", &["DEVICE='eth0'", "DEVICE='eth1'", "PROTO='none'"]);
    Ok(())
}

fn renamed() -> Result<()> {
    let scratch = Scratch::new()?;
    let words = "ifname=lan0:52:54:00:12:34:01 ip=lan0:dhcp";
    let finished = boot(&scratch, words)?.nic(Nic::user(Model::VirtioNet)).run()?;
    has(&finished, "network", &["DEVICE='lan0'", "IPV4ADDR='10.0.2.15'"]);
    Ok(())
}

fn not_asked_for() -> Result<()> {
    let scratch = Scratch::new()?;
    let drive = scratch.drive(&Recipe::new(FileSystem::Ext4), Bus::VirtioBlk)?;
    let boot = networked()?.boot().drive(drive).nic(Nic::user(Model::VirtioNet)).append("root=/dev/vda ip=dhcp");
    let finished = boot.run()?;
    let report = finished.reached("/dev/vda (ext4)");
    let has_driver = report.section("modules")?.iter().any(|module| module == "virtio_net");
    finished.expect(!has_driver, "a network driver was loaded");
    Ok(())
}

fn fails(reason: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    boot(&scratch, "ip=dhcp rootwait=2")?.run()?.gave_up(reason);
    Ok(())
}

/// Fails with what was sent and heard.
fn unserved(behaviour: Behaviour, heard: &str) -> Result<()> {
    let server = Dhcp { behaviour, ..Dhcp::default() };
    let finished = with_servers("ip=dhcp rootwait=8", vec![server])?;
    finished.gave_up("no DHCP server has given an address (see above)");
    let seen = |line: &&str| line.starts_with("seen: eth0 52:54:00:12:34:01: DHCP requests sent: ");
    let lines: Vec<String> = finished.messages().into_iter().filter(seen).map(str::to_string).collect();
    finished.expect(lines.len() == 1 && lines[0].contains(heard), format!("{lines:?}"));
    Ok(())
}

fn silent() -> Result<()> {
    unserved(Behaviour::Silent, ", offers: 0, refusals: 0, packets dropped: 0")
}

fn lying() -> Result<()> {
    unserved(Behaviour::Garbled, ", offers: 0, refusals: 0, packets dropped: ")
}
