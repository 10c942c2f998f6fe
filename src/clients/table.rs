//! A bounded table of clients: found by key, kept by a connection, forgotten in order of disuse.
//!
//! Entries lie in one piece of memory and are named by their number, which stays while somebody
//! holds the entry. Those that nobody holds are in a list, the one that was not used for longest
//! first; the first few of it are searched for one that carries no information before any other is
//! forgotten. INVARIANT: an entry is in that list exactly if its `connections` are 0.
//!
//! When all are held, newcomers share the entry [`SHARED`]: together they are one client more.

use super::Key;
use std::hash::{BuildHasher, RandomState};

/// What is known of one client.
#[derive(Debug)]
pub(super) struct Entry {
    key: Key,
    /// When its bucket is full again, nanoseconds on the loop's clock.
    pub(super) full_at: u64,
    /// How many connections it has.
    pub(super) connections: u32,
    /// The next entry with the same hash, or the next free one.
    next: u32,
    /// The neighbours in the list of those that nobody holds.
    older: u32,
    newer: u32,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// No entry.
const NONE: u32 = u32::MAX;

/// Whoever has found no place of his own has this one.
pub(super) const SHARED: u32 = 0;

/// How many of those that were not used for longest are looked at for one whose bucket is full: they
/// nearly always are, and an attacker who sees to it that they are not must not make it costly.
const SEARCH_MAX: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct Table {
    /// The first one is [`SHARED`].
    entries: Vec<Entry>,
    /// The first entry of each hash. Its length is a power of two.
    buckets: Box<[u32]>,
    hasher: RandomState,
    entries_max: usize,
    used_count: usize,
    free: u32,
    oldest: u32,
    newest: u32,
}

impl Table {
    /// An empty table with room for so many clients, at least one.
    pub(super) fn new(entries_max: usize) -> Self {
        let entries_max = entries_max.clamp(1, 1 << 24);
        // Memory that is not touched takes none.
        let mut entries = Vec::with_capacity(entries_max + 1);
        entries.push(Entry::new(Key::default()));
        Self {
            entries,
            buckets: vec![NONE; entries_max.next_power_of_two()].into(),
            // Clients choose their keys, and must not be able to make them meet.
            hasher: RandomState::new(),
            entries_max,
            used_count: 0,
            free: NONE,
            oldest: NONE,
            newest: NONE,
        }
    }

    /// How many clients there may be.
    pub(super) fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.used_count
    }

