//! NVMe over TCP: the kernel connects by itself (drivers/nvme/host/fabrics.c and tcp.c); it is asked by a line that is
//! written to `/dev/nvme-fabrics`, and says in its log why it could not.

use rustix::fs::OFlags;
use rustix::io::{self, Errno};

use super::address::Address;
use crate::cmdline::CommandLine;
use crate::device::disks;
use crate::file::{self, Path};
use crate::report::Line;

/// Connects to a subsystem, of which the kernel is told in a line.
pub fn connect(line: &Line) -> io::Result<()> {
    let fabrics = file::open_as(c"/dev/nvme-fabrics", OFlags::RDWR)?;
    if line.is_cut() {
        return Err(Errno::NAMETOOLONG);
    }
    io::write(&fabrics, line.as_bytes()).map(drop)
}

/// The line for a subsystem, with options of the kernel, `&` between them. Of options that are given twice the last
/// counts.
///
/// Who this machine is `rd.nvmf.hostnqn=` and `rd.nvmf.hostid=` tell, as dracut has them. A name that holds a UUID tells
/// the identifier too; where nothing is said, the kernel thinks something up.
pub fn line(server: &Address, port: u16, nqn: &[u8], options: &[u8], cmdline: &CommandLine) -> Line {
    const UUID: &[u8] = b":uuid:";
    let mut line = Line::of(&[b"transport=tcp,traddr="]);
    server.push_to(&mut line);
    line.push(b",trsvcid=");
    line.push_number(port.into());
    let host = cmdline.last(b"rd.nvmf.hostnqn").unwrap_or_default();
    let place = host.windows(UUID.len()).position(|window| window == UUID);
    let uuid = place.and_then(|place| host.get(place + UUID.len()..)).unwrap_or_default();
    let mut push = |name, value: &[u8]| {
        if !value.is_empty() {
            line.push(name);
            line.push(value);
        }
    };
    push(b",nqn=", nqn);
    push(b",hostnqn=", host);
    push(b",hostid=", cmdline.last(b"rd.nvmf.hostid").unwrap_or(uuid));
    // What reads a root would rather be late than be told of an error.
    push(b",ctrl_loss_tmo=", b"-1");
    push(b",", options);
    line.as_bytes_mut().iter_mut().filter(|byte| **byte == b'&').for_each(|byte| *byte = b',');
    line
}

/// Whether a subsystem has a disk by now, or one of this namespace; the name of the first goes into `name`. It comes some time
/// after the connection, and is shown a moment before it can be opened.
pub fn find(nqn: &[u8], namespace: Option<u64>, name: &mut Line) -> bool {
    let mut is_there = false;
    disks(&mut |disk| {
        let subsystem = Path::of(&[b"/sys/class/block/", disk.name(), b"/device/subsysnqn"]);
        let is_of_it = disk.partition_number().is_none()
            && file::read(subsystem.as_c_str(), &mut [0; 256]).trim_ascii_end() == nqn
            && (namespace.is_none() || disk.number_in(b"nsid") == namespace);
        if is_of_it {
            *name = Line::of(&[disk.name()]);
            is_there = disk.is_readable();
        }
        !is_of_it
    });
    is_there
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str, options: &str) -> String {
        let cmdline = CommandLine::parse(words.as_bytes());
        let line = super::line(&Address::of(&[10, 0, 2, 2]), 4420, b"nqn.x:y", options.as_bytes(), &cmdline);
        String::from_utf8(line.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_kernel_is_told_all() {
        let begin = "transport=tcp,traddr=10.0.2.2,trsvcid=4420,nqn=nqn.x:y";
        assert_eq!(line("", ""), format!("{begin},ctrl_loss_tmo=-1"));
        assert_eq!(
            line("", "hdr_digest&ctrl_loss_tmo=60"),
            format!("{begin},ctrl_loss_tmo=-1,hdr_digest,ctrl_loss_tmo=60")
        );
        let nqn = "nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        assert_eq!(
            line(&format!("rd.nvmf.hostnqn={nqn}"), ""),
            format!("{begin},hostnqn={nqn},hostid={id},ctrl_loss_tmo=-1")
        );
        assert_eq!(
            line(&format!("rd.nvmf.hostnqn=nqn.a rd.nvmf.hostid={id}"), ""),
            format!("{begin},hostnqn=nqn.a,hostid={id},ctrl_loss_tmo=-1")
        );
    }
}
