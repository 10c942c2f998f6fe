//! The socket of the system's log: a datagram or a stream, whichever its owner has made, and never
//! waited for.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Where the system's log listens.
pub const PATH: &str = "/dev/log";

/// The longest message; what is longer is cut. Some owners take less, see [`SMALL_BYTES`].
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// What every owner takes (RFC 3164 §4.1).
const SMALL_BYTES: usize = 1024;

/// The system's log. It is connected at once, as long as there are descriptors; if it is not there
/// yet, when there is something to say.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    socket: Option<(OwnedFd, SocketType)>,
}

impl Syslog {
    /// The log behind the socket at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: open(path).ok(),
        }
    }

    /// Sends one message, and connects anew if the log has been restarted.
    ///
    /// # Errors
    /// Nobody listens; or there is no room, which is [`io::ErrorKind::WouldBlock`].
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let message = &message[..message.len().min(MESSAGE_BYTES_MAX)];
        let is_new = self.socket.is_none();
        match self.try_send(message) {
            Err(error) if is_full(&error) => Err(io::ErrorKind::WouldBlock.into()),
            // What was connected to is gone; its successor may be there.
            Err(_) if !is_new => {
                self.socket = None;
                self.try_send(message).inspect_err(|_| self.socket = None)
            }
            Err(error) => {
                self.socket = None;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    fn try_send(&mut self, message: &[u8]) -> io::Result<()> {
        let (socket, kind) = match &mut self.socket {
            Some(open) => open,
            none => none.insert(open(&self.path)?),
        };
        if *kind == SocketType::STREAM {
            // Messages are told apart by a NUL, as the C library does it.
            let framed = [message, b"\0"].concat();
            let sent = send(&*socket, &framed, SendFlags::NOSIGNAL)?;
            // Half a message cannot be taken back, and the rest may not be waited for.
            return if sent == framed.len() {
                Ok(())
            } else {
                Err(io::ErrorKind::ConnectionReset.into())
            };
        }
        match send(&*socket, message, SendFlags::NOSIGNAL) {
            Err(Errno::MSGSIZE) if message.len() > SMALL_BYTES => {
                send(&*socket, &message[..SMALL_BYTES], SendFlags::NOSIGNAL)?;
            }
            sent => {
                sent?;
            }
        }
        Ok(())
    }
}

/// Whether an error says that there is no room now. A full queue of a datagram socket is EAGAIN; too
/// little memory passes as well.
fn is_full(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM)
    )
}

fn open(path: &Path) -> io::Result<(OwnedFd, SocketType)> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    for kind in [SocketType::DGRAM, SocketType::STREAM] {
        let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) => return Ok((socket, kind)),
            Err(Errno::PROTOTYPE) if kind == SocketType::DGRAM => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(Errno::PROTOTYPE.into())
}
