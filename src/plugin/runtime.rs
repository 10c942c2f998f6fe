//! What all loaded plugins share at run time: requests, resources, data, the current generation.
//!
//! Calls into plugins begin here or in `chain`; what plugins ask for during a call arrives in
//! `host`. INVARIANT: no method that `host` uses calls into a plugin.

use super::Keys;
use super::ending::Closing;
use super::figures::Figures;
use super::generation::Generation;
use super::host::Call;
use super::id::{self, Kind};
use super::inner::Descent;
use super::instance::{Instance, Tally};
use super::jobs::{Finished, Jobs};
use super::lines::Lines;
use super::request::{Kept, Record, Requests};
use super::resource::{Resource, Resources, What};
use crate::conn;
use crate::sys::abi::{self, Release};
use crate::sys::child::Child;
use crate::sys::clock;
use crate::sys::crash::Hook;
use crate::sys::outside::Outside;
use crate::sys::poll::{Readiness, Registrar};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use swiftd_timer::Heap;

/// Things that plugins want to be let go, by whom.
pub(super) type Releases = Rc<RefCell<VecDeque<(Rc<Instance>, Release)>>>;

/// What all loaded plugins share.
pub(super) struct Runtime {
    pub(super) outside: Arc<Outside>,
    pub(super) registrar: Option<Registrar>,
    pub(super) keys: Keys,
    /// The absolute path of the site's root.
    pub(super) root: Box<[u8]>,
    pub(super) now: u64,
    pub(super) current: Rc<Generation>,
    pub(super) requests: Requests,
    pub(super) resources: Resources,
    pub(super) timers: Heap<u64, u32>,
    /// What is kept for connections.
    pub(super) kept: HashMap<u64, Vec<Kept>>,
    pub(super) releases: Releases,
    /// Requests to be resumed, each once.
    pub(super) wakes: VecDeque<u64>,
    pub(super) jobs: Jobs,
    pub(super) looked: Option<super::reload::Looked>,
    pub(super) lines: Lines,
    pub(super) figures: Figures,
    /// Instances that belong to no current generation, until nothing refers to them.
    pub(super) leaving: Vec<Rc<Instance>>,
    /// Inner requests to be started.
    pub(super) inner: VecDeque<super::InnerRequest>,
    /// Connections that carry inner requests which no hook has seen yet.
    pub(super) descents: HashMap<conn::Id, Descent>,
    /// Plugins that are listed and were not loaded, because they kill the server.
    pub(super) left_out: Vec<String>,
    pub(super) closing: Vec<Closing>,
    /// How often the job thread was asked to let go of a library, and how often it has.
    pub(super) forget_count: u64,
    pub(super) forgotten_count: u64,
    /// When trigger is called next, if anybody implements it.
    trigger_due: Option<u64>,
    /// Children that were killed and have not been reaped; nobody asks for them any more.
    dying: Vec<Child>,
}

/// How often trigger is called, milliseconds.
const TRIGGER_MS: u64 = 1000;

/// A call that takes longer is told, milliseconds.
pub(super) const SLOW_MS: u64 = 50;

impl Runtime {
    pub(super) fn new() -> io::Result<Self> {
        let outside = Arc::new(Outside::new()?);
        Ok(Self {
            jobs: Jobs::new(Arc::clone(&outside)),
            outside,
            registrar: None,
            root: Box::default(),
            keys: Keys {
                outside: 0,
                list: 0,
                resources: 0,
            },
            now: clock::monotonic_ms(),
            current: Rc::new(Generation::new(0, Vec::new())),
            requests: Requests::new(),
            resources: Resources::new(),
            timers: Heap::new(),
            kept: HashMap::new(),
            releases: Releases::default(),
            wakes: VecDeque::new(),
            looked: None,
            lines: Lines::default(),
            figures: Figures::default(),
            leaving: Vec::new(),
            inner: VecDeque::new(),
            descents: HashMap::new(),
            left_out: Vec::new(),
            closing: Vec::new(),
            forget_count: 0,
            forgotten_count: 0,
            trigger_due: None,
            dying: Vec::new(),
        })
    }

