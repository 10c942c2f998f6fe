//! Where requests are noted once they are answered, or given up.
//!
//! A request is noted once, when its exchange ends, and only if the host that it is for has an
//! access log: without one it costs a branch.

use super::connection::Connection;
use super::exchange::Exchange;
use super::hooks::{Origin, Why};
use super::respond::has_content;
use super::{Context, Id, State};
use crate::http::Status;
use crate::policy::Host;

/// What became of a request.
#[derive(Copy, Clone)]
pub struct Note<'a> {
    /// The request, with its response.
    pub exchange: &'a Exchange,
    /// The host that it is for; that of a malformed one is the default.
    pub host: &'a Host,
    /// The access log of that host.
    pub log: u16,
    /// The connection that it came on.
    pub id: Id,
    /// Where that comes from.
    pub origin: &'a dyn Origin,
    /// The status that was sent, or what stands for it; `Connection::note` says which.
    pub status: u16,
    /// Bytes of the content that were handed over.
    pub content_bytes: u64,
    /// From its complete head to its end, milliseconds.
    pub duration_ms: u64,
}

/// A log of requests.
pub trait Journal {
    /// A request is over.
    fn note(&mut self, note: &Note<'_>);
}

/// Nothing is noted.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn note(&mut self, _: &Note<'_>) {}
}

/// The client went away before there was a response; nginx's number, which tools know.
const CLIENT_GONE: u16 = 499;

impl Connection {
    /// Notes an exchange that ends. Its status is that of its response if the head of that has been
    /// queued; else 499 if the client went away, and 503 if it was the server that could not go on.
    ///
    /// Content counts as sent when the kernel has taken it. Of an answer that others follow in the
    /// same call all of it counts, though it may still have to leave: it is not known better
    /// without following each byte.
    pub(super) fn note(&self, exchange: &Exchange, why: Why, cx: &mut Context<'_>) {
        let policy = cx.policy;
        let host = exchange.host.as_deref().unwrap_or(&policy.hosts.default);
        let Some(log) = host.access_log else {
            return;
        };
        let stream = &exchange.stream;
        let has_answered =
            matches!(self.state, State::Write | State::ResponseEnd) || stream.is_sending();
        let queued_bytes = match () {
            () if !has_answered || !has_content(exchange) => 0,
            () if stream.is_started() => stream.taken_bytes(),
            () => exchange.response.body.bytes(),
        };
        let unsent_bytes = match &self.output {
            // Its content is what was queued last.
            Some(output) if why != Why::Done => output.left_bytes(),
            _ => 0,
        };
        let status = match why {
            _ if has_answered => exchange.response.status.code(),
            Why::ClientGone => CLIENT_GONE,
            _ => Status::SERVICE_UNAVAILABLE.code(),
        };
        cx.journal.note(&Note {
            exchange,
            host,
            log,
            id: cx.id,
            origin: cx.origin,
            status,
            content_bytes: queued_bytes.saturating_sub(unsent_bytes),
            duration_ms: cx.now.saturating_sub(exchange.began),
        });
    }

    /// Keeps what the journal wants to know of a head that is not complete.
    pub(super) fn keep_request_line(&mut self, input: &[u8], cx: &Context<'_>) {
        if cx.policy.hosts.default.access_log.is_some()
            && let Some(exchange) = &mut self.exchange
        {
            let end = input.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let line = &input[..end.unwrap_or(input.len()).min(LINE_BYTES_MAX)];
            exchange.request.head.extend_from_slice(line);
        }
    }
}

/// What is kept of it, bytes: what a log would cut is not copied, and a log shows that it was cut.
const LINE_BYTES_MAX: usize = 4096;
