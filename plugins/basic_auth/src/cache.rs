//! Who was right lately, so that a slow hash is computed once and not for each request.
//!
//! Only successes are kept, and of them neither name nor password but a SHA-256 sum that begins with
//! a secret of this instance: without the process's memory an entry cannot be guessed, and when a
//! look-up takes longer says nothing. INVARIANT: never more than `entries_max` entries.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::credentials::Credentials;
use crate::hash::Hash;

/// Stands for a user, a password and the hash that it fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

/// Sums and the times at which they end.
pub(crate) struct Cache {
    secret: [u8; 32],
    /// To milliseconds of the server's clock.
    entries: HashMap<Key, u64>,
    entries_max: usize,
    ttl_ms: u64,
}

impl Cache {
    /// An empty one, with a new secret.
    pub(crate) fn new(entries_max: usize, ttl_ms: u64) -> io::Result<Self> {
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(Self {
            secret,
            entries: HashMap::new(),
            entries_max,
            ttl_ms,
        })
    }

    /// The key for one attempt.
    pub(crate) fn key(&self, attempt: &Credentials, hash: &Hash) -> Key {
        let mut sum = Sha256::new().chain_update(self.secret);
        for part in [&attempt.user[..], &attempt.password, hash.text().as_bytes()] {
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part);
        }
        Key(sum.finalize().into())
    }

    /// A number for a user that nobody outside can tell beforehand and that stays the same.
    pub(crate) fn number(&self, user: &[u8]) -> usize {
        let sum: [u8; 32] = Sha256::new()
            .chain_update(self.secret)
            .chain_update(b"user")
            .chain_update(user)
            .finalize()
            .into();
        usize::from_be_bytes(*sum.first_chunk().expect("a sum is longer than a word"))
    }

    /// Whether it was right not long ago.
    pub(crate) fn contains(&self, key: &Key, now_ms: u64) -> bool {
        self.entries.get(key).is_some_and(|end| now_ms < *end)
    }

    /// It was right just now.
    pub(crate) fn insert(&mut self, key: Key, now_ms: u64) {
        if self.entries_max == 0 {
            return;
        }
        if self.entries.len() == self.entries_max && !self.entries.contains_key(&key) {
            self.make_room(now_ms);
        }
        self.entries.insert(key, now_ms.saturating_add(self.ttl_ms));
    }

    /// Nobody was.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// What has ended goes, or else what ends first.
    fn make_room(&mut self, now_ms: u64) {
        self.entries.retain(|_, end| now_ms < *end);
        if self.entries.len() == self.entries_max {
            let first = self.entries.iter().min_by_key(|(_, end)| **end);
            if let Some(key) = first.map(|(key, _)| *key) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(cache: &Cache, user: &str, password: &str) -> Key {
        let hash = Hash::parse("{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=").unwrap();
        let attempt = Credentials {
            user: user.into(),
            password: password.into(),
        };
        cache.key(&attempt, &hash)
    }

    #[test]
    fn an_entry_ends_after_its_time() {
        let mut cache = Cache::new(2, 100).unwrap();
        let entry = key(&cache, "a", "b");
        assert!(!cache.contains(&entry, 0));
        cache.insert(entry, 5);
        assert!(cache.contains(&entry, 104) && !cache.contains(&entry, 105));
        cache.insert(entry, 200);
        assert!(cache.contains(&entry, 299));
        cache.clear();
        assert!(!cache.contains(&entry, 200));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = Cache::new(2, 100).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|user| key(&cache, user, ""));
        cache.insert(b, 0);
        cache.insert(a, 1);
        cache.insert(c, 2);
        assert!(cache.contains(&a, 2) && cache.contains(&c, 2) && !cache.contains(&b, 2));
        cache.insert(b, 500);
        assert_eq!(cache.entries.len(), 1);
        let mut none = Cache::new(0, 100).unwrap();
        none.insert(a, 0);
        assert!(!none.contains(&a, 0));
    }

    #[test]
    fn a_key_belongs_to_user_password_hash_and_instance() {
        let cache = Cache::new(2, 100).unwrap();
        let one = key(&cache, "ab", "c");
        assert_eq!(one, key(&cache, "ab", "c"));
        assert_ne!(one, key(&cache, "a", "bc"));
        assert_ne!(one, key(&cache, "ab", "C"));
        assert_ne!(one, key(&Cache::new(2, 100).unwrap(), "ab", "c"));
        let other = Hash::parse("{SHA}W8r/fyL/UzygmbNAjq2HbA67qaA=").unwrap();
        let attempt = Credentials {
            user: b"ab".to_vec(),
            password: b"c".to_vec(),
        };
        assert_ne!(one, cache.key(&attempt, &other));
    }
}
