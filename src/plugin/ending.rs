//! The end of instances: cleanup, what is left over taken back, the library unmapped.
//!
//! An instance that belongs to no current generation ends as soon as nothing refers to it: no old
//! generation, request, connection, job, child or lent byte. INVARIANT: `cleanup` runs once, and
//! nothing of the library is called after it.

use super::instance::Instance;
use super::jobs::Task;
use super::library::{self, Closed, Library};
use super::runtime::Runtime;
use crate::conn::Why;
use crate::sys::crash::{self, Hook};
use crate::sys::guest::Guest;
use crate::sys::threads;
use std::rc::Rc;

/// A library that is to be closed once the job thread has let go of it.
pub(super) struct Closing {
    library: Library,
    /// Threads of a library that stays mapped may still say who they are.
    guest: Guest,
    slot: u16,
    since: u64,
    /// How many tasks of the job thread must be done before.
    waits_for: u64,
    /// When it is tried again, and until when, if a thread is there that the server did not start:
    /// one that was joined is still listed for a moment.
    retry: Option<(u64, u64)>,
}

/// How long a thread that was joined may be listed, and how often it is looked for, milliseconds.
const PATIENCE_MS: u64 = 20;
const RETRY_MS: u64 = 2;

impl Closing {
    /// Its place in the shared page.
    pub(super) fn slot(&self) -> u16 {
        self.slot
    }

    /// Whether it is to be closed now.
    pub(super) fn is_ready(&self, forgotten_count: u64, now: u64) -> bool {
        self.waits_for <= forgotten_count && self.retry.is_none_or(|(at, _)| at <= now)
    }

    /// When it is tried again.
    pub(super) fn due(&self) -> Option<u64> {
        self.retry.map(|(at, _)| at)
    }
}

impl Runtime {
    /// Ends what nothing refers to any more.
    pub(super) fn end_leaving(&mut self) {
        if self.leaving.is_empty() && self.closing.is_empty() {
            return;
        }
        while let Some(place) = self
            .leaving
            .iter()
            .position(|instance| Rc::strong_count(instance) == 1)
        {
            // In order: what was made for a rejected reload ends in the reverse of its beginning.
            let instance = self.leaving.remove(place);
            self.end(instance);
        }
        while let Some(place) = self
            .closing
            .iter()
            .position(|closing| closing.is_ready(self.forgotten_count, self.now))
        {
            let closing = self.closing.swap_remove(place);
            self.unload(closing);
        }
    }

    fn end(&mut self, instance: Rc<Instance>) {
        if instance.is_begun.get() {
            self.timed(&instance, Hook::Cleanup, |call| {
                instance.guest.end(Hook::Cleanup, call);
            });
        }
        // Nothing that cleanup asked for is of use.
        let left = self.strip(&instance);
        if left > 0 {
            self.lines.warn(format!(
                "plugin {}: its cleanup left {left} timers, watches, jobs or children",
                instance.name
            ));
        }
        let instance = match Rc::try_unwrap(instance) {
            Ok(instance) => instance,
            Err(held) => {
                // The library stays.
                let why = "a job that its cleanup began is still running";
                self.figures.note_stuck(&held.name, held.since, why);
                if let Some(bench) = &self.bench {
                    bench.handle_end(&Closed::Stuck(why.into()));
                }
                return;
            }
        };
        let (slot, since) = (instance.guest.slot(), instance.since);
        let (guest, library) = instance.into_parts();
        let mut closing = Closing {
            guest,
            slot,
            since,
            waits_for: 0,
            retry: None,
            library,
        };
        if self.jobs.is_running() {
            // Destructors of thread-locals that a job has made run on the job's thread.
            let thread_locals = closing.library.thread_locals();
            let forget = move || thread_locals.run_here();
            if self.jobs.submit(Task::Forget(Box::new(forget))).is_ok() {
                self.forget_count += 1;
                closing.waits_for = self.forget_count;
            }
        }
        self.closing.push(closing);
    }

    fn unload(&mut self, mut closing: Closing) {
        let foreign = threads::list().unwrap_or_default();
        let patient_until = closing
            .retry
            .map_or(self.now + PATIENCE_MS, |(_, until)| until);
        if !foreign.is_empty() && self.now < patient_until {
            closing.retry = Some((self.now + RETRY_MS, patient_until));
            self.closing.push(closing);
            return;
        }
        let Closing {
            library,
            guest,
            slot,
            since,
            ..
        } = closing;
        let name = library.name().to_owned();
        crash::enter(slot, Hook::Unload);
        let closed = library.close_unless(|| library::hindrance(&foreign));
        crash::leave();
        crash::clear_entry(slot);
        if closed != Closed::Unmapped {
            std::mem::forget(guest);
        }
        if let Some(bench) = &self.bench {
            bench.handle_end(&closed);
        }
        match closed {
            Closed::Unmapped => {}
            Closed::Resident => {
                self.figures.resident_count += 1;
                self.lines.say(format!(
                    "plugin {name} of generation {since}: it stays mapped, as it asks to"
                ));
            }
            Closed::Stuck(why) => {
                self.figures.note_stuck(&name, since, &why);
                self.lines.complain(format!(
                    "plugin {name} of generation {since}: it cannot be unmapped: {why}"
                ));
            }
        }
    }

    /// The server ends: every instance ends in good order.
    pub(super) fn stop(&mut self) {
        // `done` is owed to all work that has not begun, and to what was done just now.
        self.handle_outside();
        for job in self.jobs.take_waiting() {
            self.handle_job(job, true);
        }
        let connections: Vec<u64> = self.kept.keys().copied().collect();
        for connection in connections {
            self.close(connection, Why::Stop);
        }
        self.release();
        let empty = super::generation::Generation::new(self.current.number + 1, Vec::new());
        let last = std::mem::replace(&mut self.current, Rc::new(empty));
        for instance in last.instances.iter().rev() {
            instance.is_live.set(false);
            self.strip(instance);
        }
        // A job that runs holds its instance; the process ends without waiting for it.
        let mut instances: Vec<_> = last.instances.iter().rev().cloned().collect();
        drop(last);
        instances.append(&mut self.leaving);
        for instance in instances {
            let is_alone = Rc::strong_count(&instance) == 1;
            if is_alone && instance.is_begun.replace(false) {
                self.timed(&instance, Hook::Cleanup, |call| {
                    instance.guest.end(Hook::Cleanup, call);
                });
            }
            self.strip(&instance);
        }
    }
}
