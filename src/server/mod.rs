//! The driver: one thread, one poll, turn after turn.
//!
//! It carries what the kernel reports to the connections and what they want to the kernel. It
//! knows no HTTP. One turn (`Server::turn`) has a fixed order, given there.

mod accept;
mod adopt;
mod clients;
mod doors;
mod drive;
mod ending;
mod error;
mod events;
mod figures;
pub mod hosts;
mod inner;
mod key;
mod ledger;
mod orders;
mod reload;
mod service;
mod signals;
mod slots;
mod tend;
mod upgrade;

pub use error::Error;
pub use reload::Source;
pub use service::Service;
pub use upgrade::Heirloom;

use crate::clients::Clients;
use crate::config::{Config, LISTENERS_MAX, Turn};
use crate::conn::{Context, Gate, Id, Limits, NoJournal, Origin, Pool, Why};
use crate::control::Desk;
use crate::disk::{Disk, Worker};
use crate::files::{self, Store};
use crate::handler::Static;
use crate::http::encode::Stamp;
use crate::log::{self, Log};
use crate::plugin::{Extension, Keys};
use crate::policy::Policy;
use crate::sys::clock;
use crate::sys::crash;
use crate::sys::file::Features;
use crate::sys::poll::Poll;
use crate::sys::process;
use crate::sys::signal::Signals;
use crate::sys::socket::{Address, Listener};
use clients::Postponed;
use doors::{Door, open_doors};
use drive::{Share, Tools};
use figures::{Tally, Traffic};
use inner::Inners;
use ledger::Ledger;
use reload::Reloading;
use signals::Phase;
use slots::Slots;
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use swiftd_timer::{Heap, Timer};
use upgrade::Upgrading;

/// Timers that belong to no connection. Slot numbers never get that far.
mod special {
    /// Accept again.
    pub(super) const RESUME: u32 = u32::MAX;
    /// The time to stop in good order is over.
    pub(super) const STOP: u32 = u32::MAX - 1;
    /// Somebody who gives orders may be too slow.
    pub(super) const DESK: u32 = u32::MAX - 2;
    /// A new program should be ready.
    pub(super) const SUCCESSOR: u32 = u32::MAX - 3;
    /// A sign of life is due.
    pub(super) const WATCHDOG: u32 = u32::MAX - 4;
    /// The logs should have been opened anew.
    pub(super) const REOPEN: u32 = u32::MAX - 5;
}

const _: () = assert!(
    2 * LISTENERS_MAX <= key::SLOTS - key::DOORS,
    "all listeners that can be set can be exchanged for others at once"
);

/// Descriptors that are needed beside connections and the cache's files: standard streams, poll,
/// listeners, the files that are open for a moment.
const DESCRIPTORS_RESERVED: usize = 64;

/// A server that is ready to run.
pub struct Server {
    poll: Poll,
    doors: Vec<Door>,
    slots: Slots,
    inners: Inners,
    timers: Heap<u64, u32>,
    /// Connections that have work left, each at most once (the thesis' job list).
    ready: VecDeque<u32>,
    core: Core,
    disk: Arc<Disk>,
    _worker: Worker,
    signals: Option<Signals>,
    buffer: Box<[u8]>,
    log: Log,
    turn: Turn,
    /// Nothing is accepted until there is room again.
    is_paused: bool,
    /// Connections that are judged in the next turn.
    postponed: Vec<Postponed>,
    tally: Tally,
    /// When accepting is tried again although no connection has ended.
    resume: Option<Timer>,
    next_complaint: u64,
    should_stop: Arc<AtomicBool>,
    phase: Phase,
    reloading: Reloading,
    desk: Option<Desk>,
    /// How long opening the logs anew may take.
    reopen_timer: Option<Timer>,
    upgrading: Upgrading,
    /// Somebody may be changing the size of its window.
    has_terminal: bool,
    is_stopped: bool,
    service: Service,
}

/// What every connection is lent.
struct Core {
    limits: Limits,
    hooks: Box<dyn Extension>,
    handler: Static<Store>,
    pool: Pool,
    stamp: Stamp,
    now: u64,
    policy: Policy,
    clients: Clients,
    /// The logs, for those who note requests.
    journal: Log,
    /// Inner requests are nobody's but the plugin's that made them.
    no_journal: NoJournal,
    ledger: Ledger,
    is_draining: bool,
    keeps_idle: bool,
    traffic: Traffic,
}

impl Core {
    fn context<'a>(&'a mut self, id: Id, origin: &'a dyn Origin) -> Context<'a> {
        // What the server asks itself is nobody's request.
        let is_counted = self.clients.is_limited() && id.slot < inner::FIRST_SLOT;
        Context {
            limits: &self.limits,
            hooks: &mut *self.hooks,
            handler: &mut self.handler,
            pool: &mut self.pool,
            stamp: &self.stamp,
            now: self.now,
            id,
            origin,
            policy: &self.policy,
            journal: if id.slot < inner::FIRST_SLOT {
                &mut self.journal
            } else {
                &mut self.no_journal
            },
            gate: is_counted.then_some(&mut self.clients as &mut dyn Gate),
            is_short: self.ledger.is_short(),
            is_draining: self.is_draining,
            keeps_idle: self.keeps_idle,
        }
    }

