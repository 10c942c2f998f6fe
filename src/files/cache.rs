//! A bounded cache of what paths stand for, of "nothing" too.
//!
//! Three bounds: entries, bytes, descriptors. When one is reached, a path is let in only if it was
//! asked for shortly before, and what goes for it is found by a clock hand that passes over entries
//! which were used since it last came by. So a scan of many paths that are asked for once neither
//! drives out the few that are asked for often, nor costs their memory's way through the allocator.
//! INVARIANT: `map` names every entry of `ring` exactly once.

use super::site::{Found, Outcome};
use crate::http::Representation;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

/// Bounds of the cache.
#[derive(Copy, Clone, Debug)]
pub struct Bounds {
    /// Paths.
    pub entries_max: usize,
    /// Memory, bytes.
    pub bytes_max: usize,
    /// Descriptors of files that are too large for memory.
    pub descriptors_max: usize,
    /// How long an entry is believed before the file system is asked again.
    pub trust: Duration,
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    map: HashMap<Arc<[u8]>, usize>,
    ring: Vec<Entry>,
    hand: usize,
    bytes: usize,
    descriptors: usize,
    bounds: Bounds,
    /// Paths that were refused, by a part of their hash: each in the place that another part names,
    /// until another path takes it.
    refused: [u16; REFUSED_COUNT],
}

/// How many refused paths are remembered. A path is let in if it comes again before its place is
/// taken, that is, if about one in so many of the refused requests is for it.
const REFUSED_COUNT: usize = 128;

#[derive(Debug)]
struct Entry {
    path: Arc<[u8]>,
    found: Arc<Found>,
    /// When it was found, milliseconds.
    since: u64,
    was_used: bool,
    bytes: usize,
    descriptors: usize,
}

