//! Nanoseconds per operation with 10,000 timers; reports only. `cargo bench -p swiftd-timer`

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;
use swiftd_timer::{Heap, Timer};

const TIMERS: u64 = 10_000;
const ROUNDS: u64 = 5_000_000;
const TIMEOUT_MS: u64 = 15_000;
/// Requests in a millisecond: 100,000 a second.
const REQUESTS_PER_MS: u64 = 100;

fn main() {
    report("(the loop itself)", |round, slot| {
        black_box((round, slot));
    });

    let (mut heap, timers) = filled();
    report("reschedule later", |round, slot| {
        heap.reschedule(timers[slot], TIMEOUT_MS + round);
    });

    let (mut heap, timers) = filled();
    report("reschedule earlier, then later", |round, slot| {
        heap.reschedule(timers[slot], round);
        heap.reschedule(timers[slot], round + TIMEOUT_MS);
    });

    let (mut heap, mut timers) = filled();
    report("cancel and insert", |round, slot| {
        heap.cancel(timers[slot]);
        timers[slot] = heap.insert(TIMEOUT_MS + round, slot as u32);
    });

    let (mut heap, _) = filled();
    report("pop and insert", |round, slot| {
        let due = heap.pop_expired(u64::MAX);
        heap.insert(TIMEOUT_MS + round, due.unwrap_or(slot as u32));
    });

    let (mut heap, mut timers) = filled();
    report("server: request of an even crowd", |round, slot| {
        turn(&mut heap, &mut timers, round / REQUESTS_PER_MS, slot);
    });

    let (mut heap, mut timers) = filled();
    report(
        "server: a tenth makes nearly all requests",
        |round, slot| {
            let slot = if slot % 50 == 0 { slot } else { slot / 10 };
            turn(&mut heap, &mut timers, round / REQUESTS_PER_MS, slot);
        },
    );

    let (mut heap, timers) = filled();
    for (round, &timer) in (0..).zip(&timers) {
        heap.reschedule(timer, TIMEOUT_MS + round * 7919 % TIMERS);
    }
    let start = Instant::now();
    assert!(heap.pop_expired(1).is_none());
    let nanoseconds = start.elapsed().as_nanos() as f64;
    println!("{nanoseconds:8.0} ns  one pop_expired after all were moved later");

    let mut deadlines = vec![TIMEOUT_MS; TIMERS as usize];
    let mut set: BTreeSet<(u64, usize)> = (0..TIMERS as usize).map(|s| (TIMEOUT_MS, s)).collect();
    report(
        "for comparison: the even crowd in a BTreeSet",
        |round, slot| {
            let now = round / REQUESTS_PER_MS;
            black_box(set.first().is_some_and(|first| first.0 <= now));
            set.remove(&(deadlines[slot], slot));
            deadlines[slot] = now + TIMEOUT_MS;
            set.insert((deadlines[slot], slot));
        },
    );
}

/// One request: look for due timers, move one later, ask how long to sleep.
fn turn(heap: &mut Heap<u64, u32>, timers: &mut [Timer], now: u64, slot: usize) {
    while let Some(due) = heap.pop_expired(now) {
        timers[due as usize] = heap.insert(now + TIMEOUT_MS, due);
    }
    heap.reschedule(timers[slot], now + TIMEOUT_MS);
    black_box(heap.next_deadline());
}

fn filled() -> (Heap<u64, u32>, Vec<Timer>) {
    let mut heap = Heap::with_capacity(TIMERS as usize);
    let timers = (0..TIMERS)
        .map(|slot| heap.insert(slot, slot as u32))
        .collect();
    (heap, timers)
}

fn report(name: &str, mut operation: impl FnMut(u64, usize)) {
    let mut random = 88_172_645_463_325_252_u64;
    let start = Instant::now();
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        operation(round, (random % TIMERS) as usize);
    }
    let nanoseconds = start.elapsed().as_nanos() as f64 / ROUNDS as f64;
    println!("{nanoseconds:8.1} ns  {name}");
}
