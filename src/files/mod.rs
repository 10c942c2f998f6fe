//! Which files there are: the site on disk, further roots that plugins have chosen, and a bounded cache of what was found.
//!
//! A look-up that the cache can answer costs one hash. One that it cannot is made at once if the
//! kernel has the names and the bytes in memory, and by the disk thread if not; those who ask for
//! the same path meanwhile wait for the same answer.

mod cache;
mod roots;
mod site;

pub use cache::{Bounds, Cache};
pub use roots::Key;
pub use site::{Found, Outcome, Settings, Site, Variant};

use crate::conn::Id;
use crate::disk::{Disk, Job, Place};
use crate::handler::{Files, LookUp};
use crate::http::negotiate::{Accepted, CodingSet};
use crate::http::representation::Modified;
use crate::http::{Content, Representation};
use crate::sys::file::{self, Waiting};
use roots::{OpenRoot, Roots};
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The files of the server.
#[derive(Debug)]
pub struct Store {
    main: OpenRoot,
    roots: Roots,
    cache: Cache,
    disk: Arc<Disk>,
    /// Who waits for the disk's answer on a path, by its key.
    asked: HashMap<Box<[u8]>, Vec<Id>>,
    /// How many of them there are.
    asker_count: usize,
    hits: u64,
    misses: u64,
    /// The answer for the connection that is being woken.
    delivered: Option<Arc<Found>>,
    /// The loop's clock, milliseconds.
    now: u64,
}

/// What a status page tells of the files.
#[derive(Copy, Clone, Debug)]
pub struct Figures {
    /// Look-ups that the cache answered.
    pub hits: u64,
    /// Look-ups that it could not answer.
    pub misses: u64,
    /// Paths in the cache.
    pub entry_count: usize,
    /// Its memory.
    pub bytes: usize,
    /// Files that it holds open.
    pub descriptor_count: usize,
    /// What it may have.
    pub bounds: Bounds,
    /// How many wait for the disk to find something.
    pub asker_count: usize,
}

/// How many may wait for the disk to find something. Those who went away meanwhile count, so that
/// coming and going does not make the list grow while a disk hangs.
const ASKERS_MAX: usize = 16_384;

impl Store {
    /// The files of `site`, with an empty cache.
    #[must_use]
    pub fn new(site: Arc<Site>, bounds: Bounds, disk: Arc<Disk>, now: u64) -> Self {
        Self {
            main: OpenRoot::new(site, now),
            roots: Roots::default(),
            cache: Cache::new(bounds),
            disk,
            asked: HashMap::new(),
            asker_count: 0,
            hits: 0,
            misses: 0,
            delivered: None,
            now,
        }
    }

    /// Sets the clock.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// Serves another site from now on.
    pub fn set_site(&mut self, site: Arc<Site>) {
        self.main = OpenRoot::new(site, self.now);
        self.cache.clear();
    }

