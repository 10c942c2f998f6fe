//! The roots that are open: that of the site, and those that plugins have chosen beside it.
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

/// A root and a path beneath it, as one string: for the site's root the path alone, for another one
/// the root before it, set off by bytes that neither has.
#[derive(Debug)]
pub struct Key {
    bytes: Box<[u8]>,
    path_start: usize,
}

impl Key {
    /// The key of a path beneath a root; `None` is the site's.
    #[must_use]
    pub fn new(root: Option<&[u8]>, path: &[u8]) -> Self {
        let Some(root) = root else {
            return Self {
                bytes: path.into(),
                path_start: 0,
            };
        };
        Self {
            bytes: [&b"\0"[..], root, b"\0", path].concat().into(),
            path_start: root.len() + 2,
        }
    }

    /// The root, unless it is the site's.
    #[must_use]
    pub fn root(&self) -> Option<&[u8]> {
        let end = self.path_start.checked_sub(1)?;
        self.bytes.get(1..end)
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

/// The further roots that are open.
#[derive(Debug, Default)]
pub(super) struct Roots {
    open: HashMap<Box<[u8]>, OpenRoot>,
    look_ups: u64,
}

impl Roots {
    /// A root by its path, if it is open.
    pub(super) fn get_mut(&mut self, path: &[u8]) -> Option<&mut OpenRoot> {
        self.look_ups += 1;
        let root = self.open.get_mut(path)?;
        root.used = self.look_ups;
        Some(root)
    }

    /// Remembers one that has been opened.
    pub(super) fn insert(&mut self, path: &[u8], site: Arc<Site>, now: u64) {
        if self.open.len() >= ROOTS_MAX && !self.open.contains_key(path) {
            let oldest = self.open.iter().min_by_key(|(_, root)| root.used);
            if let Some(path) = oldest.map(|(path, _)| path.clone()) {
                self.open.remove(&path);
            }
        }
        let mut root = OpenRoot::new(site, now);
        root.used = self.look_ups;
        self.open.insert(path.into(), root);
    }

    /// As [`OpenRoot::handle_checked`], for whichever it is.
    pub(super) fn handle_checked(
        &mut self,
        site: &Arc<Site>,
        replacement: &Option<Arc<Site>>,
    ) -> bool {
        self.open
            .values_mut()
            .any(|root| root.handle_checked(site, replacement))
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
    fn a_key_keeps_roots_apart() {
        let own = Key::new(None, b"/a/b");
        assert_eq!((own.root(), own.path()), (None, &b"/a/b"[..]));
        let other = Key::new(Some(b"/a"), b"/b");
        assert_eq!((other.root(), other.path()), (Some(&b"/a"[..]), &b"/b"[..]));
        assert_ne!(own.bytes(), other.bytes());
        assert_ne!(Key::new(Some(b"/a/b"), b"/").bytes(), other.bytes());
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