    /// Begins to keep a record of an exchange; its ticket, or 0 if there is no room.
    pub(super) fn begin(&mut self, connection: conn::Id) -> u32 {
        let began_us = self.figures.now_us();
        let (generation, depth) = match self.descents.remove(&connection) {
            Some(descent) => (descent.generation, descent.depth),
            None => (Rc::clone(&self.current), 0),
        };
        self.requests.begin(|id| {
            let mut record = Record::new(id, generation, connection, began_us);
            record.depth = depth;
            record
        })
    }

    /// The loop begins.
    pub(super) fn attach(&mut self, registrar: Registrar, keys: Keys) {
        self.keys = keys;
        self.registrar = Some(registrar);
        let started: Vec<u64> = self.resources.iter().map(|resource| resource.id).collect();
        for resource in started {
            if let Err(error) = self.start_watch(resource) {
                self.lines
                    .say(format!("cannot watch a descriptor: {error}"));
            }
        }
    }

    /// Whether something is to be done before the next wait.
    pub(super) fn has_work(&self) -> bool {
        !self.wakes.is_empty()
            || !self.inner.is_empty()
            || self.looked.is_some()
            || !self.lines.is_empty()
            || !self.releases.borrow().is_empty()
            || self
                .leaving
                .iter()
                .any(|instance| Rc::strong_count(instance) == 1)
            || self
                .closing
                .iter()
                .any(|closing| closing.is_ready(self.forgotten_count))
    }

    /// When [`Self::advance`] is to be called.
    pub(super) fn due(&self) -> Option<u64> {
        let timer = self.timers.next_deadline();
        [timer, self.trigger_due].into_iter().flatten().min()
    }

    /// Notes that something happened that a request may wait for.
    pub(super) fn wake(&mut self, request: u64, cause: u32, which: u64) -> bool {
        let Some(record) = self.requests.find_mut(request) else {
            return false;
        };
        if !record.causes.contains(&(cause, which)) {
            record.causes.push((cause, which));
        }
        if !record.is_queued {
            record.is_queued = true;
            self.wakes.push_back(request);
        }
        true
    }

    /// Connections whose requests are to be resumed, at most `count_max`.
    pub(super) fn take_wakes(&mut self, count_max: usize) -> Vec<conn::Id> {
        let mut found = Vec::new();
        while found.len() < count_max
            && let Some(request) = self.wakes.pop_front()
        {
            if let Some(record) = self.requests.find_mut(request) {
                record.is_queued = false;
                found.push(record.connection);
            }
        }
        found
    }

