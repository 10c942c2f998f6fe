//! Files beneath a root: opened without following anybody out of it, read without waiting for a
//! disk where the kernel can tell, sent ahead of need where it cannot.
//!
//! What the kernel offers is found out at run time and can be switched off, so that the way an
//! older kernel takes can be tested on a newer one.

use super::beneath;
use rustix::fs::{
    Access, Advice, AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, access, fadvise,
    fstat, fstatfs, open, openat2, statx,
};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

/// What the kernel can do for us.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// openat2(2) with RESOLVE_BENEATH (Linux 5.6); else each component is opened by itself.
    pub openat2: bool,
    /// RESOLVE_CACHED (Linux 5.12): names that are in memory are found without waiting; else every
    /// look-up is made by the disk thread.
    pub resolve_cached: bool,
    /// preadv2(2) with RWF_NOWAIT (Linux 4.14); else every read is made by the disk thread.
    pub nowait: bool,
    /// cachestat(2) (Linux 6.5); else each page of a piece is probed with RWF_NOWAIT.
    pub cachestat: bool,
}

impl Features {
    /// All that swiftd knows to use.
    pub const ALL: Self = Self {
        openat2: true,
        resolve_cached: true,
        nowait: true,
        cachestat: true,
    };

    /// What Linux 4.14 to 5.5 offer.
    pub const NONE: Self = Self {
        openat2: false,
        resolve_cached: false,
        nowait: false,
        cachestat: false,
    };

    /// What this kernel offers, of `self`, found out with the directory of a root.
    fn probed(self, directory: BorrowedFd<'_>) -> Self {
        let opens = |resolve| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            // EAGAIN says that the name was not in memory, so the kernel knows the question.
            !matches!(
                openat2(directory, ".", flags, Mode::empty(), resolve),
                Err(Errno::NOSYS | Errno::INVAL | Errno::PERM)
            )
        };
        let openat2 = self.openat2 && opens(ResolveFlags::BENEATH);
        let cached = ResolveFlags::BENEATH | ResolveFlags::CACHED;
        // A name in memory does not help where opening it asks another machine or process.
        let is_local = !is_remote(directory);
        Self {
            openat2,
            resolve_cached: openat2 && is_local && self.resolve_cached && opens(cached),
            nowait: is_local && self.nowait,
            cachestat: is_local && self.cachestat && has_cachestat(),
        }
    }
}

/// Whether the kernel answers cachestat(2): it must be asked of a file that is open for reading.
fn has_cachestat() -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = open("/proc/self/exe", flags, Mode::empty());
    file.is_ok_and(|file| super::raw::cached_pages(file.as_fd(), 0, 1).is_ok())
}

/// File systems whose files are with another machine or process, which may be slow to answer even
/// for an open or a stat (magic numbers of statfs(2)): NFS, CIFS, SMB2, FUSE, 9p, Ceph, AFS.
const REMOTE: [u32; 7] = [
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x00c3_6400,
    0x5346_414f,
];

fn is_remote(directory: BorrowedFd<'_>) -> bool {
    fstatfs(directory).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u32)))
}

/// A directory that files are served from.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
    /// Device and inode, which nobody else gets while it is open.
    identity: (u64, u64),
    features: Features,
}

/// Whether a look-up may wait for the disk.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It must not: what is not in memory is [`io::ErrorKind::WouldBlock`].
    Never,
    /// It may.
    Allowed,
}

/// What kind of file was found.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A FIFO, a device, a socket.
    Special,
}

/// A moment in the life of a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, negative before.
    pub unix_secs: i64,
    /// Nanoseconds within the second.
    pub nanos: u32,
}

/// What fstat(2) tells about a file.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Regular, directory, or neither.
    pub kind: Kind,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// Last change of the content.
    pub modified: Moment,
    /// Last change of the inode.
    pub changed: Moment,
}

/// An open file.
#[derive(Debug)]
pub struct Opened {
    /// Its descriptor: read-only, non-blocking, close-on-exec.
    pub descriptor: OwnedFd,
    /// What it is.
    pub meta: Meta,
}

/// How a file is opened. Non-blocking, so that a FIFO without a writer does not hold us; without
/// making a terminal ours.
pub(super) const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// How often a look-up that a rename disturbed is tried again.
const RACES_MAX: usize = 8;

