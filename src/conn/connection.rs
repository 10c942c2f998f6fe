//! A connection's state, and its two faces: what came in and what is wanted.
//!
//! The steps of the state machine between the two are in `advance`. Nothing here waits, reads or
//! writes; every method returns at once.

use super::{
    Append, Context, Deadline, End, Exchange, Limits, Output, Piece, Point, RequestBody, State,
    Wait, Why,
};
use crate::http::parse::{self, Scan};
use crate::http::{Error, Method, Status};
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Whom a suspended exchange waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Suspended {
    No,
    Disk,
    Hook,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Bytes that have been received and not been used.
    pub(super) rest: Vec<u8>,
    pub(super) output: Option<Box<Output>>,
    pub(super) exchange: Option<Box<Exchange>>,
    pub(super) deadline: Deadline,
    pub(super) requests: u32,
    pub(super) drained_bytes: u32,
    pub(super) scan: Scan,
    pub(super) state: State,
    pub(super) suspended: Suspended,
    pub(super) flags: Flags,
    /// Why it ends, or has ended.
    pub(super) why: Why,
}

/// What is remembered between two calls.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Flags {
    /// The peer will send nothing more.
    pub(super) has_ended: bool,
    /// Its deadline is earlier for that.
    pub(super) is_half_closed: bool,
    /// The connection ends after the current response.
    pub(super) ends: bool,
    /// The peer may still be sending when the connection ends.
    pub(super) lingers: bool,
    /// Nothing can be sent any more, or is worth sending.
    pub(super) is_aborted: bool,
    /// What has been queued for the peer is not worth keeping.
    pub(super) is_cut_off: bool,
    /// One empty line before the request line has been skipped.
    pub(super) has_skipped: bool,
    /// The next part of the file is being read from the disk.
    pub(super) is_loading: bool,
    /// A hook has answered that it waits; its deadline has not been set.
    pub(super) begins_wait: bool,
    /// The header of a proxy must come before everything else.
    pub(super) awaits_header: bool,
}

/// How long a client that met a shortage is asked to wait, seconds.
const RETRY_AFTER_SECS: &[u8] = b"1";

/// Why an exchange must be there.
pub(super) const HAS_EXCHANGE: &str =
    "an exchange exists from the end of its head to that of its response";

// What is in a slot beside this is asserted in server/slots.rs.
const _: () = assert!(size_of::<Connection>() <= 96);

impl Connection {
    /// A connection that has just been accepted.
    #[must_use]
    pub fn new(now: u64, limits: &Limits) -> Self {
        Self {
            rest: Vec::new(),
            output: None,
            exchange: None,
            deadline: Deadline::new(Wait::Idle, now, limits),
            requests: 0,
            drained_bytes: 0,
            scan: Scan::default(),
            state: State::Connect,
            suspended: Suspended::No,
            flags: Flags::default(),
            why: Why::Done,
        }
    }

    // ---- what came in ---------------------------------------------------------------------

    /// Bytes were received.
    pub fn handle_input(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        if matches!(self.deadline.wait(), Wait::Body | Wait::Linger) {
            self.deadline.handle_moved(bytes.len(), cx.now, cx.limits);
        }
        if self.rest.is_empty() {
            let used = self.advance(bytes, cx);
            self.rest.extend_from_slice(&bytes[used..]);
        } else {
            self.rest.extend_from_slice(bytes);
            self.advance_rest(cx);
        }
        self.settle(cx);
    }

    /// The peer has shut its sending side; it still gets the answers to what it asked.
    pub fn handle_end(&mut self, cx: &mut Context<'_>) {
        self.flags.has_ended = true;
        self.proceed(cx);
        self.limit_half_closed(cx);
    }

    /// The disk's answer may be there. A hook is not woken by that.
    pub fn handle_wake(&mut self, cx: &mut Context<'_>) {
        self.wake(Suspended::Disk, cx);
    }

    /// What a suspended hook waits for may be there. Who waits for the disk, or not at all, is not
    /// woken by that.
    pub fn handle_resume(&mut self, cx: &mut Context<'_>) {
        self.wake(Suspended::Hook, cx);
    }

    fn wake(&mut self, suspended: Suspended, cx: &mut Context<'_>) {
        if self.suspended == suspended {
            self.suspended = Suspended::No;
            self.proceed(cx);
        }
    }

    /// `bytes` of the current piece were taken by the kernel.
    pub fn handle_sent(&mut self, bytes: u64, cx: &mut Context<'_>) {
        let Some(output) = &mut self.output else {
            return;
        };
        output.advance(bytes);
        if self.deadline.wait() == Wait::Write {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            self.deadline.handle_moved(bytes, cx.now, cx.limits);
        }
        let is_empty = output.is_empty();
        if self.state == State::HandleRequest
            && self.suspended == Suspended::Hook
            && self.has_room_for_owner()
        {
            self.suspended = Suspended::No;
            self.proceed(cx);
        } else if is_empty {
            self.proceed(cx);
        }
    }

    /// The next part of a file is, or is no longer, being read from the disk.
    pub fn handle_loading(&mut self, is_loading: bool, cx: &mut Context<'_>) {
        self.flags.is_loading = is_loading;
        self.settle(cx);
    }

