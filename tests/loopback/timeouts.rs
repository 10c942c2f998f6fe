//! Clients that are too slow. The server's own timers end the waits of these tests: a client whose
//! timeout is later than the one under test tells that the latter must have passed.

use crate::server::{Client, PATIENCE, Server};
use std::fs::File;
use std::time::Duration;
use tempfile::TempDir;

/// A sparse file, larger than all socket buffers together.
fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    std::fs::write(root.path().join("small.txt"), "small").unwrap();
    let file = File::create(root.path().join("huge.bin")).unwrap();
    file.set_len(1 << 30).unwrap();
    root
}

#[test]
fn a_client_that_never_says_anything_is_told_nothing() {
    let root = site();
    let server = Server::start(root.path(), &["--idle-timeout", "0.5"]);
    let mut silent: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut silent {
        client.expect_end();
    }
    drop(silent);
    server.finish(0);
}

#[test]
fn an_idle_connection_is_closed_after_its_timeout() {
    let root = site();
    let server = Server::start(root.path(), &["--idle-timeout", "0.5"]);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/small.txt").body, b"small");
    }
    client.expect_end();
    drop(client);
    server.finish(0);
}

#[test]
fn a_head_that_does_not_end_is_answered_by_408() {
    let root = site();
    let server = Server::start(root.path(), &["--head-timeout", "0.5"]);
    let mut first = server.connect();
    first.send("GET /small.txt HTTP/1.1\r\nHo");
    let mut later = server.connect();
    assert_eq!(later.get("/small.txt").status, 200);
    later.send("G");
    for client in [&mut first, &mut later] {
        let response = client.response();
        assert_eq!(response.status, 408);
        assert_eq!(response.field("Connection"), Some("close"));
        client.expect_end();
    }
    drop((first, later));
    server.finish(0);
}

#[test]
fn a_head_that_drips_is_not_given_more_time_by_each_byte() {
    let root = site();
    let server = Server::start(root.path(), &["--head-timeout", "1"]);
    let mut client = server.connect();
    client.send("GET /small.txt HTTP/1.1\r\nX: ");
    let pace = Duration::from_millis(100);
    client.stream.set_read_timeout(Some(pace)).unwrap();
    let mut bytes = 0;
    while client.stream.peek(&mut [0]).is_err() {
        client.send("x");
        bytes += 1;
        assert!(bytes < 300, "each byte buys time");
    }
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.response().status, 408);
    client.expect_end();
    drop(client);
    server.finish(0);
}

#[test]
fn a_body_that_does_not_come_is_answered_by_408() {
    let root = site();
    let server = Server::start(root.path(), &["--body-timeout", "0.5"]);
    let mut client = server.connect();
    client.send("GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status, 408);
    client.expect_end();
    drop(client);
    server.finish(0);
}

#[test]
fn a_body_that_comes_too_slowly_is_answered_by_408() {
    let root = site();
    let options = [
        "--body-timeout",
        "1",
        // Nobody is that fast.
        "--min-rate",
        "4294967295",
        "--body-bytes",
        "1000000000000",
    ];
    let server = Server::start(root.path(), &options);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n");
    let mut sender = Client::from_stream(client.stream.try_clone().unwrap());
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        while sender.stream.write_all(&[0; 1000]).is_ok() {}
    });
    assert_eq!(client.response().status, 408);
    // What is drained of the rest is bounded, so the sender comes to an end.
    sending.join().unwrap();
    drop(client);
    server.finish(0);
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let root = site();
    let options = ["--write-timeout", "0.5", "--idle-timeout", "2"];
    let server = Server::start(root.path(), &options);
    let mut stuck = Client::connect_narrow(server.address(), 16 * 1024);
    stuck.ask("/huge.bin");
    let head = stuck.head();
    let mut later = server.connect();
    later.get("/small.txt");
    later.expect_end();
    drop(later);
    // Only the file is still open, in the cache.
    server.wait_until_idle(1);
    assert!(stuck.all_there_is().len() < head.length());
    drop(stuck);
    server.finish(1);
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_off() {
    let root = site();
    // Nobody with so little room is that fast.
    let options = ["--write-timeout", "1", "--min-rate", "4294967295"];
    let server = Server::start(root.path(), &options);
    let mut slow = Client::connect_narrow(server.address(), 4 * 1024);
    slow.ask("/huge.bin");
    let head = slow.head();
    assert!(slow.all_there_is().len() < head.length());
    drop(slow);
    server.finish(1);
}

#[test]
fn a_client_that_never_ends_its_side_is_not_lingered_for_for_ever() {
    let root = site();
    let server = Server::start(root.path(), &["--linger-timeout", "0.5"]);
    let mut client = server.connect();
    client.send("BAD\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.expect_end();
    // The client's descriptor is open; the server's must not be.
    server.wait_until_idle(0);
    drop(client);
    server.finish(0);
}
