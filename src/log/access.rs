//! A request as a line of the Common Log Format, or one of its kin:
//!
//! ```text
//! common     CLIENT - USER [TIME] "REQUEST LINE" STATUS BYTES
//! combined   ... "REFERER" "USER-AGENT"
//! vcombined  HOST:PORT CLIENT ...
//! ```
//!
//! BYTES are those of the content. What is not known is `-`.

use super::escape::{CUT, VALUE_BYTES_MAX, push_clf, push_word};
use crate::config::Format;
use crate::conn::Note;
use crate::http::encode::push_number;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What stands for the client of a Unix socket: it is on this machine, and tools that read logs
/// insist on an address.
const ON_THIS_MACHINE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What stands for what is not known.
const NOTHING: &[u8] = b"-";

/// Appends a line without its end.
pub(super) fn push(out: &mut Vec<u8>, note: &Note<'_>, format: Format, time: &[u8]) {
    if format == Format::Vcombined {
        push_word(out, host(note));
        out.push(b':');
        push_number(out, port(note).into());
        out.push(b' ');
    }
    // Writing to memory does not fail.
    let _ = write!(out, "{} - ", client(note));
    push_word(out, user(note));
    out.push(b' ');
    out.extend_from_slice(time);
    out.extend_from_slice(b" \"");
    push_request_line(out, request_line(note));
    out.extend_from_slice(b"\" ");
    push_number(out, note.status.into());
    out.push(b' ');
    push_number(out, note.content_bytes);
    if format != Format::Common {
        for name in [&b"referer"[..], b"user-agent"] {
            out.extend_from_slice(b" \"");
            push_clf(out, field(note, name));
            out.push(b'"');
        }
    }
}

/// A request line that is too long is cut in its middle, so that its version still stands where
/// tools look for it.
fn push_request_line(out: &mut Vec<u8>, line: &[u8]) {
    const VERSION_BYTES: usize = " HTTP/1.1".len();
    let (start, end) = line.split_at(line.len().saturating_sub(VERSION_BYTES));
    if start.len() > VALUE_BYTES_MAX && end.starts_with(b" HTTP/") {
        push_clf(out, &start[..VALUE_BYTES_MAX]);
        out.extend_from_slice(CUT);
        push_clf(out, end);
    } else {
        push_clf(out, line);
    }
}

/// Who has asked: as a trusted proxy says, else whoever is at the other end.
pub(super) fn client(note: &Note<'_>) -> IpAddr {
    let address = note.exchange.client.or_else(|| note.origin.peer());
    address.map_or(ON_THIS_MACHINE, |address| address.ip().to_canonical())
}

/// Whom a plugin has taken the client for.
pub(super) fn user<'a>(note: &Note<'a>) -> &'a [u8] {
    or_nothing(note.exchange.user.as_deref())
}

/// The host as asked for, without its port; else the first name of the one that was meant.
pub(super) fn host<'a>(note: &Note<'a>) -> &'a [u8] {
    let request = &note.exchange.request;
    let asked = request.authority.map(|span| span.slice(&request.head));
    let asked = asked.map(|authority| {
        // The port is behind the last colon, unless that is one of an address in brackets.
        let end = authority.iter().rposition(|&byte| byte == b':');
        let end = end.filter(|&at| !authority[at..].contains(&b']'));
        &authority[..end.unwrap_or(authority.len())]
    });
    let asked = asked.filter(|host| !host.is_empty());
    or_nothing(asked.or(Some(note.host.name.as_bytes())))
}

/// The port that the client has reached; 0 for a Unix socket.
pub(super) fn port(note: &Note<'_>) -> u16 {
    note.origin.local().as_ref().map_or(0, SocketAddr::port)
}

/// The request line as it came, also one that was malformed.
pub(super) fn request_line<'a>(note: &Note<'a>) -> &'a [u8] {
    let head = &note.exchange.request.head[..];
    let end = memchr::memchr2(b'\r', b'\n', head);
    or_nothing(Some(&head[..end.unwrap_or(head.len())]))
}

/// The first value of a field.
pub(super) fn field<'a>(note: &Note<'a>, name: &[u8]) -> &'a [u8] {
    let request = &note.exchange.request;
    or_nothing(request.fields.by_name(name, 0, &request.head))
}

fn or_nothing(value: Option<&[u8]>) -> &[u8] {
    value.filter(|value| !value.is_empty()).unwrap_or(NOTHING)
}