    pub(super) fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    pub(super) fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries[index as usize]
    }

    fn key(&self, index: u32) -> Key {
        self.entry(index).key
    }

    /// Whose entry it is; `None` if it is the shared one.
    pub(super) fn owner(&self, index: u32) -> Option<Key> {
        (index != SHARED).then(|| self.key(index))
    }

    /// The entry of a client, which is now the one that was used last; a new one if there is none.
    pub(super) fn find_or_add(&mut self, key: Key, now_ns: u64) -> u32 {
        let bucket = self.bucket(key);
        let mut index = self.buckets[bucket];
        while index != NONE {
            let entry = self.entry(index);
            if entry.key == key {
                if entry.connections == 0 {
                    self.unlink(index);
                    self.link_newest(index);
                }
                return index;
            }
            index = entry.next;
        }
        self.add(key, now_ns)
    }

    /// One connection more.
    pub(super) fn hold(&mut self, index: u32) {
        if index != SHARED && self.entry(index).connections == 0 {
            self.unlink(index);
        }
        self.entry_mut(index).connections += 1;
    }

    /// One connection less.
    pub(super) fn release(&mut self, index: u32) {
        let entry = self.entry_mut(index);
        entry.connections = entry
            .connections
            .checked_sub(1)
            .expect("whoever lets go has held");
        if entry.connections == 0 && index != SHARED {
            self.link_newest(index);
        }
    }

    /// Another table with the same clients, as far as there is room: first those that are held, then
    /// those that were used last. With it, for each number the one in the new table.
    pub(super) fn resized(&self, entries_max: usize, now_ns: u64) -> (Self, Vec<u32>) {
        let mut other = Self::new(entries_max);
        other.entry_mut(SHARED).full_at = self.entry(SHARED).full_at;
        let mut names = vec![SHARED; self.entries.len()];
        let held = (1..self.entries.len() as u32).filter(|&it| self.entry(it).connections > 0);
        for index in held {
            let entry = self.entry(index);
            let name = other.find_or_add(entry.key, now_ns);
            for _ in 0..entry.connections {
                other.hold(name);
            }
            names[index as usize] = name;
        }
        other.entry_mut(SHARED).connections += self.entry(SHARED).connections;
        let room = other.entries_max - other.used_count;
        let idle = std::iter::successors(self.some(self.newest), |&it| {
            self.some(self.entry(it).older)
        });
        let mut kept: Vec<u32> = idle.take(room).collect();
        kept.reverse();
        for index in kept {
            names[index as usize] = other.find_or_add(self.key(index), now_ns);
        }
        for (index, &name) in names.iter().enumerate() {
            let full_at = self.entries[index].full_at;
            let entry = other.entry_mut(name);
            if name != SHARED {
                entry.full_at = full_at;
            }
        }
        (other, names)
    }

    /// All entries, to be changed.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    fn some(&self, index: u32) -> Option<u32> {
        (index != NONE).then_some(index)
    }

    fn bucket(&self, key: Key) -> usize {
        self.hasher.hash_one(key) as usize & (self.buckets.len() - 1)
    }

    fn add(&mut self, key: Key, now_ns: u64) -> u32 {
        if self.used_count == self.entries_max {
            match self.dispensable(now_ns) {
                Some(index) => self.forget(index),
                None => return SHARED,
            }
        }
        let index = if self.free == NONE {
            self.entries.push(Entry::new(key));
            (self.entries.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.entry(index).next;
            *self.entry_mut(index) = Entry::new(key);
            index
        };
        let bucket = self.bucket(key);
        self.entry_mut(index).next = self.buckets[bucket];
        self.buckets[bucket] = index;
        self.used_count += 1;
        self.link_newest(index);
        index
    }

    /// Who is forgotten for another: somebody of whom nothing is known, else whoever was away for
    /// longest.
    fn dispensable(&self, now_ns: u64) -> Option<u32> {
        let oldest = self.some(self.oldest)?;
        let mut index = oldest;
        for _ in 0..SEARCH_MAX {
            if index == NONE {
                break;
            }
            let entry = self.entry(index);
            if entry.full_at <= now_ns {
                return Some(index);
            }
            index = entry.newer;
        }
        Some(oldest)
    }

    fn forget(&mut self, index: u32) {
        self.unlink(index);
        let (key, next) = (self.key(index), self.entry(index).next);
        let bucket = self.bucket(key);
        if self.buckets[bucket] == index {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.entry(before).next != index {
                before = self.entry(before).next;
            }
            self.entry_mut(before).next = next;
        }
        self.entry_mut(index).next = self.free;
        self.free = index;
        self.used_count -= 1;
    }

    fn unlink(&mut self, index: u32) {
        let Entry { older, newer, .. } = *self.entry(index);
        match self.some(older) {
            Some(older) => self.entry_mut(older).newer = newer,
            None => self.oldest = newer,
        }
        match self.some(newer) {
            Some(newer) => self.entry_mut(newer).older = older,
            None => self.newest = older,
        }
    }

    fn link_newest(&mut self, index: u32) {
        let before = std::mem::replace(&mut self.newest, index);
        let entry = self.entry_mut(index);
        entry.older = before;
        entry.newer = NONE;
        match self.some(before) {
            Some(before) => self.entry_mut(before).newer = index,
            None => self.oldest = index,
        }
    }
}

impl Entry {
    fn new(key: Key) -> Self {
        Self {
            key,
            full_at: 0,
            connections: 0,
            next: NONE,
            older: NONE,
            newer: NONE,
        }
    }
}
