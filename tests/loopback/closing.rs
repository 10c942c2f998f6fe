//! Ends of connections: half-close, reset, lingering, clients that say nothing.

use crate::server::{Client, PATIENCE, Server, assert_same};
use crate::serving::site;
use rustix::net::{SendFlags, send};
use std::time::Instant;
use tempfile::TempDir;

/// No test here may depend on a timeout of the server's, so that all of them fail if one does.
const PATIENT: [&str; 6] = [
    "--idle-timeout",
    "3600",
    "--linger-timeout",
    "3600",
    "--write-timeout",
    "3600",
];

#[test]
fn a_half_closed_connection_gets_its_answers_and_then_ends_at_once() {
    let (root, large) = site();
    let server = Server::start(root.path(), &PATIENT);
    let start = Instant::now();
    for target in ["/small.txt", "/large.bin", "/nothing"] {
        let mut client = server.connect();
        client.ask(target);
        client.ask(target);
        client.end();
        for _ in 0..2 {
            let response = client.response();
            match target {
                "/small.txt" => assert_eq!(response.body, b"small"),
                "/large.bin" => assert_same(&response.body, &large),
                _ => assert_eq!(response.status, 404),
            }
        }
        client.expect_end();
    }
    assert!(start.elapsed() < PATIENCE);
    server.finish(1);
}

#[test]
fn a_client_that_ends_its_side_while_it_reads_gets_the_whole_file() {
    let (root, large) = site();
    let server = Server::start(root.path(), &PATIENT);
    let mut client = Client::connect_narrow(server.address(), 16 * 1024);
    client.ask("/large.bin");
    let head = client.head();
    let mut body = client.bytes(1_000_000);
    client.end();
    body.extend(client.bytes(head.length() - body.len()));
    assert_same(&body, &large);
    client.expect_end();
    drop(client);
    server.finish(1);
}

#[test]
fn a_request_and_the_end_in_one_segment_are_both_seen() {
    let (root, large) = site();
    let server = Server::start(root.path(), &PATIENT);
    for target in ["/small.txt", "/large.bin"] {
        let mut client = server.connect();
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        // The kernel waits for more to fill the segment, and what comes is the end.
        send(&client.stream, request.as_bytes(), SendFlags::MORE).unwrap();
        client.end();
        let response = client.response();
        if target == "/large.bin" {
            assert_same(&response.body, &large);
        } else {
            assert_eq!(response.body, b"small");
        }
        client.expect_end();
    }
    server.finish(1);
}

#[test]
fn an_end_within_a_request_closes_without_an_answer_or_with_an_error() {
    let (root, _) = site();
    let server = Server::start(root.path(), &PATIENT);
    for part in ["", "\r\n", "G", "GET / HTTP/1.1\r\nHost"] {
        let mut client = server.connect();
        client.send(part);
        client.end();
        client.expect_end();
    }
    let mut client = server.connect();
    client.send("GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    client.end();
    assert_eq!(client.response().status, 400);
    client.expect_end();
    drop(client);
    server.finish(0);
}

#[test]
fn resets_at_any_moment_hurt_nobody_else() {
    let (root, large) = site();
    let server = Server::start(root.path(), &PATIENT);
    for round in 0..40 {
        let mut client = Client::connect_narrow(server.address(), 16 * 1024);
        match round % 4 {
            0 => {}
            1 => client.send("GET /large.bin HT"),
            2 => client.ask("/large.bin"),
            _ => {
                client.ask("/large.bin");
                client.head();
                client.bytes(round * 10_000);
            }
        }
        client.reset();
    }
    let response = server.get("/large.bin");
    assert_same(&response.body, &large);
    server.finish(1);
}

#[test]
fn a_refused_client_that_is_still_sending_reads_the_whole_answer() {
    let root = TempDir::new().unwrap();
    let server = Server::start(root.path(), &PATIENT);
    for (head, status) in [
        (
            "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n",
            413,
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n",
            405,
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nContent-Length: 900000\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nBroken field\r\n", 400),
    ] {
        let mut client = server.connect();
        client.send(head);
        client.send("\r\n");
        let piece = [b'x'; 10_000];
        for _ in 0..80 {
            client.send(piece);
        }
        let response = client.response();
        assert_eq!(response.status, status);
        assert_eq!(response.field("Connection"), Some("close"));
        client.expect_end();
        // The server's side has ended; what is sent now is still taken and not reset.
        for _ in 0..10 {
            client.send(piece);
        }
        client.end();
        client.expect_end();
    }
    server.finish(0);
}

#[test]
fn what_a_lingering_connection_drains_is_bounded() {
    let root = TempDir::new().unwrap();
    let options = [&PATIENT[..], &["--linger-bytes", "1M"]].concat();
    let server = Server::start(root.path(), &options);
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!(client.response().status, 405);
    let piece = vec![b'x'; 1024 * 1024];
    use std::io::Write;
    let sent = (0..64).take_while(|_| client.stream.write_all(&piece).is_ok());
    assert!(sent.count() < 64, "somebody is read for ever");
    drop(client);
    server.finish(0);
}

#[test]
fn an_end_behind_superfluous_requests_costs_nothing_of_the_answer() {
    let (root, large) = site();
    let options = [&PATIENT[..], &["--requests", "1"]].concat();
    let server = Server::start(root.path(), &options);
    for _ in 0..8 {
        // The server hands the whole range to the kernel and lingers; most of it is still there
        // when the next request and the end of the client's side arrive.
        let mut client = Client::connect_narrow(server.address(), 16 * 1024);
        client.send("GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-399999\r\n\r\n");
        let head = client.head();
        client.ask("/small.txt");
        client.end();
        server.get("/small.txt");
        let body = client.bytes(head.length());
        assert_same(&body, &large[..400_000]);
        client.expect_end();
    }
    server.finish(1);
}
