//! The slots of all connections.
//!
//! They lie in chunks of a page that never move, so that growing copies nothing and needs no
//! memory beyond the slots themselves. A slot whose connection has ended is used again only after
//! the turn, so that an event of the same batch finds it closed; each use has a generation, so that
//! a reply of a later turn does not find a stranger.

use crate::conn::{Connection, Id, Origin, State};
use crate::disk::ColdPiece;
use crate::policy::proxy_header::Told;
use crate::sys::socket;
use std::cell::OnceCell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use swiftd_timer::Timer;

/// A connection's socket. Who is at its ends is asked of the kernel when somebody wants to know, so
/// that it takes no memory; only what a proxy has told is kept.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    told: OnceCell<Box<Told>>,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Origin for Socket {
    fn peer(&self) -> Option<SocketAddr> {
        match self.told.get() {
            Some(told) => told.source,
            None => socket::peer(self.as_fd()),
        }
    }

    fn local(&self) -> Option<SocketAddr> {
        match self.told.get() {
            Some(told) => told.destination,
            None => socket::local(self.as_fd()),
        }
    }

    fn believe(&self, told: Told) {
        // A connection has one header, so nothing is there yet.
        let _ = self.told.set(Box::new(told));
    }
}

/// A connection with its socket.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) connection: Connection,
    pub(super) socket: Socket,
    pub(super) timer: Option<Timer>,
    pub(super) generation: u32,
    /// What the ledger has counted it with.
    pub(super) owned_bytes: u32,
    /// A read may succeed: cleared by "would block" and by a short read.
    pub(super) is_readable: bool,
    /// The peer has shut its sending side, so that a short read is not the last one.
    pub(super) has_peer_ended: bool,
    /// A write may succeed: cleared only by "would block".
    pub(super) is_writable: bool,
    /// It is in the ready queue.
    pub(super) is_queued: bool,
    /// Its socket is registered with the poll.
    pub(super) is_registered: bool,
    /// Its sending side has been shut.
    pub(super) is_shut: bool,
    /// The piece of a file that the disk thread brings into memory.
    pub(super) cold_piece: Option<Arc<ColdPiece>>,
    /// The next piece of the file has just been brought into memory.
    pub(super) is_loaded: bool,
}

impl Slot {
    /// What this connection is known by in later turns.
    pub(super) fn id(&self, index: u32) -> Id {
        Id {
            slot: index,
            generation: self.generation,
        }
    }
}

/// One place for a connection.
#[derive(Debug)]
enum Place {
    Free { generation: u32, next: Option<u32> },
    Used(Slot),
}

// With its timer (28 bytes in the heap) an idle connection stays below 256 bytes.
const _: () = assert!(size_of::<Place>() <= 144);

/// Places in a chunk: what fits in a page.
const CHUNK_SLOTS: usize = 4096 / size_of::<Place>();

/// How many slots one search looks at: where many are idle one is soon found, and where few are the
/// search must not cost more than an accept.
const SEARCH_MAX: u32 = 64;

