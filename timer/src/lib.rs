#![doc = include_str!("../README.md")]
//!
//! # Inside
//!
//! `order` is a binary heap of node indices, `nodes` holds the timers at fixed indices, so that a
//! handle can name one. A node keeps a single deadline. Moving it later would break the heap order
//! below the node, so the node is marked *late* instead: its place no longer says anything about its
//! children. The next `pop_expired` that finds a late root restores the order, and only as far down
//! as late nodes hang together.
//!
//! INVARIANT: a node that is not late is due no later than every node below it.
//! INVARIANT: no node is due before the root's key, which is what `next_deadline` tells.
//!
//! This crate must not know what a deadline is, where the time comes from, or what a timer is for.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::num::NonZeroU32;

/// A set of timers, each a deadline with a payload; the earliest comes out first.
///
/// `D` is any ordered point in time (milliseconds as `u64`, ticks as `u32`, `Instant`), `T` what is
/// handed back when the timer is due, such as a slot number.
///
/// ```
/// let mut timers = swiftd_timer::Heap::new();
/// timers.insert(20_u64, "second");
/// timers.insert(10, "first");
/// assert_eq!(timers.pop_expired(15), Some("first"));
/// assert_eq!(timers.pop_expired(15), None);
/// ```
#[derive(Clone, Debug)]
pub struct Heap<D, T> {
    /// The binary heap: the children of position `p` are at `2p + 1` and `2p + 2`.
    /// INVARIANT: `nodes[order[p]].position() == p`.
    order: Vec<u32>,
    /// INVARIANT: the nodes not in `order` are free, and each is on the free list once.
    nodes: Vec<Node<D, T>>,
    /// First node of the free list, or `NONE`.
    free: u32,
    /// Counts inserts, so that no two timers share an index and a generation.
    generation: NonZeroU32,
    /// The root's key while the root is late; means nothing otherwise.
    late_root_key: Option<D>,
}

/// Names one timer of the [`Heap`] that gave it out; 8 bytes, also as an `Option`.
///
/// Once the timer has fired or was cancelled, its handle is stale: every call with it answers `None`
/// or `false` and changes nothing, also when the memory serves another timer by now. Generations wrap:
/// a stale handle has to be kept for exactly 2³² − 1 inserts to be mistaken for a living one.
///
/// ```
/// let mut timers = swiftd_timer::Heap::new();
/// let old = timers.insert(10_u64, 'a');
/// timers.cancel(old);
/// let new = timers.insert(20, 'b');
/// assert_eq!(timers.cancel(old), None);
/// assert_eq!(timers.cancel(new), Some('b'));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timer {
    index: u32,
    generation: NonZeroU32,
}

