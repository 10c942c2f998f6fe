//! Inner requests: made by a plugin, answered by the server to itself.
//!
//! One is carried by a connection without a socket, so it takes the same way as any other. It
//! belongs to the generation of its parent.

use super::generation::Generation;
use super::resource::{InnerReply, Resource, What};
use super::runtime::Runtime;
use crate::conn::{Id, Origin};
use crate::sys::abi::cause;
use std::net::SocketAddr;
use std::rc::Rc;

/// An inner request that is to be started or cancelled.
#[derive(Debug)]
pub struct InnerRequest {
    /// What it is known by.
    pub id: u64,
    /// Its head; empty if it is to be cancelled.
    pub head: Vec<u8>,
    /// The client of the parent.
    pub peer: Option<SocketAddr>,
    /// This end of it.
    pub local: Option<SocketAddr>,
    generation: Option<Rc<Generation>>,
    depth: u8,
}

/// What the connection of an inner request is to pass on to its record.
#[derive(Debug)]
pub(super) struct Descent {
    pub(super) generation: Rc<Generation>,
    pub(super) depth: u8,
}

impl InnerRequest {
    pub(super) fn new(
        id: u64,
        depth: u8,
        generation: Rc<Generation>,
        target: &[u8],
        host: Option<&[u8]>,
        origin: &dyn Origin,
    ) -> Self {
        let mut head = Vec::with_capacity(target.len() + 64);
        // A client of HTTP/1.0 need not name a host, and an empty one is none.
        let (name, host): (&[u8], _) = match host {
            Some(host) => (b"\r\nHost: ", host),
            None => (b"", &[][..]),
        };
        for part in [b"GET ", target, b" HTTP/1.0", name, host, b"\r\n\r\n"] {
            head.extend_from_slice(part);
        }
        Self {
            id,
            head,
            peer: origin.peer(),
            local: origin.local(),
            generation: Some(generation),
            depth,
        }
    }

    pub(super) fn cancelled(id: u64) -> Self {
        Self {
            id,
            head: Vec::new(),
            peer: None,
            local: None,
            generation: None,
            depth: 0,
        }
    }

    /// Whether it is to be given up rather than started.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.generation.is_none()
    }
}

impl Runtime {
    /// The connection that carries an inner request.
    pub(super) fn begin_inner(&mut self, inner: &InnerRequest, connection: Id) {
        if let Some(generation) = &inner.generation {
            let descent = Descent {
                generation: Rc::clone(generation),
                depth: inner.depth,
            };
            self.descents.insert(connection, descent);
        }
    }

    /// An inner request was answered, or given up.
    pub(super) fn handle_inner(&mut self, inner_id: u64, answer: InnerReply) {
        if let Some(Resource {
            what: What::Inner(inner),
            request,
            ..
        }) = self.resources.find_mut(inner_id)
        {
            let request = *request;
            inner.reply = Some(answer);
            self.wake(request, cause::SUBREQUEST, inner_id);
        }
    }
}
