//! What the operations cost, counted in comparisons of deadlines.

use std::cell::Cell;
use std::cmp::Ordering;
use swiftd_timer::{Heap, Timer};

const TIMER_COUNT: u64 = 1 << 14;
const LOG2: u64 = 14;

#[test]
fn insert_takes_at_most_one_comparison_a_level() {
    let mut heap = Heap::new();
    // Falling deadlines: each goes all the way up.
    let worst = (0..TIMER_COUNT)
        .rev()
        .map(|d| comparisons(|| heap.insert(At(d), ())))
        .max();
    assert!(worst <= Some(LOG2), "{worst:?}");
}

#[test]
fn moving_later_takes_one_comparison() {
    let (mut heap, timers) = filled();
    for round in 1..10 {
        for (d, &timer) in (0..).zip(&timers) {
            let later = At(d + round * TIMER_COUNT);
            assert_eq!(comparisons(|| heap.reschedule(timer, later)), 1);
        }
    }
}

#[test]
fn moving_earlier_takes_at_most_one_comparison_a_level() {
    let (mut heap, timers) = filled();
    for (d, &timer) in (0..).zip(&timers).skip(1).step_by(3) {
        heap.reschedule(timer, At(d + TIMER_COUNT));
    }
    for &timer in timers.iter().rev() {
        let count = comparisons(|| heap.reschedule(timer, At(0)));
        assert!(count <= 1 + LOG2, "{count}");
    }
}

#[test]
fn cancel_takes_at_most_one_comparison_a_level() {
    let (mut heap, timers) = filled();
    for &timer in timers
        .iter()
        .step_by(2)
        .chain(timers.iter().skip(1).step_by(2))
    {
        let count = comparisons(|| heap.cancel(timer));
        assert!(count <= LOG2, "{count}");
    }
    assert!(heap.is_empty());
}

#[test]
fn popping_takes_at_most_two_comparisons_a_level() {
    let (mut heap, _) = filled();
    for d in 0..TIMER_COUNT {
        let count = comparisons(|| assert!(heap.pop_expired(At(d)).is_some()));
        assert!(count <= 3 + 2 * LOG2, "{count}");
    }
}

#[test]
fn finding_nothing_due_takes_one_comparison() {
    let (mut heap, timers) = filled();
    for &timer in &timers {
        heap.reschedule(timer, At(2 * TIMER_COUNT));
    }
    // The root's key is still 0; only reaching it costs anything.
    heap.insert(At(5), ());
    heap.pop_expired(At(4));
    assert_eq!(comparisons(|| heap.pop_expired(At(4))), 1);
}

#[test]
fn timers_moved_later_many_times_are_put_in_order_once() {
    let (mut heap, timers) = filled();
    for round in 1..100 {
        for &timer in &timers {
            heap.reschedule(timer, At(round * TIMER_COUNT));
        }
    }
    let first = comparisons(|| assert!(heap.pop_expired(At(TIMER_COUNT)).is_none()));
    // All of them at once is building a heap, which is linear.
    assert!(first <= 3 * TIMER_COUNT, "{first}");
    let second = comparisons(|| assert!(heap.pop_expired(At(TIMER_COUNT)).is_none()));
    assert_eq!(second, 1);
}

/// Ten thousand connections with a request each now and then, and an idle timeout of 15 s.
#[test]
fn a_busy_server_takes_less_than_three_comparisons_a_request() {
    let (connections, requests, timeout) = (10_000_u64, 1_000_000_u64, 15_000_000_u64);
    let mut heap = Heap::new();
    let timers: Vec<Timer> = (0..connections)
        .map(|d| heap.insert(At(timeout + d), ()))
        .collect();
    let mut random = 1_u64;
    let count = comparisons(|| {
        for request in 0..requests {
            let now = 100 * request; // Microseconds, so 10,000 requests a second.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            assert!(heap.pop_expired(At(now)).is_none());
            heap.reschedule(timers[(random % connections) as usize], At(now + timeout));
        }
    });
    // One to look for due timers, one to move, and 0.34 on average to put timers in order.
    assert!(count < 3 * requests, "{count}");
}

fn filled() -> (Heap<At, ()>, Vec<Timer>) {
    let mut heap = Heap::new();
    let timers = (0..TIMER_COUNT).map(|d| heap.insert(At(d), ())).collect();
    (heap, timers)
}

fn comparisons<R>(work: impl FnOnce() -> R) -> u64 {
    let before = COMPARISONS.get();
    work();
    COMPARISONS.get() - before
}

/// A deadline that counts how often it is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct At(u64);

impl Ord for At {
    fn cmp(&self, other: &Self) -> Ordering {
        COMPARISONS.set(COMPARISONS.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

thread_local! {
    static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}