impl<D: Copy + Ord, T: Copy> Heap<D, T> {
    /// An empty heap that owns no memory yet.
    ///
    /// ```
    /// let timers = const { swiftd_timer::Heap::<u64, u32>::new() };
    /// assert!(timers.is_empty());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self {
            order: Vec::new(),
            nodes: Vec::new(),
            free: NONE,
            generation: NonZeroU32::MIN,
            late_root_key: None,
        }
    }

    /// An empty heap with room for `timer_count` timers, so that inserting them does not allocate.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::with_capacity(1_000);
    /// timers.insert(10_u64, 1_u32);
    /// ```
    #[must_use]
    pub fn with_capacity(timer_count: usize) -> Self {
        Self {
            order: Vec::with_capacity(timer_count),
            nodes: Vec::with_capacity(timer_count),
            ..Self::new()
        }
    }

    /// Adds a timer. O(log n); allocates only when there are more timers than ever before.
    ///
    /// # Panics
    ///
    /// With 2³¹ − 1 timers in the heap already.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// assert_eq!(timers.deadline(timer), Some(10));
    /// ```
    pub fn insert(&mut self, deadline: D, payload: T) -> Timer {
        let position = self.order.len();
        assert!(position < TIMERS_MAX, "too many timers");
        let node = Node {
            deadline,
            payload,
            generation: self.generation.get(),
            place: position as u32,
        };
        let index = match self.free {
            NONE => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
            index => {
                let unused = &mut self.nodes[index as usize];
                debug_assert_eq!(unused.generation, FREE);
                self.free = unused.place;
                *unused = node;
                index
            }
        };
        self.order.push(index);
        self.sift_up(position);
        let generation = self.generation;
        self.generation = generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        Timer { index, generation }
    }

    /// Moves a timer to another deadline; `false` if the handle is stale.
    ///
    /// To a later one, this notes it in the timer's node and is done: O(1), one comparison. To an
    /// earlier one, the timer takes its new place at once: O(log n).
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// assert!(timers.reschedule(timer, 30));
    /// assert_eq!(timers.pop_expired(29), None);
    /// assert_eq!(timers.pop_expired(30), Some('a'));
    /// assert!(!timers.reschedule(timer, 50));
    /// ```
    #[inline]
    pub fn reschedule(&mut self, timer: Timer, deadline: D) -> bool {
        let Some(node) = self
            .nodes
            .get_mut(timer.index as usize)
            .filter(|node| node.is(timer))
        else {
            return false;
        };
        let before = core::mem::replace(&mut node.deadline, deadline);
        match deadline.cmp(&before) {
            Ordering::Greater => {
                if node.position() == 0 && !node.is_late() {
                    self.late_root_key = Some(before);
                }
                // Also without children, where it need not be: asking costs more than it saves.
                node.place |= LATE;
            }
            Ordering::Equal => {}
            Ordering::Less => {
                let position = node.position();
                if position == 0 {
                    // There is no ancestor whose place a late root could take.
                    self.late_root_key = self.late_root_key.min(Some(deadline));
                }
                self.sift_up(position);
            }
        }
        true
    }

    /// Removes a timer and returns its payload; `None` if the handle is stale. O(log n).
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// assert_eq!(timers.cancel(timer), Some('a'));
    /// assert_eq!(timers.cancel(timer), None);
    /// ```
    pub fn cancel(&mut self, timer: Timer) -> Option<T> {
        let position = self.live(timer)?.position();
        Some(self.remove(position))
    }

    /// When a timer is due, later moves included; `None` if the handle is stale. O(1).
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// timers.reschedule(timer, 30);
    /// assert_eq!(timers.deadline(timer), Some(30));
    /// ```
    #[must_use]
    pub fn deadline(&self, timer: Timer) -> Option<D> {
        self.live(timer).map(|node| node.deadline)
    }

    /// Removes the earliest timer with a deadline at or before `now` and returns its payload, or
    /// `None` if none is due. Which of several equal deadlines comes first is unspecified, but the
    /// same calls always give the same order.
    ///
    /// O(1) while `now` is before [`next_deadline`](Self::next_deadline). Otherwise O(log n) and, on
    /// top, O(log n) for each timer that has to be put back in order first: each at most once in a
    /// call, and at most once for all the times it was moved later since it was last put in order.
    /// Over a lifetime there are at most as many of these as calls that moved a timer later, removed
    /// one or popped one.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// timers.insert(10_u64, 'a');
    /// timers.insert(10, 'b');
    /// let mut due = vec![];
    /// while let Some(payload) = timers.pop_expired(10) {
    ///     due.push(payload);
    /// }
    /// assert_eq!(due.len(), 2);
    /// ```
    #[inline]
    pub fn pop_expired(&mut self, now: D) -> Option<T> {
        if self.next_deadline()? > now {
            return None;
        }
        self.settle_root();
        if self.node(0).deadline > now {
            return None;
        }
        Some(self.remove(0))
    }

    /// How long one may sleep: no timer is due before this. `None` if there are no timers. O(1).
    ///
    /// It is never later than the earliest deadline, but may be earlier: where the earliest timer
    /// was moved later or cancelled, this tells where it was. Waking then is harmless, and happens
    /// once: after [`pop_expired(now)`](Self::pop_expired) has answered `None`, this is after `now`.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// timers.insert(20, 'b');
    /// timers.reschedule(timer, 30);
    /// assert_eq!(timers.next_deadline(), Some(10)); // The true one is 20.
    /// assert_eq!(timers.pop_expired(10), None);
    /// assert_eq!(timers.next_deadline(), Some(20));
    /// ```
    #[inline]
    #[must_use]
    pub fn next_deadline(&self) -> Option<D> {
        if self.order.is_empty() {
            None
        } else {
            self.key(0)
        }
    }

    /// The number of timers.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// timers.insert(10_u64, 'a');
    /// assert_eq!(timers.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are no timers.
    ///
    /// ```
    /// assert!(swiftd_timer::Heap::<u64, u32>::new().is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Removes all timers and keeps the memory; all handles are stale.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::new();
    /// let timer = timers.insert(10_u64, 'a');
    /// timers.clear();
    /// assert_eq!(timers.deadline(timer), None);
    /// ```
    pub fn clear(&mut self) {
        self.order.clear();
        self.nodes.clear();
        self.free = NONE;
    }

    /// Gives memory back after a burst. O(n), for quiet moments.
    ///
    /// Handles stay good, so nodes cannot move: what is given back is what lies above the highest
    /// node in use. New timers take the lowest free nodes afterwards, which helps the next call.
    ///
    /// ```
    /// let mut timers = swiftd_timer::Heap::with_capacity(1_000);
    /// let timer = timers.insert(10_u64, 'a');
    /// timers.shrink();
    /// assert_eq!(timers.deadline(timer), Some(10));
    /// ```
    pub fn shrink(&mut self) {
        let used = self.nodes.iter().rposition(|node| node.generation != FREE);
        self.nodes.truncate(used.map_or(0, |index| index + 1));
        self.nodes.shrink_to_fit();
        self.order.shrink_to_fit();
        self.free = NONE;
        for (index, node) in self.nodes.iter_mut().enumerate().rev() {
            if node.generation == FREE {
                node.place = self.free;
                self.free = index as u32;
            }
        }
    }

    fn live(&self, timer: Timer) -> Option<&Node<D, T>> {
        self.nodes
            .get(timer.index as usize)
            .filter(|node| node.is(timer))
    }

    fn node(&self, position: usize) -> &Node<D, T> {
        &self.nodes[self.order[position] as usize]
    }

    /// What bounds the deadlines from `position` down, where that is known: a node's own deadline
    /// unless it is late, and for a late root the deadline up to which it was not.
    fn key(&self, position: usize) -> Option<D> {
        let node = self.node(position);
        match (node.is_late(), position) {
            (false, _) => Some(node.deadline),
            (true, 0) => self.late_root_key,
            (true, _) => None,
        }
    }

    /// Puts a node where it belongs in `order`, which is no longer late there.
    fn put(&mut self, position: usize, index: u32, late: u32) {
        self.order[position] = index;
        self.nodes[index as usize].place = position as u32 | late;
    }

    /// Moves the node at `position` above those it is due before.
    ///
    /// Late nodes on the way are passed over: only an ancestor's key says whether to move. On taking
    /// that ancestor's place the node is due before all that is below, so it is not late any more.
    fn sift_up(&mut self, position: usize) {
        let index = self.order[position];
        let deadline = self.node(position).deadline;
        let (mut hole, mut above) = (position, position);
        while above > 0 {
            above = parent(above);
            match self.key(above) {
                None => continue,
                Some(key) if key <= deadline => break,
                Some(_) => {}
            }
            while hole != above {
                let late = self.node(parent(hole)).place & LATE;
                self.put(hole, self.order[parent(hole)], late);
                hole = parent(hole);
            }
        }
        if hole != position {
            self.put(hole, index, 0);
        }
    }

    /// Puts late nodes in order until the root is not late, and so is the earliest of all.
    ///
    /// Walks the late nodes that hang together from the root, children first. Each turn goes down one
    /// level or clears one late mark and goes up one, and no mark is set: this ends.
    fn settle_root(&mut self) {
        let mut position = 0;
        while self.node(0).is_late() {
            match self.earlier_child(position) {
                Some(child) if self.node(child).is_late() => position = child,
                _ => {
                    self.sift_down(position);
                    position = parent(position);
                }
            }
        }
    }

    /// Moves the node at `position` below those due before it, after which it is not late.
    ///
    /// A late child has to go above it, because what is below that child may be due any time.
    fn sift_down(&mut self, position: usize) {
        let index = self.order[position];
        let deadline = self.node(position).deadline;
        let mut hole = position;
        while let Some(child) = self.earlier_child(hole) {
            let below = self.node(child);
            let late = below.place & LATE;
            if late == 0 && below.deadline >= deadline {
                break;
            }
            self.put(hole, self.order[child], late);
            hole = child;
        }
        self.put(hole, index, 0);
    }

    /// The child that comes first: a late one, because its key is unknown, or else the earlier.
    fn earlier_child(&self, position: usize) -> Option<usize> {
        let left = first_child(position);
        let right = left + 1;
        if right >= self.order.len() {
            return (left < self.order.len()).then_some(left);
        }
        let (left_node, right_node) = (self.node(left), self.node(right));
        let takes_right = !left_node.is_late()
            && (right_node.is_late() || right_node.deadline < left_node.deadline);
        Some(if takes_right { right } else { left })
    }

    /// Takes out the node at `position` and frees it. The last node fills the gap; it is late there,
    /// for nobody has compared it with its new children.
    fn remove(&mut self, position: usize) -> T {
        if position == 0 {
            self.late_root_key = self.next_deadline();
        }
        let index = self.order.swap_remove(position);
        debug_assert_eq!(self.nodes[index as usize].position(), position);
        if position < self.order.len() {
            self.put(position, self.order[position], LATE);
            self.sift_up(position);
        }
        let node = &mut self.nodes[index as usize];
        node.generation = FREE;
        node.place = self.free;
        self.free = index;
        node.payload
    }

    /// Panics where an invariant does not hold. O(n), for tests.
    #[doc(hidden)]
    pub fn check_invariants(&self) {
        for (position, &index) in self.order.iter().enumerate() {
            let node = &self.nodes[index as usize];
            assert_eq!(node.position(), position);
            assert_ne!(node.generation, FREE);
            assert!(self.key(0).is_some_and(|key| key <= node.deadline));
            // Nodes that are not late bound one another on each way down, so the nearest will do.
            let mut above = position;
            while above > 0 {
                above = parent(above);
                if let Some(key) = self.key(above) {
                    assert!(key <= node.deadline);
                    break;
                }
            }
        }
        let (mut free, mut free_count) = (self.free, 0);
        while free != NONE {
            assert_eq!(self.nodes[free as usize].generation, FREE);
            free = self.nodes[free as usize].place;
            free_count += 1;
        }
        assert_eq!(free_count + self.order.len(), self.nodes.len());
    }
}