    /// The disk thread has written what [`take_append`](Self::take_append) gave it, or failed to.
    pub fn handle_appended(&mut self, file: Option<Arc<OwnedFd>>, cx: &mut Context<'_>) {
        if self.state != State::ReadPost {
            return;
        }
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        match file {
            Some(file) => exchange.body.handle_appended(file),
            None => {
                let next = self.refuse(Status::INSUFFICIENT_STORAGE, cx);
                self.enter(next);
            }
        }
        self.proceed(cx);
    }

    /// The deadline has passed.
    pub fn handle_deadline(&mut self, cx: &mut Context<'_>) {
        let stream = self.exchange.as_ref().map(|exchange| &exchange.stream);
        let (is_sending, is_sent) =
            stream.map_or((false, false), |it| (it.is_sending(), it.is_sent()));
        let next = match self.deadline.wait() {
            // A client that never sent a byte of a request is told nothing.
            Wait::Idle | Wait::Linger | Wait::Write => return self.abort(Why::Deadline, cx),
            Wait::Disk if self.output.is_some() => return self.abort(Why::Deadline, cx),
            Wait::Head if self.state == State::Connect => return self.abort(Why::Deadline, cx),
            Wait::Head => {
                let rest = mem::take(&mut self.rest);
                let next = self.refuse_head(Error::HeadTimeout, &rest, cx);
                self.rest = rest;
                next
            }
            Wait::Body => self.refuse(Error::BodyTimeout.status(), cx),
            Wait::Disk => self.refuse(Status::SERVICE_UNAVAILABLE, cx),
            Wait::Hook if self.flags.is_half_closed => return self.abort(Why::ClientGone, cx),
            Wait::Hook if is_sending && !is_sent => return self.abort(Why::Deadline, cx),
            Wait::Hook => {
                self.reset_exchange(Why::Deadline, cx);
                if is_sent {
                    self.suspended = Suspended::No;
                    State::ResponseStart
                } else {
                    self.refuse(Status::GATEWAY_TIMEOUT, cx)
                }
            }
        };
        if next == State::Error {
            self.why = Why::Deadline;
        }
        self.enter(next);
        self.proceed(cx);
    }

    /// The server is about to stop: an idle connection ends now, others after their response.
    pub fn handle_stop(&mut self, cx: &mut Context<'_>) {
        let is_between = matches!(self.state, State::Connect | State::RequestStart);
        if is_between && self.rest.is_empty() && self.output.is_none() {
            // The client may be sending its next request just now; closing at once would reset what
            // it was sent before.
            self.flags.lingers = true;
            self.why = Why::Stop;
            self.enter(State::Close);
        }
        self.settle(cx);
    }

    /// The hooks that the exchange began with are to be let go. A response that needs them no more
    /// goes on; one that they have not made is a 503; one that they are in the middle of is cut off.
    pub fn handle_drain(&mut self, cx: &mut Context<'_>) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let is_streaming = exchange.stream.is_sending() && !exchange.stream.is_sent();
        let is_made = self.state >= State::ResponseStart || self.suspended == Suspended::Disk;
        if is_streaming {
            self.abort(Why::Drain, cx);
        } else if is_made {
            finish(exchange, Why::Drain, cx);
            exchange.is_heard = false;
        } else {
            reset(exchange, Why::Drain, cx);
            let next = self.refuse(Status::SERVICE_UNAVAILABLE, cx);
            self.enter(next);
            self.proceed(cx);
        }
    }

    /// The connection is of no use any more: the peer has reset it, or it cannot be written to.
    pub fn abort(&mut self, why: Why, cx: &mut Context<'_>) {
        let mut is_incomplete = self.output.is_some();
        if let Some(mut exchange) = self.exchange.take() {
            let stream = &exchange.stream;
            is_incomplete |= stream.is_sending() && !stream.is_sent();
            self.note(&exchange, why, cx);
            finish(&mut exchange, why, cx);
        }
        if self.state != State::Close {
            self.why = why;
        }
        self.flags.is_cut_off = is_incomplete && why != Why::ClientGone;
        self.suspended = Suspended::No;
        self.output = None;
        self.rest = Vec::new();
        self.flags.is_aborted = true;
        self.enter(State::Close);
    }

    // ---- what is wanted -------------------------------------------------------------------

