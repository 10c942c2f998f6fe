//! Stream sockets: listening, accepting, receiving, sending.
//!
//! "Would block" is a value. A peer that has gone away is an error of kind `ConnectionReset`,
//! `BrokenPipe` or the like; none of them raises SIGPIPE, which the Rust runtime ignores.

use super::raw::set_tcp_option;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, acceptfrom_with, bind, connect, getpeername, getsockname, ipproto,
    listen, recv, send, shutdown, socket_with, sockopt,
};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// TCP over IPv4 or IPv6.
    Tcp(SocketAddr),
    /// A Unix-domain socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A listening socket. One that is bound to a path removes the path when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: Address,
    /// Device and inode of the path that was made, so that no other is removed; `None` if it is
    /// not this listener's to remove.
    file: Option<(u64, u64)>,
    /// Somebody else has bound it.
    is_inherited: bool,
}

/// Connections that the kernel holds for us; it caps the number at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Seconds that the kernel may hold a connection back whose first bytes have not come. Clients
/// speak first in HTTP, so an accepted connection has something to read, and one that never says
/// anything costs no descriptor for this long.
const DEFER_ACCEPT_SECS: i32 = 1;

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// See bind(2): the address is in use, not ours, or needs a privilege.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let (family, protocol) = match address {
            Address::Tcp(SocketAddr::V4(_)) => (AddressFamily::INET, Some(ipproto::TCP)),
            Address::Tcp(SocketAddr::V6(_)) => (AddressFamily::INET6, Some(ipproto::TCP)),
            Address::Unix(_) => (AddressFamily::UNIX, None),
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, protocol)?;
        let address = match address {
            Address::Tcp(address) => {
                sockopt::set_socket_reuseaddr(&socket, true)?;
                if address.is_ipv6() {
                    // So that 0.0.0.0 and [::] can both be asked for, and mean what they say.
                    sockopt::set_ipv6_v6only(&socket, true)?;
                }
                bind(&socket, address)?;
                set_tcp_options(&socket)?;
                listen(&socket, BACKLOG)?;
                let bound: SocketAddrAny = getsockname(&socket)?;
                Address::Tcp(bound.try_into().unwrap_or(*address))
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                bind(&socket, &SocketAddrUnix::new(path)?)?;
                // As other servers do: who may reach the path may connect, whatever the umask is.
                std::fs::set_permissions(path, PermissionsExt::from_mode(0o666))?;
                listen(&socket, BACKLOG)?;
                Address::Unix(path.clone())
            }
        };
        let file = match &address {
            Address::Tcp(_) => None,
            Address::Unix(path) => identity(path),
        };
        Ok(Self {
            socket,
            address,
            file,
            is_inherited: false,
        })
    }

    /// Takes a listening socket over that somebody else has bound. Its path stays when this is
    /// dropped.
    ///
    /// # Errors
    /// It is something else; the error says what it should be.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let unfit = |what| Err(io::Error::other(what));
        let Ok(kind) = sockopt::socket_type(&socket) else {
            return unfit("it is not a socket");
        };
        if kind != SocketType::STREAM {
            return unfit("it is not a stream socket: ListenStream= makes one");
        }
        if !sockopt::socket_acceptconn(&socket)? {
            return unfit("it does not listen: a socket unit needs Accept=no");
        }
        let bound: SocketAddrAny = getsockname(&socket)?;
        let address = if let Ok(address) = SocketAddr::try_from(bound.clone()) {
            set_tcp_options(&socket)?;
            Address::Tcp(address)
        } else if let Ok(address) = SocketAddrUnix::try_from(bound) {
            let name = match (address.path_bytes(), address.abstract_name()) {
                (Some(path), _) => path.to_vec(),
                (None, Some(name)) => [b"@", name].concat(),
                (None, None) => Vec::new(),
            };
            Address::Unix(OsString::from_vec(name).into())
        } else {
            return unfit("it is neither of TCP nor a Unix socket");
        };
        fcntl_setfl(&socket, fcntl_getfl(&socket)? | OFlags::NONBLOCK)?;
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        Ok(Self {
            socket,
            address,
            file: None,
            is_inherited: true,
        })
    }

    /// Whether somebody else has bound it, so that it could not be bound anew.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// Where it listens; the port is the real one if 0 was asked for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Leaves the path to another process that has this listener too: dropping this one does not
    /// remove it.
    pub fn leave_path(&mut self) {
        self.file = None;
    }

    /// Gives the path to another user, who may then remove it from a sticky directory. Nothing else is
    /// given away that somebody has put there meanwhile.
    ///
    /// # Errors
    /// This process is not root.
    pub fn give(&self, user: u32, group: u32) -> io::Result<()> {
        let (Address::Unix(path), Some(own)) = (&self.address, self.file) else {
            return Ok(());
        };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        let meta = std::fs::File::from(file.try_clone()?).metadata()?;
        if (meta.dev(), meta.ino()) == own {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
            let flags = AtFlags::EMPTY_PATH;
            rustix::fs::chownat(&file, "", Some(user), Some(group), flags)?;
        }
        Ok(())
    }

    /// After chroot(2) the path is another one, or there is none; then it is left behind, and the
    /// next start finds it stale.
    pub fn enter(&mut self, jail: &Path) {
        let Address::Unix(path) = &self.address else {
            return;
        };
        match (self.file, path.strip_prefix(jail)) {
            (Some(_), Ok(inside)) => self.address = Address::Unix(Path::new("/").join(inside)),
            _ => self.file = None,
        }
    }

    /// This server is the one to say whether it listens there: another process of it has bound it.
    pub fn become_own(&mut self) {
        self.is_inherited = false;
    }

    /// Removes the path, if there is one, when this is dropped: nobody else does any more.
    pub fn take_path(&mut self) {
        if let Address::Unix(path) = &self.address
            && !self.is_inherited
        {
            self.file = identity(path);
        }
    }

    /// Accepts one connection, non-blocking and close-on-exec.
    ///
    /// # Errors
    /// See accept(2); [`is_exhausted`] tells those that mean "not now".
    pub fn accept(&self) -> io::Result<Option<OwnedFd>> {
        self.accept_by(|flags| accept_with(&self.socket, flags))
    }

    /// The same, with the peer's address; `None` for a Unix socket. Asked for later, the kernel
    /// does not tell the address of a peer that has reset the connection meanwhile.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub fn accept_from(&self) -> io::Result<Option<(OwnedFd, Option<SocketAddr>)>> {
        self.accept_by(|flags| {
            let (socket, peer) = acceptfrom_with(&self.socket, flags)?;
            Ok((socket, peer.and_then(|peer| peer.try_into().ok())))
        })
    }

    fn accept_by<T>(
        &self,
        accept: impl Fn(SocketFlags) -> Result<T, Errno>,
    ) -> io::Result<Option<T>> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        loop {
            match accept(flags) {
                Ok(accepted) => return Ok(Some(accepted)),
                Err(Errno::AGAIN) => return Ok(None),
                // The connection died in the queue, or its network did: take the next one.
                Err(Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
                Err(errno) if is_network(errno) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && self.file.is_some()
            && identity(path) == self.file
        {
            // If it cannot be removed, the next start will find it stale.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Sets what accepted sockets inherit.
fn set_tcp_options(socket: &OwnedFd) -> io::Result<()> {
    // Answers leave whole, so nothing is gained by holding their last segment back.
    sockopt::set_tcp_nodelay(socket, true)?;
    // A kernel that cannot simply accepts earlier.
    let option = libc::TCP_DEFER_ACCEPT;
    let _ = set_tcp_option(socket.as_fd(), option, DEFER_ACCEPT_SECS);
    limit_unsent_if_paced(socket);
    Ok(())
}

/// What a paced socket holds of data that is not sent yet, bytes.
const PACED_UNSENT_BYTES: i32 = 32 * 1024;

/// A congestion control that paces (BBR) arms a timer for each segment that is queued when it may
/// not be sent yet. With little in the queue most segments are sent from the server's own calls: on
/// loopback that is half as many megabytes again for a tenth more processor time. Without pacing
/// there are no timers, and a short queue only costs. Accepted sockets inherit the limit.
fn limit_unsent_if_paced(listener: &OwnedFd) {
    if sockopt::tcp_congestion(listener).is_ok_and(|name| name.starts_with("bbr")) {
        // A kernel that cannot is only slower.
        let _ = set_tcp_option(
            listener.as_fd(),
            libc::TCP_NOTSENT_LOWAT,
            PACED_UNSENT_BYTES,
        );
    }
}

/// Device and inode of what is at a path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Errors of the network that accept(2) passes on and that concern one connection only.
fn is_network(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    )
}

/// Whether an error says that descriptors or memory have run out for now.
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
    )
}

/// Removes a socket that a dead server has left; one that answers, or any other file, stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(Errno::EXIST.into());
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&probe, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path),
        _ => Err(Errno::ADDRINUSE.into()),
    }
}

