//! Plugins that do what an input says, and assert what they are promised.

use super::connection::LIMITS;
use super::responses::{self, Expected};
use crate::conn::{Caller, Exchange, Flow, Hooks, Point, Why};
use crate::http::body::Framing;
use crate::http::{Body, Method, Status};
use std::collections::VecDeque;

/// The plugins of one connection.
#[derive(Default)]
pub(super) struct Script {
    is_empty: bool,
    /// What they decide next, and what they do when this is empty: nothing, or the answer.
    pub(super) decisions: VecDeque<u8>,
    /// What was asked for, of each response that was handed over.
    pub(super) responses: Vec<Expected>,
    /// Whether a response was sent while it was made.
    pub(super) has_streamed: bool,
    /// Whether a response was cut off that was being made.
    pub(super) has_cut: bool,
    /// Whether there is an exchange that was announced and not reset.
    pub(super) is_heard: bool,
    /// Whether a hook has answered that it waits, and nothing has woken it.
    pub(super) is_suspended: bool,
    /// Whether the exchange was answered before its body was due.
    is_early: bool,
    /// Whether the body of the exchange has come.
    has_come: bool,
    /// Whether a response is being sent that is not complete.
    is_streaming: bool,
    /// The response to the exchange that is ending.
    ended: Option<Expected>,
}

/// A number in [`Exchange::comebacks`] that says: already reset.
const RESET: u8 = u8::MAX;

/// One in [`Exchange::resume`]: this point was called before.
const HEARD: u32 = 1;

impl Hooks for Script {
    fn is_empty(&self) -> bool {
        self.is_empty
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        assert_eq!(point, exchange.point);
        if point == Point::SubrequestEnd {
            let expected = self.expected(exchange);
            if exchange.comebacks == RESET {
                self.responses.push(expected);
            } else {
                self.ended = Some(expected);
            }
            return Flow::GoOn;
        }
        assert_ne!(exchange.comebacks, RESET, "{point:?} after the reset");
        let has_room = std::mem::take(&mut exchange.stream.has_room_event);
        assert!(
            !self.is_suspended || has_room,
            "{point:?} while nothing has woken it"
        );
        self.is_suspended = false;
        if point == Point::UrlRaw {
            let is_again = exchange.resume == HEARD || exchange.comebacks > 0;
            assert_eq!(self.is_heard, is_again, "the one before was not reset");
            self.is_heard = true;
        }
        assert!(
            point == Point::UrlRaw
                || exchange
                    .path
                    .first()
                    .is_some_and(|byte| b"/*".contains(byte))
        );
        assert_eq!(point == Point::HandleSubrequest, exchange.is_claimed);
        if point == Point::HandleSubrequest {
            check_body(exchange);
            self.has_come = true;
        } else if self.has_come {
            let framing = exchange.request.framing;
            assert_eq!(framing, Framing::None, "the body would be read again");
        }
        exchange.resume = HEARD;
        let decision = self.decisions.pop_front().unwrap_or(match point {
            Point::HandleSubrequest => 1,
            _ => 0,
        });
        match decision % 8 {
            0 => Flow::GoOn,
            1 => {
                if point != Point::SubrequestStart {
                    respond(exchange, decision / 8);
                    self.is_early = point != Point::HandleSubrequest;
                }
                Flow::Finished
            }
            2 => Flow::Comeback,
            3 => {
                exchange.path = b"/large".to_vec();
                Flow::Comeback
            }
            4 => {
                self.is_suspended = true;
                Flow::Wait
            }
            5 if point != Point::UrlRaw => {
                exchange.path = b"/coded.txt".to_vec();
                Flow::GoOn
            }
            6 => Flow::Error,
            7 if point == Point::HandleSubrequest => self.stream(exchange, decision / 8),
            _ => Flow::GoOn,
        }
    }

    fn handle_reset(&mut self, exchange: &mut Exchange, why: Why, _caller: Caller<'_>) {
        assert_ne!(exchange.comebacks, RESET, "reset twice");
        let ended = self.ended.take();
        assert!(ended.is_some() || why == Why::Deadline, "it ends before");
        if why == Why::Done {
            self.responses.extend(ended);
        } else {
            self.has_cut |= self.is_streaming;
        }
        self.is_streaming = false;
        exchange.comebacks = RESET;
        self.is_heard = false;
        self.is_suspended = false;
        self.is_early = false;
        self.has_come = false;
    }
}

impl Script {
    pub(super) fn new(is_empty: bool) -> Self {
        Self {
            is_empty,
            ..Self::default()
        }
    }

    /// Sends a part of a response, or all of it.
    fn stream(&mut self, exchange: &mut Exchange, choice: u8) -> Flow {
        if !exchange.stream.is_started() {
            respond(exchange, choice);
        }
        let bytes = if choice % 4 == 1 { 70_000 } else { 5 };
        exchange.stream.start();
        self.has_streamed = true;
        exchange.stream.write(&vec![b'x'; bytes]);
        if choice % 4 == 3 {
            return Flow::Finished;
        }
        if choice % 4 == 2 {
            exchange.stream.end();
        }
        self.is_suspended = true;
        self.is_streaming = true;
        Flow::Wait
    }

    /// What must be true of the response to an exchange.
    fn expected(&self, exchange: &Exchange) -> Expected {
        let request = &exchange.request;
        let has_body = !matches!(request.framing, Framing::None | Framing::Length(0));
        let is_read = matches!(request.method, Method::Get | Method::Head | Method::Options);
        let is_unread = has_body && (self.is_early || !exchange.is_claimed && !is_read);
        Expected {
            is_to_head: request.method == Method::Head,
            keeps_alive: request.keeps_alive,
            closes: is_unread || !request.keeps_alive,
        }
    }
}

/// A claimed exchange has its whole body.
fn check_body(exchange: &Exchange) {
    assert!(exchange.body.is_complete());
    let bytes = exchange.body.kept_bytes();
    assert!(bytes <= LIMITS.body.body_bytes_max);
    if let Framing::Length(length) = exchange.request.framing {
        assert_eq!(bytes, length);
    }
    if let Some(memory) = exchange.body.memory() {
        assert_eq!(memory.len() as u64, bytes);
        assert!(memory.len() <= LIMITS.body.memory_bytes_max);
    }
}

/// Makes a response, also one whose body its status does not allow.
fn respond(exchange: &mut Exchange, choice: u8) {
    const STATUSES: [Status; 4] = [
        Status::OK,
        Status::NO_CONTENT,
        Status::NOT_MODIFIED,
        Status::NOT_FOUND,
    ];
    if exchange.stream.is_started() {
        return;
    }
    exchange.response.clear();
    exchange.response.status = STATUSES[usize::from(choice) % STATUSES.len()];
    exchange.response.push_field(responses::MARK, b"1");
    exchange.response.body = Body::Bytes(vec![b'x'; usize::from(choice)]);
}
