//! What plugins have asked for and not got yet: timers, watches, jobs, children.
//!
//! Each belongs to an instance, and to a request if it was asked for one; it ends with the first
//! of both. INVARIANT: a resource holds its instance, so nothing of a library that is not loaded
//! any more is ever called.

use super::id::{self, Kind, Slab};
use super::instance::Instance;
use crate::sys::abi::{Done, Fire, WatchFire};
use crate::sys::child::Child;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use swiftd_timer::Timer;

/// Something that an instance waits for.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) id: u64,
    pub(super) instance: Rc<Instance>,
    /// The request that it is for, or 0.
    pub(super) request: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Timer {
        /// In the heap, if it runs.
        timer: Option<Timer>,
        ms: u32,
        repeats: bool,
        fire: Option<Fire>,
    },
    Watch {
        /// The plugin's; a watch that is not live yet begins with the swap.
        fd: RawFd,
        rw: u32,
        is_live: bool,
        fire: Option<WatchFire>,
    },
    Job {
        is_cancelled: Arc<AtomicBool>,
        done: Option<Done>,
    },
    Child(Child),
    /// A process that has: how. Nothing of it is left.
    Ended(i32),
    Inner(Inner),
}

impl Resource {
    /// Whether it can still wake somebody.
    pub(super) fn is_pending(&self) -> bool {
        match &self.what {
            What::Ended(_) => false,
            What::Inner(inner) => inner.reply.is_none(),
            What::Timer { .. } | What::Job { .. } | What::Watch { .. } | What::Child(_) => true,
        }
    }

    /// How a process has ended, if it is one and has. Then its descriptor is closed: nobody may
    /// ever ask again.
    pub(super) fn child_end(&mut self) -> Option<i32> {
        if let What::Child(child) = &mut self.what
            && let Some(status) = child.status()
        {
            self.what = What::Ended(status);
        }
        match self.what {
            What::Ended(status) => Some(status),
            _ => None,
        }
    }
}

/// An inner request.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// What it was answered, when it was.
    pub(super) reply: Option<InnerReply>,
}

/// The answer of an inner request.
#[derive(Debug, Default)]
pub struct InnerReply {
    /// The status; 0 if it was given up.
    pub status: u32,
    /// Field lines, each ended by CRLF.
    pub fields: Vec<u8>,
    /// The content.
    pub body: Vec<u8>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Resources(Slab<Resource>);

/// How many there may be of all kinds: beyond it a plugin is told LIMIT.
const RESOURCES_MAX: usize = 65_536;

impl Resources {
    pub(super) fn new() -> Self {
        Self(Slab::new())
    }

    /// Adds one; returns its id, or 0 if there are too many.
    pub(super) fn insert(
        &mut self,
        kind: Kind,
        instance: &Rc<Instance>,
        request: u64,
        what: What,
    ) -> u64 {
        if !self.has_room() {
            return 0;
        }
        let make = |generation, place| Resource {
            id: id::id(kind, generation, place),
            instance: Rc::clone(instance),
            request,
            what,
        };
        let place = self.0.insert(make);
        let resource = place.and_then(|place| self.0.get(place as usize));
        resource.map_or(0, |resource| resource.id)
    }

    /// Whether there may be one more.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < RESOURCES_MAX
    }

    pub(super) fn find(&self, id: u64) -> Option<&Resource> {
        self.0.get(id::place(id)).filter(|found| found.id == id)
    }

    pub(super) fn find_mut(&mut self, id: u64) -> Option<&mut Resource> {
        self.0.get_mut(id::place(id)).filter(|found| found.id == id)
    }

    /// The one at a place, which a key of the poll or of the timers names.
    pub(super) fn at(&self, place: usize) -> Option<&Resource> {
        self.0.get(place)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Resource> {
        self.find(id)?;
        self.0.remove(id::place(id))
    }

    /// How many processes run.
    pub(super) fn child_count(&self) -> usize {
        let is_running = |own: &&Resource| matches!(own.what, What::Child(_));
        self.iter().filter(is_running).count()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.0.iter()
    }
}
