//! What all parts of the simulation share: the clock, the dice, the agenda, the ledger of plans,
//! and the trace.

use super::plan::{Cause, Plan};
use super::rng::Rng;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use swiftd::conn::Id;

/// The stage as all parts hold it.
pub type Shared = Rc<RefCell<Stage>>;

/// What all parts share.
pub struct Stage {
    /// Milliseconds: the time of the current event, and the server's clock, which is that of its
    /// turn and thus a little later.
    pub now: u64,
    pub clock: u64,
    pub rng: Rng,
    pub trace: Trace,
    pub plans: Vec<Plan>,
    pub parties: Vec<Party>,
    /// Stands for every file that has a descriptor.
    pub null: Arc<OwnedFd>,
    /// The server was asked to stop.
    pub is_stopping: bool,
    /// Milliseconds by which the clock has jumped.
    pub jumped: u64,
    agenda: BTreeMap<(u64, u64), Event>,
    event_count: u64,
}

/// What is known of one client's connection on both sides.
#[derive(Default)]
pub struct Party {
    pub id: Option<Id>,
    /// Its requests in [`Stage::plans`].
    pub plans: Range<usize>,
    pub causes: Vec<Cause>,
    /// The request that the plugin was called for last.
    pub current: Option<usize>,
    /// Whether it is the plugin, not the disk, that suspended the exchange last.
    pub is_hook_waiting: bool,
    /// The body that the disk keeps, and the descriptor that stands for it.
    pub spool: Vec<u8>,
    pub spool_file: Option<Arc<OwnedFd>>,
}

impl Party {
    /// Whether nothing more is owed to the client.
    pub fn is_cut(&self) -> bool {
        self.causes
            .iter()
            .any(|cause| matches!(cause, Cause::Cut(_)))
    }

    /// A new file for a body.
    pub fn null_file(&self, null: &OwnedFd) -> Arc<OwnedFd> {
        Arc::new(null.try_clone().expect("a few descriptors"))
    }
}

/// What will happen at some time.
#[derive(Copy, Clone, Debug)]
pub enum Event {
    /// A client connects.
    Connect(usize),
    /// A client does its next step.
    Client(usize),
    /// Edges of a client's socket at the server.
    Readable(usize),
    Writable(usize),
    HungUp(usize),
    /// The disk has found what a request asked for.
    Found(Id, usize),
    /// The disk has read, or failed to read, the next part of a file.
    Loaded(Id, bool),
    /// The disk has written, or failed to write, a part of a body.
    Appended(Id, bool),
    /// What a plugin waits for in a request is there.
    Wake(Id, usize),
    /// Something wakes a connection for no reason.
    SpuriousWake(usize),
    /// The server is asked to stop, and no longer waits for anybody.
    Stop,
    Halt,
}

impl Stage {
    /// An empty stage.
    pub fn new(seed: u64, is_loud: bool) -> Shared {
        let null = File::open("/dev/null").expect("every system has it");
        Rc::new(RefCell::new(Self {
            now: 0,
            clock: 0,
            rng: Rng::new(seed),
            trace: Trace::new(is_loud),
            plans: Vec::new(),
            parties: Vec::new(),
            null: Arc::new(null.into()),
            is_stopping: false,
            jumped: 0,
            agenda: BTreeMap::new(),
            event_count: 0,
        }))
    }

    /// Puts an event on the agenda.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.event_count += 1;
        self.agenda
            .insert((self.now + delay, self.event_count), event);
    }

    /// When the next event is due.
    pub fn next_time(&self) -> Option<u64> {
        self.agenda.keys().next().map(|key| key.0)
    }

    /// The next event that is due by `now`, with the clock set to its time.
    pub fn next_event(&mut self, now: u64) -> Option<Event> {
        let entry = self.agenda.first_entry()?;
        let time = entry.key().0;
        (time <= now).then(|| {
            self.now = time;
            entry.remove()
        })
    }

    /// What a response to this client takes in memory at most.
    pub fn response_bytes_max(&self, client: usize) -> usize {
        let plans = &self.plans[self.parties[client].plans.clone()];
        let contents = plans.iter().map(|plan| plan.expected.content.bytes_max());
        HEAD_BYTES_MAX + contents.max().unwrap_or(0)
    }

    /// Notes what happened to a client.
    pub fn note(&mut self, what: &'static str, client: usize, number: u64) {
        self.trace.note(self.now, what, client, number);
    }

    /// Notes why a client may not get what was planned.
    pub fn blame(&mut self, client: usize, cause: Cause) {
        let (what, number) = match cause {
            Cause::Cut(what) => (what, 0),
            Cause::Deadline(status) => ("deadline answered", u64::from(status)),
            Cause::EndedInBody => ("client ended within a body", 400),
        };
        self.note(what, client, number);
        self.parties[client].causes.push(cause);
    }
}

/// A response's head, and a `100 Continue` before it.
const HEAD_BYTES_MAX: usize = 600;

/// What happened, as a hash and as counts.
#[derive(Clone)]
pub struct Trace {
    pub hash: u64,
    pub counts: BTreeMap<&'static str, u64>,
    is_loud: bool,
}

impl Trace {
    fn new(is_loud: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            counts: BTreeMap::new(),
            is_loud,
        }
    }

    fn note(&mut self, now: u64, what: &'static str, client: usize, number: u64) {
        if self.is_loud {
            println!("{now:>8} ms  client {client}  {what} {number}");
        }
        *self.counts.entry(what).or_default() += 1;
        for word in [
            now,
            what.len() as u64,
            u64::from(what.as_bytes()[0]),
            client as u64,
            number,
        ] {
            self.hash = (self.hash ^ word)
                .wrapping_mul(0x0000_0100_0000_01b3)
                .rotate_left(23);
        }
    }

    /// Counts something without a trace of its own.
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
