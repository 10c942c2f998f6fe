//! One request with its response: what a hook and a handler may see and change.
//!
//! Exchanges are taken from a [`Pool`] when a head is complete and given back when the response is
//! handed over, so that an idle connection holds none and a busy server allocates none.

use super::hooks::Point;
use super::output::Output;
use super::request_body::RequestBody;
use super::stream::Stream;
use crate::http::{Amendments, Error, Request, Response, target};
use crate::policy::Host;
use core::net::SocketAddr;
use std::mem;
use std::sync::Arc;

/// What a hook has changed since the chain was last at that point.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Change {
    #[default]
    None,
    Path,
    Target,
}

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
    /// The hooks' own number for it; 0 is none.
    pub ticket: u32,
    /// What hooks want changed in the fields of whatever response follows.
    pub amendments: Amendments,
    /// A response that is sent while it is made.
    pub stream: Stream,
    /// How long each following wait of a hook may last; `None` for the bound of all.
    pub wait_ms: Option<u32>,
    /// The absolute path of the root that a hook has chosen.
    pub docroot: Option<Vec<u8>>,
    /// The absolute path that a hook has chosen; it must lie in the root.
    pub physical: Option<Vec<u8>>,
    /// The host that it is for, to its end, whatever a reload changes meanwhile; `None` until the head
    /// has been seen.
    pub host: Option<Arc<Host>>,
    /// The client, as a trusted proxy tells it.
    pub client: Option<SocketAddr>,
    /// Who the client is, as a plugin has found out.
    pub user: Option<Box<[u8]>>,
    /// When its head was complete, milliseconds on the loop's clock.
    pub began: u64,
    /// Whether a hook has been called, so that the end must be told.
    pub(super) is_heard: bool,
    pub(super) change: Change,
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
            ticket: 0,
            amendments: Amendments::default(),
            stream: Stream::default(),
            wait_ms: None,
            docroot: None,
            physical: None,
            host: None,
            client: None,
            user: None,
            began: 0,
            is_heard: false,
            change: Change::None,
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
        self.ticket = 0;
        self.amendments.clear();
        self.stream.clear();
        self.wait_ms = None;
        self.docroot = None;
        self.physical = None;
        self.host = None;
        self.client = None;
        self.user = None;
        self.began = 0;
        self.is_heard = false;
        self.change = Change::None;
    }

    /// The number of the site that has its files.
    #[must_use]
    pub fn site(&self) -> u32 {
        self.host.as_ref().map_or(0, |host| host.site)
    }

    /// The absolute path of the root that it is for, unless a hook has chosen another one.
    #[must_use]
    pub fn site_root(&self) -> &[u8] {
        self.host.as_ref().map_or(&[], |host| &host.root)
    }

    /// How much memory it owns, bytes, with itself.
    #[must_use]
    pub fn owned_bytes(&self) -> usize {
        let request = &self.request;
        size_of::<Self>()
            + request.head.capacity()
            + request.fields.owned_bytes()
            + self.path.capacity()
            + self.body.owned_bytes()
            + self.response.owned_bytes()
            + self.amendments.owned_bytes()
            + self.stream.owned_bytes()
    }

    /// Replaces the raw target before it is decoded, and returns the head that held the old one.
    ///
    /// # Errors
    /// It is no target, or too long; nothing has changed then.
    pub fn set_target(&mut self, target: &[u8]) -> Result<Vec<u8>, Error> {
        let head = self.request.set_target(target)?;
        self.change = Change::Target;
        Ok(head)
    }

    /// Replaces the path, which must hold no NUL, by this one without its dot segments. Returns the
    /// old one.
    pub fn set_path(&mut self, path: Vec<u8>) -> Vec<u8> {
        self.change = Change::Path;
        mem::replace(&mut self.path, target::clean_path(&path))
    }

    /// What was decided for another path or target is forgotten.
    pub(super) fn forget_decisions(&mut self) {
        self.is_claimed = false;
        self.amendments.clear();
        self.response.clear();
        self.stream.clear();
        self.docroot = None;
        self.physical = None;
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
