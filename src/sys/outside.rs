//! What a plugin may do from a thread of its own: wake a request, write a log line, count.
//!
//! All of it is noted under a lock and taken by the loop, which is woken. INVARIANT: both lists are
//! bounded; what is over the bound is counted and told.

use super::poll::Waker;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The meeting place of the loop and all other threads.
#[derive(Debug)]
pub struct Outside {
    waker: Waker,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Requests whose ids have been handed out.
    known: HashSet<u64>,
    /// Those of them that were woken, each once.
    woken: Vec<u64>,
    lines: Vec<Line>,
    dropped_count: u64,
    counters: Vec<Counter>,
    names: BTreeMap<(Box<str>, Box<[u8]>), u32>,
}

/// A line for the log.
#[derive(Debug)]
pub struct Line {
    /// Who says it.
    pub plugin: Box<str>,
    /// How loud.
    pub level: u32,
    /// What.
    pub text: Box<[u8]>,
}

/// A number that a plugin counts, across its reloads.
#[derive(Clone, Debug)]
pub struct Counter {
    /// Whose.
    pub plugin: Box<str>,
    /// What it counts.
    pub name: Box<[u8]>,
    /// How much.
    pub value: i64,
}

/// What the loop has to do.
#[derive(Debug, Default)]
pub struct Heard {
    /// Requests to wake.
    pub woken: Vec<u64>,
    /// Lines to log.
    pub lines: Vec<Line>,
    /// How many lines found no place.
    pub dropped_count: u64,
}

/// Levels above this are not logged.
pub const LEVEL_MAX: u32 = swiftd_plugin::abi::level::INFO;

/// Lines that wait for the loop.
const LINES_MAX: usize = 256;

/// A line's length, bytes.
pub const LINE_BYTES_MAX: usize = 4096;

/// Counters of all plugins together: a page of a status display, not a database.
const COUNTERS_MAX: usize = 256;

impl Outside {
    /// A meeting place nobody is at.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            waker: Waker::new()?,
            state: Mutex::default(),
        })
    }

    /// Becomes readable when there is something to do.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is half done while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `request` can be woken from anywhere.
    pub fn publish(&self, request: u64) {
        self.lock().known.insert(request);
    }

    /// The request has ended.
    pub fn forget(&self, request: u64) {
        self.lock().known.remove(&request);
    }

    /// Wakes a request; false if it has ended.
    pub fn wake(&self, request: u64) -> bool {
        let mut state = self.lock();
        if !state.known.contains(&request) {
            return false;
        }
        if !state.woken.contains(&request) {
            state.woken.push(request);
        }
        drop(state);
        self.waker.wake();
        true
    }

    /// Notes a line.
    pub fn log(&self, plugin: &str, level: u32, text: &[u8]) {
        if level > LEVEL_MAX {
            return;
        }
        let mut state = self.lock();
        if state.lines.len() >= LINES_MAX {
            state.dropped_count += 1;
            return;
        }
        state.lines.push(Line {
            plugin: plugin.into(),
            level,
            text: text[..text.len().min(LINE_BYTES_MAX)].into(),
        });
        drop(state);
        self.waker.wake();
    }

    /// The number of a counter, which keeps its value when the plugin is loaded anew; 0 if there
    /// are too many.
    pub fn counter(&self, plugin: &str, name: &[u8]) -> u32 {
        let mut state = self.lock();
        let key = (Box::from(plugin), Box::from(name));
        if let Some(&number) = state.names.get(&key) {
            return number;
        }
        if state.counters.len() == COUNTERS_MAX {
            return 0;
        }
        state.counters.push(Counter {
            plugin: plugin.into(),
            name: name.into(),
            value: 0,
        });
        let number = state.counters.len() as u32;
        state.names.insert(key, number);
        number
    }

    /// Adds to a counter. A number that is none is ignored.
    pub fn count(&self, counter: u32, add: i64) {
        let index = (counter as usize).wrapping_sub(1);
        if let Some(counter) = self.lock().counters.get_mut(index) {
            counter.value = counter.value.wrapping_add(add);
        }
    }

    /// All counters as they are.
    #[must_use]
    pub fn counters(&self) -> Vec<Counter> {
        self.lock().counters.clone()
    }

    /// Takes what there is to do.
    #[must_use]
    pub fn take(&self) -> Heard {
        self.waker.clear();
        let mut state = self.lock();
        Heard {
            woken: std::mem::take(&mut state.woken),
            lines: std::mem::take(&mut state.lines),
            dropped_count: std::mem::take(&mut state.dropped_count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_is_known_is_woken_and_once() {
        let outside = Outside::new().unwrap();
        assert!(!outside.wake(7));
        outside.publish(7);
        assert!(outside.wake(7) && outside.wake(7));
        assert_eq!(outside.take().woken, [7]);
        outside.forget(7);
        assert!(!outside.wake(7));
    }

    #[test]
    fn lines_over_the_bound_are_counted() {
        let outside = Outside::new().unwrap();
        for _ in 0..LINES_MAX + 3 {
            outside.log("a", 0, &[b'x'; LINE_BYTES_MAX + 1]);
        }
        let heard = outside.take();
        assert_eq!((heard.lines.len(), heard.dropped_count), (LINES_MAX, 3));
        assert_eq!(heard.lines[0].text.len(), LINE_BYTES_MAX);
    }

    #[test]
    fn a_counter_is_found_again_by_its_name() {
        let outside = Outside::new().unwrap();
        let first = outside.counter("a", b"hits");
        outside.count(first, 2);
        assert_eq!(outside.counter("a", b"hits"), first);
        assert_ne!(outside.counter("b", b"hits"), first);
        outside.count(0, 1);
        outside.count(99, 1);
        assert_eq!(outside.counters()[0].value, 2);
        for number in 0..COUNTERS_MAX {
            outside.counter("c", &number.to_ne_bytes());
        }
        assert_eq!(outside.counter("c", b"one more"), 0);
    }
}
