//! Head bytes → [`Request`].
//!
//! Two steps. [`Scan::find_end`] looks for the empty line as bytes arrive and remembers how far it
//! has looked, so that a head that comes byte by byte is never scanned again from its start.
//! [`parse`] then splits the complete head once with `httparse` and applies the rules that
//! `httparse` leaves to its callers. A peer's mistake is an [`Error`] with its status; an
//! unfinished head is not a mistake but `None`.

use super::body;
use super::fields::{Known, Span, is_token, list};
use super::request::{Method, Request, Version};
use super::{Error, target};
use httparse::Status as Parsed;
use memchr::memchr;
use std::mem::MaybeUninit;

/// How many field lines the stack table of [`parse`] holds; `Limits::fields_max` is at most this.
pub const FIELDS_MAX: usize = 128;

/// The longest head that spans can address.
pub const HEAD_BYTES_MAX: usize = 65_535;

/// Bounds on a head.
#[derive(Copy, Clone, Debug)]
pub struct Bounds {
    /// Request line and field lines with their line ends, bytes; at most [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// The request-target, bytes.
    pub target_bytes_max: usize,
    /// Field lines; at most [`FIELDS_MAX`].
    pub fields_max: usize,
}

/// How far a head has been looked at.
#[derive(Copy, Clone, Debug, Default)]
pub struct Scan {
    /// Bytes in which no further line end can be found.
    seen: u16,
    /// Where the line begins that is not finished yet.
    line: u16,
}

impl Scan {
    /// The length of the head at the start of `input`, its empty line included, or `None` if it
    /// is not complete. `input` must begin with the same bytes as in the call before.
    ///
    /// # Errors
    /// A bare LF (RFC 9112 §2.2), a first byte that begins no method, and a head or a target over
    /// its bound are refused as soon as they can be seen, not only when the head is complete.
    pub fn find_end(&mut self, input: &[u8], bounds: &Bounds) -> Result<Option<usize>, Error> {
        let bytes_max = bounds.head_bytes_max;
        let window = &input[..input.len().min(bytes_max)];
        if let Some(&first) = window.first()
            && !is_token(first)
        {
            return Err(Error::RequestLine);
        }
        let line_bytes_max = bounds.target_bytes_max + REQUEST_LINE_REST;
        while let Some(found) = memchr(b'\n', &window[usize::from(self.seen)..]) {
            let end = usize::from(self.seen) + found;
            if self.line == 0 && end > line_bytes_max {
                return Err(Error::TargetTooLong);
            }
            if end == 0 || window[end - 1] != b'\r' {
                return Err(Error::BareLf);
            }
            if end - 1 == usize::from(self.line) {
                return Ok(Some(end + 1));
            }
            self.seen = (end + 1) as u16;
            self.line = self.seen;
        }
        self.seen = window.len() as u16;
        if self.line == 0 && window.len() > line_bytes_max {
            return Err(Error::TargetTooLong);
        }
        if input.len() >= bytes_max {
            return Err(Error::HeadTooLarge);
        }
        Ok(None)
    }
}

/// What a request line holds beside its target: the longest registered method (17), the version,
/// two blanks and the line end, with room to spare.
const REQUEST_LINE_REST: usize = 64;

/// How many bytes of empty lines stand before a request line: at most one is skipped (RFC 9112
/// §2.2), for old clients that end a body with a CRLF too many. `None`: one more byte must come.
#[must_use]
pub fn leading_empty_line(input: &[u8]) -> Option<usize> {
    match input {
        [b'\r', b'\n', ..] => Some(2),
        [b'\r'] => None,
        _ => Some(0),
    }
}

/// Whether a head that need not be complete is for HEAD, whose refusal has no content either
/// (RFC 9110 §9.3.2).
#[must_use]
pub fn is_for_head(input: &[u8]) -> bool {
    input.starts_with(b"HEAD ")
}

/// Parses the complete head in `request.head` and fills the rest of `request`.
///
/// # Errors
/// What the peer did wrong; of the fields of `request` only the method is then defined.
pub fn parse(request: &mut Request, bounds: &Bounds) -> Result<(), Error> {
    let mut lines = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
    let head = &request.head[..];
    if is_for_head(head) {
        request.method = Method::Head;
    }
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut lines[..bounds.fields_max.min(FIELDS_MAX)]) {
        Ok(Parsed::Complete(_)) => {}
        // The empty line was found, so a head that is still "partial" is not well-formed.
        Ok(Parsed::Partial) => return Err(Error::RequestLine),
        Err(error) => return Err(explain(error, head)),
    }
    let (Some(method), Some(path), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Error::RequestLine);
    };
    if path.len() > bounds.target_bytes_max {
        return Err(Error::TargetTooLong);
    }
    request.method = Method::of(method.as_bytes());
    request.version = if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    };
    let target_span = Span::of(path.as_bytes(), head);
    for line in parsed.headers.iter() {
        let name = Span::of(line.name.as_bytes(), head);
        // httparse gives an empty value as a slice that is not part of the head.
        let value = if line.value.is_empty() {
            Span::default()
        } else {
            Span::of(line.value, head)
        };
        request.fields.push(name, value, head);
    }
    fill_target(request, target_span)?;
    check_host(request)?;
    fill_framing(request)?;
    fill_connection(request)
}

