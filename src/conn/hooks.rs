//! The hook points of an exchange and what a hook may answer.
//!
//! A connection knows only this trait. It calls a whole chain at once: which plugins take part, in
//! which order, and where a suspended one continues, is the affair of the implementation, which
//! notes it in [`Exchange::resume`].

use super::Id;
use super::exchange::Exchange;
use crate::policy::proxy_header::Told;
use core::net::SocketAddr;

/// When a hook is called (the moments of the plugin contract, in order).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The head is parsed, the target untouched.
    UrlRaw,
    /// The path is decoded and free of dot segments.
    UrlClean,
    /// The document root is about to be used.
    Docroot,
    /// Root and path are joined; nothing has been opened yet.
    Physical,
    /// Who handles it? `Finished` claims the exchange.
    SubrequestStart,
    /// The claiming plugin answers; the body is complete.
    HandleSubrequest,
    /// The response is handed over or given up.
    SubrequestEnd,
}

/// What a chain of hooks answered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Nobody had anything to do with it.
    GoOn,
    /// Claimed, or the response is complete.
    Finished,
    /// The path or the target was changed: start over.
    Comeback,
    /// Suspended until the connection is woken.
    Wait,
    /// Failed: 500 if nothing has been sent.
    Error,
}

/// Why an exchange or a connection ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Why {
    /// In good order.
    Done = 0,
    /// The client went away.
    ClientGone = 1,
    /// A deadline passed.
    Deadline = 2,
    /// Something failed.
    Error = 3,
    /// An old generation of plugins is drained.
    Drain = 4,
    /// The server stops.
    Stop = 5,
}

/// Where a connection comes from; asked for only when somebody wants to know.
pub trait Origin {
    /// The peer's address; `None` for a Unix socket.
    fn peer(&self) -> Option<SocketAddr>;

    /// Our address that the peer has reached; `None` for a Unix socket.
    fn local(&self) -> Option<SocketAddr>;

    /// A proxy tells whose connection it is; from now on the ends are those. Whoever never
    /// listens to proxies need not take it.
    fn believe(&self, told: Told) {
        let _ = told;
    }
}

/// No address is known.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Origin for Nowhere {
    fn peer(&self) -> Option<SocketAddr> {
        None
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
}

/// The connection that an exchange came on.
#[derive(Copy, Clone)]
pub struct Caller<'a> {
    /// Which one.
    pub id: Id,
    /// Where it comes from.
    pub origin: &'a dyn Origin,
}

/// Those who take part in exchanges: the loaded plugins, or none.
pub trait Hooks {
    /// Whether no hook exists at all, so that calling can be left out.
    fn is_empty(&self) -> bool;

    /// Calls the chain of one point, from where `exchange.resume` says.
    fn call(&mut self, point: Point, exchange: &mut Exchange, caller: Caller<'_>) -> Flow;

    /// An exchange has ended, in whichever way; called once for each that `call` has seen, as
    /// [`Point::SubrequestEnd`] is.
    fn handle_reset(&mut self, exchange: &mut Exchange, why: Why, caller: Caller<'_>);

    /// A connection has ended; called once for each, also for those without an exchange, unless
    /// there are no hooks.
    fn handle_close(&mut self, id: Id, why: Why) {
        let _ = (id, why);
    }
}

/// No plugins.
#[derive(Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn is_empty(&self) -> bool {
        true
    }

    fn call(&mut self, _point: Point, _exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        Flow::GoOn
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, _why: Why, _caller: Caller<'_>) {}
}
