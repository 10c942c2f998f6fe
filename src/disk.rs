//! The disk thread: the one helper that does what could wait for a disk.
//!
//! Jobs go in through a bounded queue, replies come back through another, and the loop is woken.
//! Short jobs (finding a file) go before long ones (bringing a piece of a file into memory), so
//! that a slow disk that is busy with large files still answers for small ones between two pieces.
//! Lines of logs go between the two. Logs in files have a second thread of this kind, so that a log
//! whose disk does not answer holds nobody who looks for a file.

use crate::conn::{Append, Id};
use crate::files::{Found, Key, Settings, Site};
use crate::http::negotiate::CodingSet;
use crate::log;
use crate::sys::file::{self, Waiting};
use crate::sys::poll::Waker;
use crate::sys::{spool, threads};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

/// Work for the disk thread.
#[derive(Debug)]
pub enum Job {
    /// Tell what a path stands for.
    Find {
        /// Where.
        place: Place,
        /// The root with the clean path.
        key: Key,
    },
    /// See whether a root is still where it was.
    CheckRoot(Arc<Site>),
    /// Write lines to a log.
    Log(Box<log::Batch>),
    /// Bring a piece of a file into memory.
    Load {
        /// For whom.
        id: Id,
        /// The piece, as long as somebody waits for it.
        piece: Weak<ColdPiece>,
    },
    /// Append to the file of a request's body.
    Append {
        /// For whom.
        id: Id,
        /// What, and where.
        append: Append,
    },
}

/// Where something is to be found.
#[derive(Debug)]
pub enum Place {
    /// Beneath a root that is open.
    Open(Arc<Site>),
    /// Beneath one that is to be opened first.
    Closed(Box<Settings>),
}

/// A piece of a file that is not in memory. Whoever waits for it owns it; when he goes away, the
/// job is worth nothing and holds no descriptor.
#[derive(Debug)]
pub struct ColdPiece {
    /// The file.
    pub file: Arc<OwnedFd>,
    /// Where the piece begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What the disk thread has done.
#[derive(Debug)]
pub enum Reply {
    /// What a path stands for.
    Found {
        /// The root with the path.
        key: Key,
        /// What was found.
        found: Arc<Found>,
        /// The root, if it had to be opened for that.
        opened: Option<Arc<Site>>,
    },
    /// A root has been looked at.
    RootChecked {
        /// Which one.
        site: Arc<Site>,
        /// The one at its path, if that names another directory now, or why it cannot be opened.
        replacement: io::Result<Option<Arc<Site>>>,
    },
    /// A piece of a file is in memory, or cannot be read.
    Loaded {
        /// For whom.
        id: Id,
        /// Whether it is.
        result: io::Result<()>,
    },
    /// A body's bytes are in its file, or cannot be written.
    Appended {
        /// For whom.
        id: Id,
        /// The file.
        result: io::Result<Arc<OwnedFd>>,
    },
    /// Lines have been written to a log, or cannot be.
    Logged(Box<log::Outcome>),
}

/// The queues between the loop and the disk thread.
#[derive(Debug)]
pub struct Disk {
    queues: Mutex<Queues>,
    has_work: Condvar,
    waker: Arc<Waker>,
}

#[derive(Debug, Default)]
struct Queues {
    short: VecDeque<Job>,
    /// Each log has at most one here.
    logs: VecDeque<Job>,
    long: VecDeque<Job>,
    replies: Vec<Reply>,
    is_stopping: bool,
    short_jobs_max: usize,
    long_jobs_max: usize,
}

/// Jobs that nobody works on yet.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Short ones.
    pub short_count: usize,
    /// Pieces of files to be brought into memory, those included that nobody wants any more.
    pub load_count: usize,
    /// Pieces of request bodies to be written.
    pub append_count: usize,
}

/// The job that was refused because the queue is full.
#[derive(Debug)]
pub struct Full(pub Job);

/// The thread's stack: a look-up needs a few KiB, and what is not touched costs nothing.
const STACK_BYTES: usize = 64 * 1024;