/// What an entry costs beside its path and what was found: itself, its place in the map, and the
/// allocator's overhead.
const ENTRY_BYTES: usize = size_of::<Entry>() + 64;

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            map: HashMap::new(),
            ring: Vec::new(),
            hand: 0,
            bytes: 0,
            descriptors: 0,
            bounds,
            refused: [0; REFUSED_COUNT],
        }
    }

    /// How many entries it has, their memory in bytes, and the files that they hold open.
    #[must_use]
    pub fn size(&self) -> (usize, usize, usize) {
        (self.ring.len(), self.bytes, self.descriptors)
    }

    /// What it may have.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Sets what it may have; what is over goes.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
        while self.is_over() {
            self.evict();
        }
    }

    /// How long an entry is believed, milliseconds.
    #[must_use]
    pub fn trust_ms(&self) -> u64 {
        u64::try_from(self.bounds.trust.as_millis()).unwrap_or(u64::MAX)
    }

    /// What `path` stood for, if that was seen a short while ago.
    pub fn get(&mut self, path: &[u8], now: u64) -> Option<&Arc<Found>> {
        let trust_ms = self.trust_ms();
        let entry = &mut self.ring[*self.map.get(path)?];
        if now.saturating_sub(entry.since) >= trust_ms {
            return None;
        }
        entry.was_used = true;
        Some(&entry.found)
    }

    /// The file that `path` stood for when it was last looked up, however long ago.
    #[must_use]
    pub fn last_file(&self, path: &[u8]) -> Option<&Arc<Representation>> {
        match &self.ring[*self.map.get(path)?].found.outcome {
            Outcome::File(file) => Some(file),
            Outcome::Directory | Outcome::Missing(_) => None,
        }
    }

    /// Remembers what `path` stands for now; forgets others if there is no room.
    pub fn insert(&mut self, path: Box<[u8]>, found: Arc<Found>, now: u64) {
        let bytes = ENTRY_BYTES + path.len() + found.memory_bytes();
        let descriptors = found.descriptor_count();
        if let Some(&index) = self.map.get(&path[..]) {
            let entry = &mut self.ring[index];
            self.bytes = self.bytes - entry.bytes + bytes;
            self.descriptors = self.descriptors - entry.descriptors + descriptors;
            entry.found = found;
            entry.since = now;
            entry.bytes = bytes;
            entry.descriptors = descriptors;
        } else if self.has_room(bytes, descriptors) || self.is_wanted_again(&path) {
            let path: Arc<[u8]> = path.into();
            self.map.insert(Arc::clone(&path), self.ring.len());
            self.bytes += bytes;
            self.descriptors += descriptors;
            self.ring.push(Entry {
                path,
                found,
                since: now,
                was_used: false,
                bytes,
                descriptors,
            });
        }
        while self.is_over() {
            self.evict();
        }
    }

    fn has_room(&self, bytes: usize, descriptors: usize) -> bool {
        self.ring.len() < self.bounds.entries_max
            && self.bytes + bytes <= self.bounds.bytes_max
            && self.descriptors + descriptors <= self.bounds.descriptors_max
    }

    /// Whether a path was refused shortly before; if not, it is now.
    fn is_wanted_again(&mut self, path: &[u8]) -> bool {
        let hash = self.map.hasher().hash_one(path);
        let place = &mut self.refused[hash as usize % REFUSED_COUNT];
        let mark = (hash >> 48) as u16;
        std::mem::replace(place, mark) == mark
    }

    /// Forgets all paths but some.
    pub fn retain(&mut self, is_kept: impl Fn(&[u8]) -> bool) {
        let mut index = 0;
        while let Some(entry) = self.ring.get(index) {
            if is_kept(&entry.path) {
                index += 1;
            } else {
                self.remove(index);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.ring.len() > self.bounds.entries_max
            || self.bytes > self.bounds.bytes_max
            || self.descriptors > self.bounds.descriptors_max
    }

    /// Forgets the first entry under the hand that was not used since the hand last came by.
    fn evict(&mut self) {
        loop {
            if self.hand >= self.ring.len() {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.ring[self.hand].was_used) {
                break;
            }
            self.hand += 1;
        }
        if self.remove(self.hand) {
            // The last entry has taken the place; it gets its turn when the hand comes round.
            self.hand += 1;
        }
    }

    /// Forgets an entry. Tells whether the last one has taken its place.
    fn remove(&mut self, index: usize) -> bool {
        let entry = self.ring.swap_remove(index);
        self.map.remove(&entry.path);
        self.bytes -= entry.bytes;
        self.descriptors -= entry.descriptors;
        let moved = self.ring.get(index);
        if let Some(place) = moved.and_then(|moved| self.map.get_mut(&moved.path)) {
            *place = index;
        }
        moved.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Outcome, Variant};
    use crate::http::Status;

    fn missing() -> Arc<Found> {
        Arc::new(Found {
            outcome: Outcome::Missing(Status::NOT_FOUND),
            variants: [const { Variant::Absent }; 3],
        })
    }

    fn cache(entries_max: usize) -> Cache {
        Cache::new(Bounds {
            entries_max,
            bytes_max: 1 << 20,
            descriptors_max: 8,
            trust: Duration::from_secs(1),
        })
    }

    fn has(cache: &mut Cache, path: &str) -> bool {
        cache.get(path.as_bytes(), 0).is_some()
    }

    #[test]
    fn an_entry_is_believed_for_a_bounded_time() {
        let mut cache = cache(4);
        cache.insert(Box::from(&b"/a"[..]), missing(), 100);
        assert!(cache.get(b"/a", 1_099).is_some());
        assert!(cache.get(b"/a", 1_100).is_none());
        cache.insert(Box::from(&b"/a"[..]), missing(), 1_100);
        assert!(cache.get(b"/a", 1_101).is_some());
        assert_eq!(cache.ring.len(), 1);
    }

    #[test]
    fn a_scan_does_not_drive_out_what_is_in_use() {
        let mut cache = cache(8);
        cache.insert(Box::from(&b"/hot"[..]), missing(), 0);
        for number in 0..1_000 {
            assert!(has(&mut cache, "/hot"), "lost after {number}");
            cache.insert(format!("/{number}").into_bytes().into(), missing(), 0);
            assert!(cache.ring.len() <= 8 && cache.map.len() == cache.ring.len());
        }
    }

    #[test]
    fn what_is_not_retained_is_forgotten_and_not_accounted() {
        let mut cache = cache(1_000);
        for number in 0..100 {
            cache.insert(format!("/{number}").into_bytes().into(), missing(), 0);
        }
        cache.hand = 90;
        cache.retain(|path| path.ends_with(b"7"));
        assert_eq!(cache.size().0, 10);
        for number in 0..100 {
            assert_eq!(
                has(&mut cache, &format!("/{number}")),
                number % 10 == 7,
                "{number}"
            );
        }
        let held: usize = cache.ring.iter().map(|entry| entry.bytes).sum();
        assert_eq!(held, cache.bytes);
        cache.bounds.entries_max = 3;
        cache.insert(Box::from(&b"/new"[..]), missing(), 0);
        assert_eq!((cache.map.len(), cache.ring.len()), (3, 3));
        cache.retain(|_| false);
        assert_eq!(cache.size(), (0, 0, 0));
    }

    #[test]
    fn a_path_that_is_asked_for_often_gets_in() {
        let mut cache = cache(8);
        for number in 0..1_000 {
            cache.insert(format!("/{number}").into_bytes().into(), missing(), 0);
        }
        assert!(!has(&mut cache, "/new"));
        let is_let_in = (0..50).any(|number| {
            cache.insert(Box::from(&b"/new"[..]), missing(), 0);
            cache.insert(format!("/{number}").into_bytes().into(), missing(), 0);
            has(&mut cache, "/new")
        });
        assert!(is_let_in, "of two paths by turns, each is one in two");
    }

    #[test]
    fn bytes_are_bounded_and_accounted() {
        let mut cache = cache(1_000);
        cache.bounds.bytes_max = 4_000;
        for number in 0..500 {
            let path = format!("/{}", number % 50);
            cache.insert(path.into_bytes().into(), missing(), 0);
            let held: usize = cache.ring.iter().map(|entry| entry.bytes).sum();
            assert_eq!(held, cache.bytes);
            assert!(cache.bytes <= 4_000);
            for (path, &index) in &cache.map {
                assert_eq!(path, &cache.ring[index].path);
            }
        }
        assert!(!cache.ring.is_empty());
    }
}
