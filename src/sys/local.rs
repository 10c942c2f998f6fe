//! Sockets between processes of one machine: names that are in no file system, and who is at the
//! other end.

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with, sockopt,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Orders are rare, and each is answered before long.
const BACKLOG: i32 = 16;

/// Listens at an abstract name, which vanishes with the last descriptor. Nothing blocks.
///
/// # Errors
/// Somebody else has the name.
pub fn listen_at(name: &str) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(
        &socket,
        &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
    )?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The next connection, non-blocking; `None` if there is none.
#[must_use]
pub fn accept(listener: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    accept_with(listener, flags).ok()
}

/// Connects to an abstract name. Nothing on this socket takes longer than `patience`.
///
/// # Errors
/// Nobody listens there, or not any more.
pub fn connect_to(name: &str, patience: Duration) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    for direction in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, direction, Some(patience))?;
    }
    connect(
        &socket,
        &SocketAddrUnix::new_abstract_name(name.as_bytes())?,
    )?;
    Ok(socket.into())
}

/// Who is at the other end of a connection: the process that has connected, or that listens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

/// Asks the kernel who is at the other end.
///
/// # Errors
/// It is no Unix socket.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let credentials = sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get().unsigned_abs(),
        uid: credentials.uid.as_raw(),
    })
}

/// The effective user of this process.
#[must_use]
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn both_ends_know_each_other() {
        let name = format!("swiftd-test.{}", std::process::id());
        assert!(connect_to(&name, Duration::from_secs(1)).is_err());
        let listener = listen_at(&name).unwrap();
        assert!(listen_at(&name).is_err());
        assert!(accept(listener.as_fd()).is_none());
        let mut client = connect_to(&name, Duration::from_secs(60)).unwrap();
        let mut server = UnixStream::from(accept(listener.as_fd()).unwrap());
        let own = Peer {
            pid: std::process::id(),
            uid: own_user(),
        };
        assert_eq!(peer(&client).unwrap(), own);
        assert_eq!(peer(&server).unwrap(), own);
        server.write_all(b"x").unwrap();
        drop(server);
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
