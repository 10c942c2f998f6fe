//! Which files there are: the site on disk, and a bounded cache of what was found.
//!
//! A look-up that the cache can answer costs one hash. One that it cannot is made at once if the
//! kernel has the names and the bytes in memory, and by the disk thread if not; those who ask for
//! the same path meanwhile wait for the same answer.

mod cache;
mod site;

pub use cache::{Bounds, Cache};
pub use site::{Found, Outcome, Settings, Site, Variant};

use crate::conn::Id;
use crate::disk::{Disk, Job};
use crate::handler::{Files, LookUp};
use crate::http::negotiate::{Accepted, CodingSet};
use crate::http::representation::Modified;
use crate::http::{Content, Representation};
use crate::sys::file::{self, Waiting};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The files of the server.
#[derive(Debug)]
pub struct Store {
    site: Arc<Site>,
    cache: Cache,
    disk: Arc<Disk>,
    /// Who waits for the disk's answer on a path.
    asked: HashMap<Box<[u8]>, Vec<Id>>,
    /// How many of them there are.
    asker_count: usize,
    /// The answer for the connection that is being woken.
    delivered: Option<Arc<Found>>,
    /// The loop's clock, milliseconds.
    now: u64,
    /// When it was last seen whether the root is still where it was, milliseconds.
    root_checked: u64,
    /// Whether the disk thread is looking.
    is_checking_root: bool,
}

/// How long the root is believed to be where it was, milliseconds.
const ROOT_TRUST_MS: u64 = 1_000;

/// How many may wait for the disk to find something. Those who went away meanwhile count, so that
/// coming and going does not make the list grow while a disk hangs.
const ASKERS_MAX: usize = 16_384;

impl Store {
    /// The files of `site`, with an empty cache.
    #[must_use]
    pub fn new(site: Arc<Site>, bounds: Bounds, disk: Arc<Disk>, now: u64) -> Self {
        Self {
            site,
            cache: Cache::new(bounds),
            disk,
            asked: HashMap::new(),
            asker_count: 0,
            delivered: None,
            now,
            root_checked: now,
            is_checking_root: false,
        }
    }

    /// Sets the clock.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// The disk thread has found what `path` stands for: remembers it and returns who waits for
    /// it. Each of them is to be woken after [`deliver`](Self::deliver).
    pub fn handle_found(&mut self, path: Box<[u8]>, found: &Arc<Found>) -> Vec<Id> {
        let waiting = self.asked.remove(&path).unwrap_or_default();
        self.asker_count -= waiting.len();
        if found.is_lasting() {
            self.cache.insert(path, Arc::clone(found), self.now);
        }
        waiting
    }

    /// The answer for the connection that is woken next; `None` takes back one that was not used.
    pub fn deliver(&mut self, found: Option<&Arc<Found>>) {
        self.delivered = found.cloned();
    }

    /// The disk thread has looked where the root is; the site is another one if its path names
    /// another directory now.
    pub fn handle_root_checked(&mut self, replacement: Option<Arc<Site>>) {
        self.is_checking_root = false;
        if let Some(site) = replacement {
            self.site = site;
            self.cache.clear();
        }
    }

    /// What the kernel offers for these files.
    #[must_use]
    pub fn features(&self) -> file::Features {
        self.site.features()
    }

    fn ask_disk(&mut self, path: &[u8], asker: Id) -> LookUp {
        if self.asker_count == ASKERS_MAX {
            return LookUp::Busy;
        }
        if let Some(askers) = self.asked.get_mut(path) {
            self.asker_count += 1;
            askers.push(asker);
            return LookUp::Pending;
        }
        let job = Job::Find {
            site: Arc::clone(&self.site),
            path: path.into(),
        };
        if self.disk.submit(job).is_err() {
            return LookUp::Busy;
        }
        self.asker_count += 1;
        self.asked.insert(path.into(), vec![asker]);
        LookUp::Pending
    }

    /// Sees from time to time whether the root is still where it was: a site that is replaced by
    /// renaming directories must not be served from the old one for ever.
    fn check_root(&mut self) {
        if self.is_checking_root || self.now - self.root_checked < ROOT_TRUST_MS {
            return;
        }
        self.root_checked = self.now;
        // If the disk has too much to do, a later look-up will ask again.
        let job = Job::CheckRoot(Arc::clone(&self.site));
        self.is_checking_root = self.disk.submit(job).is_ok();
    }
}

impl Files for Store {
    fn look_up(&mut self, path: &[u8], accepted: &Accepted, asker: Id) -> LookUp {
        if let Some(found) = self.delivered.take() {
            return found.choose(accepted).unwrap_or(LookUp::Busy);
        }
        let mut wanted = accepted.wanted();
        if let Some(found) = self.cache.get(path, self.now) {
            match found.choose(accepted) {
                Some(LookUp::Found(file)) if !is_unchanged(&file) => {}
                Some(answer) => return answer,
                // Clients differ in what they accept; what is remembered is to serve all of them.
                None => wanted = CodingSet::ALL,
            }
        }
        self.check_root();
        if wanted.is_empty()
            && let Some(file) = self.cache.last_file(path)
            && self.site.is_still_at(path, file)
        {
            let file = Arc::clone(file);
            let found = Arc::new(Found::of_known(Arc::clone(&file)));
            self.cache.insert(path.into(), found, self.now);
            return LookUp::Found(file);
        }
        match self.site.find(path, wanted, Waiting::Never) {
            Some(found) => {
                let answer = found.choose(accepted).unwrap_or(LookUp::Busy);
                if found.is_lasting() {
                    self.cache.insert(path.into(), Arc::new(found), self.now);
                }
                answer
            }
            None => self.ask_disk(path, asker),
        }
    }
}

/// Whether a file that is about to be sent still has the content that its head describes. One that
/// is in memory has: its bytes and its description are of the same moment. A name that it has lost
/// meanwhile makes no difference, and one that has only grown (a log, a recording) still has what
/// was promised of it.
#[must_use]
pub fn is_sendable(file: &Representation) -> bool {
    let described = &file.identity;
    now(file).is_none_or(|(bytes, modified)| {
        bytes > described.bytes || (bytes, modified) == (described.bytes, described.modified)
    })
}

/// Whether a file is as it was described.
fn is_unchanged(file: &Representation) -> bool {
    let described = &file.identity;
    now(file).is_none_or(|now| now == (described.bytes, described.modified))
}

/// Length and time of change of a file that is not in memory.
fn now(file: &Representation) -> Option<(u64, Modified)> {
    let Content::Descriptor(descriptor) = &file.content else {
        return None;
    };
    let (bytes, modified) = file::remembered(descriptor.as_fd())?;
    Some((bytes, site::modified(modified)))
}
