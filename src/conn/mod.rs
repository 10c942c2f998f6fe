//! One connection, without its socket.
//!
//! What happened comes in through `handle_*`, what is wanted goes out through [`Connection::piece`],
//! [`Connection::wants_input`], [`Connection::take_append`] and [`Connection::end`]. The time is an
//! argument. The same calls give the same answers, so a connection can be split at every byte,
//! fuzzed, and simulated from a seed.
//!
//! INVARIANT: an idle connection holds no buffer, no exchange and no output.
//! INVARIANT: an exchange exists from the end of its head to the end of its response.

mod chain;
mod deadline;
mod exchange;
mod hooks;
mod limits;
mod output;
mod request_body;
mod state;

pub use deadline::{Deadline, Wait};
pub use exchange::{Exchange, Pool};
pub use hooks::{Flow, Hooks, NoHooks, Point, Why};
pub use limits::Limits;
pub use output::{Output, Piece};
pub use request_body::{Append, Bounds as BodyBounds, RequestBody};
pub use state::State;

use crate::http::body::Framing;
use crate::http::encode::{self, Persistence, Stamp};
use crate::http::parse::{self, Scan};
use crate::http::{Body, Error, Method, Status};
use chain::Verdict;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a connection is known by outside a turn of the loop: slot and generation.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id {
    /// The slot's number.
    pub slot: u32,
    /// How often the slot has been used before.
    pub generation: u32,
}

/// What answers when no plugin did.
pub trait Handler {
    /// Looks at the head alone: false if the request will not be answered but by the error that is
    /// now in its response, so that its body need not be read.
    fn accepts(&mut self, exchange: &mut Exchange) -> bool;

    /// Makes the response. `asker` is who will be woken after [`Answer::Pending`]; the same call
    /// is then made again.
    fn answer(&mut self, exchange: &mut Exchange, asker: Id) -> Answer;
}

/// Whether a response is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is.
    Ready,
    /// The disk has been asked.
    Pending,
}

/// What a connection is handed with each call.
pub struct Context<'a> {
    /// The bounds.
    pub limits: &'a Limits,
    /// The plugins.
    pub hooks: &'a mut dyn Hooks,
    /// What answers when no plugin does.
    pub handler: &'a mut dyn Handler,
    /// Spare exchanges and outputs.
    pub pool: &'a mut Pool,
    /// The fields that carry the current second.
    pub stamp: &'a Stamp,
    /// The loop's clock, milliseconds.
    pub now: u64,
    /// This connection.
    pub id: Id,
    /// Whether the server is about to stop, so that no connection is kept.
    pub is_draining: bool,
}

/// How a connection is to be ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Shut the sending side, drain what the peer still sends, then close: closing at once while
    /// unread bytes are there would reset the connection, and the peer could lose the response
    /// (RFC 9112 §9.6).
    Linger,
    /// Close at once.
    Close,
}

/// Whom a suspended exchange waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Suspended {
    No,
    Disk,
    Hook,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Bytes that have been received and not been used.
    rest: Vec<u8>,
    output: Option<Box<Output>>,
    exchange: Option<Box<Exchange>>,
    deadline: Deadline,
    requests: u32,
    drained_bytes: u32,
    scan: Scan,
    state: State,
    suspended: Suspended,
    flags: Flags,
}

/// What is remembered between two calls.
#[derive(Copy, Clone, Debug, Default)]
struct Flags {
    /// The peer will send nothing more.
    has_ended: bool,
    /// The connection ends after the current response.
    ends: bool,
    /// The peer may still be sending when the connection ends.
    lingers: bool,
    /// Nothing can be sent any more, or is worth sending.
    is_aborted: bool,
    /// The deadline starts anew although the kind of wait is the same.
    is_rearmed: bool,
    /// One empty line before the request line has been skipped.
    has_skipped: bool,
    /// The next part of the file is being read from the disk.
    is_loading: bool,
}

/// One step of the state machine.
enum Step {
    To(State),
    Wait,
}

/// The bytes that a call brought, and how many have been used.
struct Input<'a> {
    bytes: &'a [u8],
    used: usize,
}

impl<'a> Input<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.used..]
    }

    fn is_empty(&self) -> bool {
        self.used == self.bytes.len()
    }
}

