//! The loop of the mock server: what has happened is told, and who waited for it goes on.

use core::ffi::{c_int, c_void};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::Runner;
use super::table;
use super::world::Place;
use crate::abi::{self, Id, cause, why};
use crate::flow::Why;

/// How long a test waits for what comes from outside before the virtual clock goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// A pointer of the plugin on its way to the helper thread.
struct Crossing(*mut c_void);
// SAFETY: the plugin gave it for that purpose.
unsafe impl Send for Crossing {}

impl Runner {
    /// Turns until nothing is left to do at this moment.
    pub(super) fn settle(&self) {
        loop {
            let mut is_busy = self.drain_queues();
            is_busy |= self.run_timers();
            is_busy |= self.tell_ready(0);
            is_busy |= self.run_jobs(false);
            is_busy |= self.tell_children();
            is_busy |= self.resume();
            is_busy |= self.expire();
            is_busy |= self.begin_inner();
            if !is_busy {
                return;
            }
        }
    }

    /// Goes on until a request is over: what comes from outside is waited for, then the clock
    /// jumps to what is next.
    pub(super) fn drive(&self, id: Id) {
        loop {
            self.settle();
            let state = self.world.lock();
            if !state.flows.contains_key(&id) || !state.faults.is_empty() {
                return;
            }
            assert!(
                !state.holds_jobs || state.jobs.is_empty(),
                "the request waits for a job that the test holds: call run_jobs"
            );
            assert!(
                !state.is_stalled,
                "the request waits for a client that the test has stalled"
            );
            let waits_outside = state.children.values().any(|child| child.code.is_none())
                || !state.watches.is_empty()
                || state
                    .flows
                    .values()
                    .any(|flow| flow.is_waiting && flow.is_announced);
            drop(state);
            if waits_outside && self.wait_outside() {
                continue;
            }
            self.jump();
        }
    }

