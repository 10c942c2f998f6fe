//! Whose connection it is, and how much he may have.
//!
//! The client is the peer, unless a proxy that is believed tells another: for the whole connection
//! by the header that it begins with, for one request by a field. Who counts what a client has is
//! the affair of a [`Gate`].

use super::connection::{Connection, HAS_EXCHANGE};
use super::{Context, Deadline, Exchange, Id, Limits, Origin, State, Wait, Why};
use crate::http::Status;
use crate::http::body::Framing;
use crate::policy::Peer;
use crate::policy::proxy_header::Parsed;
use core::net::{IpAddr, SocketAddr};

/// Who counts what each client has. There is none as long as no bound is set.
pub trait Gate {
    /// The header of a connection has told whose it is; false if he has too many. A proxy that is
    /// believed is exempt: it has those of its clients.
    fn enter(&mut self, id: Id, client: IpAddr, is_exempt: bool, now: u64) -> bool;

    /// A request has come: of the client that is told, else of the one whose connection it is.
    ///
    /// # Errors
    /// He has asked too often; after so many seconds he may ask again.
    fn admit(&mut self, id: Id, told: Option<IpAddr>, now: u64) -> Result<(), u32>;
}

impl Connection {
    /// The connection begins with the header of a proxy, which has as long as a head.
    pub fn expect_header(&mut self, now: u64, limits: &Limits) {
        debug_assert!(self.state == State::Connect && self.rest.is_empty());
        self.flags.awaits_header = true;
        self.deadline = Deadline::new(Wait::Head, now, limits);
    }

    /// Whether the proxy's header has not come yet.
    #[must_use]
    pub fn awaits_header(&self) -> bool {
        self.flags.awaits_header
    }

    /// Whether the proxy's header has not come, and nothing can be made of it any more.
    #[must_use]
    pub fn lacks_header(&self) -> bool {
        self.flags.awaits_header && matches!(self.why, Why::Error | Why::Deadline)
    }

    /// Judges what the connection begins with; tells what follows, unless it is more of the same.
    pub(super) fn handle_header(&mut self, parsed: Parsed, cx: &mut Context<'_>) -> Option<State> {
        let told = match parsed {
            Parsed::Complete { told, .. } => told,
            Parsed::Partial if !self.flags.has_ended => return None,
            Parsed::Partial => {
                self.why = Why::ClientGone;
                return Some(State::Close);
            }
            // Whoever does not begin so is no proxy, and must not learn what others would.
            Parsed::Invalid => {
                self.why = Why::Error;
                return Some(State::Close);
            }
        };
        self.flags.awaits_header = false;
        // What follows has its own time.
        self.deadline = Deadline::new(Wait::Idle, cx.now, cx.limits);
        let Some(told) = told else {
            return Some(State::RequestStart);
        };
        cx.origin.believe(told);
        if let (Some(gate), Some(source)) = (&mut cx.gate, told.source) {
            let is_exempt = cx.policy.trusted.has(Peer::Address(source.ip()));
            if !gate.enter(cx.id, source.ip(), is_exempt, cx.now) {
                self.why = Why::Error;
                return Some(State::Close);
            }
        }
        Some(State::RequestStart)
    }

    /// A head is complete: who asks, and may he? Tells what follows.
    pub(super) fn judge_client(&mut self, cx: &mut Context<'_>) -> State {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let trusted = &cx.policy.trusted;
        if !trusted.is_empty() && trusted.has(peer(cx.origin)) {
            exchange.client = trusted.client(&exchange.request);
        }
        let Some(gate) = &mut cx.gate else {
            return State::RequestEnd;
        };
        let told = exchange.client.map(|client| client.ip());
        match gate.admit(cx.id, told, cx.now) {
            Ok(()) => State::RequestEnd,
            Err(seconds) => self.turn_away(seconds),
        }
    }

    /// The client has asked too often (RFC 6585 §4). It may go on asking on this connection, which
    /// costs less than another one.
    fn turn_away(&mut self, seconds: u32) -> State {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let response = &mut exchange.response;
        response.set_error(Status::TOO_MANY_REQUESTS);
        response.push_field("Retry-After", seconds.to_string().as_bytes());
        // A body that nobody wants is not read; the connection cannot go on behind it.
        let framing = exchange.request.framing;
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        self.flags.ends |= has_body;
        self.flags.lingers |= has_body;
        State::ResponseStart
    }
}

impl Exchange {
    /// The client's address: as a trusted proxy tells it, else the peer's.
    #[must_use]
    pub fn client_address(&self, origin: &dyn Origin) -> Option<SocketAddr> {
        self.client.or_else(|| origin.peer())
    }
}

/// Who is at the other end. Of a connection that is connected no more the kernel tells its own end
/// only, and whoever has broken it must not pass for a Unix socket.
fn peer(origin: &dyn Origin) -> Peer {
    match origin.peer() {
        Some(address) => Peer::Address(address.ip()),
        None if origin.local().is_none() => Peer::Unix,
        None => Peer::Gone,
    }
}