/// The peer's address; `None` for a Unix socket, and for one that is connected no more.
#[must_use]
pub fn peer(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    getpeername(socket)
        .ok()?
        .and_then(|address| address.try_into().ok())
}

/// The socket's own address; `None` for a Unix socket.
#[must_use]
pub fn local(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    getsockname(socket).ok()?.try_into().ok()
}

/// What a read gave.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Bytes(usize),
    /// The peer has shut its sending side.
    End,
    /// Nothing for now: the next edge will tell.
    Blocked,
}

/// Receives into `buffer`.
///
/// # Errors
/// The connection is broken.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    loop {
        match recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Ok(Received::End),
            Ok((bytes, _)) => return Ok(Received::Bytes(bytes)),
            Err(Errno::AGAIN) => return Ok(Received::Blocked),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends what fits; `None` if nothing does. `more` says that something follows at once, so that
/// the kernel may wait for it before it fills a segment (MSG_MORE).
///
/// # Errors
/// The connection is broken.
pub fn transmit(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<Option<usize>> {
    let flags = if more {
        SendFlags::MORE
    } else {
        SendFlags::empty()
    };
    loop {
        match send(socket, bytes, flags | SendFlags::NOSIGNAL) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sends up to `bytes` of `file` from `offset` on; `None` if nothing fits, `Some(0)` if the file
/// is shorter than that.
///
/// # Errors
/// The connection is broken, or the file cannot be read.
pub fn transmit_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    bytes: usize,
) -> io::Result<Option<usize>> {
    let mut offset = offset;
    loop {
        match rustix::fs::sendfile(socket, file, Some(&mut offset), bytes) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Lets the next close reset the connection: what is still queued is thrown away, and the kernel
/// does not hold it for a peer that no longer takes it.
pub fn reset_on_close(socket: BorrowedFd<'_>) {
    // Without it the close is an ordinary one.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Shuts the sending side; what has been queued still leaves.
pub fn shut_sending(socket: BorrowedFd<'_>) {
    // It fails only if the peer has gone already.
    let _ = shutdown(socket, Shutdown::Write);
}
