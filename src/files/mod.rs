//! Which files there are: the sites on disk, further roots that plugins have chosen, and a bounded
//! cache of what was found.
//!
//! Sites have numbers, and none is given twice: a request that began before a configuration was
//! replaced goes on with the site that it began with, and what is found there is never taken for what
//! another one has. A site is closed when neither a configuration nor a request needs it.
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
    sites: HashMap<u32, Served>,
    /// The number of the next site that is not known yet.
    next_site: u32,
    /// The site of the default host, and what the kernel offers for it.
    main: (u32, file::Features),
    /// Sites that are no longer in the configuration.
    retired: Vec<u32>,
    /// Where keys are put together, so that looking one up allocates nothing.
    key: Vec<u8>,
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

/// A site, and who needs it.
#[derive(Debug)]
struct Served {
    root: OpenRoot,
    lease: Arc<()>,
}

/// What a host keeps of its site.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Its number.
    pub site: u32,
    /// The site stays open as long as somebody holds this.
    pub lease: Arc<()>,
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
    /// No files and an empty cache; see [`Self::install`].
    #[must_use]
    pub fn new(bounds: Bounds, disk: Arc<Disk>, now: u64) -> Self {
        Self {
            sites: HashMap::new(),
            next_site: 0,
            main: (0, file::Features::NONE),
            retired: Vec::new(),
            key: Vec::new(),
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

    /// Sets the clock, and closes sites that nobody needs any more.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
        if !self.retired.is_empty() {
            self.sweep();
        }
    }

    /// Serves these sites from now on, the default host's first. One that is like one that is served
    /// already is that one, with all that is known of it; the others are forgotten as soon as nobody
    /// holds their tickets.
    pub fn install(&mut self, sites: impl IntoIterator<Item = Arc<Site>>) -> Vec<Ticket> {
        let tickets: Vec<Ticket> = sites.into_iter().map(|site| self.admit(site)).collect();
        let is_new = |number: u32| tickets.iter().any(|ticket| ticket.site == number);
        self.retired = self
            .sites
            .keys()
            .copied()
            .filter(|&number| !is_new(number))
            .collect();
        self.forget(is_new);
        if let Some(main) = tickets.first() {
            let features = self
                .sites
                .get(&main.site)
                .map(|served| served.root.site.features());
            self.main = (main.site, features.unwrap_or(file::Features::NONE));
        }
        tickets
    }

    fn admit(&mut self, site: Arc<Site>) -> Ticket {
        let mut served = self.sites.iter();
        let known = served.find(|(_, served)| served.root.site.is_like(&site));
        if let Some((&site, Served { lease, .. })) = known {
            let lease = Arc::clone(lease);
            return Ticket { site, lease };
        }
        let number = self.next_site;
        self.next_site += 1;
        let lease = Arc::new(());
        let served = Served {
            root: OpenRoot::new(site, self.now),
            lease: Arc::clone(&lease),
        };
        self.sites.insert(number, served);
        Ticket {
            site: number,
            lease,
        }
    }

    /// Closes the sites that were retired and that nobody needs any more.
    pub fn sweep(&mut self) {
        let sites = &self.sites;
        let is_needed = |number: &u32| {
            let served = sites.get(number);
            served.is_some_and(|served| Arc::strong_count(&served.lease) > 1)
        };
        let count = self.retired.len();
        let (needed, gone): (Vec<u32>, Vec<u32>) =
            self.retired.drain(..).partition(|number| is_needed(number));
        self.retired = needed;
        if self.retired.len() < count {
            self.sites.retain(|number, _| !gone.contains(number));
            self.forget(|number| !gone.contains(&number));
        }
    }

    /// Forgets what was found in some sites.
    fn forget(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.cache.retain(|key| is_kept(Key::site_of(key)));
        self.roots.retain(is_kept);
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
        let waiting = self.asked.remove(key.bytes()).unwrap_or_default();
        self.asker_count -= waiting.len();
        // Its site may have been closed meanwhile, if all who asked have gone away.
        if !self.sites.contains_key(&key.site()) {
            return waiting;
        }
        if let (Some(place), Some(site)) = (key.place(), opened) {
            self.roots.insert(place, site, self.now);
        }
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
        let replaced = self.sites.iter_mut().find_map(|(&number, served)| {
            let is_it = served.root.handle_checked(site, replacement);
            is_it.then_some(number)
        });
        if let Some(number) = replaced {
            self.cache.retain(|key| Key::site_of(key) != number);
        } else if let Some(place) = self.roots.handle_checked(site, replacement) {
            self.cache.retain(|key| !key.starts_with(place));
        }
    }

    /// What the kernel offers for the files of a site.
    #[must_use]
    pub fn features(&self, site: u32) -> file::Features {
        let (main, features) = self.main;
        if site == main {
            return features;
        }
        let served = self.sites.get(&site);
        served.map_or(file::Features::NONE, |served| served.root.site.features())
    }

    /// The site of the default host.
    #[must_use]
    pub fn main_site(&self) -> u32 {
        self.main.0
    }

    /// How many sites are open, those included that only requests still need.
    #[must_use]
    pub fn site_count(&self) -> usize {
        self.sites.len()
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
        let Some(served) = self.sites.get(&key.site()) else {
            return LookUp::Busy;
        };
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
            (None, None) => Place::Open(Arc::clone(&served.root.site)),
            (None, Some(root)) => Place::Closed(Box::new(served.root.site.settings_of(root))),
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
    fn open_root(&mut self, key: &Key) -> Option<Arc<Site>> {
        let root = match key.place() {
            None => &mut self.sites.get_mut(&key.site())?.root,
            Some(place) => self.roots.get_mut(place)?,
        };
        root.check(&self.disk, self.now);
        Some(Arc::clone(&root.site))
    }

    /// The answer that the cache has, or how many codings are wanted of one that it has not.
    fn ask_cache(&mut self, key: &[u8], accepted: &Accepted) -> Result<LookUp, CodingSet> {
        let Some(found) = self.cache.get(key, self.now) else {
            return Err(accepted.wanted());
        };
        match found.choose(accepted) {
            Some(LookUp::Found(file)) if !is_unchanged(&file) => Err(accepted.wanted()),
            Some(answer) => {
                self.hits += 1;
                Ok(answer)
            }
            // Clients differ in what they accept; what is remembered is to serve all of them.
            None => Err(CodingSet::ALL),
        }
    }

    /// Looks on disk, if need be with its thread.
    fn find(&mut self, key: Key, wanted: CodingSet, accepted: &Accepted, asker: Id) -> LookUp {
        self.misses += 1;
        let Some(site) = self.open_root(&key) else {
            return self.ask_disk(None, key, asker);
        };
        if wanted.is_empty()
            && let Some(file) = self.cache.last_file(key.bytes())
            && site.is_still_at(key.path(), file)
        {
            let file = Arc::clone(file);
            let found = Arc::new(Found::of_known(Arc::clone(&file)));
            self.cache.insert(key.into_bytes(), found, self.now);
            return LookUp::Found(file);
        }
        match site.find(key.path(), wanted, Waiting::Never) {
            Some(found) => {
                let answer = found.choose(accepted).unwrap_or(LookUp::Busy);
                if found.is_lasting() {
                    self.cache
                        .insert(key.into_bytes(), Arc::new(found), self.now);
                }
                answer
            }
            None => self.ask_disk(Some(site), key, asker),
        }
    }
}

impl Files for Store {
    fn look_up(
        &mut self,
        site: u32,
        root: Option<&[u8]>,
        path: &[u8],
        accepted: &Accepted,
        asker: Id,
    ) -> LookUp {
        if let Some(found) = self.delivered.take() {
            return found.choose(accepted).unwrap_or(LookUp::Busy);
        }
        let cached = if site == 0 && root.is_none() {
            self.ask_cache(path, accepted)
        } else {
            let mut key = std::mem::take(&mut self.key);
            Key::write(site, root, path, &mut key);
            let cached = self.ask_cache(&key, accepted);
            self.key = key;
            cached
        };
        match cached {
            Ok(answer) => answer,
            Err(wanted) => self.find(Key::new(site, root, path), wanted, accepted, asker),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Status;
    use std::path::Path;
    use std::time::Duration;

    fn store() -> Store {
        let bounds = Bounds {
            entries_max: 100,
            bytes_max: 1 << 20,
            descriptors_max: 8,
            trust: Duration::from_secs(1),
        };
        Store::new(bounds, Disk::new(8, 8).unwrap(), 0)
    }

    fn site(root: &Path, index: &str) -> Arc<Site> {
        let settings = Settings {
            root: root.into(),
            index_names: vec![index.into()],
            small_bytes_max: 0,
            mime: Vec::new(),
            features: file::Features::ALL,
        };
        Arc::new(Site::open(settings).unwrap())
    }

    /// The disk thread has found that there is nothing at `/x` in a site.
    fn find(store: &mut Store, site: u32, root: Option<&[u8]>) {
        let found = Arc::new(Found {
            outcome: Outcome::Missing(Status::NOT_FOUND),
            variants: [const { Variant::Absent }; 3],
        });
        let opened = root.map(|_| Arc::clone(&store.sites.values().next().unwrap().root.site));
        store.handle_found(Key::new(site, root, b"/x"), &found, opened);
    }

    #[test]
    fn what_stays_keeps_what_is_known_of_it_and_what_goes_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
        for root in [&a, &b] {
            std::fs::create_dir(root).unwrap();
        }
        let entry_count = |store: &Store| store.figures().entry_count;
        let mut store = store();
        let first = store.install([site(&a, "i"), site(&b, "i"), site(&a, "j"), site(&a, "i")]);
        let numbers = |tickets: &[Ticket]| tickets.iter().map(|it| it.site).collect::<Vec<_>>();
        assert_eq!(numbers(&first), [0, 1, 2, 0]);
        for number in 0..3 {
            find(&mut store, number, None);
            find(&mut store, number, Some(b"/other"));
        }
        assert_eq!((entry_count(&store), store.roots.len()), (6, 3));
        let second = store.install([site(&b, "j"), site(&a, "i")]);
        assert_eq!(numbers(&second), [3, 0]);
        assert_eq!((entry_count(&store), store.roots.len()), (2, 1));
        assert_eq!(store.main_site(), 3);
        // Whoever still has the old ones goes on with them.
        assert_eq!(store.site_count(), 4);
        find(&mut store, 1, None);
        assert_eq!(entry_count(&store), 3);
        drop(first);
        store.set_now(1);
        assert_eq!((store.site_count(), entry_count(&store)), (2, 2));
        // An answer that nobody waits for any more is no reason to remember it.
        find(&mut store, 1, None);
        assert_eq!(entry_count(&store), 2);
        drop(second);
        store.set_now(2);
        assert_eq!(store.site_count(), 2, "they are in the configuration");
    }

    #[test]
    fn a_root_that_has_been_replaced_is_another_site() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let mut store = store();
        let before = store.install([site(&root, "i")]);
        std::fs::rename(&root, directory.path().join("old")).unwrap();
        std::fs::create_dir(&root).unwrap();
        let after = store.install([site(&root, "i")]);
        assert_eq!((before[0].site, after[0].site), (0, 1));
        // One whose replacement has been seen already is not.
        std::fs::rename(&root, directory.path().join("older")).unwrap();
        std::fs::create_dir(&root).unwrap();
        let seen = Arc::clone(&store.sites[&1].root.site);
        let replacement = seen.replacement().unwrap().map(Arc::new);
        store.handle_root_checked(&seen, &replacement);
        assert_eq!(store.install([site(&root, "i")])[0].site, 1);
    }
}
