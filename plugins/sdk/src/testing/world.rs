//! The state of the mock server: what has been asked of it and what is under way.
//!
//! One lock around all of it, held inside host functions and never while code of the plugin runs.
//! Misuse is written down as a fault; the harness fails the test when the plugin has returned.

use core::ffi::{c_int, c_void};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;

use super::kernel::{self, Poll};
use super::message::{Answer, Outgoing};
use crate::abi::{self, Id};

/// A bound of the send queue unless a test says otherwise, bytes.
const SEND_QUEUE: usize = 64 << 10;

/// What `sw_self` points to.
pub(super) struct World {
    state: Mutex<State>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) poll: Poll,
    /// Written to when another thread has something to tell.
    bell: UnixStream,
    bell_end: UnixStream,
    pub(super) thread: ThreadId,
}

// SAFETY: the raw pointers in the state are the plugin's; they are only handed back to it.
unsafe impl Send for State {}

/// What `sw_req` points to. It is kept after its call, so that later use is found out.
pub(super) struct Handle {
    pub(super) world: *const World,
    pub(super) id: Id,
    pub(super) is_over: core::cell::Cell<bool>,
}

#[derive(Default)]
pub(super) struct State {
    next_id: Id,
    pub(super) config: BTreeMap<String, Box<str>>,
    pub(super) docroot: String,
    pub(super) pages: BTreeMap<String, Vec<u8>>,
    pub(super) unclaimed: (u16, Vec<u8>),
    pub(super) send_queue: usize,
    pub(super) holds_jobs: bool,
    pub(super) is_stalled: bool,
    pub(super) log: Vec<(u32, String)>,
    pub(super) counters: Vec<(String, i64)>,
    /// What the server tells about itself.
    pub(super) status: String,
    pub(super) faults: Vec<String>,
    /// Bytes handed out; they live until the hook returns.
    pub(super) lent: Vec<Box<[u8]>>,
    #[allow(clippy::vec_box)]
    pub(super) handles: Vec<Box<Handle>>,
    pub(super) flows: BTreeMap<Id, Flowing>,
    pub(super) answers: BTreeMap<Id, Answer>,
    /// With the pointer kept for each.
    pub(super) connections: BTreeMap<Id, Data>,
    pub(super) timers: BTreeMap<Id, Timer>,
    pub(super) watches: BTreeMap<Id, Watch>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) children: BTreeMap<Id, Child>,
    pub(super) inner: BTreeMap<Id, Inner>,
    /// Pointers to be dropped once the plugin has returned.
    pub(super) drops: Vec<Data>,
    /// One for each child.
    pub(super) waiters: Vec<std::thread::JoinHandle<()>>,
    /// Descriptors that the plugin got from the server and has to close.
    pub(super) given: Vec<(c_int, (u64, u64))>,
}

#[derive(Clone, Copy)]
pub(super) struct Data {
    pub(super) p: *mut c_void,
    pub(super) drop: Option<abi::Drop>,
}

impl Data {
    pub(super) const NONE: Self = Self {
        p: core::ptr::null_mut(),
        drop: None,
    };
}

pub(super) struct Timer {
    pub(super) req: Id,
    pub(super) at: u64,
    pub(super) repeat: u32,
    pub(super) fire: Option<unsafe extern "C" fn(*mut c_void, Id)>,
    pub(super) arg: *mut c_void,
}

pub(super) struct Watch {
    pub(super) req: Id,
    pub(super) fd: c_int,
    pub(super) fire: Option<unsafe extern "C" fn(*mut c_void, Id, u32)>,
    pub(super) arg: *mut c_void,
}

pub(super) struct Job {
    pub(super) id: Id,
    pub(super) req: Id,
    pub(super) work: Option<unsafe extern "C" fn(*mut c_void)>,
    pub(super) done: Option<unsafe extern "C" fn(*mut c_void, u32)>,
    pub(super) arg: *mut c_void,
}

pub(super) struct Child {
    pub(super) req: Id,
    pub(super) pid: u32,
    /// Once it has ended.
    pub(super) code: Option<i32>,
    pub(super) is_told: bool,
}

/// A subrequest, by the id of its flow.
pub(super) struct Inner {
    pub(super) parent: Id,
    pub(super) answer: Option<Answer>,
}

/// Where in the chain a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    UrlRaw,
    UrlClean,
    Docroot,
    Physical,
    SubrequestStart,
    Handle,
    Joblist,
    End,
    Reset,
}

/// The response so far.
#[derive(Default)]
pub(super) struct Response {
    pub(super) status: u16,
    /// Mode, name, value; and whether a hook before the owner's said so.
    pub(super) fields: Vec<(u32, String, Vec<u8>, bool)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) queued: usize,
    pub(super) is_started: bool,
    pub(super) is_ended: bool,
    pub(super) wants_room: bool,
}

