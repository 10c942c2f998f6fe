//! The hook points of an exchange and what a hook may answer.
//!
//! A connection knows only this trait. It calls a whole chain at once: which plugins take part, in
//! which order, and where a suspended one continues, is the affair of the implementation, which
//! notes it in [`Exchange::resume`].

use super::exchange::Exchange;

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
#[repr(u32)]
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

/// Those who take part in exchanges: the loaded plugins, or none.
pub trait Hooks {
    /// Whether no hook exists at all, so that calling can be left out.
    fn is_empty(&self) -> bool;

    /// Calls the chain of one point, from where `exchange.resume` says.
    fn call(&mut self, point: Point, exchange: &mut Exchange) -> Flow;

    /// An exchange has ended, in whichever way; called once for each exchange.
    fn handle_reset(&mut self, exchange: &mut Exchange, why: Why);
}

/// No plugins.
#[derive(Debug, Default)]
pub struct NoHooks;

impl Hooks for NoHooks {
    fn is_empty(&self) -> bool {
        true
    }

    fn call(&mut self, _point: Point, _exchange: &mut Exchange) -> Flow {
        Flow::GoOn
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, _why: Why) {}
}
