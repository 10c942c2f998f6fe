//! What was refused: counted for the figures, and told to the log, one line for many.

use super::Key;

/// Why somebody was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Connections,
    Requests,
    Stranger,
    NoHeader,
}

/// How often that happened.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Connections of clients that had enough.
    pub connections: u64,
    /// Requests that were answered by 429.
    pub requests: u64,
    /// Connections of others than trusted proxies where only those may connect.
    pub strangers: u64,
    /// Connections of proxies that did not begin with their header.
    pub headers: u64,
}

/// What the log has not been told yet.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    refusals: Refusals,
    first: Option<(What, Option<Key>)>,
    /// How many there were since the last line, the first among them.
    count: u64,
    /// When the next line may be written, milliseconds.
    next: u64,
}

/// How often the log gets a line, milliseconds.
const PERIOD_MS: u64 = 10_000;

impl Complaints {
    pub(super) fn note(&mut self, what: What, key: Option<Key>) {
        *match what {
            What::Connections => &mut self.refusals.connections,
            What::Requests => &mut self.refusals.requests,
            What::Stranger => &mut self.refusals.strangers,
            What::NoHeader => &mut self.refusals.headers,
        } += 1;
        self.first.get_or_insert((what, key));
        self.count += 1;
    }

    pub(super) fn refusals(&self) -> Refusals {
        self.refusals
    }

    pub(super) fn take_line(&mut self, now: u64) -> Option<String> {
        if now < self.next {
            return None;
        }
        let (what, key) = self.first.take()?;
        self.next = now + PERIOD_MS;
        let others = std::mem::take(&mut self.count) - 1;
        let client = key.map_or("a client".to_owned(), |key| format!("client {key}"));
        let refused = match what {
            What::Connections => "refused: it has as many connections as one may have",
            What::Requests => "answered by 429: it asks more often than one may",
            What::Stranger => "refused: only trusted proxies may connect to this listener",
            What::NoHeader => "refused: no header of the PROXY protocol has come",
        };
        Some(match others {
            0 => format!("{client} {refused}"),
            _ => format!("{client} {refused}; {others} more like that"),
        })
    }
}
