//! A request as an object of JSON (RFC 8259), one a line.
//!
//! Every object has every member, in this order; what is not known is `-`. A request line that
//! cannot be taken apart is the target as a whole.

use super::access::{client, field, host, port, request_line, user};
use super::escape::push_json;
use crate::conn::Note;
use crate::http::encode::push_number;
use std::io::Write;

/// Appends an object without the end of its line.
pub(super) fn push(out: &mut Vec<u8>, note: &Note<'_>, time: &[u8]) {
    let (method, target, protocol) = take_apart(request_line(note));
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time);
    // An address needs no escape, and writing to memory does not fail.
    let _ = write!(out, "\",\"client\":\"{}\"", client(note));
    push_string(out, "user", user(note));
    push_string(out, "host", host(note));
    push_count(out, "port", port(note).into());
    push_string(out, "method", method);
    push_string(out, "target", target);
    push_string(out, "protocol", protocol);
    push_count(out, "status", note.status.into());
    push_count(out, "bytes", note.content_bytes);
    push_count(out, "duration_ms", note.duration_ms);
    push_string(out, "referer", field(note, b"referer"));
    push_string(out, "user_agent", field(note, b"user-agent"));
    out.push(b'}');
}

/// Method, target and protocol.
fn take_apart(line: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let mut words = line.split(|&byte| byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(protocol), None)
            if !method.is_empty() && !target.is_empty() && protocol.starts_with(b"HTTP/") =>
        {
            (method, target, protocol)
        }
        _ => (b"-", line, b"-"),
    }
}

fn push_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn push_string(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    push_name(out, name);
    out.push(b'"');
    push_json(out, value);
    out.push(b'"');
}

fn push_count(out: &mut Vec<u8>, name: &str, value: u64) {
    push_name(out, name);
    push_number(out, value);
}
