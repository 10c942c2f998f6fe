//! Trusted proxies and the PROXY protocol, with the real program.

use crate::server::{Client, Server, program};
use crate::{connect_from, connect_until_served, is_served, site};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;

/// A server whose only listener expects headers from 127.0.0.1.
fn proxied(root: &Path, options: &[&str]) -> Server {
    let mut command = program();
    command.arg(root).args(["--listen", "127.0.0.1:0,proxy"]);
    command.args(["--trusted-proxy", "127.0.0.1"]).args(options);
    Server::spawn(command)
}

fn line(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 80\r\n").into()
}

fn binary(client: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(client);
    header.extend([127, 0, 0, 1, 1, 2, 0, 80]);
    header
}

/// Only a proxy that is trusted ever connects here, so waiting for the server's idle state would
/// need a header.
fn stop(server: Server) -> Vec<String> {
    server.signal(rustix::process::Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{status}: {log:?}");
    log
}

#[test]
fn headers_come_in_pieces_and_requests_behind_them() {
    let root = site();
    let server = proxied(root.path(), &[]);
    for header in [
        line("192.0.2.1"),
        binary([192, 0, 2, 1]),
        b"PROXY UNKNOWN\r\n".to_vec(),
    ] {
        let mut client = connect_from(1, server.address());
        for piece in header.chunks(1) {
            client.send(piece);
        }
        for _ in 0..3 {
            assert_eq!(client.get("/a.txt").status, 200);
        }
        assert!(is_served(&mut connect_from(1, server.address()), &header));
    }
    assert_eq!(stop(server), [""; 0]);
}

#[test]
fn whoever_is_not_trusted_is_not_listened_to() {
    let root = site();
    let server = proxied(root.path(), &[]);
    for header in [line("192.0.2.1"), binary([192, 0, 2, 1]), Vec::new()] {
        assert!(!is_served(&mut connect_from(2, server.address()), &header));
    }
    assert!(is_served(
        &mut connect_from(1, server.address()),
        &line("192.0.2.1")
    ));
    let log = stop(server);
    assert!(
        log[0].contains("client 127.0.0.2 refused: only trusted proxies may connect"),
        "{log:?}"
    );
}

#[test]
fn a_proxy_that_begins_with_something_else_is_closed_without_an_answer() {
    let root = site();
    let server = proxied(root.path(), &["--head-timeout", "0.3"]);
    let mut client = connect_from(1, server.address());
    client.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.all_there_is(), b"");
    // One that is too slow is not told either.
    let mut client = connect_from(1, server.address());
    client.send("PROXY TCP4 192.0.2.1");
    assert_eq!(client.all_there_is(), b"");
    // One that only looks whether we live does no wrong.
    let client = connect_from(1, server.address());
    client.stream.shutdown(Shutdown::Both).unwrap();
    assert!(is_served(
        &mut connect_from(1, server.address()),
        &line("192.0.2.1")
    ));
    let log = stop(server);
    assert!(
        log[0].ends_with("client 127.0.0.1 refused: no header of the PROXY protocol has come"),
        "{log:?}"
    );
}

#[test]
fn connections_count_for_whom_the_header_tells() {
    let root = site();
    let server = proxied(root.path(), &["--client-connections", "1"]);
    let connect = || connect_from(1, server.address());
    let mut first = connect();
    assert!(is_served(&mut first, &line("192.0.2.1")));
    assert!(!is_served(&mut connect(), &line("192.0.2.1")));
    assert!(!is_served(&mut connect(), &binary([192, 0, 2, 1])));
    let mut second = connect();
    assert!(is_served(&mut second, &binary([192, 0, 2, 2])));
    // The proxy itself is not counted.
    let mut own: Vec<Client> = (0..3).map(|_| connect()).collect();
    assert!(
        own.iter_mut()
            .all(|client| is_served(client, b"PROXY UNKNOWN\r\n"))
    );
    drop(first);
    let _first = connect_until_served(connect, &line("192.0.2.1"));
    drop((_first, second, own));
    let log = stop(server);
    assert!(
        log[0].contains("client 192.0.2.1 refused: it has as many"),
        "{log:?}"
    );
}

#[test]
fn the_rate_counts_for_whom_a_trusted_proxy_tells() {
    let root = site();
    let options = [
        "--client-rate",
        "1",
        "--client-burst",
        "2",
        "--client-connections",
        "1",
        "--trusted-proxy",
        "127.0.0.1",
        "--trusted-proxy",
        "10.0.0.0/8",
    ];
    let server = Server::start(root.path(), &options);
    // A proxy may have as many connections as it likes.
    let mut proxy: Vec<Client> = (0..3).map(|_| connect_from(1, server.address())).collect();
    let mut statuses = |fields: &str| -> Vec<u16> {
        proxy
            .iter_mut()
            .map(|client| client.get_with("/a.txt", fields).status)
            .collect()
    };
    assert_eq!(statuses("X-Forwarded-For: 192.0.2.1\r\n"), [200, 200, 429]);
    // What the client has written itself, and who stands between, changes nothing.
    for fields in [
        "X-Forwarded-For: 192.0.2.99, 192.0.2.1\r\n",
        "X-Forwarded-For: 192.0.2.99\r\nX-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n",
        "Forwarded: for=192.0.2.99\r\nX-Forwarded-For: 192.0.2.1\r\n",
    ] {
        assert!(statuses(fields).contains(&429), "{fields}");
    }
    assert_eq!(
        statuses("X-Forwarded-For: 2001:db8::1\r\n"),
        [200, 200, 429]
    );
    // Whoever is not trusted is believed nothing.
    let mut other = connect_from(2, server.address());
    let told = |client: &mut Client, last: u8| {
        let field = format!("X-Forwarded-For: 192.0.2.{last}\r\n");
        client.get_with("/a.txt", &field).status
    };
    let statuses: Vec<u16> = (10..20).map(|last| told(&mut other, last)).collect();
    assert!(
        statuses[..2] == [200, 200] && statuses.contains(&429),
        "{statuses:?}"
    );
    drop((proxy, other));
    server.finish_with_log(1);
}

#[test]
fn a_proxied_listener_without_a_trusted_proxy_is_refused() {
    let root = site();
    let mut command = program();
    command
        .arg(root.path())
        .args(["--listen", "127.0.0.1:0,proxy"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("nobody is trusted to say so; name the proxies"),
        "{said}"
    );
    let address: SocketAddr = ([127, 0, 0, 1], 0).into();
    assert!(said.contains(&address.to_string()), "{said}");
}
