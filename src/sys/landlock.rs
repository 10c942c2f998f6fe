//! Landlock (landlock(7)): the process gives up all files but those beneath some directories.
//!
//! It is for good, and for all that the process starts from then on. It binds the calling thread
//! only, so it comes before the first thread. What is open already stays open. Names can still be
//! looked up and described everywhere: only opening, running, making and removing are held to the
//! rules, and connecting by TCP, and abstract sockets and signals of processes outside.

use super::raw::{self, LandlockAttributes};
use rustix::fs::{Mode, OFlags, open};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// What may be done with a file, or beneath a directory.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rights(u64);

const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

/// What all file rights of an ABI are: a right that is not handled is not taken away.
const HANDLED: [(u32, u64); 4] = [
    (1, (1 << 13) - 1),
    (2, REFER),
    (3, TRUNCATE),
    // Calls to devices.
    (5, 1 << 15),
];

/// What can be said of something that is no directory.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15;

const CONNECT_TCP: u64 = 1 << 1;
const ABSTRACT_SOCKETS: u64 = 1;
const SIGNALS: u64 = 1 << 1;

impl Rights {
    /// Files can be read and directories listed.
    pub const READ: Self = Self(READ_FILE | READ_DIR);
    /// Programs can be started.
    pub const EXECUTE: Self = Self(EXECUTE);
    /// Files that are there can be written.
    pub const WRITE: Self = Self(WRITE_FILE | TRUNCATE);
    /// Files can be made.
    pub const MAKE_FILES: Self = Self(MAKE_REG);
    /// Sockets can be made.
    pub const MAKE_SOCKETS: Self = Self(MAKE_SOCK);
    /// Everything but devices can be made, and moved.
    pub const MAKE_ALL: Self =
        Self(MAKE_REG | MAKE_DIR | MAKE_SOCK | MAKE_FIFO | MAKE_SYM | REFER | REMOVE_DIR);
    /// What is no directory can be removed.
    pub const REMOVE: Self = Self(REMOVE_FILE);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which version of Landlock there is.
///
/// # Errors
/// There is none, or it is switched off.
pub fn abi() -> io::Result<u32> {
    raw::landlock_abi()
}

/// The rules, until they are put into force.
#[derive(Debug)]
pub struct Ruleset {
    ruleset: std::os::fd::OwnedFd,
    handled: u64,
}

/// What is forbidden beside files.
#[derive(Copy, Clone, Debug)]
pub struct Others {
    /// Connecting by TCP, since ABI 4.
    pub connecting: bool,
    /// Abstract sockets of others, since ABI 6.
    pub abstract_sockets: bool,
}

impl Ruleset {
    /// Rules that allow nothing.
    ///
    /// # Errors
    /// The kernel has no room.
    pub fn new(abi: u32, others: Others) -> io::Result<Self> {
        let since = |least: u32, rights: u64| if abi >= least { rights } else { 0 };
        let handled = HANDLED
            .iter()
            .fold(0, |all, (least, rights)| all | since(*least, *rights));
        let attributes = LandlockAttributes {
            files: handled,
            network: since(4, if others.connecting { CONNECT_TCP } else { 0 }),
            scopes: since(6, SIGNALS)
                | since(
                    6,
                    if others.abstract_sockets {
                        ABSTRACT_SOCKETS
                    } else {
                        0
                    },
                ),
        };
        // Bytes that a kernel does not know must not be there.
        let bytes = match abi {
            0..=3 => 8,
            4 | 5 => 16,
            _ => 24,
        };
        let ruleset = raw::landlock_ruleset(&attributes, bytes)?;
        Ok(Self { ruleset, handled })
    }

    /// Allows `rights` for `path` and all that is beneath it, wherever a symbolic link leads that it
    /// ends with. False if there is nothing.
    ///
    /// # Errors
    /// It cannot be looked up.
    pub fn allow(&self, path: &Path, rights: Rights) -> io::Result<bool> {
        use rustix::io::Errno;
        let place = match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
            Ok(place) => File::from(place),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let mut rights = rights.0 & self.handled;
        if !place.metadata()?.is_dir() {
            rights &= OF_FILES;
        }
        if rights == 0 {
            return Ok(true);
        }
        match raw::landlock_allow(self.ruleset.as_fd(), place.as_fd(), rights) {
            // A pipe, such as /dev/stdout may lead to: what has no name anywhere is not held to rules.
            Err(error) if error.raw_os_error() == Some(libc::EBADFD) => Ok(true),
            allowed => allowed.map(|()| true),
        }
    }

    /// Puts the rules into force. The process must have given up new privileges.
    ///
    /// # Errors
    /// It has not, or there are too many sets already.
    pub fn enforce(self) -> io::Result<()> {
        raw::landlock_restrict(self.ruleset.as_fd())
    }
}

/// Whether an error of [`Ruleset::enforce`] says that this process is held to as many sets of rules
/// as there can be: each program that another one was replaced by has added its own.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::E2BIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: the rules are that thread's alone, as no_new_privs is.
    fn confined(rules: &[(&Path, Rights)], test: impl FnOnce() + Send) {
        let Ok(abi) = abi() else {
            eprintln!("skipped: this kernel has no Landlock");
            return;
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                rustix::thread::set_no_new_privs(true).unwrap();
                let others = Others {
                    connecting: true,
                    abstract_sockets: true,
                };
                let ruleset = Ruleset::new(abi, others).unwrap();
                for (path, rights) in rules {
                    assert!(ruleset.allow(path, *rights).unwrap());
                }
                assert!(!ruleset.allow(Path::new("/none"), Rights::READ).unwrap());
                ruleset.enforce().unwrap();
                test();
            });
        });
    }

    #[test]
    fn only_what_was_named_can_be_read_and_written() {
        let [inside, outside] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for place in [&inside, &outside] {
            std::fs::write(place.path().join("a"), "a").unwrap();
        }
        let rules: &[(&Path, Rights)] = &[(inside.path(), Rights::READ)];
        confined(rules, || {
            let is_denied = |result: io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
            };
            let (inside, outside) = (inside.path(), outside.path());
            assert_eq!(std::fs::read(inside.join("a")).unwrap(), b"a");
            assert_eq!(std::fs::read_dir(inside).unwrap().count(), 1);
            is_denied(std::fs::read(outside.join("a")).map(drop));
            is_denied(std::fs::read_dir(outside).map(drop));
            is_denied(std::fs::write(inside.join("a"), "b"));
            is_denied(std::fs::write(inside.join("b"), "b"));
            is_denied(std::fs::remove_file(inside.join("a")));
            // What is no opening is no matter of Landlock's.
            assert!(outside.join("a").metadata().is_ok());
        });
    }

    #[test]
    fn nobody_is_connected_to_and_everybody_is_listened_to() {
        if abi().is_ok_and(|abi| abi < 4) {
            eprintln!("skipped: Landlock of this kernel knows no network");
            return;
        }
        let outside = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = outside.local_addr().unwrap();
        confined(&[], || {
            let error = std::net::TcpStream::connect(address).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        });
    }
}