    /// Sets the bounds of the cache.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.cache.set_bounds(bounds);
    }

    /// The disk thread has found what a path stands for, and perhaps opened its root: remembers both
    /// and returns who waits for it. Each of them is to be woken after [`deliver`](Self::deliver).
    pub fn handle_found(
        &mut self,
        key: Key,
        found: &Arc<Found>,
        opened: Option<Arc<Site>>,
    ) -> Vec<Id> {
        if let (Some(root), Some(site)) = (key.root(), opened) {
            self.roots.insert(root, site, self.now);
        }
        let waiting = self.asked.remove(key.bytes()).unwrap_or_default();
        self.asker_count -= waiting.len();
        if found.is_lasting() {
            self.cache
                .insert(key.into_bytes(), Arc::clone(found), self.now);
        }
        waiting
    }

    /// The answer for the connection that is woken next; `None` takes back one that was not used.
    pub fn deliver(&mut self, found: Option<&Arc<Found>>) {
        self.delivered = found.cloned();
    }

    /// The disk thread has looked where a root is; it is another one if its path names another
    /// directory now.
    pub fn handle_root_checked(&mut self, site: &Arc<Site>, replacement: &Option<Arc<Site>>) {
        if self.main.handle_checked(site, replacement)
            || self.roots.handle_checked(site, replacement)
        {
            self.cache.clear();
        }
    }

    /// What the kernel offers for these files.
    #[must_use]
    pub fn features(&self) -> file::Features {
        self.main.site.features()
    }

    /// Numbers for a status page.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (entry_count, bytes, descriptor_count) = self.cache.size();
        Figures {
            hits: self.hits,
            misses: self.misses,
            entry_count,
            bytes,
            descriptor_count,
            bounds: self.cache.bounds(),
            asker_count: self.asker_count,
        }
    }

    /// Asks the disk thread, which opens the root if that is not `site`.
    fn ask_disk(&mut self, site: Option<Arc<Site>>, key: Key, asker: Id) -> LookUp {
        if self.asker_count == ASKERS_MAX {
            return LookUp::Busy;
        }
        if let Some(askers) = self.asked.get_mut(key.bytes()) {
            self.asker_count += 1;
            askers.push(asker);
            return LookUp::Pending;
        }
        let place = match (site, key.root()) {
            (Some(site), _) => Place::Open(site),
            (None, None) => Place::Open(Arc::clone(&self.main.site)),
            (None, Some(root)) => Place::Closed(Box::new(self.main.site.settings_of(root))),
        };
        let bytes = key.bytes().into();
        if self.disk.submit(Job::Find { place, key }).is_err() {
            return LookUp::Busy;
        }
        self.asker_count += 1;
        self.asked.insert(bytes, vec![asker]);
        LookUp::Pending
    }

    /// A root that is open, seen from time to time whether it is still where it was.
    fn open_root(&mut self, root: Option<&[u8]>) -> Option<Arc<Site>> {
        let root = match root {
            None => &mut self.main,
            Some(path) => self.roots.get_mut(path)?,
        };
        root.check(&self.disk, self.now);
        Some(Arc::clone(&root.site))
    }

    /// `key` is that of `root` and `path`.
    fn look_up_by_key(
        &mut self,
        root: Option<&[u8]>,
        path: &[u8],
        key: &[u8],
        accepted: &Accepted,
        asker: Id,
    ) -> LookUp {
        let mut wanted = accepted.wanted();
        if let Some(found) = self.cache.get(key, self.now) {
            match found.choose(accepted) {
                Some(LookUp::Found(file)) if !is_unchanged(&file) => {}
                Some(answer) => {
                    self.hits += 1;
                    return answer;
                }
                // Clients differ in what they accept; what is remembered is to serve all of them.
                None => wanted = CodingSet::ALL,
            }
        }
        self.misses += 1;
        let Some(site) = self.open_root(root) else {
            return self.ask_disk(None, Key::new(root, path), asker);
        };
        if wanted.is_empty()
            && let Some(file) = self.cache.last_file(key)
            && site.is_still_at(path, file)
        {
            let file = Arc::clone(file);
            let found = Arc::new(Found::of_known(Arc::clone(&file)));
            self.cache.insert(key.into(), found, self.now);
            return LookUp::Found(file);
        }
        match site.find(path, wanted, Waiting::Never) {
            Some(found) => {
                let answer = found.choose(accepted).unwrap_or(LookUp::Busy);
                if found.is_lasting() {
                    self.cache.insert(key.into(), Arc::new(found), self.now);
                }
                answer
            }
            None => self.ask_disk(Some(site), Key::new(root, path), asker),
        }
    }
}

impl Files for Store {
    fn root(&self) -> &[u8] {
        self.main.site.root_path()
    }

    fn look_up(
        &mut self,
        root: Option<&[u8]>,
        path: &[u8],
        accepted: &Accepted,
        asker: Id,
    ) -> LookUp {
        if let Some(found) = self.delivered.take() {
            return found.choose(accepted).unwrap_or(LookUp::Busy);
        }
        match root {
            None => self.look_up_by_key(None, path, path, accepted, asker),
            Some(_) => {
                let key = Key::new(root, path);
                self.look_up_by_key(root, path, key.bytes(), accepted, asker)
            }
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
