//! Where the server listens: several addresses, IPv6, paths, places that are taken.

use crate::server::{Client, Server, program};
use rustix::process::Signal;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use tempfile::TempDir;

fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("site")).unwrap();
    fs::write(root.path().join("site/small.txt"), "small").unwrap();
    root
}

fn start(root: &Path, places: &[&str]) -> Server {
    let mut command = program();
    command.arg(root.join("site"));
    for place in places {
        command.args(["--listen", place]);
    }
    Server::spawn(command)
}

/// Starts a server that must fail; returns what it says.
fn fail(root: &Path, place: &str) -> String {
    let mut command = program();
    command.arg(root.join("site")).args(["--listen", place]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn several_places_serve_the_same_site() {
    let root = site();
    let path = root.path().join("s.sock");
    let unix = format!("unix:{}", path.display());
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let mut places = vec!["127.0.0.1:0", "localhost:0", &unix];
    if has_ipv6 {
        places.push("[::1]:0");
    }
    let server = start(root.path(), &places);
    assert_eq!(server.places.len(), places.len());
    for place in &server.places {
        if let Some(path) = place.strip_prefix("unix:") {
            let mut client = Client::connect_unix(path);
            assert_eq!(client.get("/small.txt").body, b"small");
            continue;
        }
        let address = place.strip_prefix("http://").unwrap();
        let address: SocketAddr = address.trim_end_matches('/').parse().unwrap();
        assert_ne!(address.port(), 0);
        let mut client = Client::connect(address);
        assert_eq!(client.get("/small.txt").body, b"small");
    }
    server.finish(0);
}

#[test]
fn both_families_can_have_the_same_port() {
    if TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
        eprintln!("skipped: no IPv6");
        return;
    }
    let root = site();
    let four = start(root.path(), &["0.0.0.0:0"]);
    let port = four.address().port();
    // Somebody else may have that port under IPv6; then there is nothing to see.
    if TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_err() {
        return;
    }
    let six = start(root.path(), &[&format!("[::]:{port}")]);
    let mut client = Client::connect((Ipv6Addr::LOCALHOST, port).into());
    assert_eq!(client.get("/small.txt").body, b"small");
    drop(client);
    six.finish(0);
    four.finish(0);
}

#[test]
fn a_unix_socket_serves_like_any_other_and_is_removed_at_the_end() {
    let root = site();
    let large = crate::server::pattern(3_000_000, 3);
    fs::write(root.path().join("site/large.bin"), &large).unwrap();
    let path = root.path().join("s.sock");
    let unix = format!("unix:{}", path.display());
    let server = start(root.path(), &[&unix]);
    assert_eq!(server.places, [unix]);
    let mut client = Client::connect_unix(&path);
    for _ in 0..3 {
        crate::server::assert_same(&client.get("/large.bin").body, &large);
        assert_eq!(client.get("/small.txt").body, b"small");
    }
    client.ask("/large.bin");
    client.end();
    crate::server::assert_same(&client.response().body, &large);
    client.expect_end();
    // One that goes away in the middle.
    let mut gone = Client::connect_unix(&path);
    gone.ask("/large.bin");
    gone.head();
    drop(gone);
    assert_eq!(Client::connect_unix(&path).get("/small.txt").status, 200);
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success() && log.is_empty(), "{log:?}");
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced() {
    let root = site();
    let path = root.path().join("s.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = start(root.path(), &[&format!("unix:{}", path.display())]);
    assert_eq!(Client::connect_unix(&path).get("/small.txt").status, 200);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
    assert!(!path.exists());
}

#[test]
fn a_path_in_use_is_left_alone() {
    let root = site();
    let path = root.path().join("s.sock");
    let unix = format!("unix:{}", path.display());
    let server = start(root.path(), &[&unix]);
    let said = fail(root.path(), &unix);
    assert!(said.contains(&format!("cannot listen on {unix}")), "{said}");
    assert!(said.contains("stop whoever has it"), "{said}");
    assert_eq!(Client::connect_unix(&path).get("/small.txt").status, 200);
    drop(server);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    let said = fail(root.path(), &unix);
    assert!(said.contains("not a socket"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_busy_port_ends_the_start() {
    let root = site();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let said = fail(root.path(), &address.to_string());
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("stop whoever has it (ss -ltnp)"), "{said}");
    // It is still the other's.
    TcpStream::connect(address).unwrap();
    taken.accept().unwrap();
}

#[test]
fn a_port_can_be_taken_again_at_once() {
    let root = site();
    let server = Server::start(&root.path().join("site"), &[]);
    let address = server.address();
    // The server ends this connection, so it is the server's side that stays in TIME_WAIT.
    let mut client = server.connect();
    client.get_with("/small.txt", "Connection: close\r\n");
    client.expect_end();
    drop(client);
    server.finish(0);
    let again = start(root.path(), &[&address.to_string()]);
    assert_eq!(again.get("/small.txt").status, 200);
    again.finish(0);
}