impl<D: Copy + Ord, T: Copy> Default for Heap<D, T> {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug)]
struct Node<D, T> {
    deadline: D,
    payload: T,
    /// That of the timer's handle, or `FREE`.
    generation: u32,
    /// The position in `order`, with the bit `LATE`; of a free node, the next on the free list.
    place: u32,
}

impl<D, T> Node<D, T> {
    fn is(&self, timer: Timer) -> bool {
        self.generation == timer.generation.get()
    }

    fn is_late(&self) -> bool {
        self.place & LATE != 0
    }

    fn position(&self) -> usize {
        (self.place & !LATE) as usize
    }
}

fn parent(position: usize) -> usize {
    position.saturating_sub(1) / 2
}

fn first_child(position: usize) -> usize {
    2 * position + 1
}

/// Set in [`Node::place`] while the order below the node is not known.
const LATE: u32 = 1 << 31;
/// The end of the free list. No index: there are never so many nodes.
const NONE: u32 = u32::MAX;
/// The generation of a free node, which no handle has.
const FREE: u32 = 0;
/// As many as positions fit beside `LATE`; also keeps `first_child` within 32 bits.
const TIMERS_MAX: usize = LATE as usize - 1;

// What the README promises a server with little memory.
const _: () = assert!(size_of::<Node<u32, u32>>() + size_of::<u32>() == 20);
const _: () = assert!(size_of::<Node<u64, u32>>() + size_of::<u32>() <= 28);
const _: () = assert!(size_of::<Option<Timer>>() == 8);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn heap(deadlines: &[u64]) -> (Heap<u64, u32>, Vec<Timer>) {
        let mut heap = Heap::new();
        let timers = (0..)
            .zip(deadlines)
            .map(|(slot, &d)| heap.insert(d, slot))
            .collect();
        (heap, timers)
    }

    fn pop_all(heap: &mut Heap<u64, u32>, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| {
            heap.check_invariants();
            heap.pop_expired(now)
        })
        .collect()
    }

    #[test]
    fn timers_come_out_in_the_order_of_their_deadlines() {
        let (mut heap, _) = heap(&[50, 10, 40, 20, 30]);
        assert_eq!(pop_all(&mut heap, 100), [1, 3, 4, 2, 0]);
        assert!(heap.is_empty());
    }

    #[test]
    fn a_timer_is_due_at_its_deadline_and_not_before() {
        let (mut heap, _) = heap(&[10]);
        assert_eq!(heap.pop_expired(9), None);
        assert_eq!(heap.pop_expired(10), Some(0));
    }

    #[test]
    fn an_empty_heap_has_no_deadline() {
        let (mut heap, timers) = heap(&[10]);
        heap.cancel(timers[0]);
        assert_eq!(heap.next_deadline(), None);
        assert_eq!(heap.pop_expired(u64::MAX), None);
    }

    #[test]
    fn a_timer_moved_later_does_not_fire_early() {
        let (mut heap, timers) = heap(&[10, 20, 30]);
        assert!(heap.reschedule(timers[0], 25));
        assert_eq!(heap.deadline(timers[0]), Some(25));
        assert_eq!(pop_all(&mut heap, 24), [1]);
        assert_eq!(pop_all(&mut heap, 25), [0]);
    }

    #[test]
    fn a_timer_moved_earlier_fires_earlier() {
        let (mut heap, timers) = heap(&[10, 20, 30]);
        assert!(heap.reschedule(timers[2], 5));
        assert_eq!(heap.next_deadline(), Some(5));
        assert_eq!(pop_all(&mut heap, 10), [2, 0]);
    }

    #[test]
    fn a_timer_moved_later_and_back_fires_at_the_last_deadline() {
        let (mut heap, timers) = heap(&[10, 20, 30]);
        heap.reschedule(timers[0], 100);
        heap.reschedule(timers[0], 15);
        assert_eq!(pop_all(&mut heap, 14), []);
        assert_eq!(pop_all(&mut heap, 20), [0, 1]);
    }

    #[test]
    fn a_timer_moved_to_its_own_deadline_stays() {
        let (mut heap, timers) = heap(&[10, 20]);
        assert!(heap.reschedule(timers[0], 10));
        assert_eq!(heap.next_deadline(), Some(10));
        assert_eq!(pop_all(&mut heap, 20), [0, 1]);
    }

    #[test]
    fn an_early_timer_is_found_below_ones_moved_later() {
        let (mut heap, timers) = heap(&[10, 20, 30, 40, 50, 60, 70]);
        for &timer in &timers[..3] {
            heap.reschedule(timer, 100);
        }
        heap.insert(35, 7);
        assert_eq!(pop_all(&mut heap, 45), [7, 3]);
        assert_eq!(pop_all(&mut heap, 99), [4, 5, 6]);
        assert_eq!(heap.len(), 3);
    }

    #[test]
    fn equal_deadlines_all_fire_and_always_in_the_same_order() {
        let order = || pop_all(&mut heap(&[10; 20]).0, 10);
        let mut slots = order();
        assert_eq!(slots, order());
        slots.sort_unstable();
        assert_eq!(slots, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn next_deadline_is_the_old_one_until_the_moved_root_is_popped_at() {
        let (mut heap, timers) = heap(&[10, 20]);
        heap.reschedule(timers[0], 30);
        assert_eq!(heap.next_deadline(), Some(10));
        heap.reschedule(timers[0], 40);
        assert_eq!(heap.next_deadline(), Some(10));
        assert_eq!(heap.pop_expired(10), None);
        assert_eq!(heap.next_deadline(), Some(20));
    }

    #[test]
    fn next_deadline_sees_an_insert_below_a_late_root() {
        let (mut heap, timers) = heap(&[10, 20]);
        heap.reschedule(timers[0], 30);
        heap.insert(5, 2);
        assert_eq!(heap.next_deadline(), Some(5));
        heap.check_invariants();
    }

    #[test]
    fn next_deadline_sees_a_late_root_moved_before_its_old_deadline() {
        let (mut heap, timers) = heap(&[10, 20]);
        heap.reschedule(timers[0], 30);
        heap.reschedule(timers[0], 5);
        assert_eq!(heap.next_deadline(), Some(5));
        assert_eq!(pop_all(&mut heap, 5), [0]);
    }

    #[test]
    fn a_cancelled_timer_never_fires() {
        let (mut heap, timers) = heap(&[10, 20, 30, 40]);
        assert_eq!(heap.cancel(timers[0]), Some(0));
        assert_eq!(heap.cancel(timers[2]), Some(2));
        assert_eq!(pop_all(&mut heap, 100), [1, 3]);
    }

    #[test]
    fn a_stale_handle_does_nothing_to_the_timer_in_its_place() {
        let (mut heap, timers) = heap(&[10]);
        heap.cancel(timers[0]);
        let stranger = heap.insert(20, 1);
        assert_eq!(stranger.index, timers[0].index);
        assert!(!heap.reschedule(timers[0], 5));
        assert_eq!(heap.deadline(timers[0]), None);
        assert_eq!(heap.cancel(timers[0]), None);
        assert_eq!(heap.deadline(stranger), Some(20));
    }

    #[test]
    fn a_handle_is_stale_after_its_timer_fired() {
        let (mut heap, timers) = heap(&[10]);
        assert_eq!(heap.pop_expired(10), Some(0));
        assert!(!heap.reschedule(timers[0], 20));
        assert_eq!(heap.cancel(timers[0]), None);
    }

    #[test]
    fn handles_are_stale_after_clear_and_shrink() {
        let (mut heap, timers) = heap(&[10, 20]);
        heap.clear();
        heap.shrink();
        assert!(heap.is_empty());
        heap.insert(30, 2);
        assert!(timers.iter().all(|&timer| heap.cancel(timer).is_none()));
        assert_eq!(pop_all(&mut heap, 30), [2]);
    }

    #[test]
    fn the_last_generation_is_followed_by_the_first() {
        let (mut heap, _) = heap(&[]);
        heap.generation = NonZeroU32::MAX;
        let (last, first) = (heap.insert(10, 0), heap.insert(20, 1));
        assert_eq!(
            (last.generation, first.generation),
            (NonZeroU32::MAX, NonZeroU32::MIN)
        );
        assert_eq!((heap.cancel(last), heap.cancel(first)), (Some(0), Some(1)));
    }

    #[test]
    fn nodes_are_used_again() {
        let (mut heap, timers) = heap(&[10, 20, 30]);
        for round in 0..100 {
            assert!(heap.pop_expired(u64::MAX).is_some());
            heap.insert(round, 0);
        }
        assert_eq!(heap.nodes.len(), timers.len());
    }

    #[test]
    fn shrink_gives_back_what_a_burst_took() {
        let (mut heap, timers) = heap(&[10; 1000]);
        for &timer in &timers[2..] {
            heap.cancel(timer);
        }
        heap.cancel(timers[0]);
        heap.shrink();
        heap.check_invariants();
        assert!(heap.nodes.capacity() < 10 && heap.order.capacity() < 10);
        assert_eq!(heap.insert(5, 7).index, 0);
        assert_eq!(pop_all(&mut heap, 10), [7, 1]);
    }

    #[test]
    fn a_reserved_heap_does_not_grow() {
        let mut heap = Heap::<u64, u32>::with_capacity(1000);
        let before = (heap.order.capacity(), heap.nodes.capacity());
        for slot in 0..1000 {
            heap.insert(u64::from(slot), slot);
        }
        assert_eq!((heap.order.capacity(), heap.nodes.capacity()), before);
    }

    #[test]
    fn ten_thousand_timers_take_28_bytes_each() {
        fn bytes<D: Copy + Ord, T: Copy>(heap: &Heap<D, T>) -> usize {
            heap.nodes.capacity() * size_of::<Node<D, T>>() + heap.order.capacity() * 4
        }
        assert!(bytes(&Heap::<u64, u32>::with_capacity(10_000)) <= 280_000);
        assert!(bytes(&Heap::<u32, u32>::with_capacity(10_000)) <= 200_000);
    }

    #[test]
    fn any_ordered_copy_type_is_a_deadline() {
        let mut heap = Heap::default();
        heap.insert(core::time::Duration::from_secs(2), "two");
        heap.insert(core::time::Duration::from_secs(1), "one");
        let due = vec![heap.pop_expired(core::time::Duration::from_secs(1)), None];
        assert_eq!(due, [Some("one"), None]);
    }
}
