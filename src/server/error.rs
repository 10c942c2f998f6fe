//! Why a server could not be started: what was being done, to what, and how to mend it.

use super::hosts::PageFault;
use crate::log;
use crate::sandbox::{self, Wish};
use crate::sys::socket::Address;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a server could not be started: what was being done, to what, and how to mend it.
#[derive(Debug)]
pub enum Error {
    /// The root cannot be opened.
    Root(PathBuf, io::Error),
    /// An error page cannot be used.
    Page(PathBuf, PageFault),
    /// Two hosts have the same name.
    HostTwice(String),
    /// An address cannot be listened on.
    Listen(Address, io::Error),
    /// An address cannot be listened on while this server still listens on the other.
    Overlap(Address, Address),
    /// A plugin, or the list of them, cannot be used; what plugins said comes first.
    Plugins(String),
    /// A log cannot be opened.
    Log(log::Error),
    /// The process cannot lock itself in as it must.
    Sandbox(sandbox::Error),
    /// What is said of clients does not fit together.
    Clients(String),
    /// The process lacks something.
    System(&'static str, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(path, error) => {
                write!(f, "cannot serve {}: {error}", path.display())?;
                if let Some(hint) = sandbox::explain(error, path, Wish::Read) {
                    return f.write_str(&hint);
                }
                match error.kind() {
                    io::ErrorKind::NotFound => write!(f, "; name a directory that exists"),
                    io::ErrorKind::NotADirectory => write!(f, "; name the directory it is in"),
                    io::ErrorKind::PermissionDenied => {
                        write!(
                            f,
                            "; the user that runs swiftd needs read and search permission (chmod o+rx) on it and the directories above"
                        )
                    }
                    _ => Ok(()),
                }
            }
            Self::Overlap(address, other) => write!(
                f,
                "cannot listen on {address} while this server listens on {other}; take {other} away with one reload and add {address} with the next, or restart"
            ),
            Self::Page(path, fault) => {
                write!(f, "cannot use the error page {}: {fault}", path.display())?;
                match fault {
                    PageFault::Unreadable(error) => {
                        f.write_str(&sandbox::explain(error, path, Wish::Read).unwrap_or_default())
                    }
                    _ => Ok(()),
                }
            }
            Self::HostTwice(name) => {
                write!(
                    f,
                    "two hosts have the name {name}; take it from one of them"
                )
            }
            Self::Plugins(why) | Self::Clients(why) => f.write_str(why),
            Self::Log(error) => {
                match sandbox::explain(error.cause(), error.path(), Wish::Write) {
                    // Its own advice would be to change modes.
                    Some(hint) => {
                        let path = error.path().display();
                        write!(f, "cannot open the log {path}: {}{hint}", error.cause())
                    }
                    None => error.fmt(f),
                }
            }
            Self::Sandbox(error) => error.fmt(f),
            Self::Listen(address, error) => {
                write!(f, "cannot listen on {address}: {error}")?;
                let is_unix = matches!(address, Address::Unix(_));
                match error.kind() {
                    io::ErrorKind::AddrInUse if is_unix => {
                        write!(f, "; stop whoever has it (ss -lxp) or choose another path")
                    }
                    io::ErrorKind::PermissionDenied if is_unix => {
                        write!(
                            f,
                            "; the directory of the path must be writable for swiftd's user"
                        )
                    }
                    io::ErrorKind::NotFound if is_unix => {
                        write!(f, "; make the directory of the path first")
                    }
                    io::ErrorKind::InvalidFilename if is_unix => {
                        write!(
                            f,
                            "; a socket path has at most 107 bytes: choose a shorter one"
                        )
                    }
                    io::ErrorKind::AddrInUse => {
                        write!(
                            f,
                            "; stop whoever has it (ss -ltnp) or choose another with --listen"
                        )
                    }
                    io::ErrorKind::PermissionDenied => {
                        write!(f, "; a port below 1024 needs root or CAP_NET_BIND_SERVICE")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        write!(f, "; no interface has this address (ip addr)")
                    }
                    io::ErrorKind::AlreadyExists => {
                        write!(
                            f,
                            "; there is a file that is not a socket: remove it or choose another path"
                        )
                    }
                    _ => Ok(()),
                }
            }
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for Error {}
