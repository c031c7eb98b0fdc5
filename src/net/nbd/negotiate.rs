//! The negotiation with an NBD server: which export, how large it is, what can be done with it.

use rustix::io::Errno;

use super::wire::{EXPORT_NAME, Export, GO, Greeting, Reply, message, reply};
use crate::failure::Problem;
use crate::net::Trouble;
use crate::report::Line;

/// A connection to a server; tests play the server. What is received fills the buffer, or it is an error: a server that
/// hangs up has reset the connection.
pub trait Stream {
    /// Sends all of the bytes.
    fn send(&mut self, bytes: &[u8]) -> Result<(), Errno>;

    /// Receives as many bytes.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Errno>;
}

/// How many replies are read; servers send two or three, and a name perhaps.
const REPLIES: usize = 16;

/// Asks a server for an export. What the server says of a refusal goes into `words`.
pub fn negotiate(stream: &mut dyn Stream, name: &[u8], words: &mut Line) -> Result<Export, Trouble> {
    let mut export = Export::default();
    let mut head = [0; Greeting::SIZE];
    stream.receive(&mut head)?;
    let greeting = Greeting::read(&head).ok_or(Problem::NotNbd)?;
    stream.send(&greeting.answer())?;
    if !greeting.is_fixed() || !ask(stream, name, &mut export, words)? {
        ask_of_old(stream, name, &mut export, greeting)?;
    }
    if export.is_sound() { Ok(export) } else { Err(Problem::NbdUnfit.into()) }
}

/// Asks by the option that has replies. Whether the server knows it.
fn ask(stream: &mut dyn Stream, name: &[u8], export: &mut Export, words: &mut Line) -> Result<bool, Trouble> {
    send(stream, GO, name)?;
    for _ in 0..REPLIES {
        let mut head = [0; Reply::SIZE];
        stream.receive(&mut head)?;
        let Reply { kind, length } = Reply::read(&head).ok_or(Problem::NbdLies)?;
        let mut buffer = [0; 64];
        let mut data: &[u8] = &[];
        let mut left = length as usize;
        *words = Line::new();
        while left > 0 {
            let piece = buffer.get_mut(..left.min(64)).unwrap_or_default();
            stream.receive(piece)?;
            left -= piece.len();
            words.push(piece);
            data = words.as_bytes();
        }
        match kind {
            reply::ACK => return Ok(true),
            reply::INFO => export.take_information(data).ok_or(Problem::NbdLies)?,
            reply::UNSUPPORTED => return Ok(false),
            reply::UNKNOWN => return Err(Problem::NbdUnknown.into()),
            reply::TLS_REQUIRED => return Err(Problem::NbdTls.into()),
            reply::SHUTDOWN => return Err(Errno::HOSTDOWN.into()),
            kind if kind & reply::ERROR != 0 => return Err(Problem::NbdDenied.into()),
            _ => {}
        }
    }
    Err(Problem::NbdLies.into())
}

/// Asks by the option that every server knows, and whose only refusal is to hang up.
fn ask_of_old(stream: &mut dyn Stream, name: &[u8], export: &mut Export, greeting: Greeting) -> Result<(), Trouble> {
    send(stream, EXPORT_NAME, name)?;
    let mut answer = [0; Export::SIZE];
    stream.receive(&mut answer).map_err(|errno| match errno {
        Errno::CONNRESET => Problem::NbdUnknown.into(),
        errno => Trouble::from(errno),
    })?;
    export.take(&answer);
    for _ in 0..greeting.zeroes() {
        stream.receive(&mut [0])?;
    }
    Ok(())
}

fn send(stream: &mut dyn Stream, option: u8, name: &[u8]) -> Result<(), Trouble> {
    let message = message(option, name);
    if message.is_cut() {
        return Err(Problem::NbdUnknown.into());
    }
    Ok(stream.send(message.as_bytes())?)
}
