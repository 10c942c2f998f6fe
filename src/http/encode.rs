//! Response head → bytes (RFC 9112 §4, §6.3).
//!
//! The one place that writes a status line, Date, Content-Length and Connection. A response with
//! no content by its status or method never gets a body here, whatever the handler set.

use super::amendments::Amendments;
use super::date;
use super::representation::push_content_length;
use super::request::Version;
use super::response::Response;
use super::status::Status;

/// The fields that all responses of one second share, encoded once: `Server` and `Date`.
#[derive(Clone, Debug)]
pub struct Stamp {
    unix_secs: u64,
    lines: Vec<u8>,
}

impl Stamp {
    /// The lines for one second.
    #[must_use]
    pub fn new(unix_secs: u64) -> Self {
        let mut lines = Vec::with_capacity(64);
        lines.extend_from_slice(b"\r\nServer: swiftd\r\nDate: ");
        lines.extend_from_slice(&date::encode(unix_secs));
        lines.extend_from_slice(b"\r\n");
        Self { unix_secs, lines }
    }

    /// Moves to another second; nothing is done within the same one.
    pub fn set(&mut self, unix_secs: u64) {
        if unix_secs != self.unix_secs {
            *self = Self::new(unix_secs);
        }
    }
}

/// What becomes of the connection after a response.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It lives on.
    KeepAlive,
    /// It is closed, and the client is told.
    Close,
}

/// How the client finds the end of a response's content (RFC 9112 §6.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes follow.
    Length(u64),
    /// Chunks follow; only an HTTP/1.1 client knows them.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// Appends the head of `response`, its empty line included. `amendments` are carried out on its
/// fields, not on those that are written here.
///
/// `version` is the client's: an HTTP/1.0 client is told when the connection lives on, an
/// HTTP/1.1 client when it does not (RFC 9112 §9.3).
pub fn head(
    response: &Response,
    framing: Framing,
    version: Version,
    persistence: Persistence,
    amendments: &Amendments,
    stamp: &Stamp,
    out: &mut Vec<u8>,
) {
    status_line(response.status, out);
    out.extend_from_slice(&stamp.lines);
    if amendments.is_empty() {
        out.extend_from_slice(response.fields());
    } else {
        amendments.apply(response.fields(), out);
    }
    if response.status.allows_body() {
        match framing {
            Framing::Length(bytes) => push_content_length(out, bytes),
            Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::UntilClose => debug_assert_eq!(persistence, Persistence::Close),
        }
    }
    match (persistence, version) {
        (Persistence::Close, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (Persistence::KeepAlive, Version::Http10) => {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        (Persistence::KeepAlive, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// The interim response that asks for the body (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn status_line(status: Status, out: &mut Vec<u8>) {
    if status == Status::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(status.code()));
    out.push(b' ');
    out.extend_from_slice(status.reason().as_bytes());
}

/// A decimal number.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    fn encoded(response: &Response, version: Version, persistence: Persistence) -> String {
        let mut out = Vec::new();
        let stamp = Stamp::new(784_111_777);
        let framing = Framing::Length(response.body.bytes());
        let amendments = Amendments::default();
        head(
            response,
            framing,
            version,
            persistence,
            &amendments,
            &stamp,
            &mut out,
        );
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_connection_field_follows_version_and_persistence() {
        let mut response = Response::default();
        response.push_field("X-A", b"1");
        response.body = Body::Bytes(b"four".to_vec());
        let common = "HTTP/1.1 200 OK\r\nServer: swiftd\r\n\
            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-A: 1\r\nContent-Length: 4\r\n";
        for (version, persistence, field) in [
            (Version::Http11, Persistence::KeepAlive, ""),
            (Version::Http11, Persistence::Close, "Connection: close\r\n"),
            (
                Version::Http10,
                Persistence::KeepAlive,
                "Connection: keep-alive\r\n",
            ),
            (Version::Http10, Persistence::Close, "Connection: close\r\n"),
        ] {
            let expected = format!("{common}{field}\r\n");
            assert_eq!(encoded(&response, version, persistence), expected);
        }
    }

    #[test]
    fn a_status_without_content_has_no_length() {
        for status in [Status::NOT_MODIFIED, Status::NO_CONTENT] {
            let mut response = Response::default();
            response.status = status;
            let text = encoded(&response, Version::Http11, Persistence::KeepAlive);
            assert!(!text.contains("Content-Length"), "{text}");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 4_096, u64::MAX] {
            let mut out = Vec::new();
            push_number(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
