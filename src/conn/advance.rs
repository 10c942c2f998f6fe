//! The loop of the state machine: one function for each state, in the order of the states.
//!
//! Each either moves on or says that it waits; [`State::may_become`] is the only judge of where it
//! may move to. The bytes of a call are lent through all states, so that a request that arrives
//! whole is parsed where it was received.

use super::chain::{self, Verdict};
use super::connection::{Connection, HAS_EXCHANGE, Suspended, finish};
use super::{Answer, Context, Flow, Point, RequestBody, State, Why};
use crate::http::body::Framing;
use crate::http::encode;
use crate::http::parse::{self, Scan};
use crate::http::{Error, Status};
use crate::policy::proxy_header::{self, Parsed};
use std::mem;
use std::sync::Arc;

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

impl Connection {
    pub(super) fn proceed(&mut self, cx: &mut Context<'_>) {
        self.advance_rest(cx);
        self.settle(cx);
    }

    pub(super) fn advance_rest(&mut self, cx: &mut Context<'_>) {
        let mut rest = mem::take(&mut self.rest);
        let used = self.advance(&rest, cx);
        if used < rest.len() && !self.flags.is_aborted {
            rest.drain(..used);
            self.rest = rest;
        }
    }

    /// Goes as far as the bytes and the events allow; tells how many bytes were used.
    pub(super) fn advance(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> usize {
        let mut input = Input { bytes, used: 0 };
        loop {
            let step = match self.state {
                State::Connect => self.connect(&mut input, cx),
                State::RequestStart => self.request_start(&mut input, cx),
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

    pub(super) fn enter(&mut self, next: State) {
        debug_assert!(
            self.state.may_become(next),
            "{} does not follow {}",
            next.name(),
            self.state.name()
        );
        self.state = next;
    }

    fn connect(&mut self, input: &mut Input<'_>, cx: &mut Context<'_>) -> Step {
        if !self.flags.awaits_header {
            return Step::To(State::RequestStart);
        }
        let parsed = proxy_header::parse(input.rest());
        if let Parsed::Complete { used, .. } = parsed {
            input.used += used;
        }
        self.handle_header(parsed, cx).map_or(Step::Wait, Step::To)
    }

    fn request_start(&mut self, input: &mut Input<'_>, cx: &Context<'_>) -> Step {
        if input.is_empty() {
            // When the server stops, a response may just have left that promised to go on; the
            // client may already have sent more.
            let is_last = self.flags.has_ended || (cx.is_draining && !cx.keeps_idle);
            return if is_last && !self.has_output() {
                self.flags.lingers |= cx.is_draining;
                if !self.flags.has_ended {
                    self.why = Why::Stop;
                }
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
                        return self.request_start(input, cx);
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
            Ok(None) if self.flags.has_ended => {
                self.why = Why::ClientGone;
                return Step::To(State::Close);
            }
            // What is kept until the rest comes is memory.
            Ok(None) if cx.is_short => {
                let next = self.refuse_for_memory(cx);
                self.keep_request_line(input.rest(), cx);
                return Step::To(next);
            }
            Ok(None) => return Step::Wait,
            Err(error) => {
                return Step::To(self.refuse_head(error, input.rest(), cx));
            }
        };
        let mut exchange = cx.pool.take_exchange();
        exchange.began = cx.now;
        let request = &mut exchange.request;
        request.head.extend_from_slice(&input.rest()[..head_bytes]);
        let parsed = parse::parse(request, &cx.limits.head);
        input.used += head_bytes;
        let authority = request.authority.map(|span| span.slice(&request.head));
        let host = cx.policy.hosts.find(authority.unwrap_or_default());
        exchange.host = Some(Arc::clone(host));
        self.exchange = Some(exchange);
        self.requests = self.requests.saturating_add(1);
        match parsed {
            Ok(()) => match self.judge_client(cx) {
                State::RequestEnd if cx.is_short => Step::To(self.refuse_for_memory(cx)),
                next => Step::To(next),
            },
            Err(error) => Step::To(self.refuse(error.status(), cx)),
        }
    }

    fn request_end(&mut self, cx: &mut Context<'_>) -> Step {
        // Input, room or the peer's end are not what a suspended exchange waits for.
        if self.suspended != Suspended::No {
            return Step::Wait;
        }
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let framing = exchange.request.framing;
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        let (hooks, caller) = cx.hooks();
        let is_wanted = match chain::run(exchange, hooks, caller) {
            Verdict::Wait => return self.suspend_hook(),
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
        match RequestBody::new(framing, exchange.is_claimed, &cx.limits.body) {
            Ok(body) => exchange.body = body,
            Err(error) => return Step::To(self.refuse(error.status(), cx)),
        }
        Step::To(State::ReadPost)
    }

    fn read_post(&mut self, input: &mut Input<'_>, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let has_begun = !input.is_empty();
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
        if cx.is_short && exchange.body.is_kept() && !is_waiting {
            return Step::To(self.refuse_for_memory(cx));
        }
        if mem::take(&mut exchange.request.expects_continue) && !has_begun {
            let output = self.output.get_or_insert_with(|| cx.pool.take_output());
            output.bytes_mut().extend_from_slice(encode::CONTINUE);
        }
        if self.flags.has_ended && !is_waiting {
            return Step::To(self.refuse(Error::BodyIncomplete.status(), cx));
        }
        Step::Wait
    }

    fn handle_request(&mut self, cx: &mut Context<'_>) -> Step {
        if self.suspended != Suspended::No {
            return Step::Wait;
        }
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        if exchange.is_claimed {
            return self.call_owner(cx);
        }
        match cx.handler.answer(exchange, cx.id) {
            Answer::Ready if cx.is_short && exchange.response.is_copied() => {
                Step::To(self.refuse_for_memory(cx))
            }
            Answer::Ready => Step::To(State::ResponseStart),
            Answer::Pending => {
                self.suspended = Suspended::Disk;
                Step::Wait
            }
        }
    }

    /// Asks the plugin that has claimed the exchange.
    fn call_owner(&mut self, cx: &mut Context<'_>) -> Step {
        loop {
            self.prepare_stream(cx.is_short);
            let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
            let (hooks, caller) = cx.hooks();
            let flow = hooks.call(Point::HandleSubrequest, exchange, caller);
            let is_streaming = exchange.stream.is_started();
            match flow {
                Flow::Finished if chain::is_answered(exchange) => {
                    return Step::To(State::ResponseStart);
                }
                Flow::Wait if is_streaming => {
                    self.queue_stream(cx);
                    // Content that nobody wants takes no room.
                    if !self.has_room_for_owner() {
                        return self.suspend_hook();
                    }
                }
                Flow::Wait => return self.suspend_hook(),
                // The body has been read, so it is not read again.
                Flow::Comeback if !is_streaming && chain::come_back(exchange) => {
                    exchange.request.framing = Framing::None;
                    return Step::To(State::RequestEnd);
                }
                _ => return self.fail_owner(cx),
            }
        }
    }

    /// The owner has failed: the client is told if it can be, else it sees that the response has
    /// come to no good end.
    fn fail_owner(&mut self, cx: &mut Context<'_>) -> Step {
        let exchange = self.exchange.as_ref().expect(HAS_EXCHANGE);
        if exchange.stream.is_sending() {
            self.abort(Why::Error, cx);
            return Step::To(State::Close);
        }
        Step::To(self.refuse(Status::INTERNAL_SERVER_ERROR, cx))
    }

    /// A hook waits, from now on.
    fn suspend_hook(&mut self) -> Step {
        self.suspended = Suspended::Hook;
        self.flags.begins_wait = true;
        Step::Wait
    }

    fn response_start(&mut self, cx: &mut Context<'_>) -> Step {
        self.queue_response(cx);
        Step::To(State::Write)
    }

    fn write(&mut self, input: &Input<'_>, cx: &mut Context<'_>) -> Step {
        let Some(output) = self.output.as_deref().filter(|output| !output.is_empty()) else {
            return Step::To(State::ResponseEnd);
        };
        // Pipelined answers gather, within a bound, so that they leave in one call.
        let has_room = output.held_bytes() < cx.limits.output_bytes_max
            && !output.has_splice()
            && !cx.is_short;
        if has_room && !self.flags.ends && !input.is_empty() {
            return Step::To(State::ResponseEnd);
        }
        Step::Wait
    }

    fn response_end(&mut self, input: &Input<'_>, cx: &mut Context<'_>) -> Step {
        let mut exchange = self.exchange.take().expect(HAS_EXCHANGE);
        self.note(&exchange, Why::Done, cx);
        finish(&mut exchange, Why::Done, cx);
        cx.pool.give_exchange(exchange);
        if self.flags.ends {
            self.flags.lingers |= !input.is_empty();
            return Step::To(State::Close);
        }
        self.flags.has_skipped = false;
        Step::To(State::RequestStart)
    }

    fn error(&mut self) -> Step {
        self.flags.ends = true;
        self.flags.lingers = true;
        if self.why == Why::Done {
            self.why = Why::Error;
        }
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
}
