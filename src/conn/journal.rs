//! Where requests are noted once they are answered, or given up.

use super::exchange::Exchange;
use super::hooks::{Origin, Why};

/// A log of requests.
pub trait Journal {
    /// A request is over. `sent_bytes` is the length of the content that was handed over.
    fn note(&mut self, exchange: &Exchange, origin: &dyn Origin, why: Why, sent_bytes: u64);
}

/// Nothing is noted.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn note(&mut self, _: &Exchange, _: &dyn Origin, _: Why, _: u64) {}
}
