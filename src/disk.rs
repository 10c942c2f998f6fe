//! The disk thread: the one helper that does what could wait for a disk.
//!
//! Jobs go in through a bounded queue, replies come back through another, and the loop is woken.
//! Short jobs (finding a file) go before long ones (bringing a piece of a file into memory), so
//! that a slow disk that is busy with large files still answers for small ones between two pieces.
//! A connection has at most one long job at a time, which bounds their queue.

use crate::conn::{Append, Id};
use crate::files::{Found, Site};
use crate::http::negotiate::CodingSet;
use crate::sys::file::{self, Waiting};
use crate::sys::poll::Waker;
use crate::sys::process;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Work for the disk thread.
#[derive(Debug)]
pub enum Job {
    /// Tell what a path stands for.
    Find {
        /// Where.
        site: Arc<Site>,
        /// The clean path.
        path: Box<[u8]>,
    },
    /// See whether the root is still where it was.
    CheckRoot(Arc<Site>),
    /// Write lines to the log.
    Log(Vec<u8>),
    /// Bring a piece of a file into memory.
    Load {
        /// For whom.
        id: Id,
        /// The file.
        file: Arc<OwnedFd>,
        /// Where the piece begins.
        offset: u64,
        /// How long it is.
        bytes: u64,
    },
    /// Append to the file of a request's body.
    Append {
        /// For whom.
        id: Id,
        /// What, and where.
        append: Append,
    },
}

/// What the disk thread has done.
#[derive(Debug)]
pub enum Reply {
    /// What a path stands for.
    Found {
        /// The path.
        path: Box<[u8]>,
        /// What was found.
        found: Arc<Found>,
    },
    /// The site at the root's path, if that names another directory now.
    RootChecked(Option<Arc<Site>>),
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
}

/// The queues between the loop and the disk thread.
#[derive(Debug)]
pub struct Disk {
    queues: Mutex<Queues>,
    has_work: Condvar,
    waker: Waker,
    short_jobs_max: usize,
}

#[derive(Debug, Default)]
struct Queues {
    short: VecDeque<Job>,
    long: VecDeque<Job>,
    replies: Vec<Reply>,
    is_stopping: bool,
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
    pub fn new(short_jobs_max: usize) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            queues: Mutex::default(),
            has_work: Condvar::new(),
            waker: Waker::new()?,
            short_jobs_max,
        }))
    }

    /// Starts the thread. Bodies of requests are kept in files in `temporary`.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn start(self: &Arc<Self>, temporary: PathBuf) -> io::Result<Worker> {
        let disk = Arc::clone(self);
        let null = file::open_null()?;
        let thread = thread::Builder::new()
            .name("swiftd-disk".into())
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
    /// The queue of short jobs is full.
    pub fn submit(&self, job: Job) -> Result<(), Full> {
        let mut queues = self.lock();
        if matches!(job, Job::Load { .. } | Job::Append { .. }) {
            queues.long.push_back(job);
        } else if queues.short.len() < self.short_jobs_max {
            queues.short.push_back(job);
        } else {
            return Err(Full(job));
        }
        drop(queues);
        self.has_work.notify_one();
        Ok(())
    }

    /// Takes the replies that are there.
    #[must_use]
    pub fn take_replies(&self) -> Vec<Reply> {
        self.waker.clear();
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

    fn work(&self, temporary: &Path, null: &OwnedFd) {
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
        Job::Find { site, path } => {
            // It may wait, so it always finds something.
            let found = site.find(&path, CodingSet::ALL, Waiting::Allowed)?;
            Some(Reply::Found {
                path,
                found: Arc::new(found),
            })
        }
        Job::CheckRoot(site) => Some(Reply::RootChecked(site.replacement().map(Arc::new))),
        Job::Log(lines) => {
            process::print_error(&lines);
            None
        }
        Job::Load {
            id,
            file,
            offset,
            bytes,
        } => {
            let result = file::load(file.as_fd(), offset, bytes, null.as_fd());
            Some(Reply::Loaded { id, result })
        }
        Job::Append { id, append } => {
            let result = perform_append(append, temporary);
            Some(Reply::Appended { id, result })
        }
    }
}

fn perform_append(append: Append, temporary: &Path) -> io::Result<Arc<OwnedFd>> {
    let file = match append.file {
        Some(file) => file,
        None => Arc::new(file::open_unnamed(temporary)?),
    };
    file::write_all(file.as_fd(), &append.bytes, append.offset)?;
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
            // Whatever it panicked with has been printed.
            let _ = thread.join();
        }
    }
}
