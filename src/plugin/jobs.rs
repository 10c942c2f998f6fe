//! The threads for what plugins and reloads would otherwise make the loop wait for.
//!
//! Neither is the disk thread: a slow password hash must not hold the files up. Each is started when
//! it is first needed, so a server without such plugins does not have it. INVARIANT: a plugin's
//! work is run only while its resource exists, which holds the instance and so the library.

use super::reload::Looked;
use crate::sys::abi::Work;
use crate::sys::crash;
use crate::sys::outside::Outside;
use crate::sys::threads;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Something to do.
pub(super) enum Task {
    /// A plugin's work, unless it has been cancelled before it begins.
    Plugin {
        id: u64,
        /// The instance's place in the shared page.
        slot: u16,
        work: Work,
        is_cancelled: Arc<AtomicBool>,
    },
    /// Run what must run on each thread before a library is closed.
    Forget(Box<dyn FnOnce() + Send>),
}

/// Something that has been done.
pub(super) enum Finished {
    /// A plugin's work.
    Plugin {
        id: u64,
        is_cancelled: bool,
    },
    Look(Looked),
    Forget,
}

/// The queues between the loop and the thread.
pub(super) struct Jobs {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
    looker: Option<Sender<Look>>,
}

/// A look at the disk.
pub(super) type Look = Box<dyn FnOnce() -> Looked + Send>;

struct Shared {
    queues: Mutex<Queues>,
    has_work: Condvar,
    outside: Arc<Outside>,
}

#[derive(Default)]
struct Queues {
    tasks: VecDeque<Task>,
    finished: Vec<Finished>,
    is_stopping: bool,
}

/// How many tasks may wait; one more is LIMIT.
const TASKS_MAX: usize = 1024;

/// Hash functions that are hard on purpose want some of it; what is not touched costs nothing.
const STACK_BYTES: usize = 256 * 1024;

impl Jobs {
    pub(super) fn new(outside: Arc<Outside>) -> Self {
        Self {
            shared: Arc::new(Shared {
                queues: Mutex::default(),
                has_work: Condvar::new(),
                outside,
            }),
            thread: None,
            looker: None,
        }
    }

    /// Queues a task.
    ///
    /// # Errors
    /// The queue is full, or no thread can be made.
    pub(super) fn submit(&mut self, task: Task) -> io::Result<()> {
        if self.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let builder = thread::Builder::new().name("swiftd-job".into());
            self.thread = Some(builder.stack_size(STACK_BYTES).spawn(move || {
                threads::register_own();
                shared.work();
            })?);
        }
        let mut queues = self.shared.lock();
        if queues.tasks.len() >= TASKS_MAX {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        queues.tasks.push_back(task);
        drop(queues);
        self.shared.has_work.notify_one();
        Ok(())
    }

    /// Has the disk looked at, on a thread of its own that the loop comes before.
    ///
    /// # Errors
    /// There is no such thread, and none can be made.
    pub(super) fn look(&mut self, look: Look) -> io::Result<()> {
        let looker = match &self.looker {
            Some(looker) => looker,
            None => self.looker.insert(self.shared.start_looking()?),
        };
        looker.send(look).map_err(|_| {
            // The next look gets another one.
            self.looker = None;
            io::ErrorKind::BrokenPipe.into()
        })
    }

    /// Whether the thread exists.
    pub(super) fn is_running(&self) -> bool {
        self.thread.is_some()
    }

    /// Takes what has been done.
    pub(super) fn take_finished(&self) -> Vec<Finished> {
        std::mem::take(&mut self.shared.lock().finished)
    }

    /// Takes the work of plugins that has not begun; who asked for it is to be told.
    pub(super) fn take_waiting(&self) -> Vec<u64> {
        let mut queues = self.shared.lock();
        let plugins = queues.tasks.drain(..).filter_map(|task| match task {
            Task::Plugin { id, .. } => Some(id),
            Task::Forget(_) => None,
        });
        plugins.collect()
    }

    /// How many tasks wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.shared.lock().tasks.len()
    }
}

impl Shared {
    /// A library that hangs when it is tried must not hold up the plugins' jobs; and on a machine
    /// with one processor the copying and the child that tries, which inherits the rank, must not
    /// hold up the loop. The thread stays: one that has just been started is not known to be the
    /// server's yet, and that would keep a library from being unmapped.
    fn start_looking(self: &Arc<Self>) -> io::Result<Sender<Look>> {
        let (sender, looks) = channel::<Look>();
        let shared = Arc::clone(self);
        let builder = thread::Builder::new().name("swiftd-look".into());
        builder.stack_size(STACK_BYTES).spawn(move || {
            threads::register_own();
            threads::stand_back();
            for look in looks {
                let looked = look();
                shared.lock().finished.push(Finished::Look(looked));
                shared.outside.waker().wake();
            }
        })?;
        Ok(sender)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing is half done while they are locked.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Task> {
        let mut queues = self.lock();
        loop {
            if queues.is_stopping {
                return None;
            }
            if let Some(task) = queues.tasks.pop_front() {
                return Some(task);
            }
            queues = self
                .has_work
                .wait(queues)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while let Some(task) = self.next() {
            let finished = match task {
                Task::Plugin {
                    id,
                    slot,
                    work,
                    is_cancelled,
                } => {
                    let is_cancelled = is_cancelled.load(Ordering::Acquire);
                    if !is_cancelled {
                        crash::enter_job(slot);
                        work.run();
                        crash::leave_job();
                    }
                    Finished::Plugin { id, is_cancelled }
                }
                Task::Forget(forget) => {
                    forget();
                    Finished::Forget
                }
            };
            self.lock().finished.push(finished);
            self.outside.waker().wake();
        }
    }
}

impl Drop for Jobs {
    /// The thread ends after the task at hand; it is not waited for, because the process ends.
    fn drop(&mut self) {
        self.shared.lock().is_stopping = true;
        self.shared.has_work.notify_one();
    }
}
