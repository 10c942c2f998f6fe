//! Requests and responses when nobody misbehaves, however slow they are.

use crate::server::{Client, Server, assert_same, pattern};
use std::fs;
use tempfile::TempDir;

const LARGE_BYTES: usize = 10 * 1024 * 1024;

/// A root with `small.txt` and `large.bin`, and what is in the latter.
pub(crate) fn site() -> (TempDir, Vec<u8>) {
    let root = TempDir::new().unwrap();
    let large = pattern(LARGE_BYTES, 1);
    fs::write(root.path().join("small.txt"), "small").unwrap();
    fs::write(root.path().join("large.bin"), &large).unwrap();
    (root, large)
}

#[test]
fn files_of_all_sizes_arrive_whole_and_head_tells_the_same() {
    let root = TempDir::new().unwrap();
    // Around what is kept in memory (16 KiB), what is sent with one call (256 KiB), and what is
    // moved in one turn (512 KiB).
    const K: usize = 1024;
    let sizes = [0, 1, 16 * K, 16 * K + 1, 256 * K, 256 * K + 1, 768 * K + 7];
    for (seed, &bytes) in sizes.iter().enumerate() {
        let content = pattern(bytes, seed as u64);
        fs::write(root.path().join(format!("{bytes}.bin")), content).unwrap();
    }
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    for _again_from_the_cache in 0..2 {
        for (seed, &bytes) in sizes.iter().enumerate() {
            let got = client.get(&format!("/{bytes}.bin"));
            assert_eq!((got.status, got.length()), (200, bytes));
            assert_same(&got.body, &pattern(bytes, seed as u64));
            client.send(format!("HEAD /{bytes}.bin HTTP/1.1\r\nHost: x\r\n\r\n"));
            let head = client.head();
            assert_eq!((head.status, head.length()), (200, bytes));
            assert_eq!(head.field("ETag"), got.field("ETag"));
        }
    }
    drop(client);
    server.finish(4);
}

#[test]
fn ranges_of_a_large_file_are_its_bytes() {
    let (root, large) = site();
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("1048575-3145728", 1_048_575, 3_145_728),
        ("10000000-", 10_000_000, LARGE_BYTES - 1),
        ("-12345", LARGE_BYTES - 12_345, LARGE_BYTES - 1),
        ("4096-99999999999", 4_096, LARGE_BYTES - 1),
    ] {
        let got = client.get_with("/large.bin", &format!("Range: bytes={range}\r\n"));
        assert_eq!(got.status, 206, "{range}");
        let wanted = format!("bytes {first}-{last}/{LARGE_BYTES}");
        assert_eq!(got.field("Content-Range"), Some(&wanted[..]));
        assert_same(&got.body, &large[first..=last]);
    }
    let got = client.get_with("/large.bin", "Range: bytes=10485760-\r\n");
    assert_eq!(got.status, 416);
    drop(client);
    server.finish(1);
}

#[test]
fn several_ranges_of_a_large_file_come_as_parts() {
    let (root, large) = site();
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    let parts = [(5, 5), (100_000, 1_400_000), (9_000_000, LARGE_BYTES - 1)];
    let got = client.get_with(
        "/large.bin",
        "Range: bytes=5-5, 100000-1400000, 9000000-\r\n",
    );
    assert_eq!(got.status, 206);
    let content_type = got.field("Content-Type").unwrap();
    let (_, boundary) = content_type.split_once("boundary=").unwrap();
    let mut wanted = Vec::new();
    for (first, last) in parts {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/{LARGE_BYTES}\r\n\r\n"
        );
        wanted.extend_from_slice(head.as_bytes());
        wanted.extend_from_slice(&large[first..=last]);
    }
    wanted.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    // An empty line before the first boundary is allowed and not required (RFC 2046 §5.1.1).
    let skipped = wanted.len() - got.body.len();
    assert!(matches!(skipped, 0 | 2));
    assert_same(&got.body, &wanted[skipped..]);
    assert_eq!(client.get("/small.txt").body, b"small");
    drop(client);
    server.finish(1);
}

#[test]
fn a_connection_is_kept_until_the_client_wants_its_end() {
    let (root, _) = site();
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    for _ in 0..200 {
        assert_eq!(client.get("/small.txt").body, b"small");
    }
    let last = client.get_with("/small.txt", "Connection: close\r\n");
    assert_eq!(last.field("Connection"), Some("close"));
    assert_eq!(last.body, b"small");
    client.expect_end();

    let mut old = server.connect();
    old.send("GET /small.txt HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().body, b"small");
    old.expect_end();
    drop((client, old));
    server.finish(0);
}

#[test]
fn a_connection_ends_in_good_order_after_its_last_request() {
    let (root, _) = site();
    let server = Server::start(root.path(), &["--requests", "3"]);
    let mut client = server.connect();
    for request in 1..=3 {
        let response = client.get("/small.txt");
        assert_eq!(response.field("Connection") == Some("close"), request == 3);
    }
    client.expect_end();
    drop(client);
    server.finish(0);
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let root = TempDir::new().unwrap();
    // The third is larger than what a connection may hold ready, the fourth is sent by descriptor.
    let contents = [3, 5_000, 16_000, 40_000].map(|bytes| pattern(bytes, bytes as u64));
    for (number, content) in contents.iter().enumerate() {
        fs::write(root.path().join(number.to_string()), content).unwrap();
    }
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    let order = |index: usize| (index * index / 7) % contents.len();
    let requests: String = (0..1_000)
        .map(|index| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", order(index)))
        .collect();
    // The responses are many times what the sockets hold, so the server must stop reading.
    let mut sender = Client::from_stream(client.stream.try_clone().unwrap());
    let sending = std::thread::spawn(move || sender.send(requests));
    for index in 0..1_000 {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert_same(&response.body, &contents[order(index)]);
    }
    sending.join().unwrap();
    drop(client);
    server.finish(1);
}

#[test]
fn a_slow_reader_with_little_room_gets_a_large_file_right() {
    let (root, large) = site();
    let server = Server::start(root.path(), &[]);
    let mut narrow = Client::connect_narrow(server.address(), 16 * 1024);
    narrow.ask("/large.bin");
    // Others are served while this one blocks the socket again and again.
    let mut other = server.connect();
    let head = narrow.head();
    let mut body = Vec::new();
    let mut step = 1;
    while body.len() < head.length() {
        let count = step.min(head.length() - body.len());
        body.extend(narrow.bytes(count));
        step = (step * 3 + 1) % 50_000;
        if step % 8 == 0 {
            assert_eq!(other.get("/small.txt").body, b"small");
        }
    }
    assert_same(&body, &large);
    assert_eq!(narrow.get("/small.txt").body, b"small");
    drop((narrow, other));
    server.finish(1);
}

#[test]
fn a_request_that_comes_byte_by_byte_is_answered() {
    let (root, _) = site();
    let server = Server::start(root.path(), &[]);
    let mut client = server.connect();
    for _ in 0..3 {
        for byte in b"GET /small.txt HTTP/1.1\r\nHost: x\r\nX-Slow: yes\r\n\r\n" {
            client.send([*byte]);
        }
        assert_eq!(client.response().body, b"small");
    }
    drop(client);
    server.finish(0);
}
