//! What the server sends, read as a client reads it and held against the plans.
//!
//! It stands at the server's socket and not at the client, so that a mistake is found in the turn
//! in which it is made, and also if the client never reads it.

use super::files;
use super::plan::{Cause, Content, Expected, Plan};
use super::script::refusal;
use super::stage::Stage;
use super::streaming;
use super::world::Settings;

/// The responses of one connection.
#[derive(Default)]
pub struct Verifier {
    /// What does not make a complete response yet.
    bytes: Vec<u8>,
    /// How many bytes it takes to get further.
    wanted: usize,
    /// How many final responses were complete.
    pub answered: usize,
    /// How many bytes there were so far.
    pub offset: u64,
    /// Where each final response ended, and the last interim one with its request.
    pub ends: Vec<u64>,
    pub continued: Option<(usize, u64)>,
    /// The last response said that the connection ends.
    pub has_closed: bool,
    last_status: u16,
}

impl Verifier {
    /// The server sends bytes; `taken` is how much of the client's stream it has.
    pub fn handle(
        &mut self,
        bytes: &[u8],
        taken: usize,
        client: usize,
        stage: &mut Stage,
        settings: &Settings,
    ) {
        assert!(!self.has_closed, "sent after `Connection: close`");
        self.bytes.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        while self.bytes.len() >= self.wanted.max(1) {
            let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return;
            };
            let head_bytes = end + 4;
            let head = String::from_utf8_lossy(&self.bytes[..head_bytes]).into_owned();
            let number = stage.parties[client].plans.start + self.answered;
            assert!(
                number < stage.parties[client].plans.end,
                "a response without a request"
            );
            if head == "HTTP/1.1 100 Continue\r\n\r\n" {
                self.handle_continue(&stage.plans[number], taken);
                stage.note("100 continue", client, 0);
                self.bytes.drain(..head_bytes);
                continue;
            }
            let expected = self.expected(&head, &stage.plans[number], taken, client, stage);
            let content = &self.bytes[head_bytes..];
            let unchunked;
            let (wanted, body) = if is_chunked(&head) && !stage.plans[number].is_head {
                let (bytes, decoded) = streaming::unchunked(content);
                stage.trace.count("response in chunks");
                unchunked = decoded;
                (bytes, &unchunked[..])
            } else {
                let bytes = body_bytes(&head, &expected, &stage.plans[number], taken);
                (bytes, &content[..bytes.min(content.len())])
            };
            self.wanted = head_bytes + wanted;
            if self.bytes.len() < self.wanted {
                return;
            }
            check_content(&head, body, &expected, &stage.plans[number]);
            if expected.content.is_streamed() && is_unframed(&head) {
                stage.trace.count("response until the close");
            }
            self.check_persistence(
                &head,
                &expected,
                &stage.plans[number],
                stage.is_stopping,
                settings,
            );
            self.bytes.drain(..self.wanted);
            self.wanted = 0;
            self.answered += 1;
            self.ends.push(self.offset - self.bytes.len() as u64);
            self.last_status = expected.status;
            stage.note("response", client, u64::from(expected.status));
            stage.trace.count(class(expected.status));
            if self.has_closed {
                assert!(self.bytes.is_empty(), "sent after `Connection: close`");
            }
        }
    }

    /// Whether only a part of a response has been sent.
    pub fn is_within_response(&self) -> bool {
        !self.bytes.is_empty()
    }

    fn handle_continue(&mut self, plan: &Plan, taken: usize) {
        assert!(
            plan.expects_continue,
            "100 for a client that does not expect it"
        );
        assert!(taken >= plan.head_end, "100 before the head");
        let is_first = self
            .continued
            .is_none_or(|(answered, _)| answered != self.answered);
        assert!(is_first, "100 twice");
        let end = self.offset - self.bytes.len() as u64 + 25;
        self.continued = Some((self.answered, end));
    }

    /// The response that a status line is the start of: the planned one, or one with a cause.
    fn expected(
        &self,
        head: &str,
        plan: &Plan,
        taken: usize,
        client: usize,
        stage: &Stage,
    ) -> Expected {
        let line = head.split("\r\n").next().expect("a first line");
        assert!(line.starts_with("HTTP/1.1 "), "no status line: {line}");
        let status: u16 = line["HTTP/1.1 ".len()..][..3].parse().expect("a status");
        let is_caused = stage.parties[client]
            .causes
            .iter()
            .any(|cause| match *cause {
                Cause::Deadline(caused) => caused == status,
                Cause::EndedInBody => status == 400,
                _ => false,
            });
        if status == plan.expected.status && (taken >= plan.possible_at || !is_caused) {
            assert!(taken >= plan.possible_at, "a response before its request");
            return plan.expected.clone();
        }
        let planned = plan.expected.status;
        assert!(
            is_caused,
            "{status} without a cause, {planned} was planned\n{head}"
        );
        assert!(taken > plan.start, "a response before its request");
        refusal(status)
    }

    fn check_persistence(
        &mut self,
        head: &str,
        expected: &Expected,
        plan: &Plan,
        is_stopping: bool,
        settings: &Settings,
    ) {
        self.has_closed = has_line(head, "Connection: close");
        let is_last = self.answered + 1 >= settings.limits.requests_max as usize;
        let is_until_close = expected.content.is_streamed() && is_unframed(head);
        let must_close = expected.closes || is_last || is_until_close;
        assert!(
            self.has_closed || !must_close,
            "the connection must end\n{head}"
        );
        let may_close = must_close || is_stopping;
        assert!(
            may_close || !self.has_closed,
            "the connection must not end\n{head}"
        );
        let must_tell = plan.is_http_10 && !self.has_closed;
        assert_eq!(
            must_tell,
            has_line(head, "Connection: keep-alive"),
            "{head}"
        );
    }

    /// The server ends its sending side; `end` is how much of the client's stream it has if that
    /// was all of it.
    pub fn finish(&self, taken: usize, has_ended: bool, client: usize, stage: &Stage) {
        let party = &stage.parties[client];
        if party.is_cut() {
            return;
        }
        assert!(self.bytes.is_empty(), "ended within a response");
        for cause in &party.causes {
            if let Cause::Deadline(status) = *cause {
                assert_eq!(self.last_status, status, "a deadline was not answered");
            }
        }
        if self.has_closed {
            return;
        }
        let next = &stage.plans[party.plans.clone()].get(self.answered);
        if has_ended {
            assert!(
                next.is_none_or(|plan| plan.certain_at > taken),
                "a request was not answered"
            );
            return;
        }
        assert!(stage.is_stopping, "ended without a cause");
        assert!(
            next.is_none_or(|plan| taken <= plan.start + EMPTY_LINE_BYTES),
            "a request was not answered"
        );
    }
}