    fn set_clock(&mut self) {
        self.now = clock::monotonic_ms();
        let unix_secs = clock::unix_secs();
        self.stamp.set(unix_secs);
        self.journal.set_clock(self.now, unix_secs);
        self.handler.files.set_now(self.now);
    }
}

/// Stops a server from another thread.
#[derive(Clone)]
pub struct Stopper {
    should_stop: Arc<AtomicBool>,
    disk: Arc<Disk>,
}

impl Stopper {
    /// Asks the server to stop in good order.
    pub fn stop(&self) {
        self.should_stop.store(true, Ordering::Release);
        self.disk.waker().wake();
    }
}

impl Server {
    /// Listens, and starts with that.
    ///
    /// # Errors
    /// As [`Self::bind`] and [`Self::start_with`].
    pub fn start(
        config: Config,
        hooks: Box<dyn Extension>,
        signals: Option<Signals>,
    ) -> Result<Self, Error> {
        Self::start_with(Self::bind(&config)?, config, hooks, signals)
    }

    /// Opens the roots and starts the disk thread. `signals` come through the loop.
    ///
    /// # Errors
    /// Something of that is not possible; nothing is left behind.
    pub fn start_with(
        listeners: Vec<Listener>,
        config: Config,
        mut hooks: Box<dyn Extension>,
        signals: Option<Signals>,
    ) -> Result<Self, Error> {
        let reloading = Reloading::new(config.clone());
        let logs = log::prepare(&config).map_err(Error::Log)?;
        let hosts = hosts::prepare(&config)?;
        let Config {
            mut cache,
            limits,
            mut turn,
            temporary,
            clients: client_bounds,
            listen,
            ..
        } = config;
        client_bounds.check(&listen).map_err(Error::Clients)?;
        fit_descriptors(&mut turn, &mut cache, hosts.site_count());
        let system = |what| move |error| Error::System(what, error);
        let poll = Poll::new().map_err(system("cannot make an epoll instance"))?;
        let disk = Disk::new(turn.disk_jobs_max, turn.connections_max)
            .map_err(system("cannot make an eventfd"))?;
        let add = |source, key| poll.add_readable(source, key);
        add(disk.waker().as_fd(), key::DISK).map_err(system("cannot watch the disk thread"))?;
        if let Some(signals) = &signals {
            add(signals.as_fd(), key::SIGNALS).map_err(system("cannot watch signals"))?;
        }
        let keys = Keys {
            outside: key::OUTSIDE,
            list: key::PLUGINS,
            resources: key::RESOURCES,
        };
        hooks
            .attach(&poll, keys)
            .map_err(system("cannot watch what plugins wait for"))?;
        let doors = open_doors(listeners, &listen, &poll)?;
        let worker = disk.start(temporary).map_err(system(
            "cannot start the disk thread, which needs /dev/null",
        ))?;
        let now = clock::monotonic_ms();
        let log = Log::new(Arc::clone(&disk), logs, now, clock::unix_secs())
            .map_err(system("cannot start the thread of the logs"))?;
        let files = Store::new(cache, Arc::clone(&disk), now);
        let mut core = Core {
            limits,
            hooks,
            handler: Static { files },
            pool: Pool::default(),
            stamp: Stamp::new(clock::unix_secs()),
            now,
            policy: Policy::default(),
            clients: Clients::default(),
            journal: log.clone(),
            no_journal: NoJournal,
            ledger: Ledger::new(turn.buffer_bytes_max),
            is_draining: false,
            keeps_idle: false,
            traffic: Traffic::default(),
        };
        core.set_hosts(hosts);
        let mut server = Self {
            poll,
            doors,
            slots: Slots::new(),
            inners: Inners::default(),
            timers: Heap::new(),
            ready: VecDeque::new(),
            core,
            log,
            disk,
            _worker: worker,
            signals,
            buffer: vec![0; turn.read_bytes].into(),
            turn,
            is_paused: false,
            postponed: Vec::new(),
            tally: Tally::new(now),
            resume: None,
            next_complaint: 0,
            should_stop: Arc::new(AtomicBool::new(false)),
            phase: Phase::Serves,
            reloading,
            desk: None,
            reopen_timer: None,
            upgrading: Upgrading::default(),
            has_terminal: false,
            is_stopped: false,
            service: Service::default(),
        };
        server.set_clients(&client_bounds);
        Ok(server)
    }

