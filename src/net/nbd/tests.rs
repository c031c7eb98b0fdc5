//! The negotiation, with servers that are played: honest ones, of several ages, and those that lie.

use rustix::io::Errno;

use super::negotiate::{Stream, negotiate};
use super::wire::{Export, LONGEST_REPLY, reply};
use crate::failure::Problem::{NbdDenied, NbdLies, NbdTls, NbdUnfit, NbdUnknown, NotNbd};
use crate::net::Trouble;
use crate::report::Line;

const SIZE: u64 = 64 << 20;
const FLAGS: u16 = 0x0d;
const OPTION_GO: u32 = 7;
const HUNG_UP: Trouble = Trouble::Passing(Errno::CONNRESET);

/// A server that says what it was told to, whatever it is asked, and then hangs up.
struct Played {
    says: Vec<u8>,
    heard: Vec<u8>,
}

impl Stream for Played {
    fn send(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.heard.extend_from_slice(bytes);
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Errno> {
        if self.says.len() < buffer.len() {
            return Err(Errno::CONNRESET);
        }
        buffer.copy_from_slice(&self.says.drain(..buffer.len()).collect::<Vec<u8>>());
        Ok(())
    }
}

fn greeting(flags: u16) -> Vec<u8> {
    [b"NBDMAGICIHAVEOPT", &flags.to_be_bytes()[..]].concat()
}

fn reply_of(kind: u32, data: &[u8]) -> Vec<u8> {
    let magic = 0x0003_e889_0455_65a9_u64.to_be_bytes();
    [&magic, &OPTION_GO.to_be_bytes()[..], &kind.to_be_bytes(), &(data.len() as u32).to_be_bytes(), data].concat()
}

fn export_info(size: u64, flags: u16) -> Vec<u8> {
    reply_of(reply::INFO, &[&[0, 0], &size.to_be_bytes()[..], &flags.to_be_bytes()].concat())
}

fn block_info(least: u32) -> Vec<u8> {
    reply_of(reply::INFO, &[&[0, 3], &least.to_be_bytes()[..], &4096_u32.to_be_bytes(), &[2, 0, 0, 0]].concat())
}

fn ack() -> Vec<u8> {
    reply_of(reply::ACK, b"")
}

fn old_answer() -> Vec<u8> {
    [&SIZE.to_be_bytes()[..], &FLAGS.to_be_bytes()].concat()
}

/// What comes of it, what the server has heard, and its words.
fn outcome(says: &[Vec<u8>]) -> (Result<Export, Trouble>, Vec<u8>, String) {
    let mut server = Played { says: says.concat(), heard: Vec::new() };
    let mut words = Line::new();
    let result = negotiate(&mut server, b"root", &mut words);
    (result, server.heard, words.as_bytes().escape_ascii().to_string())
}

#[track_caller]
fn assert_refused(says: &[Vec<u8>], expected: impl Into<Trouble>) {
    assert_eq!(outcome(says).0, Err(expected.into()));
}

fn expected(least_block: u32) -> Result<Export, Trouble> {
    Ok(Export { size: SIZE, flags: FLAGS, least_block })
}

#[test]
fn asks_for_an_export_and_its_blocks() {
    let says = [greeting(3), export_info(SIZE, FLAGS), block_info(4096), ack()];
    let (result, heard, _) = outcome(&says);
    assert_eq!(result, expected(4096));
    let asked = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x0c\0\0\0\x04root\0\x01\0\x03";
    assert_eq!(heard.escape_ascii().to_string(), asked.escape_ascii().to_string());
    // In another order, and with what nobody asked for.
    let name = reply_of(reply::INFO, b"\0\x01root");
    assert_eq!(outcome(&[greeting(3), block_info(1), name, export_info(SIZE, FLAGS), ack()]).0, expected(1));
}

#[test]
fn asks_in_the_old_way_where_there_is_no_other() {
    let zeroes = || vec![0; 124];
    let unsupported = || reply_of(reply::UNSUPPORTED, &[b'x'; 1000]);
    assert_eq!(outcome(&[greeting(3), unsupported(), old_answer()]).0, expected(0));
    assert_eq!(outcome(&[greeting(1), unsupported(), old_answer(), zeroes()]).0, expected(0));
    let (result, heard, _) = outcome(&[greeting(0), old_answer(), zeroes()]);
    assert_eq!(result, expected(0));
    assert_eq!(heard, b"\0\0\0\0IHAVEOPT\0\0\0\x01\0\0\0\x04root");
    // The only way to refuse is to hang up.
    assert_refused(&[greeting(0)], NbdUnknown);
    assert_refused(&[greeting(3), unsupported()], NbdUnknown);
    assert_refused(&[greeting(1), unsupported(), old_answer()], HUNG_UP);
}

#[test]
fn tells_refusals_apart() {
    let refused = |kind, trouble: Trouble| assert_refused(&[greeting(3), reply_of(kind, b"no")], trouble);
    refused(reply::UNKNOWN, NbdUnknown.into());
    refused(reply::TLS_REQUIRED, NbdTls.into());
    refused(reply::SHUTDOWN, Errno::HOSTDOWN.into());
    refused(reply::ERROR | 2, NbdDenied.into());
    refused(reply::ERROR | 0x7fff, NbdDenied.into());
    let text = "not for the likes of you; ".repeat(30);
    let (result, _, words) = outcome(&[greeting(3), reply_of(reply::ERROR | 2, text.as_bytes())]);
    assert_eq!((result, words), (Err(NbdDenied.into()), text));
}

#[test]
fn knows_what_is_no_server() {
    assert_refused(&[b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()], NotNbd);
    assert_refused(&[b"NBDMAGIC\x01\x02\x03\x04\x05\x06\x07\x08\0\0".to_vec()], NotNbd);
    assert_refused(&[b"NBDMAGIC\0\0\x42\x02\x81\x86\x12\x53\0\0".to_vec()], NotNbd);
    assert_refused(&[], HUNG_UP);
    assert_refused(&[b"NBDMAGIC".to_vec()], HUNG_UP);
}

#[test]
fn believes_no_lies() {
    let lies = |says: Vec<u8>| assert_refused(&[greeting(3), says], NbdLies);
    lies(vec![0; 64]);
    let mut other_option = export_info(SIZE, FLAGS);
    other_option[11] = 6;
    lies(other_option);
    lies([&reply_of(reply::INFO, b"\0\0short")[..], &ack()].concat());
    lies(reply_of(reply::INFO, b"\0"));
    lies(export_info(SIZE, FLAGS).repeat(100));
    let mut endless = reply_of(reply::ERROR | 2, b"");
    endless[16..20].copy_from_slice(&(LONGEST_REPLY + 1).to_be_bytes());
    lies(endless);
    // A reply that says it is longer than it is.
    let mut short = reply_of(reply::INFO, b"\0\0");
    short[19] = 200;
    assert_refused(&[greeting(3), short], HUNG_UP);
}

#[test]
fn takes_no_disk_that_cannot_be_one() {
    let unfit = |info: &[Vec<u8>]| assert_refused(&[greeting(3), info.concat(), ack()], NbdUnfit);
    unfit(&[]);
    unfit(&[export_info(0, FLAGS)]);
    unfit(&[export_info(511, FLAGS)]);
    unfit(&[export_info(1 << 63, FLAGS)]);
    unfit(&[export_info(SIZE, 0)]);
    unfit(&[export_info(SIZE, FLAGS), block_info(3)]);
    unfit(&[export_info(SIZE, FLAGS), block_info(65536)]);
    unfit(&[export_info(SIZE, FLAGS), block_info(u32::MAX)]);
}

#[test]
fn survives_whatever_is_said() {
    let whole = [
        [greeting(3), export_info(SIZE, FLAGS), block_info(512), ack()].concat(),
        [greeting(1), reply_of(reply::UNSUPPORTED, b"no"), old_answer(), vec![0; 124]].concat(),
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for says in whole {
        for length in 0..says.len() {
            let result = outcome(&[says[..length].to_vec()]).0;
            assert!(result == Err(HUNG_UP) || result == Err(NbdUnknown.into()), "{length}: {result:?}");
        }
        for _ in 0..20_000 {
            let mut changed = says.clone();
            for _ in 0..=random(3) {
                let at = random(changed.len());
                changed[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            if let (Ok(export), ..) = outcome(&[changed]) {
                assert!(export.size >= 512 && export.size <= i64::MAX as u64);
                assert!(export.least_block == 0 || export.least_block.is_power_of_two() && export.least_block <= 4096);
            }
        }
    }
}
