//! Reads what a connection has sent as a client would, and asserts that it is HTTP/1.1.

use crate::http::Status;
use crate::testing;
use std::sync::LazyLock;

/// Stands in responses whose content is not the pattern of [`testing::pattern`].
pub(super) const MARK: &str = "X-Made-By-A-Hook";

/// What every file begins with, as long as the longest.
pub(super) static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..LARGE_BYTES).map(testing::pattern).collect());

/// The length of the longest file.
pub(super) const LARGE_BYTES: u64 = 5000;

/// The field lines of a response head.
const FIELDS_MAX: usize = 32;

/// How every response begins.
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is known of a response before it is read.
pub(super) struct Expected {
    /// Whether a HEAD was its request.
    pub(super) is_to_head: bool,
    /// Whether the client wants to go on.
    pub(super) keeps_alive: bool,
    /// Whether the connection must not go on behind it: the client does not want it to, or a body
    /// that nobody reads would be taken for the next request.
    pub(super) closes: bool,
}

/// Checks all that was sent on a connection; tells how many responses it is.
///
/// `expected` tells of the first responses. `is_whole` is whether
/// the connection had the chance to send everything, so that nothing may be cut off.
pub(super) fn check(output: &[u8], expected: &[Expected], is_whole: bool) -> usize {
    let mut rest = output;
    let mut count = 0;
    let mut is_last = false;
    while !rest.is_empty() {
        assert!(!is_last, "more follows a response that closes");
        let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n").map(|at| at + 4) else {
            assert!(!is_whole, "a head is cut off: {}", rest.escape_ascii());
            break;
        };
        if rest.starts_with(CONTINUE) {
            rest = &rest[CONTINUE.len()..];
            assert!(!rest.starts_with(CONTINUE), "asked twice for one body");
            continue;
        }
        let (head, content) = rest.split_at(end);
        let head = Head::read(head);
        is_last = head.closes;
        let is_to_head = match expected.get(count) {
            Some(expected) => {
                assert!(head.closes || !expected.closes, "it must not go on");
                expected.is_to_head
            }
            // Nobody has counted. Nothing that we serve begins like a response.
            None => STATUS_LINE.starts_with(&content[..content.len().min(STATUS_LINE.len())]),
        };
        let announced = match head.framing {
            _ if is_to_head => 0,
            Framing::Length(bytes) => bytes,
            Framing::Chunked => chunked_bytes(content),
            Framing::UntilClose => content.len(),
        };
        let bytes = announced.min(content.len());
        assert!(bytes == announced || !is_whole, "a body is cut off");
        head.check_content(&content[..bytes]);
        rest = &content[bytes..];
        count += 1;
    }
    count
}

/// How long a chunked body is; longer than what is there if a part is missing.
fn chunked_bytes(content: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Some(line) = memchr::memmem::find(&content[at..], b"\r\n") else {
            return content.len() + 1;
        };
        let digits = std::str::from_utf8(&content[at..at + line]).expect("a size");
        let size = usize::from_str_radix(digits, 16).expect("a size");
        at += line + 2 + size + 2;
        if at > content.len() {
            return at;
        }
        assert_eq!(
            content[at - 2..at],
            *b"\r\n",
            "a chunk is longer than it says"
        );
        if size == 0 {
            return at;
        }
    }
}

/// How the end of a response's content is found.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// What matters of a response head.
struct Head {
    status: Status,
    framing: Framing,
    closes: bool,
    is_marked: bool,
    content_range: Option<(usize, usize)>,
}

impl Head {
    fn read(head: &[u8]) -> Self {
        let mut lines = [httparse::EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut lines);
        let parsed = response.parse(head);
        assert_eq!(
            parsed,
            Ok(httparse::Status::Complete(head.len())),
            "{}",
            head.escape_ascii()
        );
        assert_eq!(response.version, Some(1));
        let status = response
            .code
            .and_then(Status::new)
            .expect("a code was read");
        assert!(status.code() >= 200, "only 100 is sent before a response");

        let one = |name: &str| {
            let mut named = response
                .headers
                .iter()
                .filter(|line| line.name.eq_ignore_ascii_case(name));
            let value = named.next().map(|line| line.value);
            assert!(
                named.next().is_none(),
                "{name} is there twice: {}",
                head.escape_ascii()
            );
            value.map(|value| std::str::from_utf8(value).expect("we send ASCII"))
        };
        assert!(one("Date").is_some_and(|date| date.ends_with(" GMT")));
        assert_eq!(one("Server"), Some("swiftd"));
        let length = one("Content-Length").map(|length| length.parse().expect("a number"));
        let connection = one("Connection");
        let is_made = one(MARK).is_some() && status.allows_body();
        let framing = match (one("Transfer-Encoding"), length) {
            (None, Some(bytes)) if status.allows_body() => Framing::Length(bytes),
            (None, None) if !status.allows_body() => Framing::Length(0),
            (Some("chunked"), None) if is_made => Framing::Chunked,
            (None, None) if is_made && connection == Some("close") => Framing::UntilClose,
            _ => panic!("framed in no way or in two: {}", head.escape_ascii()),
        };
        assert!(matches!(connection, None | Some("close" | "keep-alive")));
        let content_range = one("Content-Range");
        assert_eq!(
            content_range.is_some()
                || one("Content-Type").is_some_and(|media| media.starts_with("multipart/")),
            matches!(status.code(), 206 | 416),
        );
        Self {
            status,
            framing,
            closes: connection == Some("close"),
            is_marked: one(MARK).is_some(),
            content_range: content_range.and_then(|value| {
                let (range, _size) = value.strip_prefix("bytes ")?.split_once('/')?;
                let (first, last) = range.split_once('-')?;
                Some((first.parse().ok()?, last.parse().ok()?))
            }),
        }
    }

    /// Files are the pattern, so each byte tells its position.
    fn check_content(&self, content: &[u8]) {
        if self.is_marked {
            return;
        }
        let first = match (self.status, self.content_range) {
            (Status::OK, None) => 0,
            (Status::PARTIAL_CONTENT, Some((first, last))) => {
                assert!(self.framing == Framing::Length(last - first + 1));
                first
            }
            _ => return,
        };
        let is_pattern = PATTERN[first..].starts_with(content);
        assert!(is_pattern, "other bytes of the file than were asked for");
    }
}
