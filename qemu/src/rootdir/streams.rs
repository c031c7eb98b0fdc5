//! The streams of the guest's command: QEMU connects each port of a virtio console to a socket of ours.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::drive::escape;

/// What the command reads and writes.
pub struct Streams {
    pub(super) input: Box<dyn Read + Send>,
    pub(super) output: Box<dyn Write + Send>,
    pub(super) errors: Box<dyn Write + Send>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exit(u8),
    /// By this signal.
    Signal(u8),
}

/// What the guest's init told.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub started: Option<Instant>,
    pub stopped: Option<Instant>,
    pub end: Option<End>,
}

/// The ports of the guest, by their names in QEMU and their numbers in the guest.
const CONTROL: (&str, u32) = ("control", 1);
const INPUT: (&str, u32) = ("input", 2);
const OUTPUT: (&str, u32) = ("output", 3);
const ERRORS: (&str, u32) = ("errors", 4);
/// The terminal is the console's own port.
const TERMINAL: (&str, u32) = ("terminal", 0);

/// How long output may still come once QEMU has ended: it is all in the sockets by then.
const DRAINING: Duration = Duration::from_secs(5);

/// Sockets that QEMU is to connect to.
pub(super) struct Ports {
    ports: Vec<Port>,
    has_terminal: bool,
}

struct Port {
    name: &'static str,
    number: u32,
    path: PathBuf,
    listener: UnixListener,
}

/// Streams that are being carried.
pub(super) struct Carried {
    control: Receiver<(String, Instant)>,
    outputs: Vec<JoinHandle<()>>,
    paths: Vec<PathBuf>,
}

impl Ports {
    /// Listens in this directory.
    pub fn listen(directory: &Path, has_terminal: bool) -> Result<Self> {
        let wanted: &[(&str, u32)] =
            if has_terminal { &[CONTROL, TERMINAL] } else { &[CONTROL, INPUT, OUTPUT, ERRORS] };
        let ports = wanted.iter().map(|&(name, number)| {
            let path = directory.join(name);
            let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
            Ok(Port { name, number, path, listener })
        });
        Ok(Self { ports: ports.collect::<Result<_>>()?, has_terminal })
    }

    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["-device", "virtio-serial-pci,id=ports"].map(Into::into).to_vec();
        for Port { name, number, path, .. } in &self.ports {
            let kind = if *number == TERMINAL.1 { "virtconsole" } else { "virtserialport" };
            arguments.extend(["-chardev".into(), format!("socket,id={name},path={}", escape(path)).into()]);
            let port = format!("{kind},bus=ports.0,nr={number},chardev={name},name=modstrap.{name}");
            arguments.extend(["-device".into(), port.into()]);
        }
        arguments
    }

    /// Carries what comes and goes, from when QEMU connects.
    pub fn carry(self, streams: Streams) -> Carried {
        let Streams { input, output, errors } = streams;
        let paths = self.ports.iter().map(|port| port.path.clone()).collect();
        let mut ports = self.ports.into_iter().map(|port| port.listener);
        let (sender, control) = mpsc::channel();
        let mut outputs = Vec::new();
        if let Some(listener) = ports.next() {
            outputs.push(thread::spawn(move || {
                let lines = accept(&listener).map(|stream| BufReader::new(stream).lines());
                for line in lines.into_iter().flatten().map_while(io::Result::ok) {
                    // Nobody listens any more when the guest took too long to end.
                    let _ = sender.send((line, Instant::now()));
                }
            }));
        }
        if self.has_terminal {
            outputs.extend(ports.next().map(|listener| thread::spawn(move || both_ways(&listener, input, output))));
        } else {
            if let Some(listener) = ports.next() {
                // It may wait for a user for ever, and is left behind.
                thread::spawn(move || accept(&listener).map(|stream| feed(input, stream)));
            }
            let sinks = [output, errors].into_iter();
            outputs.extend(ports.zip(sinks).map(|(listener, mut sink)| {
                thread::spawn(move || {
                    if let Some(stream) = accept(&listener) {
                        show(stream, &mut *sink);
                    }
                })
            }));
        }
        Carried { control, outputs, paths }
    }
}

impl Carried {
    /// Waits for the rest of the output once QEMU has ended; what the guest told.
    pub fn finish(self) -> Report {
        // Whoever still waits for a QEMU that never connected meets the end of a connection from here.
        self.paths.iter().for_each(|path| drop(UnixStream::connect(path)));
        let limit = Instant::now() + DRAINING;
        while self.outputs.iter().any(|output| !output.is_finished()) && Instant::now() < limit {
            thread::sleep(Duration::from_millis(1));
        }
        let mut report = Report::default();
        for (line, moment) in self.control.try_iter() {
            match line.split_once(' ') {
                None if line == "start" => report.started = Some(moment),
                Some(("exit", status)) => report.end = status.parse().ok().map(End::Exit),
                Some(("signal", number)) => report.end = number.parse().ok().map(End::Signal),
                _ => {}
            }
            if report.end.is_some() {
                report.stopped = Some(moment);
            }
        }
        report
    }
}

fn accept(listener: &UnixListener) -> Option<UnixStream> {
    listener.accept().ok().map(|(stream, _)| stream)
}

/// Carries input to the guest, and then its end. A connection that is given up before QEMU has read all of it would take
/// the rest along.
fn feed(mut input: impl Read, mut stream: UnixStream) {
    let _ = io::copy(&mut input, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = io::copy(&mut stream, &mut io::sink());
}

/// Carries output from the guest as it comes.
fn show(mut stream: impl Read, sink: &mut dyn Write) {
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        // Whoever wanted it may be gone; the command goes on all the same.
        let _ = sink.write_all(&buffer[..length]).and_then(|()| sink.flush());
    }
}

/// Carries what a terminal takes and shows. The end of what is typed ends no terminal.
fn both_ways(listener: &UnixListener, mut input: Box<dyn Read + Send>, mut output: Box<dyn Write + Send>) {
    let Some(stream) = accept(listener) else { return };
    if let Ok(mut back) = stream.try_clone() {
        thread::spawn(move || io::copy(&mut input, &mut back));
    }
    show(stream, &mut *output);
}
