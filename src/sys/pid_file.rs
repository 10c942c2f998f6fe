//! The file that tells which process the server is.
//!
//! It is locked for as long as the server lives. The lock belongs to the open file, not to the
//! process, so it survives fork, and a new program gets it with the descriptor; when the last copy
//! is closed, in whatever way the processes ended, it is gone, so what a dead server left behind is
//! told from a living one. INVARIANT: nothing is written to a file that is not locked, and no file
//! is removed that is not the one that is open here.

use rustix::fs::{FlockOperation, Mode, OFlags, flock, ftruncate};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A locked file for a process number. The file is removed when this is dropped, or emptied if that
/// is not allowed any more.
#[derive(Debug)]
pub struct PidFile {
    file: File,
    /// `None` if it is not for this process to remove.
    path: Option<PathBuf>,
}

/// Why there is none.
#[derive(Debug)]
pub enum Error {
    /// A server lives; its number, if it has written it already.
    Running(Option<u32>),
    /// There is something else: it is no regular file, has further names, or holds no number.
    Strange(&'static str),
    /// The system refuses.
    System(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(Some(number)) => write!(f, "already running as process {number}"),
            Self::Running(None) => f.write_str("another swiftd is just starting with it"),
            Self::Strange(what) => write!(f, "{what}; it is left alone, choose another path"),
            Self::System(error) => {
                write!(f, "{error}")?;
                match error.kind() {
                    io::ErrorKind::NotFound => write!(f, "; make its directory first"),
                    io::ErrorKind::PermissionDenied => {
                        write!(
                            f,
                            "; its directory must be writable for whoever starts swiftd"
                        )
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// No number is longer, bytes.
const BYTES_MAX: u64 = 32;

/// How often a file is opened anew that was removed before it was locked.
const ATTEMPTS_MAX: usize = 16;

impl PidFile {
    /// Makes the file, or takes over that of a dead server, and locks it. It stays empty until
    /// [`Self::write`].
    ///
    /// # Errors
    /// A server lives, or the file is not to be had.
    pub fn create(path: &Path) -> Result<Self, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let file = open(path)?;
            let number = number_in(&file)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(Error::Running(number)),
                Err(errno) => return Err(errno.into()),
            }
            // Between the two the last server may have removed it: then this lock says nothing.
            if identity(path) != Some(identity_of(&file)?) {
                continue;
            }
            ftruncate(&file, 0)?;
            // Whatever the umask was: monitors read it.
            file.set_permissions(PermissionsExt::from_mode(0o644))?;
            return Ok(Self {
                file,
                path: Some(path.to_owned()),
            });
        }
        Err(Error::Running(None))
    }

    /// What another process of this server has handed over, with its lock; `None` if that is not the
    /// file at `path`. Until [`Self::take_over`] it is for the other one to remove.
    #[must_use]
    pub fn from_inherited(descriptor: OwnedFd, path: &Path) -> Option<Self> {
        let file = File::from(descriptor);
        let is_at_path = identity(path)? == identity_of(&file).ok()?;
        is_at_path.then_some(Self { file, path: None })
    }

    /// Makes it this process's to remove.
    pub fn take_over(&mut self, path: &Path) {
        self.path = Some(path.to_owned());
    }

    /// Writes the number of a process.
    ///
    /// # Errors
    /// The file system is full.
    pub fn write(&self, process: u32) -> io::Result<()> {
        let text = format!("{process}\n");
        self.file.write_all_at(text.as_bytes(), 0)?;
        self.file.set_len(text.len() as u64)
    }

    /// Leaves the file to another process that has it too: dropping this one changes nothing.
    pub fn leave(&mut self) {
        self.path = None;
    }

    /// After chroot(2) the path is another one, or there is none.
    pub fn enter(&mut self, jail: &Path) {
        self.path = self.path.take().map(|path| match path.strip_prefix(jail) {
            Ok(inside) => Path::new("/").join(inside),
            // Nothing has an empty name, so it will be emptied.
            Err(_) => PathBuf::new(),
        });
    }
}

impl AsFd for PidFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let Some(path) = &self.path else {
            return;
        };
        let own = identity_of(&self.file).ok();
        let is_own = own.is_some() && identity(path) == own;
        if !is_own || std::fs::remove_file(path).is_err() {
            // Nobody is told a number that may soon be another process's.
            let _ = ftruncate(&self.file, 0);
        }
    }
}

/// The number in the pid file of a living server.
///
/// # Errors
/// The file cannot be read.
pub fn running(path: &Path) -> io::Result<Option<u32>> {
    let file = File::open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => number_in(&file).map_err(io::Error::other),
        Err(errno) => Err(errno.into()),
        Ok(()) => Ok(None),
    }
}

