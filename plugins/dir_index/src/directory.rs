//! A directory beneath the document root. Everything here may wait for a disk, so it runs on the
//! helper thread.
//!
//! Containment: a path is walked component by component as the server does it for files (openat2
//! with RESOLVE_BENEATH): a symbolic link may lead elsewhere within the root, an absolute one or
//! one that leaves the root is refused. Names may be swapped between the walk and the opening;
//! therefore a directory that was opened is asked where it is (/proc/self/fd) and read through
//! that very descriptor. Without /proc mounted the walk alone has to do. What a link in the
//! directory points to is described by its path: whoever may swap names there could at most learn
//! size and date of another file. The content of files is the server's business.

use std::fs::{self, File, FileType, Metadata, ReadDir};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::settings::Settings;

/// How many symbolic links may be met, as in the kernel.
const LINKS_MAX: usize = 40;

/// How many components may be pending, so that links cannot multiply them without end.
const COMPONENTS_MAX: usize = 4096;

/// What a directory's path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The index name of that number.
    Index(usize),
    /// A directory without an index.
    Directory,
    /// Nothing to be seen.
    Missing,
}

/// What is listed; everything else is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// A line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Any bytes but NUL and slash.
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
    /// Seconds since 1970, UTC; negative before.
    pub(crate) modified: i64,
}

/// A directory's path: a root, and a path beneath it without a slash at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    pub(crate) relative: PathBuf,
}

impl Place {
    /// `None` if `physical` is not beneath `root`, or names something hidden.
    pub(crate) fn new(root: &[u8], physical: &[u8]) -> Option<Self> {
        let bare = root.strip_suffix(b"/").unwrap_or(root);
        let relative = physical.strip_prefix(bare)?.strip_prefix(b"/")?;
        let mut segments = relative.split(|&byte| byte == b'/');
        if !root.starts_with(b"/") || segments.any(|segment| segment.starts_with(b".")) {
            return None;
        }
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        Some(Self {
            root: path(root),
            relative: path(relative),
        })
    }

    /// Looks for the first of the index files, then for the directory itself.
    pub(crate) fn look(&self, index_names: &[String]) -> Verdict {
        let Ok(root) = fs::canonicalize(&self.root) else {
            return Verdict::Missing;
        };
        let is = |relative: &Path, wanted: fn(&FileType) -> bool| {
            let found = resolve(&root, relative).and_then(fs::symlink_metadata);
            found.is_ok_and(|meta| wanted(&meta.file_type()))
        };
        for (index, name) in index_names.iter().enumerate() {
            if is(&self.relative.join(name), FileType::is_file) {
                return Verdict::Index(index);
            }
        }
        if is(&self.relative, FileType::is_dir) {
            Verdict::Directory
        } else {
            Verdict::Missing
        }
    }
}

/// A directory that is being read.
#[derive(Debug)]
pub(crate) struct Reader {
    entries: ReadDir,
    root: PathBuf,
    /// Where it is, without links on the way.
    path: PathBuf,
    settings: Arc<Settings>,
    read: usize,
    listing: Listing,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Entry>,
    /// There is more than `max_entries`.
    pub(crate) is_cut: bool,
}

impl Reader {
    pub(crate) fn open(place: &Place, settings: Arc<Settings>) -> io::Result<Self> {
        let root = fs::canonicalize(&place.root)?;
        let path = resolve(&root, &place.relative)?;
        Ok(Self {
            entries: read_held(&root, &path)?,
            root,
            path,
            settings,
            read: 0,
            listing: Listing::default(),
        })
    }

    /// Reads on until the directory ends, or the time is over; `Ok` with what was read if there is
    /// no more. At least one entry is read.
    pub(crate) fn read(mut self, until: Instant) -> io::Result<Result<Listing, Self>> {
        while let Some(entry) = self.entries.next() {
            if self.read == self.settings.entries_max {
                self.listing.is_cut = true;
                break;
            }
            self.read += 1;
            let entry = entry?;
            // An entry that is gone by now is as good as never met.
            if let Some(entry) = self.describe(&entry) {
                self.listing.entries.push(entry);
            }
            if Instant::now() >= until {
                return Ok(Err(self));
            }
        }
        Ok(Ok(self.listing))
    }

    fn describe(&self, entry: &fs::DirEntry) -> Option<Entry> {
        let name = entry.file_name().into_vec();
        let is_hidden = |name: &[u8]| {
            name.starts_with(b".") || self.settings.hide.iter().any(|glob| glob.is_match(name))
        };
        if is_hidden(&name) {
            return None;
        }
        let meta = if entry.file_type().ok()?.is_symlink() {
            self.follow(entry)?
        } else {
            entry.metadata().ok()?
        };
        let kind = match meta.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_file() => Kind::File,
            _ => return None,
        };
        Some(Entry {
            name: name.into(),
            kind,
            bytes: meta.len(),
            modified: meta.mtime(),
        })
    }

    fn follow(&self, link: &fs::DirEntry) -> Option<Metadata> {
        let relative = self.path.strip_prefix(&self.root).ok()?;
        let target = resolve(&self.root, &relative.join(link.file_name())).ok()?;
        fs::symlink_metadata(target).ok()
    }
}

