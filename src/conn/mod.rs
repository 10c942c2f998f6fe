//! One connection, without its socket.
//!
//! What happened comes in through `handle_*`, what is wanted goes out through [`Connection::piece`],
//! [`Connection::wants_input`], [`Connection::take_append`] and [`Connection::end`]. The time is an
//! argument. The same calls give the same answers, so a connection can be split at every byte,
//! fuzzed, and simulated from a seed.
//!
//! INVARIANT: an idle connection holds no buffer, no exchange and no output.
//! INVARIANT: an exchange exists from the end of its head to the end of its response.

mod advance;
mod chain;
mod client;
mod connection;
mod deadline;
mod exchange;
mod hooks;
mod journal;
mod limits;
mod output;
mod request_body;
mod respond;
mod state;
mod stream;
mod waiting;

pub use chain::COMEBACKS_MAX;
pub use client::Gate;
pub use connection::Connection;
pub use deadline::{Deadline, Wait};
pub use exchange::{Exchange, Pool};
pub use hooks::{Caller, Flow, Hooks, NoHooks, Nowhere, Origin, Point, Why};
pub use journal::{Journal, NoJournal, Note};
pub use limits::Limits;
pub use output::{Output, Piece};
pub use request_body::{Append, Bounds as BodyBounds, RequestBody};
pub use state::State;
pub use stream::Stream;

use crate::http::encode::Stamp;
use crate::policy::Policy;

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
    /// Where it comes from.
    pub origin: &'a dyn Origin,
    /// What the operator has decided about hosts, paths and clients.
    pub policy: &'a Policy,
    /// Where requests are noted.
    pub journal: &'a mut dyn Journal,
    /// Who counts what each client has, if there are bounds.
    pub gate: Option<&'a mut dyn Gate>,
    /// Whether connections own more memory together than they may: whoever wants more is refused.
    pub is_short: bool,
    /// Whether the server is about to stop, so that no connection is kept.
    pub is_draining: bool,
    /// Whether it lets idle connections make one more request meanwhile, which is their last.
    pub keeps_idle: bool,
}

impl<'a> Context<'a> {
    /// What the hooks are told of this connection, and the hooks.
    fn hooks(&mut self) -> (&mut dyn Hooks, Caller<'a>) {
        let (id, origin) = (self.id, self.origin);
        (&mut *self.hooks, Caller { id, origin })
    }
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
    /// Close at once and let go of what the peer has not taken.
    Reset,
}