/// A request under way.
pub(super) struct Flowing {
    pub(super) asked: Outgoing,
    pub(super) target: Vec<u8>,
    pub(super) is_target_changed: bool,
    pub(super) path: Vec<u8>,
    pub(super) query: Option<Vec<u8>>,
    pub(super) docroot: Vec<u8>,
    pub(super) physical: Option<Vec<u8>>,
    pub(super) user: Option<Vec<u8>>,
    pub(super) connection: Id,
    pub(super) depth: u32,
    pub(super) place: Place,
    pub(super) is_claimed: bool,
    pub(super) is_waiting: bool,
    pub(super) was_waiting: bool,
    pub(super) since: u64,
    pub(super) is_woken: bool,
    pub(super) causes: VecDeque<(u32, Id)>,
    pub(super) deadline_ms: u32,
    /// Somebody outside may wake it: `deadline` was set.
    pub(super) is_announced: bool,
    pub(super) comebacks: u32,
    pub(super) response: Response,
    pub(super) data: Data,
    pub(super) trace: Vec<&'static str>,
}

impl World {
    pub(super) fn new() -> Box<Self> {
        let (bell, bell_end) = UnixStream::pair().expect("a pair of sockets");
        let poll = Poll::new();
        for end in [&bell, &bell_end] {
            end.set_nonblocking(true)
                .expect("a socket can be made non-blocking");
        }
        let state = State {
            docroot: "/srv/www".to_owned(),
            unclaimed: (404, b"not found\n".to_vec()),
            send_queue: SEND_QUEUE,
            status: "swiftd_up 1\n".to_owned(),
            ..State::default()
        };
        let fd = bell_end.as_raw_fd();
        assert!(poll.add(fd, abi::ready::READ, 0), "a socket can be watched");
        let world = Self {
            state: Mutex::new(state),
            clock: Arc::new(AtomicU64::new(1_000_000)),
            poll,
            bell,
            bell_end,
            thread: std::thread::current().id(),
        };
        Box::new(world)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The state for a function that is for the loop's thread only.
    pub(super) fn lock_on_loop(&self, function: &str) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if std::thread::current().id() != self.thread {
            state.fault(format!("{function} was called from another thread"));
        }
        state
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    /// Ends a blocking wait of the loop. A full socket will do that anyway.
    pub(super) fn ring(&self) {
        let _ = (&self.bell).write(b"!");
    }

    pub(super) fn silence(&self) {
        let mut buffer = [0; 256];
        while (&self.bell_end).read(&mut buffer).is_ok_and(|n| n > 0) {}
    }

    /// Ends timers, watches, jobs, children and subrequests of a request (0: of the instance).
    pub(super) fn end_all_of(&self, req: Id) -> Vec<String> {
        let mut state = self.lock();
        let mut ended = Vec::new();
        let timers: Vec<Id> = state
            .timers
            .iter()
            .filter(|(_, it)| it.req == req)
            .map(|it| *it.0)
            .collect();
        let watches: Vec<Id> = state
            .watches
            .iter()
            .filter(|(_, it)| it.req == req)
            .map(|it| *it.0)
            .collect();
        let children: Vec<Id> = state
            .children
            .iter()
            .filter(|(_, it)| it.req == req)
            .map(|it| *it.0)
            .collect();
        for id in timers {
            state.timers.remove(&id);
            ended.push(format!("timer {id}"));
        }
        for id in watches {
            self.unwatch(&mut state, id);
            ended.push(format!("watch {id}"));
        }
        for id in children {
            if let Some(child) = state
                .children
                .remove(&id)
                .filter(|child| child.code.is_none())
            {
                kernel::kill_group(child.pid, 9);
                ended.push(format!("child {id}"));
            }
        }
        ended
    }

    pub(super) fn unwatch(&self, state: &mut State, id: Id) {
        let Some(Watch { fd, .. }) = state.watches.remove(&id) else {
            return;
        };
        if !self.poll.remove(fd) {
            state.fault(format!(
                "watch {id}: descriptor {fd} was closed before the watch was cancelled"
            ));
        }
    }
}

impl State {
    pub(super) fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    pub(super) fn lend(&mut self, bytes: &[u8]) -> abi::Str {
        let bytes: Box<[u8]> = bytes.into();
        let str = abi::Str {
            p: bytes.as_ptr(),
            n: bytes.len(),
        };
        self.lent.push(bytes);
        str
    }

    /// A cause is told once however often it comes.
    pub(super) fn wake(&mut self, req: Id, cause: u32, id: Id) -> bool {
        let Some(flow) = self.flows.get_mut(&req) else {
            return false;
        };
        flow.is_woken = true;
        if !flow.causes.contains(&(cause, id)) {
            flow.causes.push_back((cause, id));
        }
        true
    }

    /// Whether something can still end a wait of this request.
    pub(super) fn can_wake(&self, req: Id, flow: &Flowing) -> bool {
        flow.is_woken
            || flow.is_announced
            || flow.response.wants_room
            || self.timers.values().any(|it| it.req == req)
            || self.watches.values().any(|it| it.req == req)
            || self.jobs.iter().any(|it| it.req == req)
            || self
                .children
                .values()
                .any(|it| it.req == req && it.code.is_none())
            || self
                .inner
                .values()
                .any(|it| it.parent == req && it.answer.is_none())
    }
}