fn fill_target(request: &mut Request, span: Span) -> Result<(), Error> {
    request.target = span;
    let parts = target::parse(request.method_bytes(), span.slice(&request.head))?;
    let [raw_path, query, authority] = [Some(parts.path), parts.query, parts.authority]
        .map(|part| part.map(|part| Span::new(span.start() + part.start..span.start() + part.end)));
    request.raw_path = raw_path.unwrap_or_default();
    request.query = query;
    request.authority = authority;
    Ok(())
}

/// RFC 9112 §3.2: exactly one valid Host in HTTP/1.1; at most one valid Host in HTTP/1.0.
fn check_host(request: &mut Request) -> Result<(), Error> {
    let head = &request.head[..];
    let mut hosts = request.fields.all(Known::Host, head);
    let Some(host) = hosts.next() else {
        return match request.version {
            Version::Http10 => Ok(()),
            Version::Http11 => Err(Error::HostMissing),
        };
    };
    if hosts.next().is_some() {
        return Err(Error::HostRepeated);
    }
    if !target::is_host_valid(host) {
        return Err(Error::HostInvalid);
    }
    let span = Span::of(host, head);
    // The authority of an absolute-form target takes precedence (RFC 9112 §3.2.2).
    request.authority.get_or_insert(span);
    Ok(())
}

fn fill_framing(request: &mut Request) -> Result<(), Error> {
    let head = &request.head[..];
    request.framing = body::framing(
        request.version == Version::Http11,
        request.fields.all(Known::ContentLength, head),
        request.fields.all(Known::TransferEncoding, head),
    )?;
    Ok(())
}

/// Persistence (RFC 9112 §9.3) and Expect (RFC 9110 §10.1.1).
fn fill_connection(request: &mut Request) -> Result<(), Error> {
    let head = &request.head[..];
    let (mut closes, mut keeps) = (false, false);
    for value in request.fields.all(Known::Connection, head) {
        for option in list(value) {
            closes |= option.eq_ignore_ascii_case(b"close");
            keeps |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
    request.keeps_alive = !closes && (keeps || request.version == Version::Http11);
    let mut expects_continue = false;
    for value in request.fields.all(Known::Expect, head) {
        for expectation in list(value) {
            if !expectation.eq_ignore_ascii_case(b"100-continue") {
                return Err(Error::ExpectationFailed);
            }
            // An HTTP/1.0 client's expectation is ignored.
            expects_continue = request.version == Version::Http11;
        }
    }
    request.expects_continue = expects_continue;
    Ok(())
}

/// Says more closely what `httparse` refused.
fn explain(error: httparse::Error, head: &[u8]) -> Error {
    match error {
        httparse::Error::TooManyHeaders => Error::TooManyFields,
        httparse::Error::Version => explain_version(head),
        httparse::Error::HeaderName => explain_name(head),
        httparse::Error::HeaderValue if has_bare_cr(head) => Error::BareCr,
        httparse::Error::HeaderValue => Error::FieldValue,
        _ if has_bare_cr(head) => Error::BareCr,
        _ => Error::RequestLine,
    }
}

/// A version that is well-formed but not 1.0 or 1.1 is a 505 (RFC 9110 §15.6.6), all else a 400.
fn explain_version(head: &[u8]) -> Error {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ').skip(2);
    match (words.next().unwrap_or_default(), words.next()) {
        ([b'H', b'T', b'T', b'P', b'/', major, b'.', minor], None)
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Error::VersionUnsupported
        }
        _ => Error::VersionInvalid,
    }
}

fn explain_name(head: &[u8]) -> Error {
    let mut lines = head.split(|&byte| byte == b'\n').skip(1);
    for line in &mut lines {
        if line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        {
            return Error::FoldedField;
        }
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if name.last().is_some_and(|byte| matches!(byte, b' ' | b'\t')) && name.len() < line.len() {
            return Error::SpaceBeforeColon;
        }
    }
    if has_bare_cr(head) {
        return Error::BareCr;
    }
    Error::FieldName
}

fn has_bare_cr(head: &[u8]) -> bool {
    head.windows(2)
        .any(|pair| pair[0] == b'\r' && pair[1] != b'\n')
}