    // ---- events -----------------------------------------------------------------------------

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
            self.lines.say(format!(
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

    /// A watched descriptor or a child's has become ready.
    pub(super) fn handle_ready(&mut self, readiness: Readiness) {
        let Some(resource) = self
            .resources
            .at(readiness.key.wrapping_sub(self.keys.resources))
        else {
            return self.reap();
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
            What::Child { .. } => self.handle_child(resource_id),
            _ => {}
        }
    }

    /// How many processes run, those among them that have been killed.
    pub(super) fn child_count(&self) -> usize {
        let is_child =
            |resource: &&Resource| matches!(resource.what, What::Child { status: None, .. });
        self.resources.iter().filter(is_child).count() + self.dying.len()
    }

    fn reap(&mut self) {
        self.dying.retain_mut(|child| child.status().is_none());
    }

    fn handle_child(&mut self, child_id: u64) {
        let Some(Resource {
            what: What::Child { child, status },
            request,
            ..
        }) = self.resources.find_mut(child_id)
        else {
            return;
        };
        let request = *request;
        if status.is_none() {
            *status = child.status();
        }
        if status.is_some() {
            if request == 0 {
                self.resources.remove(child_id);
            }
            self.wake(request, abi::cause::CHILD, child_id);
        }
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
        let before = clock::monotonic_ms();
        let result = call(&mut Call::of_instance(self, instance));
        self.note_time(instance, hook, clock::monotonic_ms() - before);
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
            self.lines.say(format!(
                "plugin {}: {} held the loop for {ms} ms (over {SLOW_MS}); use a job, a watch or a timer",
                instance.name,
                hook.name()
            ));
        }
    }

    // ---- ends -------------------------------------------------------------------------------

    /// A resource of a request has ended by itself.
    pub(super) fn unbind(&mut self, request: u64, resource: u64) {
        if let Some(record) = self.requests.find_mut(request) {
            record.resources.retain(|&own| own != resource);
        }
    }

    /// Ends a resource of any kind; the caller has unbound it or will forget its request.
    pub(super) fn drop_resource(&mut self, resource_id: u64) {
        let Some(resource) = self.resources.find_mut(resource_id) else {
            return;
        };
        match &mut resource.what {
            // A job that runs cannot be stopped; its resource goes when it is done.
            What::Job { is_cancelled, .. } => {
                is_cancelled.store(true, Ordering::Release);
                resource.request = 0;
                return;
            }
            What::Timer { timer, .. } => {
                if let Some(timer) = timer.take() {
                    self.timers.cancel(timer);
                }
            }
            What::Watch { fd, is_live, .. } => {
                if let Some(registrar) = self.registrar.as_ref().filter(|_| *is_live) {
                    registrar.remove(*fd);
                }
            }
            What::Child { child, status } => {
                if status.is_none() {
                    child.end();
                    if let Some(Resource {
                        what: What::Child { child, .. },
                        ..
                    }) = self.resources.remove(resource_id)
                    {
                        self.dying.push(child);
                    }
                    return;
                }
            }
            What::Inner(_) => {
                let inner = super::InnerRequest::cancelled(resource_id);
                self.inner.push_back(inner);
            }
        }
        self.resources.remove(resource_id);
    }

    /// Takes back what an instance still has; returns how many things.
    pub(super) fn strip(&mut self, instance: &Rc<Instance>, is_bound: bool) -> usize {
        let owned: Vec<u64> = self
            .resources
            .iter()
            .filter(|resource| Rc::ptr_eq(&resource.instance, instance))
            .filter(|resource| is_bound || resource.request == 0)
            .map(|resource| resource.id)
            .collect();
        for &resource in &owned {
            self.drop_resource(resource);
        }
        owned.len()
    }

    /// Starts a timer that has been put in.
    pub(super) fn start_timer(&mut self, wanted: u64) {
        let now = clock::monotonic_ms();
        if let Some(Resource {
            what: What::Timer { timer, ms, .. },
            ..
        }) = self.resources.find_mut(wanted)
        {
            let place = id::place(wanted) as u32;
            *timer = Some(self.timers.insert(now + u64::from(*ms), place));
        }
    }

    /// Starts a watch that has been put in.
    pub(super) fn start_watch(&mut self, wanted: u64) -> io::Result<()> {
        self.register(wanted)?;
        if let Some(Resource {
            what: What::Watch { is_live, .. },
            ..
        }) = self.resources.find_mut(wanted)
        {
            *is_live = true;
        }
        Ok(())
    }

    /// Registers a watch or a child with the poll.
    pub(super) fn register(&self, resource_id: u64) -> io::Result<()> {
        let Some(registrar) = &self.registrar else {
            return Ok(());
        };
        let key = self.keys.resources + id::place(resource_id);
        match self.resources.find(resource_id).map(|found| &found.what) {
            Some(What::Watch { fd, rw, .. }) => registrar.add_raw(
                *fd,
                key,
                rw & abi::ready::READ != 0,
                rw & abi::ready::WRITE != 0,
            ),
            Some(What::Child { child, .. }) => registrar.add_readable(child.as_fd(), key),
            _ => Ok(()),
        }
    }

    /// What is kept for a connection by an instance that matches.
    pub(super) fn take_kept(
        &mut self,
        connection: u64,
        is_wanted: impl Fn(&Rc<Instance>) -> bool,
    ) -> Vec<Kept> {
        let Some(kept) = self.kept.get_mut(&connection) else {
            return Vec::new();
        };
        let taken = kept
            .extract_if(.., |kept| is_wanted(&kept.instance))
            .collect();
        if kept.is_empty() {
            self.kept.remove(&connection);
        }
        taken
    }

    /// The connection of an id of a plugin, if it may be one.
    pub(super) fn is_connection(of: u64) -> bool {
        id::is(of, Kind::Connection)
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
