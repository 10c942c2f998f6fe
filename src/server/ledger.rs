//! How much memory the connections own together, and how much they may.
//!
//! A slot is paid for when it is made; what a connection owns beside it is counted here after each
//! time that it was driven. Once the sum is over the bound, [`is_short`](Ledger::is_short) tells so
//! to whoever is driven next, and a connection that wants more is refused instead. So the sum never
//! exceeds the bound by more than what one connection takes in one turn.

use crate::conn::Connection;

/// The sum and its bound.
#[derive(Debug)]
pub(super) struct Ledger {
    owned_bytes: usize,
    pub(super) owned_bytes_max: usize,
    /// The most there ever was.
    pub(super) peak_bytes: usize,
}

impl Ledger {
    pub(super) fn new(owned_bytes_max: usize) -> Self {
        Self {
            owned_bytes: 0,
            owned_bytes_max,
            peak_bytes: 0,
        }
    }

    /// All that connections own, bytes.
    pub(super) fn owned_bytes(&self) -> usize {
        self.owned_bytes
    }

    /// Whether nobody may have more.
    pub(super) fn is_short(&self) -> bool {
        self.owned_bytes >= self.owned_bytes_max
    }

    /// A connection owns what it owns now; `entry` is what it was counted with before.
    pub(super) fn count(&mut self, entry: &mut u32, connection: &Connection) {
        let bytes = u32::try_from(connection.owned_bytes()).unwrap_or(u32::MAX);
        if bytes != *entry {
            self.owned_bytes = self.owned_bytes - *entry as usize + bytes as usize;
            self.peak_bytes = self.peak_bytes.max(self.owned_bytes);
            *entry = bytes;
        }
    }

    /// A connection is gone that was counted with so many bytes.
    pub(super) fn discount(&mut self, entry: u32) {
        self.owned_bytes -= entry as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Limits;
    use crate::conn::NoHooks;
    use crate::testing::{Memory, Peer};

    #[test]
    fn what_is_counted_is_discounted() {
        let mut ledger = Ledger::new(1_000);
        let mut entries = [0, 0];
        let mut peers = [(); 2].map(|()| Peer::new(Memory::default(), NoHooks, Limits::default()));
        for (peer, entry) in peers.iter_mut().zip(&mut entries) {
            peer.receive(&[b"GET /".as_slice(), &[b'a'; 600]].concat());
            ledger.count(entry, &peer.connection);
            ledger.count(entry, &peer.connection);
            assert!(*entry >= 605);
        }
        assert_eq!(ledger.owned_bytes(), (entries[0] + entries[1]) as usize);
        assert!(ledger.is_short());
        for entry in entries {
            ledger.discount(entry);
        }
        assert_eq!(ledger.owned_bytes(), 0);
        assert!(!ledger.is_short() && ledger.peak_bytes >= 1_210);
    }
}
