//! The roots that are open: those of the sites, and those that plugins have chosen beside them.
//!
//! Opening a directory may wait, so the disk thread opens a further root when it is asked for the
//! first file in it; here it is only remembered. At most [`ROOTS_MAX`] are; the one that has not
//! been used for the longest time goes.

use super::Site;
use crate::disk::{Disk, Job};
use std::collections::HashMap;
use std::sync::Arc;

/// How long a root is believed to be where it was, milliseconds.
const ROOT_TRUST_MS: u64 = 1_000;

/// How many further roots stay open: one descriptor each, and more virtual hosts than a small box
/// serves at a time.
const ROOTS_MAX: usize = 64;

/// A site, a root and a path beneath it, as one string: for the root of the first site, which is all
/// that most servers ever have, the path alone; else site and root before it, set off by bytes that
/// neither has.
#[derive(Debug)]
pub struct Key {
    bytes: Box<[u8]>,
    path_start: usize,
}

/// A zero and the number of the site.
const SITE_BYTES: usize = 5;

impl Key {
    /// The key of a path beneath a root; `None` is the site's.
    #[must_use]
    pub fn new(site: u32, root: Option<&[u8]>, path: &[u8]) -> Self {
        let mut bytes = Vec::new();
        let path_start = Self::write(site, root, path, &mut bytes);
        Self {
            bytes: bytes.into(),
            path_start,
        }
    }

    /// Writes the bytes of a key to where others were; returns where the path begins.
    pub(super) fn write(site: u32, root: Option<&[u8]>, path: &[u8], bytes: &mut Vec<u8>) -> usize {
        bytes.clear();
        if site != 0 || root.is_some() {
            bytes.push(0);
            bytes.extend_from_slice(&site.to_ne_bytes());
            bytes.extend_from_slice(root.unwrap_or_default());
            bytes.push(0);
        }
        let path_start = bytes.len();
        bytes.extend_from_slice(path);
        path_start
    }

