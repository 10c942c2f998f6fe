//! What all loaded plugins share at run time: requests, resources, data, the current generation.
//!
//! Calls into plugins begin here or in `chain`; what plugins ask for during a call arrives in
//! `host`. INVARIANT: no method that `host` uses calls into a plugin.

use super::Keys;
use super::bench::Bench;
use super::ending::Closing;
use super::figures::Figures;
use super::generation::Generation;
use super::id::{self, Kind};
use super::inner::Descent;
use super::instance::Instance;
use super::jobs::Jobs;
use super::lines::Lines;
use super::request::{Kept, Loans, Record, Requests};
use super::resource::{Resource, Resources, What};
use crate::conn;
use crate::sys::abi::{self, Release};
use crate::sys::child::Child;
use crate::sys::clock;
use crate::sys::outside::Outside;
use crate::sys::poll::Registrar;
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
    pub(super) now: u64,
    pub(super) current: Rc<Generation>,
    pub(super) requests: Requests,
    pub(super) loans: Loans,
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
    /// Plugins that must run and do not; nothing is served meanwhile.
    pub(super) missing: Vec<String>,
    pub(super) closing: Vec<Closing>,
    /// How often the job thread was asked to let go of a library, and how often it has.
    pub(super) forget_count: u64,
    pub(super) forgotten_count: u64,
    /// When trigger is called next, if anybody implements it.
    pub(super) trigger_due: Option<u64>,
    /// Children that were killed and have not been reaped; nobody asks for them any more.
    pub(super) dying: Vec<Child>,
    /// Who looks on while a plugin is tried out.
    pub(super) bench: Option<Rc<Bench>>,
}

impl Runtime {
    pub(super) fn new() -> io::Result<Self> {
        let outside = Arc::new(Outside::new()?);
        Ok(Self {
            jobs: Jobs::new(Arc::clone(&outside)),
            outside,
            registrar: None,
            keys: Keys {
                outside: 0,
                list: 0,
                resources: 0,
            },
            now: clock::monotonic_ms(),
            current: Rc::new(Generation::new(0, Vec::new())),
            requests: Requests::new(),
            loans: Loans::default(),
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
            missing: Vec::new(),
            closing: Vec::new(),
            forget_count: 0,
            forgotten_count: 0,
            trigger_due: None,
            dying: Vec::new(),
            bench: None,
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
                    .complain(format!("cannot watch a descriptor: {error}"));
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
                .any(|closing| closing.is_ready(self.forgotten_count, self.now))
    }

    /// When [`Self::advance`] is to be called.
    pub(super) fn due(&self) -> Option<u64> {
        let timer = self.timers.next_deadline();
        let closing = self.closing.iter().filter_map(Closing::due).min();
        [timer, self.trigger_due, closing]
            .into_iter()
            .flatten()
            .min()
    }

    /// Notes that something happened that a request may wait for.
    pub(super) fn wake(&mut self, request: u64, cause: u32, which: u64) -> bool {
        let Some(record) = self.requests.find_mut(request) else {
            return false;
        };
        let causes = &mut record.more().causes;
        if !causes.contains(&(cause, which)) {
            causes.push((cause, which));
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

    /// A resource of a request has ended by itself.
    pub(super) fn unbind(&mut self, request: u64, resource: u64) {
        if let Some(record) = self.requests.find_mut(request) {
            record.more().resources.retain(|&own| own != resource);
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
            What::Child(child) => {
                child.end();
                if let Some(Resource {
                    what: What::Child(child),
                    ..
                }) = self.resources.remove(resource_id)
                {
                    self.dying.push(child);
                }
                return;
            }
            What::Ended(_) => {}
            What::Inner(_) => {
                let waiting = self.inner.iter().position(|it| it.id == resource_id);
                match waiting {
                    // It has not been begun.
                    Some(place) => drop(self.inner.remove(place)),
                    None => self
                        .inner
                        .push_back(super::InnerRequest::cancelled(resource_id)),
                }
            }
        }
        self.resources.remove(resource_id);
    }

    /// Takes back what an instance still has; returns how many things.
    pub(super) fn strip(&mut self, instance: &Rc<Instance>) -> usize {
        self.strip_if(instance, |_| true)
    }

    /// Ends the timers and watches of an instance that is replaced. Its jobs and children go on,
    /// and it lives until they have ended.
    pub(super) fn silence(&mut self, instance: &Rc<Instance>) {
        self.strip_if(instance, |resource| {
            let what = &resource.what;
            resource.request == 0 && matches!(what, What::Timer { .. } | What::Watch { .. })
        });
    }

    fn strip_if(&mut self, instance: &Rc<Instance>, is_meant: impl Fn(&Resource) -> bool) -> usize {
        let own = |resource: &&Resource| Rc::ptr_eq(&resource.instance, instance);
        let owned: Vec<u64> = self
            .resources
            .iter()
            .filter(own)
            .filter(|resource| is_meant(resource))
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
            Some(What::Child(child)) => registrar.add_readable(child.as_fd(), key),
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
