//! The command: started with its streams, waited for, its end put into words.

use core::ffi::CStr;

use modstrap::file::Path;
use modstrap::report::{Line, push_errno};
use modstrap::sys::{become_program, c_str, console, exit, fork, now, sleep};
use modstrap::text::split;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, chdir, ioctl_tiocsctty, setsid, wait};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::call::Call;
use crate::port;

/// How long, in milliseconds, output is still carried to the host once the command has ended: what it left running may
/// hold its streams open for ever.
const DRAINING: u64 = 2000;

/// What is carried at a time.
const BUFFER: usize = 16384;

/// The exit statuses of shells for a command that cannot be run, and one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The processes that belong to the command.
struct Processes {
    command: Option<Pid>,
    /// Those that carry its output.
    carriers: [Option<Pid>; 2],
}

/// Runs the command to its end; returns the line that tells it.
pub fn run(call: &Call, control: &OwnedFd) -> io::Result<Line> {
    let processes = if call.terminal.is_empty() { with_pipes(call)? } else { on_terminal(call)? };
    let _ = io::write(control, b"start\n");
    let status = wait_for_all(processes);
    let mut line = Line::new();
    match (status.and_then(WaitStatus::exit_status), status.and_then(WaitStatus::terminating_signal)) {
        (None, Some(signal)) => {
            line.push(b"signal ");
            line.push_number(u64::from(signal.unsigned_abs()));
        }
        (status, _) => {
            line.push(b"exit ");
            line.push_number(u64::from(status.unwrap_or(i32::from(CANNOT_RUN)).unsigned_abs()));
        }
    }
    line.push(b"\n");
    Ok(line)
}

fn with_pipes(call: &Call) -> io::Result<Processes> {
    let (input, to_input) = pipe_with(PipeFlags::CLOEXEC)?;
    let (from_output, output) = pipe_with(PipeFlags::CLOEXEC)?;
    let (from_errors, errors) = pipe_with(PipeFlags::CLOEXEC)?;
    let command = start(|| {
        let _ = setsid();
        take_streams(&input, &output, &errors);
        become_command(call)
    })?;
    drop((input, output, errors));
    carry(port::open(port::INPUT)?, to_input)?;
    let carriers = [carry(from_output, port::open(port::OUTPUT)?)?, carry(from_errors, port::open(port::ERRORS)?)?];
    Ok(Processes { command, carriers })
}

fn on_terminal(call: &Call) -> io::Result<Processes> {
    let terminal = port::open_terminal()?;
    let mut sizes = split(call.terminal, b' ').map(|size| modstrap::text::parse_number(size).unwrap_or(0) as u16);
    let (ws_row, ws_col) = (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0));
    let _ = tcsetwinsize(&terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 });
    let command = start(|| {
        let _ = setsid();
        let _ = ioctl_tiocsctty(&terminal);
        take_streams(&terminal, &terminal, &terminal);
        become_command(call)
    })?;
    Ok(Processes { command, carriers: [None, None] })
}

/// Starts a process that does `work`.
fn start(work: impl FnOnce() -> u8) -> io::Result<Option<Pid>> {
    match fork()? {
        None => exit(work()),
        process => Ok(process),
    }
}

/// Starts a process that carries what comes from one side to the other, until there is no more.
fn carry(from: OwnedFd, to: OwnedFd) -> io::Result<Option<Pid>> {
    start(|| {
        let mut buffer = [0; BUFFER];
        while let Ok(length @ 1..) = io::read(&from, &mut buffer) {
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                match io::write(&to, rest) {
                    Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(_) => return 1,
                }
            }
        }
        0
    })
}

fn take_streams(input: impl AsFd, output: impl AsFd, errors: impl AsFd) {
    let _ = dup2_stdin(input);
    let _ = dup2_stdout(output);
    let _ = dup2_stderr(errors);
}

/// Becomes the command, found as shells find it. Comes back with the exit status of a shell that could not.
fn become_command(call: &Call) -> u8 {
    let name = c_str(call.all().next().unwrap_or_default());
    let directory = Path::of(&[call.directory]);
    let errno = match chdir(directory.as_c_str()) {
        Ok(()) => execute(call, name),
        Err(errno) => {
            complain(directory.as_bytes(), errno);
            return CANNOT_RUN;
        }
    };
    complain(name.to_bytes(), errno);
    if errno == Errno::NOENT { NOT_FOUND } else { CANNOT_RUN }
}

/// Tries the path, or the name in each directory of `PATH`; the error that tells most.
fn execute(call: &Call, name: &CStr) -> Errno {
    if name.to_bytes().contains(&b'/') {
        return become_program(name, call.texts, call.arguments);
    }
    let mut worst = Errno::NOENT;
    for directory in split(call.variable(b"PATH").unwrap_or_default(), b':') {
        let path = Path::of(&[directory, b"/", name.to_bytes()]);
        match become_program(path.as_c_str(), call.texts, call.arguments) {
            Errno::NOENT | Errno::NOTDIR => {}
            errno => worst = errno,
        }
    }
    worst
}

fn complain(what: &[u8], errno: Errno) {
    let mut line = Line::of(&[b"modstrap: cannot run ", what, b": "]);
    push_errno(&mut line, b"", errno);
    line.push(b"\n");
    let _ = io::write(console(), line.as_bytes());
}

/// Reaps whatever ends, until the command has, and a little longer until its output is out. How the command ended.
fn wait_for_all(processes: Processes) -> Option<WaitStatus> {
    let Processes { command, mut carriers } = processes;
    let mut status = None;
    let mut limit = None;
    loop {
        let options = if limit.is_some() { WaitOptions::NOHANG } else { WaitOptions::empty() };
        match wait(options) {
            Ok(Some((process, ended))) => {
                if Some(process) == command {
                    status = Some(ended);
                    limit = Some(now() + DRAINING);
                }
                carriers.iter_mut().filter(|carrier| **carrier == Some(process)).for_each(|carrier| *carrier = None);
            }
            Ok(None) => sleep(2),
            Err(Errno::INTR) => {}
            Err(_) => return status,
        }
        if limit.is_some_and(|limit| carriers == [None, None] || now() > limit) {
            return status;
        }
    }
}
