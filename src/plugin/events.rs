//! What happens to plugins between requests: timers, watches, jobs, children, the tick of a second.
//!
//! All of it is called from the top of the loop, never from inside a host function.

use super::host::Call;
use super::instance::{Instance, Tally};
use super::jobs::Finished;
use super::resource::{Resource, What};
use super::runtime::Runtime;
use crate::sys::abi;
use crate::sys::clock;
use crate::sys::crash::Hook;
use crate::sys::poll::Readiness;
use std::rc::Rc;

/// How often trigger is called, milliseconds.
const TRIGGER_MS: u64 = 1000;

/// A call that takes longer is told, milliseconds.
pub(super) const SLOW_MS: u64 = 50;

impl Runtime {
    /// Something came from another thread.
    pub(super) fn handle_outside(&mut self) {
        let heard = self.outside.take();
        for request in heard.woken {
            self.wake(request, abi::cause::WAKE, request);
        }
        for line in heard.lines {
            self.lines.add(&line.plugin, line.level, &line.text, 0);
        }
        if heard.dropped_count > 0 {
            self.lines.warn(format!(
                "{} log lines of plugins' threads dropped",
                heard.dropped_count
            ));
        }
        for finished in self.jobs.take_finished() {
            match finished {
                Finished::Plugin { id, is_cancelled } => self.handle_job(id, is_cancelled),
                Finished::Look(looked) => self.looked = Some(looked),
                Finished::Forget => self.forgotten_count += 1,
            }
        }
    }

    pub(super) fn handle_job(&mut self, job: u64, is_cancelled: bool) {
        let Some(resource) = self.resources.remove(job) else {
            return;
        };
        let What::Job { done, .. } = resource.what else {
            return;
        };
        let instance = resource.instance;
        if let Some(done) = done {
            let slot = instance.guest.slot();
            self.timed(&instance, Hook::Callback, |call| {
                done.call(call, slot, is_cancelled);
            });
        }
        self.unbind(resource.request, job);
        self.wake(resource.request, abi::cause::JOB, job);
    }

    /// Children that were killed, or that nobody asks for, leave no zombies.
    fn reap(&mut self) {
        self.dying.retain_mut(|child| child.status().is_none());
    }

    /// A watched descriptor or a child's has become ready.
    pub(super) fn handle_ready(&mut self, readiness: Readiness) {
        self.reap();
        let Some(resource) = self
            .resources
            .at(readiness.key.wrapping_sub(self.keys.resources))
        else {
            return;
        };
        let (resource_id, request) = (resource.id, resource.request);
        let instance = Rc::clone(&resource.instance);
        match &resource.what {
            What::Watch { fire, rw, .. } => {
                let (fire, rw) = (*fire, *rw);
                let ready = ready_bits(readiness, rw);
                if ready == 0 {
                    return;
                }
                if let Some(fire) = fire {
                    let slot = instance.guest.slot();
                    self.timed(&instance, Hook::Callback, |call| {
                        fire.call(call, slot, resource_id, ready);
                    });
                }
                self.wake(request, abi::cause::WATCH, resource_id);
            }
            What::Child(_) => self.handle_child(resource_id, &instance),
            _ => {}
        }
    }

    fn handle_child(&mut self, child_id: u64, instance: &Rc<Instance>) {
        let Some(resource) = self.resources.find_mut(child_id) else {
            return;
        };
        let request = resource.request;
        if resource.child_end().is_none() {
            return;
        }
        // Nobody may ask any more, and nothing else would end it.
        let is_left = |own: &Rc<Instance>| Rc::ptr_eq(own, instance);
        if request == 0 && self.leaving.iter().any(is_left) {
            self.resources.remove(child_id);
        }
        self.wake(request, abi::cause::CHILD, child_id);
    }

    /// Fires what is due.
    pub(super) fn advance(&mut self, now: u64) {
        self.now = now;
        self.reap();
        while let Some(place) = self.timers.pop_expired(now) {
            self.fire(place as usize);
        }
        if self.trigger_due.is_some_and(|due| due <= now) {
            // Ticks that a stall has swallowed are not made up for.
            self.trigger_due = Some(now + TRIGGER_MS);
            self.call_all(Hook::Trigger);
        }
        self.release();
    }