impl Root {
    /// Opens a root and finds out which of `features` the kernel offers.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be searched.
    pub fn open(path: &Path, features: Features) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(path, flags, Mode::empty())?;
        // O_PATH asks neither a sandbox whether we may open what is in it, nor whether we may search
        // it; this does. To be searched is enough, unless it is not its mode that keeps us out.
        let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Err(errno) = open(path, readable, Mode::empty()) {
            if access(path, Access::READ_OK).is_ok() {
                return Err(errno.into());
            }
            open(path.join("."), flags, Mode::empty())?;
        }
        let features = features.probed(directory.as_fd());
        let Meta { device, inode, .. } = meta(directory.as_fd())?;
        Ok(Self {
            directory,
            identity: (device, inode),
            features,
        })
    }

    /// What the kernel offers.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether another one is of the same directory; told without asking the kernel.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }

    /// Whether `path` still names this directory.
    ///
    /// # Errors
    /// It names nothing.
    pub fn is_at(&self, path: &Path) -> io::Result<bool> {
        let there = rustix::fs::stat(path)?;
        let here = fstat(&self.directory)?;
        Ok(there.st_ino == here.st_ino && there.st_dev == here.st_dev)
    }

    /// Opens the file at `path`, which is relative, free of dot segments, and not empty.
    /// Symbolic links are followed as long as they stay beneath the root.
    ///
    /// # Errors
    /// `WouldBlock` if it must not wait and would have to; EXDEV for a way out of the root; else
    /// see open(2).
    pub fn open_file(&self, path: &[u8], waiting: Waiting) -> io::Result<Opened> {
        let descriptor = match waiting {
            Waiting::Never => self.resolve_at_once(path, FILE_FLAGS)?,
            Waiting::Allowed if self.features.openat2 => self.resolve_patiently(path)?,
            Waiting::Allowed => beneath::open(self.directory.as_fd(), path)?,
        };
        let meta = meta(descriptor.as_fd())?;
        Ok(Opened { descriptor, meta })
    }

    /// What a path names, without opening it and without waiting.
    ///
    /// # Errors
    /// As [`Self::open_file`] that must not wait.
    pub fn describe(&self, path: &[u8]) -> io::Result<Meta> {
        let file = self.resolve_at_once(path, OFlags::PATH | OFlags::CLOEXEC)?;
        meta(file.as_fd())
    }

    fn resolve(&self, path: &[u8], flags: OFlags, how: ResolveFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | how;
        openat2(&self.directory, path, flags, Mode::empty(), resolve)
    }

    /// Only what is in memory. What is mounted beneath the root may be remote, so it is for the disk
    /// thread.
    fn resolve_at_once(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        if !self.features.resolve_cached {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.resolve(path, flags, ResolveFlags::CACHED | ResolveFlags::NO_XDEV) {
            Err(Errno::XDEV) => Err(io::ErrorKind::WouldBlock.into()),
            resolved => Ok(resolved?),
        }
    }

    /// EAGAIN means here that a rename went on at the same time (openat2(2)).
    fn resolve_patiently(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        for _ in 0..RACES_MAX {
            match self.resolve(path, FILE_FLAGS, ResolveFlags::empty()) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        Err(Errno::BUSY)
    }
}

/// Length and time of change as the kernel remembers them, without asking a remote file's server:
/// what decides whether a description still holds. `None` if it does not tell.
#[must_use]
pub fn remembered(file: BorrowedFd<'_>) -> Option<(u64, Moment)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(file, "", flags, StatxFlags::SIZE | StatxFlags::MTIME).ok()?;
    let modified = Moment {
        unix_secs: stat.stx_mtime.tv_sec,
        nanos: stat.stx_mtime.tv_nsec,
    };
    Some((stat.stx_size, modified))
}

/// What fstat(2) tells about an open file. For a remote one it may wait.
///
/// # Errors
/// See fstat(2).
#[allow(
    clippy::unnecessary_cast,
    reason = "the types differ between architectures"
)]
pub fn meta(file: BorrowedFd<'_>) -> io::Result<Meta> {
    let stat = fstat(file)?;
    Ok(Meta {
        kind: match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::Regular,
            FileType::Directory => Kind::Directory,
            _ => Kind::Special,
        },
        device: stat.st_dev,
        inode: stat.st_ino,
        bytes: u64::try_from(stat.st_size).unwrap_or(0),
        modified: Moment {
            unix_secs: stat.st_mtime as i64,
            nanos: stat.st_mtime_nsec as u32,
        },
        changed: Moment {
            unix_secs: stat.st_ctime as i64,
            nanos: stat.st_ctime_nsec as u32,
        },
    })
}