    /// Where the server listens, with real port numbers.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.doors.iter().map(|door| door.listener.address())
    }

    /// What the kernel offers for the files, as found at start.
    #[must_use]
    pub fn features(&self) -> Features {
        let files = &self.core.handler.files;
        files.features(files.main_site())
    }

    /// The most connections that the descriptor limit allows.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.turn.connections_max
    }

    /// Something to stop this server with.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper {
            should_stop: Arc::clone(&self.should_stop),
            disk: Arc::clone(&self.disk),
        }
    }

    /// Serves until a signal or a [`Stopper`] ends it.
    ///
    /// # Errors
    /// The kernel refuses to wait, which it does only if this program is wrong.
    pub fn run(mut self) -> io::Result<()> {
        // Not before: a daemon lets go of it as late as it can.
        self.has_terminal = process::has_terminal();
        while !self.is_stopped {
            self.turn()?;
        }
        Ok(())
    }

    /// One turn. The order is its meaning: what was read may free what is accepted next, and a
    /// slot is used again only when no event of this batch can name it any more.
    fn turn(&mut self) -> io::Result<()> {
        let event_count = self.poll.wait(self.patience())?;
        crash::beat();
        self.core.set_clock();
        for index in 0..event_count {
            if let Some(readiness) = self.poll.event(index) {
                self.handle_event(readiness);
            }
        }
        self.tend();
        // A connection that is about to be accepted is to be counted, too; see `admit`.
        if !self.ready.is_empty() || !self.can_accept() {
            self.refresh_figures();
        }
        for _ in 0..self.ready.len() {
            if let Some(index) = self.ready.pop_front() {
                self.drive(index);
            }
        }
        self.accept();
        while let Some(index) = self.timers.pop_expired(self.core.now) {
            self.handle_expired(index);
        }
        if self.slots.reclaim() {
            self.is_paused = false;
        }
        self.complain_of_clients();
        self.log.flush();
        let is_ending = matches!(self.phase, Phase::Ends { .. });
        self.is_stopped |= is_ending && self.slots.len() == 0;
        Ok(())
    }

    /// How long the next wait may be; `None` for ever.
    fn patience(&self) -> Option<Duration> {
        if !self.ready.is_empty() || !self.postponed.is_empty() || self.can_accept() {
            return Some(Duration::ZERO);
        }
        let due = [
            self.timers.next_deadline(),
            self.core.hooks.due(),
            self.log.due(),
        ];
        let due = due.into_iter().flatten().min()?;
        if due <= self.core.now {
            return Some(Duration::ZERO);
        }
        // The clock of this turn is a little old, so one millisecond more does not wake too early.
        let left = due.saturating_sub(self.core.now) + 1;
        Some(Duration::from_millis(left))
    }

    fn enqueue(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.is_queued
        {
            slot.is_queued = true;
            self.ready.push_back(index);
        }
    }

    /// Ends a connection; the plugins are told.
    fn remove(&mut self, index: u32) {
        if !self.core.hooks.is_empty()
            && let Some(slot) = self.slots.get_mut(index)
        {
            let (id, why) = (slot.id(index), slot.connection.why());
            self.core.hooks.handle_close(id, why);
        }
        self.leave(index);
        if let Some(slot) = self.slots.get_mut(index) {
            self.core.ledger.discount(slot.owned_bytes);
        }
        self.slots.remove(index);
    }

    /// Gives a connection its share of the turn.
    fn drive(&mut self, index: u32) -> Share {
        let Some(slot) = self.slots.get_mut(index) else {
            return Share::IsOver;
        };
        slot.is_queued = false;
        let id = slot.id(index);
        let mut share = slot.drive(
            id,
            &mut Tools {
                core: &mut self.core,
                disk: &self.disk,
                buffer: &mut self.buffer,
                budget: self.turn.bytes_max,
            },
        );
        self.core
            .ledger
            .count(&mut slot.owned_bytes, &slot.connection);
        if share != Share::IsOver && !slot.is_registered {
            let key = key::SLOTS + index as usize;
            match self.poll.add(slot.socket.as_fd(), key) {
                Ok(()) => slot.is_registered = true,
                Err(error) => {
                    self.log
                        .error(format_args!("cannot watch a connection: {error}"));
                    slot.connection
                        .abort(Why::Error, &mut self.core.context(id, &slot.socket));
                    share = Share::IsOver;
                }
            }
        }
        match share {
            Share::IsOver => {
                if let Some(timer) = slot.timer {
                    self.timers.cancel(timer);
                }
                self.remove(index);
            }
            Share::Waits | Share::IsUnfinished => {
                if let Some(timer) = slot.timer {
                    self.timers.reschedule(timer, slot.connection.deadline());
                }
                if share == Share::IsUnfinished {
                    self.enqueue(index);
                }
            }
        }
        share
    }
}

/// Raises the limit of descriptors as far as they may be needed, and lowers what may be needed to
/// what is granted: of a small number the cache gets a quarter. Each site has a root open, twice while
/// it is being replaced.
fn fit_descriptors(turn: &mut Turn, cache: &mut files::Bounds, site_count: usize) {
    let reserved = DESCRIPTORS_RESERVED + 2 * site_count;
    let wanted = turn.connections_max + cache.descriptors_max + reserved;
    let granted = process::raise_descriptor_limit(wanted as u64);
    let granted = usize::try_from(granted).unwrap_or(usize::MAX);
    cache.descriptors_max = cache.descriptors_max.min(granted / 4);
    let room = granted.saturating_sub(cache.descriptors_max + reserved);
    turn.connections_max = turn.connections_max.min(room.max(1));
}