    /// The site that the bytes of a key name.
    pub(super) fn site_of(bytes: &[u8]) -> u32 {
        match bytes {
            &[0, a, b, c, d, ..] => u32::from_ne_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// The number of the site.
    #[must_use]
    pub fn site(&self) -> u32 {
        Self::site_of(&self.bytes)
    }

    /// The root, unless it is the site's.
    #[must_use]
    pub fn root(&self) -> Option<&[u8]> {
        let end = self.path_start.checked_sub(1)?;
        let root = self.bytes.get(SITE_BYTES..end)?;
        (!root.is_empty()).then_some(root)
    }

    /// Site and root, if the root is not the site's.
    pub(super) fn place(&self) -> Option<&[u8]> {
        self.root().map(|_| &self.bytes[..self.path_start])
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.bytes[self.path_start..]
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }
}

/// A root that is open.
#[derive(Debug)]
pub(super) struct OpenRoot {
    pub(super) site: Arc<Site>,
    /// When it was last seen whether it is still where it was, milliseconds.
    checked: u64,
    /// Whether the disk thread is looking.
    is_checking: bool,
    /// When it was last used, in look-ups.
    used: u64,
}

impl OpenRoot {
    pub(super) fn new(site: Arc<Site>, now: u64) -> Self {
        Self {
            site,
            checked: now,
            is_checking: false,
            used: 0,
        }
    }

    /// Sees from time to time whether the root is still where it was: a site that is replaced by
    /// renaming directories must not be served from the old one for ever.
    pub(super) fn check(&mut self, disk: &Disk, now: u64) {
        if self.is_checking || now.saturating_sub(self.checked) < ROOT_TRUST_MS {
            return;
        }
        self.checked = now;
        // If the disk has too much to do, a later look-up will ask again.
        let job = Job::CheckRoot(Arc::clone(&self.site));
        self.is_checking = disk.submit(job).is_ok();
    }

    /// The disk thread has looked at `site`. Tells whether this is another one now.
    pub(super) fn handle_checked(
        &mut self,
        site: &Arc<Site>,
        replacement: &Option<Arc<Site>>,
    ) -> bool {
        if !Arc::ptr_eq(&self.site, site) {
            return false;
        }
        self.is_checking = false;
        if let Some(replacement) = replacement {
            self.site = Arc::clone(replacement);
        }
        replacement.is_some()
    }
}

/// The further roots that are open, by [`Key::place`]: each is served as the site is that it was
/// chosen in.
#[derive(Debug, Default)]
pub(super) struct Roots {
    open: HashMap<Box<[u8]>, OpenRoot>,
    look_ups: u64,
}

impl Roots {
    /// A root, if it is open.
    pub(super) fn get_mut(&mut self, place: &[u8]) -> Option<&mut OpenRoot> {
        self.look_ups += 1;
        let root = self.open.get_mut(place)?;
        root.used = self.look_ups;
        Some(root)
    }

    /// Remembers one that has been opened.
    pub(super) fn insert(&mut self, place: &[u8], site: Arc<Site>, now: u64) {
        if self.open.len() >= ROOTS_MAX && !self.open.contains_key(place) {
            let oldest = self.open.iter().min_by_key(|(_, root)| root.used);
            if let Some(place) = oldest.map(|(place, _)| place.clone()) {
                self.open.remove(&place);
            }
        }
        let mut root = OpenRoot::new(site, now);
        root.used = self.look_ups;
        self.open.insert(place.into(), root);
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Closes those of some sites.
    pub(super) fn retain(&mut self, is_kept: impl Fn(u32) -> bool) {
        self.open.retain(|place, _| is_kept(Key::site_of(place)));
    }

    /// As [`OpenRoot::handle_checked`], for whichever it is; returns which one is another now.
    pub(super) fn handle_checked(
        &mut self,
        site: &Arc<Site>,
        replacement: &Option<Arc<Site>>,
    ) -> Option<&[u8]> {
        self.open.iter_mut().find_map(|(place, root)| {
            let is_it = root.handle_checked(site, replacement);
            is_it.then_some(&**place)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Settings;
    use crate::sys::file::Features;

    fn site(directory: &std::path::Path) -> Arc<Site> {
        let settings = Settings {
            root: directory.into(),
            index_names: Vec::new(),
            small_bytes_max: 0,
            mime: Vec::new(),
            features: Features::ALL,
        };
        Arc::new(Site::open(settings).unwrap())
    }

    #[test]
    fn a_key_keeps_sites_and_roots_apart() {
        let mut seen = std::collections::HashSet::new();
        for site in [0, 1, 256, u32::MAX] {
            for root in [None, Some(&b"/a"[..]), Some(b"/a/b")] {
                for path in [&b"/"[..], b"/b", b"/a/b"] {
                    let key = Key::new(site, root, path);
                    assert_eq!((key.site(), key.root(), key.path()), (site, root, path));
                    assert_eq!(Key::site_of(key.bytes()), site);
                    assert_eq!(key.place().is_some(), root.is_some());
                    assert!(key.bytes().starts_with(key.place().unwrap_or_default()));
                    assert!(seen.insert(key.into_bytes()));
                }
            }
        }
        assert_eq!(Key::new(0, None, b"/a").bytes(), b"/a", "it costs nothing");
    }

    #[test]
    fn the_root_that_was_not_used_longest_goes() {
        let directory = tempfile::tempdir().unwrap();
        let site = site(directory.path());
        let name = |number: usize| format!("/{number}").into_bytes();
        let mut roots = Roots::default();
        for number in 0..ROOTS_MAX {
            assert!(roots.get_mut(&name(number)).is_none());
            roots.insert(&name(number), Arc::clone(&site), 0);
        }
        assert!(roots.get_mut(&name(0)).is_some());
        roots.insert(b"/one more", Arc::clone(&site), 0);
        assert_eq!(roots.open.len(), ROOTS_MAX);
        assert!(roots.get_mut(&name(0)).is_some(), "it was used");
        assert!(roots.get_mut(&name(1)).is_none(), "it was not");
        assert_eq!(Arc::strong_count(&site), 1 + ROOTS_MAX);
    }
}
