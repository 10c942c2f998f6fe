//! What one client may have, and who it really is, on real sockets. Clients differ by the address
//! that they connect from: all of 127.0.0.0/8 is this machine's.

#[path = "clients/limits.rs"]
mod limits;
#[path = "clients/proxies.rs"]
mod proxies;
#[path = "support/server.rs"]
mod server;
#[path = "clients/within.rs"]
mod within;

use crate::server::{Client, PATIENCE};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Instant;
use tempfile::TempDir;

/// A site of one small file.
fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    std::fs::write(root.path().join("a.txt"), "a").unwrap();
    root
}

/// A connection from 127.0.0.`last` to the server.
fn connect_from(last: u8, server: SocketAddr) -> Client {
    connect_by(Ipv4Addr::new(127, 0, 0, last), server)
}

fn connect_by(source: Ipv4Addr, server: SocketAddr) -> Client {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    bind(&socket, &SocketAddr::from((source, 0))).unwrap();
    connect(&socket, &server).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    Client::from_stream(stream)
}

/// Whether a connection is served; if not, it was ended without a word.
fn is_served(client: &mut Client, prefix: &[u8]) -> bool {
    let request = [prefix, b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    if client.stream.write_all(&request).is_err() {
        return false;
    }
    let mut first = [0];
    match client.stream.read(&mut first) {
        Ok(1) => {
            let mut rest = [0; 4096];
            let count = client.stream.read(&mut rest).unwrap();
            let text = String::from_utf8_lossy(&rest[..count]).into_owned();
            assert!(
                first == *b"H" && text.starts_with("TTP/1.1 200 OK"),
                "{text}"
            );
            true
        }
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            false
        }
    }
}

/// Connects until it is served: what another connection has had is given back when the server has
/// seen its end.
fn connect_until_served(connect: impl Fn() -> Client, prefix: &[u8]) -> Client {
    let start = Instant::now();
    loop {
        let mut client = connect();
        if is_served(&mut client, prefix) {
            return client;
        }
        assert!(start.elapsed() < PATIENCE, "nothing is given back");
    }
}
