//! Hears of changes of one file by watching the directory that it is in.
//!
//! The file itself cannot be watched: `mv`, `sed -i` and most editors put another file in its place,
//! and a Kubernetes volume changes a link beside it that the file's name leads through. IN_MODIFY is
//! left out, because a file that is being written is not worth a look before it is closed.
//!
//! What cannot be heard: a link *above* the directory that is made to point elsewhere, and a change
//! of what a link points to in another directory. Whoever uses this looks at the path itself now
//! and then ([`super::small_file::identify`]).
//!
//! INVARIANT: at most one watch is in force, and events of earlier ones are dropped.

use inotify::{Event, EventMask, Inotify, WatchDescriptor, WatchMask};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Watches the directory of a file.
#[derive(Debug)]
pub struct DirectoryWatch {
    inotify: Inotify,
    /// The watch in force.
    watch: Option<WatchDescriptor>,
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
    /// Whether the path is a symbolic link. Then what it leads to may change without that its name
    /// is ever mentioned, so every event in the directory counts.
    is_link: bool,
}

/// What was heard.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing that concerns the file.
    Nothing,
    /// The file may be another one, or may be gone.
    Change,
    /// The directory was removed, moved or unmounted: nothing will be heard until
    /// [`DirectoryWatch::rewatch`] has succeeded, and the file may be another one.
    Gone,
}

/// What is asked of the kernel.
const INTEREST: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::ATTRIB)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR)
    .union(WatchMask::EXCL_UNLINK);

/// The directory itself is no longer where it was. IGNORED comes when the kernel has ended a watch.
const GONE: EventMask = EventMask::DELETE_SELF
    .union(EventMask::MOVE_SELF)
    .union(EventMask::UNMOUNT)
    .union(EventMask::IGNORED);

/// Room for some dozens of events; one with the longest name takes 272 bytes.
const EVENTS_BYTES: usize = 4096;

impl DirectoryWatch {
    /// Watches the directory of the file at `path`. Neither has to exist: see [`Self::is_watching`].
    ///
    /// # Errors
    /// `path` cannot name a file, or the kernel has no inotify instance left.
    pub fn new(path: &Path) -> io::Result<Self> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut watch = Self {
            inotify: Inotify::init()?,
            watch: None,
            path: path.to_owned(),
            directory: directory.to_owned(),
            name: name.to_owned(),
            is_link: false,
        };
        // Without the directory there is nothing to hear; whoever called tries again.
        let _ = watch.rewatch();
        Ok(watch)
    }

    /// Whether changes are heard; else [`Self::rewatch`] is to be tried every now and then.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        self.watch.is_some()
    }

    /// Watches the directory that is at the path now, and only that one. After a success the file
    /// must be looked at: what came between two watches was not heard. May be called at any time.
    /// It walks the path, which on a remote file system may take a while.
    ///
    /// # Errors
    /// There is no such directory, it may not be read, or there are too many watches.
    pub fn rewatch(&mut self) -> io::Result<()> {
        let mut watches = self.inotify.watches();
        let added = watches.add(&self.directory, INTEREST);
        let old = std::mem::replace(&mut self.watch, added.as_ref().ok().cloned());
        if let Some(old) = old.filter(|old| Some(old) != self.watch.as_ref()) {
            // It fails when the kernel has ended that watch already.
            let _ = watches.remove(old);
        }
        // After the watch was set, so that a link which is made just now is not missed.
        self.look_at_link();
        added.map(drop)
    }

    /// Takes all that has been heard until now; the descriptor is registered by edges, so the queue
    /// is emptied.
    pub fn drain(&mut self) -> Heard {
        let mut heard = Heard::Nothing;
        let mut is_named = false;
        let mut buffer = [0; EVENTS_BYTES];
        // EAGAIN says that the queue is empty, and nothing else ends the life of the descriptor.
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            for event in events {
                is_named |= event.name == Some(&*self.name);
                let news = judge(&event, self.watch.as_ref(), &self.name, self.is_link);
                heard = heard.and(news);
            }
        }
        if heard == Heard::Gone {
            self.forget();
        } else if is_named {
            self.look_at_link();
        }
        heard
    }

    /// Ends the watch: a directory that was moved away would go on being heard.
    fn forget(&mut self) {
        if let Some(watch) = self.watch.take() {
            // It fails when the directory is no more, and the watch with it.
            let _ = self.inotify.watches().remove(watch);
        }
    }

    /// Does not wait in practice: the name is in the kernel's memory, for something has just happened
    /// to it.
    fn look_at_link(&mut self) {
        self.is_link = self.path.is_symlink();
    }
}

impl AsFd for DirectoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl Heard {
    /// The graver of two: who hears that the directory is gone looks at the file as well.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gone, _) | (_, Self::Gone) => Self::Gone,
            (Self::Change, _) | (_, Self::Change) => Self::Change,
            (Self::Nothing, Self::Nothing) => Self::Nothing,
        }
    }
}

/// What one event means for the file `name`.
fn judge(
    event: &Event<&OsStr>,
    watch: Option<&WatchDescriptor>,
    name: &OsStr,
    is_link: bool,
) -> Heard {
    // It belongs to no watch: something was lost.
    if event.mask.contains(EventMask::Q_OVERFLOW) {
        return Heard::Change;
    }
    if Some(&event.wd) != watch {
        return Heard::Nothing;
    }
    match event.name {
        None if event.mask.intersects(GONE) => Heard::Gone,
        // The directory's own mode or owner: a file may be refused because of those.
        None => Heard::Change,
        Some(other) if is_link || other == name => Heard::Change,
        Some(_) => Heard::Nothing,
    }
}