    /// The current generation is another one.
    pub(super) fn refresh_trigger(&mut self) {
        let instances = &self.current.instances;
        let is_wanted = instances
            .iter()
            .any(|instance| instance.guest.plugin().trigger.is_some());
        self.trigger_due = match self.trigger_due {
            Some(due) if is_wanted => Some(due),
            _ => is_wanted.then(|| clock::monotonic_ms() + TRIGGER_MS),
        };
    }

    /// SIGHUP came.
    pub(super) fn call_sighup(&mut self) {
        self.call_all(Hook::Sighup);
    }

    fn call_all(&mut self, hook: Hook) {
        let generation = Rc::clone(&self.current);
        for instance in &generation.instances {
            let code = self.timed(instance, hook, |call| instance.guest.call(hook, call));
            if code != abi::GO_ON && hook != Hook::Trigger {
                let text = format!("{} returned {code}", hook.name());
                self.lines
                    .add(&instance.name, abi::level::ERROR, text.as_bytes(), 0);
            }
        }
    }

    fn fire(&mut self, place: usize) {
        let Some(resource) = self.resources.at(place) else {
            return;
        };
        let (timer_id, request) = (resource.id, resource.request);
        let instance = Rc::clone(&resource.instance);
        let What::Timer {
            ms, repeats, fire, ..
        } = resource.what
        else {
            return;
        };
        if repeats {
            // Late ticks are not made up for.
            let next = self
                .timers
                .insert(self.now + u64::from(ms.max(1)), place as u32);
            if let Some(Resource {
                what: What::Timer { timer, .. },
                ..
            }) = self.resources.find_mut(timer_id)
            {
                *timer = Some(next);
            }
        } else {
            self.resources.remove(timer_id);
            self.unbind(request, timer_id);
        }
        if let Some(fire) = fire {
            let slot = instance.guest.slot();
            self.timed(&instance, Hook::Callback, |call| {
                fire.call(call, slot, timer_id);
            });
        }
        self.wake(request, abi::cause::TIMER, timer_id);
    }

    /// Lets go of what plugins wanted to be let go, from the top of the loop.
    pub(super) fn release(&mut self) {
        loop {
            let Some((instance, release)) = self.releases.borrow_mut().pop_front() else {
                return;
            };
            let slot = instance.guest.slot();
            self.timed(&instance, Hook::Callback, |call| release.run(call, slot));
        }
    }

    /// Calls into an instance outside any request, and notes how long that took.
    pub(super) fn timed<R>(
        &mut self,
        instance: &Rc<Instance>,
        hook: Hook,
        call: impl FnOnce(&mut Call<'_>) -> R,
    ) -> R {
        let watch = self.stopwatch();
        let result = call(&mut Call::of_instance(self, instance));
        self.note_time(instance, hook, watch.ms());
        self.trace(watch, instance, hook, 0, None);
        self.loans.end();
        result
    }

    pub(super) fn note_time(&mut self, instance: &Instance, hook: Hook, ms: u64) {
        Tally::add(&instance.tally.calls, 1);
        if ms == 0 {
            return;
        }
        Tally::add(&instance.tally.busy_ms, ms);
        if ms > SLOW_MS {
            Tally::add(&instance.tally.slow_calls, 1);
            self.lines.warn(format!(
                "plugin {}: {} held the loop for {ms} ms (over {SLOW_MS}); use a job, a watch or a timer",
                instance.name,
                hook.name()
            ));
        }
    }
}

fn ready_bits(readiness: Readiness, wanted: u32) -> u32 {
    let mut bits = 0;
    if readiness.is_readable {
        bits |= abi::ready::READ & wanted;
    }
    if readiness.is_writable {
        bits |= abi::ready::WRITE & wanted;
    }
    if readiness.is_hung_up {
        bits |= abi::ready::HANGUP;
    }
    bits
}
