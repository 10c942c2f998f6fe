//! The operator's end: finds the server by its pid file, tells it, waits for what comes of it.
//!
//! The number in a pid file is worth nothing by itself: the process may have died and the number be
//! another's. So the file must be locked, the process is held by a descriptor before anything is
//! sent, it must have the file open, and the socket must be its own.

use super::{FAILED, OK, socket_name};
use crate::config::{Config, Order};
use crate::sys::local;
use crate::sys::pid_file;
use crate::sys::process::{Held, SendError};
use crate::sys::signal::Signal;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// Where a server leaves its number if nothing else is said.
pub const DEFAULT_PID_FILE: &str = "/run/swiftd.pid";

/// How long a server may take to carry an order out: longer than it waits itself for a new program.
const VERDICT_PATIENCE: Duration = Duration::from_secs(60);

/// How long a server may take to end at once.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Tells the server `order`, and waits for what comes of it. `Ok` is what to print: to standard
/// output for [`Order::Log`], to standard error otherwise.
///
/// # Errors
/// There is no such server, or it has refused; one line that says how to mend it.
pub fn send(order: Order, config: &Config) -> Result<Vec<u8>, String> {
    let path = config.service.pid_file.as_deref();
    let path = path.unwrap_or(Path::new(DEFAULT_PID_FILE));
    let server = find(path)?;
    match order {
        Order::Stop => stop(&server),
        Order::Quit => quit(&server, config.turn.drain_timeout),
        Order::Reload | Order::Reopen | Order::Upgrade | Order::Log => ask(order, &server),
    }
}

/// The process of a pid file.
fn find(path: &Path) -> Result<Held, String> {
    let shown = path.display();
    let unreadable = |error: io::Error| {
        let mend = match error.kind() {
            io::ErrorKind::NotFound => {
                "; does the server run, and with this --pid-file (or pid-file in its configuration)?"
            }
            io::ErrorKind::PermissionDenied => "; try it as root",
            _ => "",
        };
        format!("cannot read the pid file {shown}: {error}{mend}")
    };
    let Some(pid) = pid_file::running(path).map_err(unreadable)? else {
        return Err(format!(
            "the pid file {shown} is stale: the server that wrote it has ended"
        ));
    };
    let held = Held::open(pid).map_err(|error| {
        format!("process {pid} of {shown} cannot be reached: {error}; is it in another container?")
    })?;
    if pid_file::is_held_by(path, pid) == Some(false) {
        return Err(format!(
            "process {pid} of {shown} is not the server, which does not have that file open; nothing was sent"
        ));
    }
    Ok(held)
}

fn signal(server: &Held, signal: Signal) -> Result<(), String> {
    server.send(signal).map_err(|error| match error {
        SendError::Forbidden => format!(
            "process {} belongs to another user; try it as root",
            server.pid()
        ),
        SendError::Gone => format!("process {} has just ended", server.pid()),
    })
}

fn stop(server: &Held) -> Result<Vec<u8>, String> {
    signal(server, Signal::Interrupt)?;
    if server.has_ended_within(STOP_PATIENCE) {
        return Ok(format!("process {} has ended", server.pid()).into());
    }
    Err(format!(
        "process {} was told to stop and has not ended in {} s",
        server.pid(),
        STOP_PATIENCE.as_secs()
    ))
}

/// It is not for the client to cut a download off, so it does not wait for the last one.
fn quit(server: &Held, patience: Duration) -> Result<Vec<u8>, String> {
    signal(server, Signal::Quit)?;
    let pid = server.pid();
    Ok(if server.has_ended_within(patience) {
        format!("process {pid} has ended")
    } else {
        format!("process {pid} takes no connections any more and ends with the last one it has")
    }
    .into())
}

fn ask(order: Order, server: &Held) -> Result<Vec<u8>, String> {
    let pid = server.pid();
    let stream = match local::connect_to(&socket_name(pid), VERDICT_PATIENCE) {
        Ok(stream) if local::peer(&stream).is_ok_and(|peer| peer.pid == pid) => stream,
        Ok(_) => {
            return Err(format!(
                "another process than {pid} answers at @{}; nothing was sent",
                socket_name(pid)
            ));
        }
        Err(_) => return signal_instead(order, server),
    };
    let answer = converse(order, stream).map_err(|error| {
        format!("process {pid} does not answer: {error}; what became of the order is in its log")
    })?;
    if let Some(text) = answer.strip_prefix(OK.as_bytes()) {
        let text = text.strip_prefix(b"\n").unwrap_or(text);
        let end = text.len() - usize::from(order != Order::Log && text.ends_with(b"\n"));
        return Ok(text[..end].into());
    }
    match answer.strip_prefix(FAILED.as_bytes()) {
        Some(text) => Err(String::from_utf8_lossy(text).trim_end().to_owned()),
        None => Err(format!(
            "process {pid} has ended without an answer; its log may say why"
        )),
    }
}

fn converse(order: Order, mut stream: impl Read + Write) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    // One that refuses us has closed already, and what it said is there all the same.
    let sent = stream.write_all(format!("{}\n", order.name()).as_bytes());
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{} s have passed", VERDICT_PATIENCE.as_secs()),
        )),
        Err(error) if answer.is_empty() => Err(sent.err().unwrap_or(error)),
        _ => Ok(answer),
    }
}

/// For a server that cannot be asked: one without a socket, or in another network namespace.
fn signal_instead(order: Order, server: &Held) -> Result<Vec<u8>, String> {
    let pid = server.pid();
    let number = match order {
        Order::Reload => Signal::HangUp,
        Order::Reopen => Signal::User1,
        Order::Upgrade => Signal::User2,
        Order::Log | Order::Stop | Order::Quit => {
            return Err(format!(
                "process {pid} takes no orders: it has no socket @{}, or in another network namespace",
                socket_name(pid)
            ));
        }
    };
    signal(server, number)?;
    Ok(format!(
        "signal sent; process {pid} has no socket to answer at in this network namespace, so what came of it is only in its log"
    )
    .into())
}