    /// What is to be sent next.
    #[must_use]
    pub fn piece(&self) -> Option<Piece<'_>> {
        self.output.as_ref().and_then(|output| output.piece())
    }

    /// Whether bytes can be used now; if not, they are left in the socket (back-pressure).
    #[must_use]
    pub fn wants_input(&self) -> bool {
        if self.flags.has_ended {
            return false;
        }
        match self.state {
            State::Connect | State::RequestStart | State::Read => self.output.is_none(),
            State::ReadPost => {
                let is_writing = |exchange: &Exchange| exchange.body.is_writing();
                !self
                    .exchange
                    .as_ref()
                    .is_some_and(|exchange| is_writing(exchange))
            }
            State::Close => self.end() == Some(End::Linger),
            // One read is kept, so that a client that goes away is noticed.
            _ => self.rest.is_empty(),
        }
    }

    /// Bytes of a body that the disk thread is to append to a file.
    pub fn take_append(&mut self) -> Option<Append> {
        if self.state != State::ReadPost {
            return None;
        }
        self.exchange.as_mut()?.body.take_append()
    }

    /// Whether the next part of a file is being read from the disk, so that nothing can be sent.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.flags.is_loading
    }

    /// How the connection is to be ended, once nothing is left to be sent.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        if self.state != State::Close || self.output.is_some() {
            return None;
        }
        if self.flags.is_cut_off {
            return Some(End::Reset);
        }
        let is_over = self.flags.is_aborted || self.flags.has_ended || !self.flags.lingers;
        Some(if is_over { End::Close } else { End::Linger })
    }

    /// When [`handle_deadline`](Self::handle_deadline) is due, milliseconds.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline.due()
    }

    /// Whether nothing has been going on for at least `spared`, so that nobody loses anything but a
    /// connection that he would have to make anew.
    #[must_use]
    pub fn has_idled(&self, spared: Duration, now: u64, limits: &Limits) -> bool {
        let left = Duration::from_millis(self.deadline.due().saturating_sub(now));
        let is_between = matches!(self.state, State::Connect | State::RequestStart);
        is_between && self.deadline.wait() == Wait::Idle && left + spared <= limits.idle_timeout
    }

    /// Whether [`handle_deadline`](Self::handle_deadline) is due.
    #[must_use]
    pub fn has_missed_deadline(&self, now: u64) -> bool {
        self.deadline.is_missed(now)
    }

    /// Why the connection ends, once it does.
    #[must_use]
    pub fn why(&self) -> Why {
        self.why
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The number of the site that the current request is for.
    #[must_use]
    pub fn site(&self) -> u32 {
        self.exchange.as_ref().map_or(0, |exchange| exchange.site())
    }

    /// How many bytes of buffers this connection owns.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let output = self.output.as_ref().map_or(0, |output| output.held_bytes());
        self.rest.capacity() + output
    }

    /// How much memory it owns beside itself, bytes.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        let output = self
            .output
            .as_ref()
            .map_or(0, |output| size_of::<Output>() + output.owned_bytes());
        let exchange = self.exchange.as_ref().map_or(0, |it| it.owned_bytes());
        self.rest.capacity() + output + exchange
    }

    // ---- helpers --------------------------------------------------------------------------

    /// Makes the response an error's; returns the state that follows.
    pub(super) fn refuse(&mut self, status: Status, cx: &mut Context<'_>) -> State {
        let exchange = self.exchange.get_or_insert_with(|| {
            let mut exchange = cx.pool.take_exchange();
            exchange.began = cx.now;
            exchange
        });
        exchange.response.set_error(status);
        exchange.stream.clear();
        // A head that is not complete names no host.
        let default = &cx.policy.hosts.default;
        exchange.host.get_or_insert_with(|| Arc::clone(default));
        self.suspended = Suspended::No;
        State::Error
    }

    /// Memory is short: what has come of a body is let go, and the client is asked to come back.
    pub(super) fn refuse_for_memory(&mut self, cx: &mut Context<'_>) -> State {
        let next = self.refuse(Status::SERVICE_UNAVAILABLE, cx);
        if let Some(exchange) = &mut self.exchange {
            exchange.body = RequestBody::default();
            exchange
                .response
                .push_field("Retry-After", RETRY_AFTER_SECS);
        }
        next
    }

    /// Refuses a head that is not complete: `input` is as much of it as has come.
    pub(super) fn refuse_head(
        &mut self,
        error: Error,
        input: &[u8],
        cx: &mut Context<'_>,
    ) -> State {
        let next = self.refuse(error.status(), cx);
        if parse::is_for_head(input)
            && let Some(exchange) = &mut self.exchange
        {
            exchange.request.method = Method::Head;
        }
        self.keep_request_line(input, cx);
        next
    }

    fn reset_exchange(&mut self, why: Why, cx: &mut Context<'_>) {
        if let Some(exchange) = &mut self.exchange {
            reset(exchange, why, cx);
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.output
            .as_ref()
            .is_some_and(|output| !output.is_empty())
    }
}

/// The response has been handed over or given up: tells the hooks that have seen the exchange.
pub(super) fn finish(exchange: &mut Exchange, why: Why, cx: &mut Context<'_>) {
    if exchange.is_heard {
        exchange.point = Point::SubrequestEnd;
        exchange.resume = 0;
        let (hooks, caller) = cx.hooks();
        hooks.call(Point::SubrequestEnd, exchange, caller);
        reset(exchange, why, cx);
    }
}

/// Tells the hooks that an exchange has ended, unless they know: a response may still follow a
/// hook's deadline.
fn reset(exchange: &mut Exchange, why: Why, cx: &mut Context<'_>) {
    if exchange.is_heard && !mem::replace(&mut exchange.is_reset, true) {
        let (hooks, caller) = cx.hooks();
        hooks.handle_reset(exchange, why, caller);
    }
}
