//! Ids: what a plugin knows things by that outlive one call.
//!
//! A kind, a generation and a place in a table. The generation grows with each use of the place, so
//! a stale id finds nothing; it comes round after 2^36 uses of one place.

use crate::conn;

/// What an id names.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Request = 1,
    Connection = 2,
    Timer = 3,
    Watch = 4,
    Job = 5,
    Child = 6,
    Subrequest = 7,
}

const PLACE_BITS: u32 = 24;
const GENERATION_BITS: u32 = 36;

/// The id of the `generation`th use of a place. `place` is below 2^24.
pub(super) fn id(kind: Kind, generation: u64, place: u32) -> u64 {
    debug_assert!(place < 1 << PLACE_BITS);
    let generation = generation & ((1 << GENERATION_BITS) - 1);
    (kind as u64) << (PLACE_BITS + GENERATION_BITS) | generation << PLACE_BITS | u64::from(place)
}

/// The id of a connection.
pub(super) fn of_connection(connection: conn::Id) -> u64 {
    id(
        Kind::Connection,
        connection.generation.into(),
        connection.slot,
    )
}

/// Whether an id is one of `kind`.
pub(super) fn is(id: u64, kind: Kind) -> bool {
    id >> (PLACE_BITS + GENERATION_BITS) == kind as u64
}

/// The place of an id.
pub(super) fn place(id: u64) -> usize {
    (id & ((1 << PLACE_BITS) - 1)) as usize
}

/// How many things of one kind there may be.
pub(super) const PLACES_MAX: usize = 1 << PLACE_BITS;

/// A table whose places are used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<T> {
    generation: u64,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Puts a value in; `make` gets its place's generation and number. `None` if there is no room.
    pub(super) fn insert(&mut self, make: impl FnOnce(u64, u32) -> T) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < PLACES_MAX => {
                self.places.push(Place {
                    generation: 0,
                    value: None,
                });
                (self.places.len() - 1) as u32
            }
            None => return None,
        };
        let slot = &mut self.places[place as usize];
        slot.generation += 1;
        slot.value = Some(make(slot.generation, place));
        Some(place)
    }

    pub(super) fn get(&self, place: usize) -> Option<&T> {
        self.places.get(place)?.value.as_ref()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.places.get_mut(place)?.value.as_mut()
    }

    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let value = self.places.get_mut(place)?.value.take()?;
        self.free.push(place as u32);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind_and_place_and_is_not_used_again() {
        let mut slab = Slab::new();
        let make = |generation, place| id(Kind::Timer, generation, place);
        let first = slab.insert(make).unwrap() as usize;
        let old = *slab.get(first).unwrap();
        assert!(is(old, Kind::Timer) && !is(old, Kind::Watch) && place(old) == first);
        assert_eq!(slab.remove(first), Some(old));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.insert(make).unwrap() as usize, first);
        assert_ne!(*slab.get(first).unwrap(), old);
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
    }
}
