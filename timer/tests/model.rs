//! The heap against a sorted set, over millions of random operations.
//!
//! Nothing here looks inside the heap but `check_invariants`. Every answer is compared with that of
//! the model, which keeps the true deadlines. A failure prints the seed and the operation's number.

use std::collections::BTreeSet;
use swiftd_timer::{Heap, Timer};

/// Three million in all in an optimised build, two million in a debug build.
const OPERATIONS_PER_SEED: u32 = if cfg!(debug_assertions) {
    250_000
} else {
    375_000
};

#[test]
fn tiny_heaps_agree_with_the_model() {
    World::new(1, 3, 1_000).run();
    World::new(2, 8, 1_000).run();
}

#[test]
fn small_heaps_agree_with_the_model() {
    World::new(3, 50, 1_000).run();
    World::new(4, 300, 1_000).run();
}

#[test]
fn large_heaps_agree_with_the_model() {
    World::new(5, 2_000, 10_000).run();
    World::new(6, 10_000, 50_000).run();
}

#[test]
fn ties_agree_with_the_model() {
    World::new(7, 200, 4).run();
    World::new(8, 1_000, 1).run();
}

struct World {
    seed: u64,
    random: u64,
    operation: u32,
    /// Deadlines lie up to this far from now, or from the old one.
    deadline_spread: u64,
    now: u64,
    heap: Heap<u64, u32>,
    /// The model: per payload the timer and its true deadline, and the same in order.
    slots: Vec<Option<(Timer, u64)>>,
    by_deadline: BTreeSet<(u64, u32)>,
    stale: Vec<Timer>,
}

impl World {
    fn new(seed: u64, slot_count: usize, deadline_spread: u64) -> Self {
        Self {
            seed,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            operation: 0,
            deadline_spread,
            now: 0,
            heap: Heap::new(),
            slots: vec![None; slot_count],
            by_deadline: BTreeSet::new(),
            stale: Vec::new(),
        }
    }

    fn run(mut self) {
        while self.operation < OPERATIONS_PER_SEED {
            self.operation += 1;
            self.step();
            self.check_answers();
            // A full check costs O(n), so its interval grows with n.
            if (self.operation as usize).is_multiple_of(16 + self.heap.len()) {
                self.heap.check_invariants();
            }
        }
        self.now = u64::MAX;
        while !self.by_deadline.is_empty() {
            self.pop();
        }
        assert_eq!(self.heap.pop_expired(u64::MAX), None);
        self.heap.check_invariants();
    }

    fn step(&mut self) {
        match self.below(1_000) {
            0..250 => self.insert(),
            250..500 => self.reschedule(|now, _, far| now + far),
            500..600 => self.reschedule(|_, old, far| old + far),
            600..660 => self.reschedule(|_, old, far| old.saturating_sub(far)),
            660..680 => self.reschedule(|_, old, _| old),
            680..760 => self.cancel(),
            760..800 => self.use_stale(),
            800..998 => {
                self.now += match self.below(64) {
                    0 => self.below(20 * self.deadline_spread),
                    1..20 => self.below(8),
                    _ => 0,
                };
                self.pop();
            }
            998 => self.heap.shrink(),
            _ => self.clear(),
        }
    }

    /// Into any slot; a timer that is already there is cancelled.
    fn insert(&mut self) {
        let payload = self.below(self.slots.len() as u64) as u32;
        if self.slots[payload as usize].is_some() {
            let timer = self.forget(payload);
            assert_eq!(self.heap.cancel(timer), Some(payload));
        }
        let deadline = self.now + self.below(self.deadline_spread);
        let timer = self.heap.insert(deadline, payload);
        self.slots[payload as usize] = Some((timer, deadline));
        self.by_deadline.insert((deadline, payload));
    }

    fn reschedule(&mut self, to: impl Fn(u64, u64, u64) -> u64) {
        let Some(payload) = self.pick() else { return };
        let far = self.below(self.deadline_spread);
        let (timer, old) = self.slots[payload as usize].expect("a living timer was picked");
        let deadline = to(self.now, old, far);
        assert!(self.heap.reschedule(timer, deadline));
        assert_eq!(self.heap.deadline(timer), Some(deadline));
        self.slots[payload as usize] = Some((timer, deadline));
        self.by_deadline.remove(&(old, payload));
        self.by_deadline.insert((deadline, payload));
    }

    fn cancel(&mut self) {
        let Some(payload) = self.pick() else { return };
        let timer = self.forget(payload);
        assert_eq!(self.heap.cancel(timer), Some(payload));
    }

    fn pop(&mut self) {
        let earliest = self.by_deadline.first().map(|&(deadline, _)| deadline);
        match self.heap.pop_expired(self.now) {
            Some(payload) => {
                // Which of several equal ones comes first is the heap's choice.
                let popped = self.slots[payload as usize].map(|(_, deadline)| deadline);
                assert_eq!(popped, earliest);
                assert!(popped <= Some(self.now));
                let timer = self.forget(payload);
                assert_eq!(self.heap.deadline(timer), None);
            }
            None => {
                assert!(earliest.is_none_or(|deadline| deadline > self.now));
                assert!(
                    self.heap
                        .next_deadline()
                        .is_none_or(|deadline| deadline > self.now)
                );
            }
        }
    }

    fn use_stale(&mut self) {
        if self.stale.is_empty() {
            return;
        }
        let slot = self.below(self.stale.len() as u64) as usize;
        let timer = self.stale[slot];
        assert!(!self.heap.reschedule(timer, self.now));
        assert_eq!(self.heap.deadline(timer), None);
        assert_eq!(self.heap.cancel(timer), None);
    }

    /// More rarely the larger the heap may grow, or it would never get there.
    fn clear(&mut self) {
        if self.below(self.slots.len() as u64 / 10 + 1) == 0 {
            self.heap.clear();
            while let Some(&(_, payload)) = self.by_deadline.first() {
                self.forget(payload);
            }
        }
    }

    fn check_answers(&self) {
        let earliest = self.by_deadline.first().map(|&(deadline, _)| deadline);
        let told = self.heap.next_deadline();
        assert!(told <= earliest, "{told:?} is later than {earliest:?}");
        assert_eq!(told.is_some(), earliest.is_some());
        assert_eq!(self.heap.len(), self.by_deadline.len());
        assert_eq!(self.heap.is_empty(), self.by_deadline.is_empty());
    }

    /// A slot with a timer. Where timers are few, it may find none.
    fn pick(&mut self) -> Option<u32> {
        let slot_count = self.slots.len() as u64;
        for _ in 0..8 {
            let slot = self.below(slot_count) as usize;
            if self.slots[slot].is_some() {
                return Some(slot as u32);
            }
        }
        None
    }

    fn forget(&mut self, payload: u32) -> Timer {
        let (timer, deadline) = self.slots[payload as usize]
            .take()
            .expect("a living payload");
        assert!(self.by_deadline.remove(&(deadline, payload)));
        if self.stale.len() < 1_000 {
            self.stale.push(timer);
        } else {
            let slot = self.below(1_000) as usize;
            self.stale[slot] = timer;
        }
        timer
    }

    /// xorshift64*
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "failed with seed {} at operation {}",
                self.seed, self.operation
            );
        }
    }
}
