//! One request with its response: what a hook and a handler may see and change.
//!
//! Exchanges are taken from a [`Pool`] when a head is complete and given back when the response is
//! handed over, so that an idle connection holds none and a busy server allocates none.

use super::hooks::Point;
use super::output::Output;
use super::request_body::RequestBody;
use crate::http::{Request, Response};

/// One request with its response.
#[derive(Debug)]
pub struct Exchange {
    /// The request.
    pub request: Request,
    /// The path: decoded once, dot segments resolved, beginning with `/`; `*` for `OPTIONS *`.
    pub path: Vec<u8>,
    /// The request's body as far as it has come.
    pub body: RequestBody,
    /// The response as far as it is made.
    pub response: Response,
    /// The hook point that is next or suspended.
    pub point: Point,
    /// Where in the chain of `point` a suspended hook continues; the hooks' own number.
    pub resume: u32,
    /// Whether a plugin has claimed the exchange.
    pub is_claimed: bool,
    /// How often a hook has started the chain over.
    pub comebacks: u8,
    /// Whether the hooks have been told that it ended.
    pub is_reset: bool,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            request: Request::default(),
            path: Vec::new(),
            body: RequestBody::default(),
            response: Response::default(),
            point: Point::UrlRaw,
            resume: 0,
            is_claimed: false,
            comebacks: 0,
            is_reset: false,
        }
    }
}

impl Exchange {
    /// Forgets the exchange and keeps the memory.
    fn clear(&mut self) {
        self.request.clear();
        self.path.clear();
        self.body = RequestBody::default();
        self.response.clear();
        self.point = Point::UrlRaw;
        self.resume = 0;
        self.is_claimed = false;
        self.comebacks = 0;
        self.is_reset = false;
    }
}

/// Exchanges and outputs that are not in use.
#[expect(
    clippy::vec_box,
    reason = "a connection holds the box, and moving it must not copy"
)]
#[derive(Debug, Default)]
pub struct Pool {
    exchanges: Vec<Box<Exchange>>,
    outputs: Vec<Box<Output>>,
}

/// How many of each are kept: enough for the connections that one turn of the loop answers at
/// once (each gives its own back before the next is driven), few enough to be forgotten.
const SPARE_MAX: usize = 8;

impl Pool {
    /// A cleared exchange.
    pub fn take_exchange(&mut self) -> Box<Exchange> {
        self.exchanges.pop().unwrap_or_default()
    }

    /// Takes an exchange back.
    pub fn give_exchange(&mut self, mut exchange: Box<Exchange>) {
        if self.exchanges.len() < SPARE_MAX {
            exchange.clear();
            self.exchanges.push(exchange);
        }
    }

    /// An empty output.
    pub fn take_output(&mut self) -> Box<Output> {
        self.outputs.pop().unwrap_or_default()
    }

    /// Takes an empty output back.
    pub fn give_output(&mut self, output: Box<Output>) {
        debug_assert!(output.is_empty(), "only an output that was sent is reused");
        if self.outputs.len() < SPARE_MAX && !output.is_oversized() {
            self.outputs.push(output);
        }
    }
}