/// All slots.
#[derive(Debug)]
pub(super) struct Slots {
    chunks: Vec<Box<[Place]>>,
    free: Option<u32>,
    /// Those that ended in this turn.
    ended: Vec<u32>,
    used_count: usize,
    /// Where the last search ended.
    hand: u32,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: None,
            ended: Vec::new(),
            used_count: 0,
            hand: 0,
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.used_count
    }

    /// Puts a connection into a free slot.
    pub(super) fn insert(&mut self, connection: Connection, socket: OwnedFd) -> u32 {
        let index = match self.free {
            Some(index) => index,
            None => self.grow(),
        };
        let place = self.place_mut(index);
        let Place::Free { generation, next } = *place else {
            unreachable!("the free list names free places only");
        };
        *place = Place::Used(Slot {
            connection,
            socket: Socket {
                descriptor: socket,
                told: OnceCell::new(),
            },
            timer: None,
            generation,
            owned_bytes: 0,
            is_readable: true,
            has_peer_ended: false,
            is_writable: true,
            is_queued: false,
            is_registered: false,
            is_shut: false,
            cold_piece: None,
            is_loaded: false,
        });
        self.free = next;
        self.used_count += 1;
        index
    }

    /// The slot with a number, if it is in use.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        let (chunk, place) = locate(index);
        match self.chunks.get_mut(chunk)?.get_mut(place)? {
            Place::Used(slot) => Some(slot),
            Place::Free { .. } => None,
        }
    }

    /// The slot that something of an earlier turn belongs to, if it is still the same use of it.
    pub(super) fn find_mut(&mut self, id: Id) -> Option<&mut Slot> {
        self.get_mut(id.slot)
            .filter(|slot| slot.generation == id.generation)
    }

    /// Ends a connection and closes its socket. The slot is free after [`Self::reclaim`].
    pub(super) fn remove(&mut self, index: u32) {
        let place = self.place_mut(index);
        if let Place::Used(slot) = place {
            let generation = slot.generation.wrapping_add(1);
            *place = Place::Free {
                generation,
                next: None,
            };
            self.ended.push(index);
            self.used_count -= 1;
        }
    }

    /// Frees the slots of the connections that ended in this turn; tells whether there were any.
    pub(super) fn reclaim(&mut self) -> bool {
        let has_ended = !self.ended.is_empty();
        while let Some(index) = self.ended.pop() {
            let first = self.free;
            if let Place::Free { next, .. } = self.place_mut(index) {
                *next = first;
            }
            self.free = Some(index);
        }
        has_ended
    }

    /// The next slot, from where the last search ended, whose connection `is_wanted`. At most
    /// [`SEARCH_MAX`] are looked at.
    pub(super) fn search(&mut self, is_wanted: impl Fn(&Connection) -> bool) -> Option<u32> {
        let count = (self.chunks.len() * CHUNK_SLOTS) as u32;
        for _ in 0..count.min(SEARCH_MAX) {
            self.hand = (self.hand + 1) % count;
            let hand = self.hand;
            if self
                .get_mut(hand)
                .is_some_and(|slot| is_wanted(&slot.connection))
            {
                return Some(hand);
            }
        }
        None
    }

    /// The numbers of all slots in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        let places = self.chunks.iter().flat_map(|chunk| chunk.iter()).zip(0..);
        places
            .filter(|(place, _)| matches!(place, Place::Used(_)))
            .map(|(_, index)| index)
            .collect()
    }

    /// How many connections are in each state, in the order of [`State::ALL`].
    pub(super) fn count_states(&self) -> [u64; State::ALL.len()] {
        let mut counts = [0; State::ALL.len()];
        for place in self.chunks.iter().flat_map(|chunk| chunk.iter()) {
            if let Place::Used(slot) = place {
                counts[slot.connection.state() as usize] += 1;
            }
        }
        counts
    }

    fn place_mut(&mut self, index: u32) -> &mut Place {
        let (chunk, place) = locate(index);
        &mut self.chunks[chunk][place]
    }

    /// Adds a chunk and returns its first place.
    fn grow(&mut self) -> u32 {
        let first = (self.chunks.len() * CHUNK_SLOTS) as u32;
        let last = first + CHUNK_SLOTS as u32 - 1;
        let place = |index| Place::Free {
            generation: 0,
            next: (index < last).then_some(index + 1),
        };
        self.chunks.push((first..=last).map(place).collect());
        first
    }
}

fn locate(index: u32) -> (usize, usize) {
    (index as usize / CHUNK_SLOTS, index as usize % CHUNK_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Limits;

    fn insert(slots: &mut Slots) -> u32 {
        let null = std::fs::File::open("/dev/null").unwrap();
        slots.insert(Connection::new(0, &Limits::default()), null.into())
    }

    #[test]
    fn a_slot_is_used_again_only_after_the_turn_and_under_a_new_generation() {
        let mut slots = Slots::new();
        let first = insert(&mut slots);
        let id = Id {
            slot: first,
            generation: 0,
        };
        assert!(slots.find_mut(id).is_some());
        slots.remove(first);
        assert!(slots.get_mut(first).is_none());
        assert_ne!(insert(&mut slots), first);
        assert!(slots.reclaim());
        assert_eq!(insert(&mut slots), first);
        assert!(
            slots.find_mut(id).is_none(),
            "the old name finds no stranger"
        );
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn many_slots_are_all_different() {
        let mut slots = Slots::new();
        let mut indices: Vec<u32> = (0..100).map(|_| insert(&mut slots)).collect();
        assert_eq!(slots.indices(), indices);
        assert_eq!(slots.count_states()[State::Connect as usize], 100);
        assert_eq!(slots.count_states().iter().sum::<u64>(), 100);
        indices.dedup();
        assert_eq!(indices.len(), 100);
    }
}