impl Disk {
    /// The queues; nobody works on them yet.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(short_jobs_max: usize, long_jobs_max: usize) -> io::Result<Arc<Self>> {
        let waker = Arc::new(Waker::new()?);
        Ok(Self::with_waker(waker, short_jobs_max, long_jobs_max))
    }

    /// Queues for logs only, which wake the same loop.
    #[must_use]
    pub fn beside(&self) -> Arc<Self> {
        Self::with_waker(Arc::clone(&self.waker), 0, 0)
    }

    fn with_waker(waker: Arc<Waker>, short_jobs_max: usize, long_jobs_max: usize) -> Arc<Self> {
        Arc::new(Self {
            queues: Mutex::new(Queues {
                short_jobs_max,
                long_jobs_max,
                ..Queues::default()
            }),
            has_work: Condvar::new(),
            waker,
        })
    }

    /// Starts the thread. Bodies of requests are kept in files in `temporary`.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(self: &Arc<Self>, temporary: PathBuf) -> io::Result<Worker> {
        self.start_as("swiftd-disk", temporary)
    }

    /// The same for [`Self::beside`].
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start_for_logs(self: &Arc<Self>) -> io::Result<Worker> {
        self.start_as("swiftd-log", PathBuf::new())
    }

    fn start_as(self: &Arc<Self>, name: &str, temporary: PathBuf) -> io::Result<Worker> {
        let disk = Arc::clone(self);
        let null = file::open_null()?;
        let thread = thread::Builder::new()
            .name(name.into())
            .stack_size(STACK_BYTES)
            .spawn(move || disk.work(&temporary, &null))?;
        Ok(Worker {
            disk: Arc::clone(self),
            thread: Some(thread),
        })
    }

    /// Becomes readable when there are replies.
    #[must_use]
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Queues a job.
    ///
    /// # Errors
    /// Its queue is full.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        let mut queues = self.lock();
        let is_long = matches!(job, Job::Load { .. } | Job::Append { .. });
        if is_long && queues.long.len() >= queues.long_jobs_max {
            queues.long.retain(is_wanted);
        }
        let (short_max, long_max) = (queues.short_jobs_max, queues.long_jobs_max);
        let (queue, jobs_max) = match job {
            Job::Load { .. } | Job::Append { .. } => (&mut queues.long, long_max),
            Job::Log(_) => (&mut queues.logs, usize::MAX),
            Job::Find { .. } | Job::CheckRoot(_) => (&mut queues.short, short_max),
        };
        if queue.len() >= jobs_max {
            return Err(Full(job));
        }
        queue.push_back(job);
        drop(queues);
        self.has_work.notify_one();
        Ok(())
    }

    /// What waits.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        let queues = self.lock();
        let is_append = |job: &&Job| matches!(job, Job::Append { .. });
        let append_count = queues.long.iter().filter(is_append).count();
        Backlog {
            short_count: queues.short.len(),
            load_count: queues.long.len() - append_count,
            append_count,
        }
    }

    /// How many short jobs and how many others may wait.
    #[must_use]
    pub fn bounds(&self) -> (usize, usize) {
        let queues = self.lock();
        (queues.short_jobs_max, queues.long_jobs_max)
    }

    /// Sets how many may wait. What waits already stays.
    pub fn set_bounds(&self, short_jobs_max: usize, long_jobs_max: usize) {
        let mut queues = self.lock();
        queues.short_jobs_max = short_jobs_max;
        queues.long_jobs_max = long_jobs_max;
    }

    /// Takes the replies that are there.
    #[must_use]
    pub fn take_replies(&self) -> Vec<Reply> {
        self.waker.clear();
        std::mem::take(&mut self.lock().replies)
    }

    /// The same without a look at the waker, which the others' replies share.
    #[must_use]
    pub fn take_replies_beside(&self) -> Vec<Reply> {
        std::mem::take(&mut self.lock().replies)
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // A panic elsewhere leaves the queues whole: nothing is half done while they are locked.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, or `None` when the thread is to end.
    fn next_job(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if let Some(job) = queues.short.pop_front() {
                return Some(job);
            }
            if let Some(job) = queues.logs.pop_front() {
                return Some(job);
            }
            if queues.is_stopping {
                return None;
            }
            if let Some(job) = queues.long.pop_front() {
                return Some(job);
            }
            queues = self
                .has_work
                .wait(queues)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next batch of a log, if nobody works on them.
    #[cfg(test)]
    pub(crate) fn take_log_for_test(&self) -> Option<Job> {
        self.lock().logs.pop_front()
    }

    fn work(&self, temporary: &Path, null: &OwnedFd) {
        threads::register_own();
        while let Some(job) = self.next_job() {
            if let Some(reply) = perform(job, temporary, null) {
                self.lock().replies.push(reply);
                self.waker.wake();
            }
        }
    }
}

fn perform(job: Job, temporary: &Path, null: &OwnedFd) -> Option<Reply> {
    match job {
        Job::Find { place, key } => Some(perform_find(place, key)),
        Job::CheckRoot(site) => {
            let replacement = site.replacement().map(|site| site.map(Arc::new));
            Some(Reply::RootChecked { site, replacement })
        }
        Job::Log(batch) => batch.perform().map(Reply::Logged),
        Job::Load { id, piece } => {
            let piece = piece.upgrade()?;
            let file = piece.file.as_fd();
            let result = file::load(file, piece.offset, piece.bytes, null.as_fd());
            Some(Reply::Loaded { id, result })
        }
        Job::Append { id, append } => {
            let result = perform_append(append, temporary);
            Some(Reply::Appended { id, result })
        }
    }
}

fn perform_find(place: Place, key: Key) -> Reply {
    let (site, is_new) = match place {
        Place::Open(site) => (site, false),
        Place::Closed(settings) => match Site::open(*settings) {
            Ok(site) => (Arc::new(site), true),
            Err(error) => {
                let found = Arc::new(Found::nothing(&error));
                let opened = None;
                return Reply::Found { key, found, opened };
            }
        },
    };
    let found = site.find(key.path(), CodingSet::ALL, Waiting::Allowed);
    // It may wait; a file system that says "not now" all the same has too much to do.
    let found = Arc::new(found.unwrap_or_else(Found::busy));
    let opened = is_new.then_some(site);
    Reply::Found { key, found, opened }
}

/// Whether somebody still waits for a long job.
fn is_wanted(job: &Job) -> bool {
    match job {
        Job::Load { piece, .. } => piece.strong_count() > 0,
        _ => true,
    }
}

fn perform_append(append: Append, temporary: &Path) -> io::Result<Arc<OwnedFd>> {
    let file = match append.file {
        Some(file) => file,
        None => Arc::new(spool::open_unnamed(temporary)?),
    };
    spool::write_all(file.as_fd(), &append.bytes, append.offset)?;
    Ok(file)
}

/// The running thread. Dropping it lets the job at hand and the queued log lines finish; a disk
/// that has stopped altogether is not waited for.
#[derive(Debug)]
pub struct Worker {
    disk: Arc<Disk>,
    thread: Option<thread::JoinHandle<()>>,
}

/// How long the end of the server waits for the disk thread.
const END_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

impl Drop for Worker {
    fn drop(&mut self) {
        self.disk.lock().is_stopping = true;
        self.disk.has_work.notify_one();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = std::time::Instant::now() + END_PATIENCE;
        while !thread.is_finished() && std::time::Instant::now() < deadline {
            thread::sleep(std::time::Duration::from_millis(1));
        }
        if thread.is_finished() {
            // A panic has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const ID: Id = Id {
        slot: 0,
        generation: 0,
    };

    fn cold_piece() -> Arc<ColdPiece> {
        let null = std::fs::File::open("/dev/null").unwrap();
        Arc::new(ColdPiece {
            file: Arc::new(null.into()),
            offset: 0,
            bytes: 1,
        })
    }

    fn load(piece: &Arc<ColdPiece>) -> Job {
        Job::Load {
            id: ID,
            piece: Arc::downgrade(piece),
        }
    }

    #[test]
    fn jobs_of_those_who_are_gone_take_no_place_and_hold_no_descriptor() {
        let disk = Disk::new(1, 2).unwrap();
        for _ in 0..100 {
            let gone = cold_piece();
            let file = Arc::downgrade(&gone.file);
            disk.submit(load(&gone)).unwrap();
            drop(gone);
            assert!(file.upgrade().is_none(), "the queue holds a descriptor");
        }
        let waiting = [cold_piece(), cold_piece()];
        for piece in &waiting {
            disk.submit(load(piece)).unwrap();
        }
        assert!(disk.submit(load(&cold_piece())).is_err());
    }

    #[test]
    fn short_jobs_go_first_and_their_queue_is_bounded() {
        let disk = Disk::new(1, 1).unwrap();
        let piece = cold_piece();
        disk.submit(load(&piece)).unwrap();
        let log = || Job::Log(Box::new(log::Batch::for_stderr(Vec::new())));
        disk.submit(log()).unwrap();
        disk.submit(log()).unwrap();
        let root = Arc::new(Site::open(Config::new("/".into()).site).unwrap());
        disk.submit(Job::CheckRoot(Arc::clone(&root))).unwrap();
        assert!(disk.submit(Job::CheckRoot(root)).is_err());
        let waiting = Backlog {
            short_count: 1,
            load_count: 1,
            append_count: 0,
        };
        assert_eq!(disk.backlog(), waiting);
        assert!(matches!(disk.next_job(), Some(Job::CheckRoot(_))));
        for _ in 0..2 {
            assert!(matches!(disk.next_job(), Some(Job::Log(_))));
        }
        assert!(matches!(disk.next_job(), Some(Job::Load { .. })));
    }
}