/// What may come before a request without being one.
const EMPTY_LINE_BYTES: usize = 2;

/// How much content follows the head.
fn body_bytes(head: &str, expected: &Expected, plan: &Plan, taken: usize) -> usize {
    let length = field(head, "Content-Length: ").map(|value| value.parse().expect("a number"));
    if matches!(expected.content, Content::Nothing) && !matches!(expected.status, 200 | 206) {
        assert_eq!(length, None, "{head}");
        return 0;
    }
    if is_chunked(head) {
        assert!(!plan.is_http_10 && plan.is_head, "{head}");
        return 0;
    }
    let length: usize = match &expected.content {
        Content::Streamed(bytes) if plan.is_http_10 => length.unwrap_or(bytes.len()),
        _ => length.expect("a Content-Length"),
    };
    if let Content::Exactly(bytes) | Content::Streamed(bytes) = &expected.content {
        assert_eq!(length, bytes.len(), "{head}");
    }
    // Until its first word is there, a head cannot say that it is HEAD's.
    if plan.is_head && taken >= plan.start + "HEAD ".len() {
        0
    } else {
        length
    }
}

fn check_content(head: &str, body: &[u8], expected: &Expected, plan: &Plan) {
    assert!(
        has_line(head, "Server: swiftd") && head.contains("\r\nDate: "),
        "{head}"
    );
    if let Some(line) = &expected.line {
        assert!(has_line(head, line), "{line} is missing in\n{head}");
    }
    if plan.is_head && body.is_empty() {
        return;
    }
    match &expected.content {
        Content::Nothing => assert!(body.is_empty()),
        Content::Page => assert!(body.starts_with(b"<!") || !body.is_empty()),
        Content::Exactly(bytes) | Content::Streamed(bytes) => {
            assert!(body == &bytes[..], "the wrong content\n{head}")
        }
        Content::Parts(name, parts) => {
            let kind = field(head, "Content-Type: ").expect("a media type");
            let boundary = kind
                .strip_prefix("multipart/byteranges; boundary=")
                .expect("parts");
            assert!(
                body == &multipart(name, parts, boundary)[..],
                "the wrong parts\n{head}"
            );
        }
    }
}

/// multipart/byteranges (RFC 9110 §14.6).
fn multipart(name: &str, parts: &[(u64, u64)], boundary: &str) -> Vec<u8> {
    let number = files::number(name);
    let size = files::FILES[number as usize].bytes;
    let mut bytes = Vec::new();
    for &(first, last) in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n",
            files::CONTENT_TYPE
        );
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend(files::part(number, first, last - first + 1));
    }
    bytes.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    bytes
}

/// Whether the content comes in chunks.
fn is_chunked(head: &str) -> bool {
    let is_chunked = has_line(head, "Transfer-Encoding: chunked");
    assert!(
        !is_chunked || field(head, "Content-Length: ").is_none(),
        "framed twice\n{head}"
    );
    is_chunked
}

/// Whether the content ends with the connection.
fn is_unframed(head: &str) -> bool {
    !is_chunked(head) && field(head, "Content-Length: ").is_none()
}

fn has_line(head: &str, line: &str) -> bool {
    head.split("\r\n").any(|other| other == line)
}

/// The value of a field that occurs at most once.
fn field<'a>(head: &'a str, start: &str) -> Option<&'a str> {
    let mut values = head
        .split("\r\n")
        .filter_map(|line| line.strip_prefix(start));
    let value = values.next();
    assert!(values.next().is_none(), "{start} twice");
    value
}

/// The class of a status, to be counted.
fn class(status: u16) -> &'static str {
    match status / 100 {
        2 => "class 2xx",
        3 => "class 3xx",
        4 => "class 4xx",
        _ => "class 5xx",
    }
}