/// Whether a process has the file at `path` open, as every server has its own; `None` if that is not to
/// be told, because the process is somebody else's or there is no /proc. A server that plugins
/// have got hold of can write any number into its file, and so must not choose whom root signals.
#[must_use]
pub fn is_held_by(path: &Path, process: u32) -> Option<bool> {
    let meta = std::fs::metadata(path).ok()?;
    let own = (meta.dev(), meta.ino());
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let mut open = open
        .flatten()
        .filter_map(|entry| std::fs::metadata(entry.path()).ok());
    Some(open.any(|meta| (meta.dev(), meta.ino()) == own))
}

/// Opens it without following a link that somebody may have put there, and without waiting for a
/// pipe.
fn open(path: &Path) -> Result<File, Error> {
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)) {
        Ok(file) => Ok(file.into()),
        Err(Errno::LOOP) => Err(Error::Strange("it is a symbolic link")),
        Err(errno) => Err(errno.into()),
    }
}

/// The number that is in a file; none if it is empty.
fn number_in(file: &File) -> Result<Option<u32>, Error> {
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Error::Strange("it is not a regular file"));
    }
    if meta.nlink() > 1 {
        return Err(Error::Strange("it has other names as well"));
    }
    let mut bytes = [0; BYTES_MAX as usize];
    let length = meta.len();
    if length == 0 {
        return Ok(None);
    }
    let filled = file.read_at(&mut bytes, 0)?;
    let number = std::str::from_utf8(&bytes[..filled]).ok();
    let number = number.and_then(|text| text.trim_ascii().parse().ok());
    match number {
        Some(number) if length <= BYTES_MAX => Ok(Some(number)),
        _ => Err(Error::Strange("it holds something else than a number")),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

fn identity_of(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn grounds() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swiftd.pid");
        (directory, path)
    }

    #[test]
    fn one_server_has_it_until_it_is_dropped() {
        let (_directory, path) = grounds();
        let first = PidFile::create(&path).unwrap();
        assert!(matches!(PidFile::create(&path), Err(Error::Running(None))));
        first.write(123_456).unwrap();
        first.write(42).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "42\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
        let refusal = PidFile::create(&path).unwrap_err();
        assert_eq!(refusal.to_string(), "already running as process 42");
        assert_eq!(running(&path).unwrap(), Some(42));
        let own = std::process::id();
        assert_eq!(is_held_by(&path, own), Some(true));
        assert_eq!(is_held_by(Path::new("/etc/passwd"), own), Some(false));
        assert_eq!(is_held_by(&path, u32::MAX), None);
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn what_a_dead_server_left_is_taken_over_and_empty_until_it_is_written() {
        let (_directory, path) = grounds();
        fs::write(&path, "99999\n").unwrap();
        assert_eq!(running(&path).unwrap(), None);
        let file = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        file.write(7).unwrap();
        assert_eq!(running(&path).unwrap(), Some(7));
    }

    #[test]
    fn the_lock_goes_with_the_descriptor() {
        let (_directory, path) = grounds();
        let mut first = PidFile::create(&path).unwrap();
        let second = first.as_fd().try_clone_to_owned().unwrap();
        let other = first.as_fd().try_clone_to_owned().unwrap();
        assert!(PidFile::from_inherited(other, Path::new("/etc/passwd")).is_none());
        let mut second = PidFile::from_inherited(second, &path).unwrap();
        second.take_over(&path);
        first.leave();
        drop(first);
        second.write(8).unwrap();
        assert!(matches!(
            PidFile::create(&path),
            Err(Error::Running(Some(8)))
        ));
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn somebody_elses_file_is_left_alone() {
        let (directory, path) = grounds();
        let file = PidFile::create(&path).unwrap();
        file.write(1).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "somebody's").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's");
        for (what, wanted) in [
            ("notes", "it holds something else than a number"),
            (&"1".repeat(33), "it holds something else than a number"),
        ] {
            fs::write(&path, what).unwrap();
            let refusal = PidFile::create(&path).unwrap_err().to_string();
            assert!(refusal.starts_with(wanted), "{refusal}");
            assert_eq!(fs::read_to_string(&path).unwrap(), what);
        }
        let other = directory.path().join("other");
        fs::write(&path, "1\n").unwrap();
        fs::hard_link(&path, &other).unwrap();
        assert!(matches!(PidFile::create(&path), Err(Error::Strange(_))));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(matches!(PidFile::create(&path), Err(Error::Strange(_))));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(PidFile::create(&path).is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "1\n");
    }

    #[test]
    fn in_a_jail_it_is_emptied_if_it_is_outside() {
        let (directory, path) = grounds();
        let mut file = PidFile::create(&path).unwrap();
        file.write(5).unwrap();
        file.enter(&directory.path().join("jail"));
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        let mut file = PidFile::create(&path).unwrap();
        // This process is in no jail, so the path is what it was.
        file.enter(Path::new("/"));
        drop(file);
        assert!(!path.exists());
    }
}
