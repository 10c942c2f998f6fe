//! What is known of a request beside its exchange: the generation that it is served by, who waits,
//! what woke it, and what plugins keep for it.
//!
//! INVARIANT: a record exists from the first hook that sees the exchange to its reset.

use super::generation::Generation;
use super::id::{self, Kind, Slab};
use super::instance::Instance;
use crate::conn;
use crate::sys::abi::Datum;
use std::collections::VecDeque;
use std::rc::Rc;

/// A request that plugins have seen. Most only pass through, so what few need is apart.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) generation: Rc<Generation>,
    pub(super) connection: conn::Id,
    /// Instances that keep something for it or were suspended, one bit each.
    pub(super) touched: u64,
    /// When its first hook was called, microseconds.
    pub(super) began_us: u64,
    more: Option<Box<More>>,
    /// Which instance claimed it.
    pub(super) owner: Option<u16>,
    /// Which instance is suspended.
    pub(super) waiting: Option<u16>,
    /// Its plugins have been told that it ended; only subrequest_end may follow.
    pub(super) ended: Option<conn::Why>,
    /// It is in the queue of those to be resumed.
    pub(super) is_queued: bool,
    /// Its id has been handed out.
    pub(super) is_known: bool,
    /// How many requests it is inside of.
    pub(super) depth: u8,
}

/// What plugins have asked for a request.
#[derive(Debug, Default)]
pub(super) struct More {
    /// What happened since the last resumption.
    pub(super) causes: Vec<(u32, u64)>,
    /// What the resumed hook may ask for.
    pub(super) told: VecDeque<(u32, u64)>,
    pub(super) data: Vec<Kept>,
    /// Timers, watches, jobs, children and subrequests of it.
    pub(super) resources: Vec<u64>,
    pub(super) user: Vec<u8>,
    /// `deadline` was called: somebody outside will wake it.
    pub(super) has_outside_waker: bool,
    /// How many inner requests it has made.
    pub(super) inner_count: u8,
}

const _: () = assert!(size_of::<Record>() <= 72);

/// A pointer that the server keeps for an instance.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) instance: Rc<Instance>,
    pub(super) datum: Datum,
}

impl Record {
    pub(super) fn new(
        id: u64,
        generation: Rc<Generation>,
        connection: conn::Id,
        began_us: u64,
    ) -> Self {
        Self {
            id,
            generation,
            connection,
            touched: 0,
            began_us,
            more: None,
            owner: None,
            waiting: None,
            ended: None,
            is_queued: false,
            is_known: false,
            depth: 0,
        }
    }

    /// What plugins have asked for, if they have.
    pub(super) fn asked(&self) -> Option<&More> {
        self.more.as_deref()
    }

    /// The same, to add to it.
    pub(super) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The same, to let it go.
    pub(super) fn take_more(&mut self) -> Option<Box<More>> {
        self.more.take()
    }
}

/// What must stay where it is until the hook returns.
#[derive(Debug, Default)]
pub(super) struct Loans {
    /// Bytes that were made for the plugin.
    made: Vec<Box<[u8]>>,
    /// Buffers that were replaced while bytes of them may be in use.
    pub(super) replaced: Vec<Vec<u8>>,
}

impl Loans {
    /// Bytes that stay until the hook returns.
    pub(super) fn lend(&mut self, bytes: Vec<u8>) -> &[u8] {
        self.made.push(bytes.into());
        self.made.last().map_or(&[], |bytes| bytes)
    }

    /// The hook has returned.
    pub(super) fn end(&mut self) {
        if !self.made.is_empty() {
            self.made.clear();
        }
        if !self.replaced.is_empty() {
            self.replaced.clear();
        }
    }
}

/// All requests that plugins have seen. An exchange's ticket is its place here plus one.
#[derive(Debug)]
pub(super) struct Requests(Slab<Record>);

impl Requests {
    pub(super) fn new() -> Self {
        Self(Slab::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A new record; returns its ticket, or 0 if there is no room.
    pub(super) fn begin(&mut self, make: impl FnOnce(u64) -> Record) -> u32 {
        let place = self
            .0
            .insert(|generation, place| make(id::id(Kind::Request, generation, place)));
        place.map_or(0, |place| place + 1)
    }

    pub(super) fn get_mut(&mut self, ticket: u32) -> Option<&mut Record> {
        self.0.get_mut((ticket as usize).wrapping_sub(1))
    }

    pub(super) fn get(&self, ticket: u32) -> Option<&Record> {
        self.0.get((ticket as usize).wrapping_sub(1))
    }

    /// The request with an id, if it has not ended.
    pub(super) fn find_mut(&mut self, id: u64) -> Option<&mut Record> {
        self.0
            .get_mut(id::place(id))
            .filter(|record| record.id == id && record.ended.is_none())
    }

    pub(super) fn end(&mut self, ticket: u32) -> Option<Record> {
        self.0.remove((ticket as usize).wrapping_sub(1))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_stays_until_the_call_has_returned() {
        let mut loans = Loans::default();
        let first = loans.lend(b"one".to_vec()).as_ptr();
        loans.lend(b"two".to_vec());
        assert_eq!(loans.made[0].as_ptr(), first);
        loans.end();
        assert!(loans.made.is_empty());
    }
}