    /// Whether something came.
    fn wait_outside(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ms = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
            if self.tell_ready(ms) || self.tell_children() || self.is_somebody_woken() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    fn is_somebody_woken(&self) -> bool {
        self.world
            .lock()
            .flows
            .values()
            .any(|flow| flow.is_waiting && flow.is_woken)
    }

    /// The clock goes to the next timer or deadline.
    fn jump(&self) {
        let state = self.world.lock();
        let timers = state.timers.values().map(|timer| timer.at);
        let waiting = state.flows.values().filter(|flow| flow.is_waiting);
        let deadlines = waiting.map(|flow| flow.since + u64::from(flow.deadline_ms));
        let next = timers
            .chain(deadlines)
            .min()
            .expect("a request that waits has a deadline");
        drop(state);
        let now = self.world.now();
        self.advance_clock(next.max(now));
    }

    pub(super) fn advance_clock(&self, to: u64) {
        self.world
            .clock
            .store(to, std::sync::atomic::Ordering::Relaxed);
    }

    /// The client reads what was queued.
    fn drain_queues(&self) -> bool {
        let mut state = self.world.lock();
        if state.is_stalled {
            return false;
        }
        let mut roomy = Vec::new();
        for (id, flow) in &mut state.flows {
            flow.response.queued = 0;
            if core::mem::take(&mut flow.response.wants_room) {
                roomy.push(*id);
            }
        }
        for id in &roomy {
            state.wake(*id, cause::ROOM, 0);
        }
        !roomy.is_empty()
    }

    /// Timers in the order of their times.
    fn run_timers(&self) -> bool {
        let now = self.world.now();
        let mut is_busy = false;
        loop {
            let mut state = self.world.lock();
            let due = state.timers.iter().filter(|(_, timer)| timer.at <= now);
            let Some((id, _)) = due.min_by_key(|(id, timer)| (timer.at, **id)) else {
                return is_busy;
            };
            let id = *id;
            let timer = state.timers.get_mut(&id).expect("found above");
            let (req, fire, arg) = (timer.req, timer.fire, timer.arg);
            if timer.repeat == 0 {
                state.timers.remove(&id);
            } else {
                // Never piled up after a stall.
                timer.at = (timer.at + u64::from(timer.repeat)).max(now + 1);
            }
            if req != 0 {
                state.wake(req, cause::TIMER, id);
            }
            drop(state);
            if let Some(fire) = fire {
                // SAFETY: the plugin gave both for each other.
                unsafe { fire(arg, id) };
                self.after_callback();
            }
            is_busy = true;
        }
    }

    fn tell_ready(&self, ms: c_int) -> bool {
        let mut is_busy = false;
        for (id, ready) in self.world.poll.wait(ms) {
            if id == 0 {
                self.world.silence();
                continue;
            }
            let mut state = self.world.lock();
            let Some(watch) = state.watches.get(&id) else {
                continue;
            };
            let (req, fire, arg) = (watch.req, watch.fire, watch.arg);
            if req != 0 {
                state.wake(req, cause::WATCH, id);
            }
            drop(state);
            if let Some(fire) = fire {
                // SAFETY: the plugin gave both for each other.
                unsafe { fire(arg, id, ready) };
                self.after_callback();
            }
            is_busy = true;
        }
        is_busy
    }

    /// Each on a thread of its own, one after the other. Those that are held only if told to.
    pub(super) fn run_jobs(&self, even_held: bool) -> bool {
        let mut is_busy = false;
        loop {
            let mut state = self.world.lock();
            let holds = state.holds_jobs && !even_held;
            let at = state
                .jobs
                .iter()
                .position(|job| !holds || job.work.is_none());
            let Some(job) = at.and_then(|at| state.jobs.remove(at)) else {
                return is_busy;
            };
            drop(state);
            if let Some(work) = job.work {
                let arg = Crossing(job.arg);
                let clock = Arc::clone(&self.world.clock);
                let run = move || {
                    let arg = arg;
                    table::set_clock(Some(&clock));
                    // SAFETY: the plugin gave both for each other, for another thread.
                    unsafe { work(arg.0) };
                };
                std::thread::spawn(run)
                    .join()
                    .expect("a job does not unwind");
            }
            if let Some(done) = job.done {
                let why = if job.work.is_some() {
                    why::DONE
                } else {
                    why::CLIENT_GONE
                };
                // SAFETY: the plugin gave both for each other; this is the only call.
                unsafe { done(job.arg, why) };
                self.after_callback();
            }
            self.world.lock().wake(job.req, cause::JOB, job.id);
            is_busy = true;
        }
    }

    fn tell_children(&self) -> bool {
        let mut state = self.world.lock();
        let mut ended: Vec<(Id, Id)> = Vec::new();
        for (id, child) in &mut state.children {
            if child.code.is_some() && !core::mem::replace(&mut child.is_told, true) {
                ended.push((*id, child.req));
            }
        }
        for (id, req) in &ended {
            state.wake(*req, cause::CHILD, *id);
        }
        !ended.is_empty()
    }

    /// Those that wait and were woken go on.
    fn resume(&self) -> bool {
        let mut woken = Vec::new();
        for (id, flow) in &mut self.world.lock().flows {
            if flow.is_waiting && core::mem::take(&mut flow.is_woken) {
                woken.push((*id, flow.place));
            }
        }
        for (id, place) in &woken {
            if *place == Place::Handle {
                let rc = self.call(*id, Place::Joblist);
                if rc != abi::GO_ON {
                    if rc != abi::ERROR {
                        self.world
                            .lock()
                            .fault("joblist: only GO_ON is allowed there".into());
                    }
                    self.fail(*id);
                }
            }
            self.run(*id);
        }
        !woken.is_empty()
    }

    /// Waits that lasted too long.
    fn expire(&self) -> bool {
        let now = self.world.now();
        let is_late = |flow: &&super::world::Flowing| {
            flow.is_waiting && !flow.is_woken && flow.since + u64::from(flow.deadline_ms) <= now
        };
        let state = self.world.lock();
        let late: Vec<Id> = state
            .flows
            .iter()
            .filter(|(_, flow)| is_late(flow))
            .map(|it| *it.0)
            .collect();
        drop(state);
        for id in &late {
            self.give_up(*id, 504, Why::Deadline);
        }
        !late.is_empty()
    }

    /// Inner requests begin in the turn after they were asked for.
    fn begin_inner(&self) -> bool {
        let state = self.world.lock();
        let is_new = |id: &&Id| {
            state.flows.get(id).is_some_and(|flow| {
                flow.trace.is_empty() && !flow.is_waiting && flow.comebacks == 0
            })
        };
        let new: Vec<Id> = state.inner.keys().filter(is_new).copied().collect();
        drop(state);
        for id in &new {
            self.run(*id);
        }
        !new.is_empty()
    }

    fn after_callback(&self) {
        self.world.lock().lent.clear();
        self.drop_queued();
    }
}