/// Why an exchange must be there.
const HAS_EXCHANGE: &str = "an exchange exists from the end of its head to that of its response";

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
        }
    }

    // ---- what came in ---------------------------------------------------------------------

    /// Bytes were received.
    pub fn handle_input(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        if self.deadline.wait() == Wait::Body {
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
        self.handle_wake(cx);
    }

    /// What was waited for may be there: the disk's answer, an event, room in the output.
    pub fn handle_wake(&mut self, cx: &mut Context<'_>) {
        self.advance_rest(cx);
        self.settle(cx);
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
        if output.is_empty() {
            self.handle_wake(cx);
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
        self.handle_wake(cx);
    }

    /// The deadline has passed.
    pub fn handle_deadline(&mut self, cx: &mut Context<'_>) {
        let next = match self.deadline.wait() {
            // A client that never sent a byte of a request is told nothing.
            Wait::Idle | Wait::Linger | Wait::Write => return self.abort(Why::Deadline, cx),
            Wait::Disk if self.output.is_some() => return self.abort(Why::Deadline, cx),
            Wait::Head => self.refuse(Error::HeadTimeout.status(), cx),
            Wait::Body => self.refuse(Error::BodyTimeout.status(), cx),
            Wait::Disk => self.refuse(Status::SERVICE_UNAVAILABLE, cx),
            Wait::Hook => {
                self.reset_exchange(Why::Deadline, cx);
                self.refuse(Status::GATEWAY_TIMEOUT, cx)
            }
        };
        self.enter(next);
        self.handle_wake(cx);
    }

    /// The server is about to stop: an idle connection ends now, others after their response.
    pub fn handle_stop(&mut self, cx: &mut Context<'_>) {
        let is_between = matches!(self.state, State::Connect | State::RequestStart);
        if is_between && self.rest.is_empty() && self.output.is_none() {
            self.enter(State::Close);
        }
        self.settle(cx);
    }

    /// The connection is of no use any more: the peer has reset it, or it cannot be written to.
    pub fn abort(&mut self, why: Why, cx: &mut Context<'_>) {
        self.reset_exchange(why, cx);
        self.exchange = None;
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
        let is_over = self.flags.is_aborted || self.flags.has_ended || !self.flags.lingers;
        Some(if is_over { End::Close } else { End::Linger })
    }

    /// When [`handle_deadline`](Self::handle_deadline) is due, milliseconds.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline.due()
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// How many bytes of buffers this connection owns.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let output = self.output.as_ref().map_or(0, |output| output.held_bytes());
        self.rest.capacity() + output
    }

    // ---- the state machine ----------------------------------------------------------------

    fn advance_rest(&mut self, cx: &mut Context<'_>) {
        let mut rest = mem::take(&mut self.rest);
        let used = self.advance(&rest, cx);
        if used < rest.len() && !self.flags.is_aborted {
            rest.drain(..used);
            self.rest = rest;
        }
    }

    /// Goes as far as the bytes and the events allow; tells how many bytes were used.
    fn advance(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let mut input = Input { bytes, used: 0 };
        loop {
            let step = match self.state {
                State::Connect => Step::To(State::RequestStart),
                State::RequestStart => self.request_start(&mut input),
                State::Read => self.read(&mut input, cx),
                State::RequestEnd => self.request_end(cx),
                State::ReadPost => self.read_post(&mut input, cx),
                State::HandleRequest => self.handle_request(cx),
                State::ResponseStart => self.response_start(cx),
                State::Write => self.write(&input, cx),
                State::ResponseEnd => self.response_end(&input, cx),
                State::Error => self.error(),
                State::Close => self.close(&mut input, cx),
            };
            match step {
                Step::To(state) => self.enter(state),
                Step::Wait => return input.used,
            }
        }
    }

    fn enter(&mut self, next: State) {
        debug_assert!(
            self.state.may_become(next),
            "{} does not follow {}",
            next.name(),
            self.state.name()
        );
        self.state = next;
    }

    fn request_start(&mut self, input: &mut Input<'_>) -> Step {
        if input.is_empty() {
            let is_over = self.flags.has_ended && !self.has_output();
            return if is_over {
                Step::To(State::Close)
            } else {
                Step::Wait
            };
        }
        if !self.flags.has_skipped {
            match parse::leading_empty_line(input.rest()) {
                None if !self.flags.has_ended => return Step::Wait,
                skipped => {
                    let bytes = skipped.unwrap_or(input.rest().len());
                    self.flags.has_skipped = bytes > 0;
                    input.used += bytes;
                    if bytes > 0 {
                        return self.request_start(input);
                    }
                }
            }
        }
        self.scan = Scan::default();
        Step::To(State::Read)
    }

    fn read(&mut self, input: &mut Input<'_>, cx: &mut Context<'_>) -> Step {
        let head_bytes = match self.scan.find_end(input.rest(), &cx.limits.head) {
            Ok(Some(bytes)) => bytes,
            Ok(None) if self.flags.has_ended => return Step::To(State::Close),
            Ok(None) => return Step::Wait,
            Err(error) => return Step::To(self.refuse(error.status(), cx)),
        };
        let mut exchange = cx.pool.take_exchange();
        let request = &mut exchange.request;
        request.head.extend_from_slice(&input.rest()[..head_bytes]);
        let parsed = parse::parse(request, &cx.limits.head);
        input.used += head_bytes;
        self.exchange = Some(exchange);
        self.requests = self.requests.saturating_add(1);
        match parsed {
            Ok(()) => Step::To(State::RequestEnd),
            Err(error) => Step::To(self.refuse(error.status(), cx)),
        }
    }

    fn request_end(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        self.suspended = Suspended::No;
        let has_body = exchange.request.framing != Framing::None;
        let is_wanted = match chain::run(exchange, cx.hooks) {
            Verdict::Wait => {
                self.suspended = Suspended::Hook;
                return Step::Wait;
            }
            Verdict::Refused(status) => return Step::To(self.refuse(status, cx)),
            Verdict::Complete => false,
            Verdict::Claimed => true,
            Verdict::Unclaimed => cx.handler.accepts(exchange),
        };
        if !is_wanted {
            // A body that nobody wants is not read; the connection cannot go on behind it.
            self.flags.ends |= has_body;
            self.flags.lingers |= has_body;
            return Step::To(State::ResponseStart);
        }
        if !has_body {
            return Step::To(State::HandleRequest);
        }
        let framing = exchange.request.framing;
        match RequestBody::new(framing, exchange.is_claimed, &cx.limits.body) {
            Ok(body) => exchange.body = body,
            Err(error) => return Step::To(self.refuse(error.status(), cx)),
        }
        Step::To(State::ReadPost)
    }

    fn read_post(&mut self, input: &mut Input<'_>, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        if !exchange.body.is_writing() && !exchange.body.wants_append() {
            match exchange.body.receive(input.rest()) {
                Ok(bytes) => input.used += bytes,
                Err(error) => return Step::To(self.refuse(error.status(), cx)),
            }
        }
        if exchange.body.is_complete() {
            return Step::To(State::HandleRequest);
        }
        let is_waiting = exchange.body.is_writing() || exchange.body.wants_append();
        if mem::take(&mut exchange.request.expects_continue) && input.is_empty() && !is_waiting {
            let output = self.output.get_or_insert_with(|| cx.pool.take_output());
            output.bytes_mut().extend_from_slice(encode::CONTINUE);
        }
        if self.flags.has_ended && !is_waiting {
            return Step::To(self.refuse(Error::BodyIncomplete.status(), cx));
        }
        Step::Wait
    }

    fn handle_request(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        self.suspended = Suspended::No;
        if exchange.is_claimed {
            return match cx.hooks.call(Point::HandleSubrequest, exchange) {
                Flow::Finished => Step::To(State::ResponseStart),
                Flow::Wait => {
                    self.suspended = Suspended::Hook;
                    Step::Wait
                }
                // The body has been read, so it is not read again.
                Flow::Comeback if chain::come_back(exchange) => {
                    exchange.request.framing = Framing::None;
                    Step::To(State::RequestEnd)
                }
                _ => Step::To(self.refuse(Status::INTERNAL_SERVER_ERROR, cx)),
            };
        }
        match cx.handler.answer(exchange, cx.id) {
            Answer::Ready => Step::To(State::ResponseStart),
            Answer::Pending => {
                self.suspended = Suspended::Disk;
                Step::Wait
            }
        }
    }

    fn response_start(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let (request, response) = (&exchange.request, &mut exchange.response);
        // When it is the server that ends the connection, the client may already have sent more.
        let is_last = cx.is_draining || self.requests >= cx.limits.requests_max;
        self.flags.lingers |= is_last && request.keeps_alive;
        self.flags.ends |= is_last || !request.keeps_alive;
        let persistence = if self.flags.ends {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        };
        let output = self.output.get_or_insert_with(|| cx.pool.take_output());
        let bytes = output.bytes_mut();
        encode::head(response, request.version, persistence, cx.stamp, bytes);
        if request.method != Method::Head && response.status.allows_body() {
            push_body(&response.body, output);
        }
        Step::To(State::Write)
    }

    fn write(&mut self, input: &Input<'_>, cx: &mut Context<'_>) -> Step {
        let Some(output) = self.output.as_deref().filter(|output| !output.is_empty()) else {
            return Step::To(State::ResponseEnd);
        };
        // Pipelined answers gather, within a bound, so that they leave in one call.
        let has_room = output.held_bytes() < cx.limits.output_bytes_max && !output.has_file();
        if has_room && !self.flags.ends && !input.is_empty() {
            return Step::To(State::ResponseEnd);
        }
        Step::Wait
    }

    fn response_end(&mut self, input: &Input<'_>, cx: &mut Context<'_>) -> Step {
        let mut exchange = self.exchange.take().expect(HAS_EXCHANGE);
        if !cx.hooks.is_empty() {
            exchange.point = Point::SubrequestEnd;
            cx.hooks.call(Point::SubrequestEnd, &mut exchange);
            cx.hooks.handle_reset(&mut exchange, Why::Done);
        }
        cx.pool.give_exchange(exchange);
        if self.flags.ends {
            self.flags.lingers |= !input.is_empty();
            return Step::To(State::Close);
        }
        self.flags.has_skipped = false;
        self.flags.is_rearmed = true;
        Step::To(State::RequestStart)
    }

    fn error(&mut self) -> Step {
        self.flags.ends = true;
        self.flags.lingers = true;
        Step::To(State::ResponseStart)
    }

    fn close(&mut self, input: &mut Input<'_>, cx: &mut Context<'_>) -> Step {
        let bytes = u32::try_from(input.rest().len()).unwrap_or(u32::MAX);
        input.used = input.bytes.len();
        self.drained_bytes = self.drained_bytes.saturating_add(bytes);
        if self.drained_bytes > cx.limits.linger_bytes_max {
            self.flags.is_aborted = true;
        }
        Step::Wait
    }

    // ---- helpers --------------------------------------------------------------------------

    /// Makes the response an error's; returns the state that follows.
    fn refuse(&mut self, status: Status, cx: &mut Context<'_>) -> State {
        let exchange = self.exchange.get_or_insert_with(|| cx.pool.take_exchange());
        exchange.response.set_error(status);
        self.suspended = Suspended::No;
        State::Error
    }

    fn reset_exchange(&mut self, why: Why, cx: &mut Context<'_>) {
        if let Some(exchange) = &mut self.exchange
            && !cx.hooks.is_empty()
        {
            cx.hooks.handle_reset(exchange, why);
        }
    }

    fn has_output(&self) -> bool {
        self.output
            .as_ref()
            .is_some_and(|output| !output.is_empty())
    }

    /// Gives an empty output back and sets the deadline of whatever is waited for now.
    fn settle(&mut self, cx: &mut Context<'_>) {
        if let Some(output) = self.output.take_if(|output| output.is_empty()) {
            cx.pool.give_output(output);
        }
        let wait = self.wait();
        if wait != self.deadline.wait() || mem::take(&mut self.flags.is_rearmed) {
            self.deadline = Deadline::new(wait, cx.now, cx.limits);
        }
    }

    fn wait(&self) -> Wait {
        if self.flags.is_loading {
            return Wait::Disk;
        }
        if self.output.is_some() {
            return Wait::Write;
        }
        match self.state {
            State::Read => Wait::Head,
            State::ReadPost => {
                let body = self.exchange.as_ref().map(|exchange| &exchange.body);
                let is_waiting = body.is_some_and(|b| b.is_writing() || b.wants_append());
                if is_waiting { Wait::Disk } else { Wait::Body }
            }
            State::RequestEnd | State::HandleRequest => match self.suspended {
                Suspended::Disk => Wait::Disk,
                _ => Wait::Hook,
            },
            State::Close => Wait::Linger,
            _ => Wait::Idle,
        }
    }
}

/// Queues the content of a response.
fn push_body(body: &Body, output: &mut Output) {
    match body {
        Body::Empty | Body::File(_, None) => {}
        Body::Bytes(bytes) => output.bytes_mut().extend_from_slice(bytes),
        Body::File(file, Some(part)) => output.push_file(file, *part),
        Body::Parts(file, parts, boundary) => {
            use crate::http::range;
            for &part in parts {
                let bytes = output.bytes_mut();
                range::part_head(bytes, boundary, file.content_type, part, file.bytes());
                output.push_file(file, part);
            }
            range::closing_line(output.bytes_mut(), boundary);
        }
    }
}