/// Fills `buffer` from the start of `file` as far as the file goes; returns how many bytes it has.
///
/// # Errors
/// `WouldBlock` if it must not wait and would have to.
pub fn read_start(
    file: BorrowedFd<'_>,
    buffer: &mut [u8],
    waiting: Waiting,
    features: Features,
) -> io::Result<usize> {
    let flags = match waiting {
        Waiting::Never if !features.nowait => return Err(io::ErrorKind::WouldBlock.into()),
        Waiting::Never => ReadWriteFlags::NOWAIT,
        Waiting::Allowed => ReadWriteFlags::empty(),
    };
    let mut filled = 0;
    while filled < buffer.len() {
        let mut target = [IoSliceMut::new(&mut buffer[filled..])];
        match preadv2(file, &mut target, filled as u64, flags) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            // A file system that does not know RWF_NOWAIT (tmpfs) may know what is in memory; else
            // (overlayfs) the disk thread has to read.
            Err(Errno::OPNOTSUPP) if waiting == Waiting::Never => {
                if !features.cachestat || !is_resident(file, 0, buffer.len() as u64, features) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                return read_start(file, buffer, Waiting::Allowed, features);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(filled)
}

/// Whether a piece of a file is in memory, so that sending it will not wait for the disk. In doubt
/// it is not.
#[must_use]
pub fn is_resident(file: BorrowedFd<'_>, offset: u64, bytes: u64, features: Features) -> bool {
    let page_bytes = rustix::param::page_size() as u64;
    if features.cachestat {
        let pages = (offset + bytes).div_ceil(page_bytes) - offset / page_bytes;
        return super::raw::cached_pages(file, offset, bytes).is_ok_and(|cached| cached >= pages);
    }
    let has_byte = |at: u64| {
        let mut byte = [0];
        preadv2(
            file,
            &mut [IoSliceMut::new(&mut byte)],
            at,
            ReadWriteFlags::NOWAIT,
        )
        .is_ok()
    };
    // Every page: a client that asks for ranges can bring any of them into memory by itself.
    let mut pages = (offset..offset + bytes).step_by(page_bytes as usize);
    features.nowait && pages.all(has_byte) && has_byte(offset + bytes - 1)
}

/// Tells the kernel not to read ahead by itself: the disk thread does, in whole pieces.
pub fn expect_pieces(file: BorrowedFd<'_>) {
    // Advice may be ignored.
    let _ = fadvise(file, 0, None, Advice::Random);
}

/// Brings a piece of a file into memory and waits until it is there.
///
/// # Errors
/// The disk cannot read it.
pub fn load(file: BorrowedFd<'_>, offset: u64, bytes: u64, null: BorrowedFd<'_>) -> io::Result<()> {
    // One large request for the disk, where a read would make many small ones.
    let _ = fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(bytes),
        Advice::WillNeed,
    );
    let end = offset + bytes;
    let mut at = offset;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        // To /dev/null: the kernel waits for each page and copies nothing.
        match rustix::fs::sendfile(null, file, Some(&mut at), left) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Opened before this process went where there may be none.
static NULL: OnceLock<OwnedFd> = OnceLock::new();

/// Has [`open_null`] work in a jail, too.
///
/// # Errors
/// There is no /dev/null here either.
pub fn keep_null() -> io::Result<()> {
    // Only the first one is kept.
    let _ = NULL.set(open_null()?);
    Ok(())
}

/// Opens /dev/null for writing.
///
/// # Errors
/// There is none.
pub fn open_null() -> io::Result<OwnedFd> {
    if let Some(kept) = NULL.get() {
        return kept.try_clone();
    }
    Ok(open(
        "/dev/null",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// Why a file could not be opened, as far as its path is to blame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not in memory, and waiting was not allowed.
    WouldBlock,
    /// There is no such file, or it lies outside the root.
    Missing,
    /// It may not be read.
    Forbidden,
    /// Descriptors or memory have run out.
    Exhausted,
    /// The disk or the file system failed.
    Failed,
}

/// Sorts the errors of [`Root::open_file`] and [`read_start`].
#[must_use]
pub fn refusal(error: &io::Error) -> Refusal {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Refusal::WouldBlock;
    }
    match Errno::from_io_error(error) {
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::XDEV
            | Errno::LOOP
            | Errno::NAMETOOLONG
            | Errno::NXIO
            | Errno::NODEV
            | Errno::INVAL
            | Errno::ILSEQ,
        ) => Refusal::Missing,
        Some(Errno::ACCESS | Errno::PERM) => Refusal::Forbidden,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::BUSY) => Refusal::Exhausted,
        _ => Refusal::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this kernel is at least of that version.
    fn is_linux(major: u32, minor: u32) -> bool {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let mut numbers = release
            .split('.')
            .map_while(|number| number.parse::<u32>().ok());
        (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
    }

    #[test]
    fn what_the_kernel_offers_is_found_and_what_is_avoided_is_not_used() {
        let directory = std::env::temp_dir();
        let found = Root::open(&directory, Features::ALL).unwrap().features();
        assert!(found.openat2 || !is_linux(5, 6));
        assert!(found.resolve_cached || !is_linux(5, 12));
        assert!(found.cachestat || !is_linux(6, 5));
        let none = Root::open(&directory, Features::NONE).unwrap().features();
        assert_eq!(none, Features::NONE);
    }

    #[test]
    fn a_piece_is_resident_only_as_a_whole() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("file");
        // A hole has no pages in memory until it is read.
        std::fs::File::create(&path)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        let features = Root::open(directory.path(), Features::ALL)
            .unwrap()
            .features();
        if !features.cachestat {
            return;
        }
        let file = std::fs::File::open(&path).unwrap();
        let (file, null) = (file.as_fd(), open_null().unwrap());
        expect_pieces(file);
        for offset in [0, (1 << 20) - 4096] {
            load(file, offset, 4096, null.as_fd()).unwrap();
            assert!(is_resident(file, offset, 4096, features));
        }
        assert!(
            !is_resident(file, 0, 1 << 20, features),
            "both ends are not the whole"
        );
        load(file, 0, 1 << 20, null.as_fd()).unwrap();
        assert!(is_resident(file, 0, 1 << 20, features));
    }
}