/// Opens a directory and reads it through the descriptor, having seen that it is where it should.
fn read_held(root: &Path, path: &Path) -> io::Result<ReadDir> {
    // The dot makes sure that it is a directory: opening a FIFO would wait.
    let held = File::open(path.join("."))?;
    let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    match fs::read_link(&by_descriptor) {
        Ok(place) if place.starts_with(root) => fs::read_dir(by_descriptor),
        Ok(_) => Err(outside()),
        Err(_) => fs::read_dir(path),
    }
}

/// Where a path beneath a canonical root leads, all links followed.
fn resolve(root: &Path, relative: &Path) -> io::Result<PathBuf> {
    let mut here = root.to_path_buf();
    let mut depth = 0usize;
    let mut links = 0;
    let mut pending = pending(relative)?;
    while let Some(step) = pending.pop() {
        let Some(name) = step else {
            depth = depth.checked_sub(1).ok_or_else(outside)?;
            here.pop();
            continue;
        };
        here.push(name);
        depth += 1;
        if !fs::symlink_metadata(&here)?.is_symlink() {
            continue;
        }
        let target = fs::read_link(&here)?;
        here.pop();
        depth -= 1;
        links += 1;
        pending.extend(self::pending(&target)?);
        if links > LINKS_MAX || pending.len() > COMPONENTS_MAX {
            return Err(outside());
        }
    }
    Ok(here)
}

/// The steps of a relative path, the first one last; `None` is a step up.
fn pending(path: &Path) -> io::Result<Vec<Option<std::ffi::OsString>>> {
    let steps = path
        .components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(Ok(Some(name.to_owned()))),
            Component::ParentDir => Some(Ok(None)),
            Component::CurDir => None,
            Component::RootDir | Component::Prefix(_) => Some(Err(outside())),
        });
    steps.collect()
}

/// To the client it is not there.
fn outside() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "outside of the document root")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_place_is_beneath_its_root_and_not_hidden() {
        let place = |root: &str, physical: &str| {
            let place = Place::new(root.as_bytes(), physical.as_bytes())?;
            Some(place.relative.to_str().unwrap().to_owned())
        };
        for (root, physical, expected) in [
            ("/srv/www", "/srv/www/", Some("")),
            ("/srv/www", "/srv/www/a/b/", Some("a/b/")),
            ("/srv/www/", "/srv/www/a/", Some("a/")),
            ("/", "/a/", Some("a/")),
            ("/srv/www", "/srv/www", None),
            ("/srv/www", "/srv/www2/", None),
            ("/srv/www", "/srv/", None),
            ("/srv/www", "/srv/www/../x/", None),
            ("/srv/www", "/srv/www/.git/", None),
            ("/srv/www", "/srv/www/a/.b/c/", None),
            ("/srv/.www", "/srv/.www/a/", Some("a/")),
            ("www", "www/a/", None),
            ("", "/a/", None),
        ] {
            let found = place(root, physical);
            assert_eq!(found.as_deref(), expected, "{root} {physical}");
        }
    }

    /// A root with links of all kinds, and what is above it.
    fn links() -> (tempfile::TempDir, PathBuf) {
        let above = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(above.path()).unwrap().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/f"), "").unwrap();
        for (name, target) in [
            ("to-b", "a/b"),
            ("a/b/up", "../.."),
            ("a/b/out", "../../.."),
            ("a/b/back", "../../../root/a"),
            ("chain", "to-b/up/a"),
            ("absolute", "/"),
            ("through", "absolute/etc"),
            ("loop", "./loop"),
            ("twice", "twice/twice"),
            ("broken", "nowhere"),
        ] {
            symlink(target, root.join(name)).unwrap();
        }
        (above, root)
    }

    #[test]
    fn links_are_followed_within_the_root_only() {
        let (_above, root) = links();
        for (path, expected) in [
            ("", Some("")),
            ("a/./b/", Some("a/b")),
            ("to-b", Some("a/b")),
            ("to-b/up/a/f", Some("a/f")),
            ("chain/b", Some("a/b")),
            ("a/b/out", None),
            ("a/b/back", None),
            ("absolute", None),
            ("through", None),
            ("loop", None),
            ("twice", None),
            ("broken", None),
            ("..", None),
            ("a/../..", None),
            ("a/f/x", None),
        ] {
            let found = resolve(&root, Path::new(path)).ok();
            assert_eq!(found, expected.map(|path| root.join(path)), "{path}");
        }
    }

    #[test]
    fn a_directory_that_was_swapped_for_one_outside_is_not_read() {
        let (_above, root) = links();
        // As if a component had become a link after the walk.
        let swapped = root.join("a/b/out");
        let error = read_held(&root, &swapped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let inside = read_held(&root, &root.join("to-b")).unwrap();
        assert_eq!(inside.count(), 3);
        let file = read_held(&root, &root.join("a/f")).unwrap_err();
        assert_eq!(file.kind(), ErrorKind::NotADirectory);
    }

    #[test]
    fn the_root_itself_may_be_a_link() {
        let (above, root) = links();
        let link = above.path().join("link");
        symlink(&root, &link).unwrap();
        let physical = [link.as_os_str().as_bytes(), b"/to-b/"].concat();
        let place = Place::new(link.as_os_str().as_bytes(), &physical).unwrap();
        assert_eq!(place.look(&[]), Verdict::Directory);
        let names = ["x".to_owned(), "f".to_owned()];
        assert_eq!(place.look(&names), Verdict::Directory);
        let place = Place {
            relative: "a".into(),
            ..place
        };
        assert_eq!(place.look(&names), Verdict::Index(1));
    }
}
