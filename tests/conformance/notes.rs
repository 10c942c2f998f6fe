//! What the journal is told: each request once, with what became of it; nothing if nobody asks.

use super::hooks::script;
use crate::support::reply::{A, LARGE_BYTES};
use crate::support::{get, request, site};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use swiftd::conn::{Flow, Hooks, Journal, Limits, NoHooks, Note, Point, Why};
use swiftd::policy::Host;
use swiftd::testing::Peer;

/// Request line, status, bytes of content, milliseconds.
type Seen = (String, u16, u64, u64);

/// A request, and the lines that it makes.
type Row = (String, &'static [(&'static str, u16, u64)]);

/// Keeps what it is told.
struct Book(Rc<RefCell<Vec<Seen>>>);

impl Journal for Book {
    fn note(&mut self, note: &Note<'_>) {
        let head = String::from_utf8_lossy(&note.exchange.request.head).into_owned();
        let line = head.split("\r\n").next().unwrap().to_owned();
        self.0
            .borrow_mut()
            .push((line, note.status, note.content_bytes, note.duration_ms));
    }
}

fn watch<H: Hooks>(peer: &mut Peer<H>) -> Rc<RefCell<Vec<Seen>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    peer.journal = Box::new(Book(Rc::clone(&seen)));
    peer.policy.hosts.default = Arc::new(Host {
        access_log: Some(0),
        ..Host::default()
    });
    seen
}

fn peer() -> (Peer<NoHooks>, Rc<RefCell<Vec<Seen>>>) {
    let mut peer = Peer::new(site(), NoHooks, Limits::default());
    let seen = watch(&mut peer);
    (peer, seen)
}

#[test]
fn each_request_is_noted_once_however_it_is_answered() {
    const A_BYTES: u64 = A.body.len() as u64;
    const WHOLE: &str = "GET /a.txt HTTP/1.1";
    let table: &[Row] = &[
        (get("/a.txt", &[]), &[(WHOLE, 200, A_BYTES)]),
        (get("/a.txt", &[]).repeat(3), &[(WHOLE, 200, A_BYTES); 3]),
        (
            request("HEAD", "/a.txt", &[]),
            &[("HEAD /a.txt HTTP/1.1", 200, 0)],
        ),
        (get("/a.txt", &["Range: bytes=1-3"]), &[(WHOLE, 206, 3)]),
        (get("/a.txt", &["If-None-Match: *"]), &[(WHOLE, 304, 0)]),
        (
            get("/large.bin", &[]),
            &[("GET /large.bin HTTP/1.1", 200, LARGE_BYTES)],
        ),
        // Malformed ones: as much of the request line as there is.
        (
            "\x16\x03\x01\r\n\r\n".into(),
            &[("\x16\x03\x01", 400, u64::MAX)],
        ),
        (
            "GET / HTTP/1.1\n".into(),
            &[("GET / HTTP/1.1", 400, u64::MAX)],
        ),
        (
            "GET / HTTP/3.0\r\n\r\n".into(),
            &[("GET / HTTP/3.0", 505, u64::MAX)],
        ),
        (
            "GET / HTTP/1.1\r\n\r\n".into(),
            &[("GET / HTTP/1.1", 400, u64::MAX)],
        ),
        ("HEAD /\u{1}".into(), &[]),
        (
            "HEAD / HTTP/1.1\r\nA\r\n\r\n".into(),
            &[("HEAD / HTTP/1.1", 400, 0)],
        ),
        // No request has been made.
        ("".into(), &[]),
        ("GET /a.t".into(), &[]),
    ];
    for (bytes, expected) in table {
        for step in [1, usize::MAX] {
            let (mut peer, seen) = peer();
            for piece in bytes.as_bytes().chunks(step.min(bytes.len().max(1))) {
                if peer.connection.wants_input() {
                    peer.receive(piece);
                }
                peer.send_all();
            }
            peer.end();
            peer.send_all();
            let seen = seen.borrow();
            assert_eq!(seen.len(), expected.len(), "{bytes:?}: {seen:?}");
            for ((line, status, count, _), (wanted, code, bytes)) in seen.iter().zip(*expected) {
                assert_eq!(*status, *code, "{bytes:?}");
                // What is wrong from its first byte on is refused with that.
                let is_first = step == 1 && *code == 400 && wanted.starts_with(line);
                assert!(line == wanted || is_first, "{line:?}, not {wanted:?}");
                assert!(*count == *bytes || (*bytes == u64::MAX && *count > 0));
            }
        }
    }
}

#[test]
fn a_head_that_is_too_long_or_too_slow_is_noted_as_far_as_it_came() {
    let (mut peer, seen) = peer();
    peer.receive(format!("GET /{} HTTP/1.1\r\n", "a".repeat(9_000)).as_bytes());
    assert_eq!(seen.borrow().len(), 0, "the answer has not left");
    peer.send_all();
    let line = seen.borrow()[0].clone();
    assert_eq!((line.1, line.0.len()), (414, 4096));
    assert!(line.0.starts_with("GET /aaa"));

    let (mut peer, seen) = self::peer();
    peer.receive(b"GET /slow HTTP/1.1\r\nHost: ");
    peer.pass(60_000);
    peer.send_all();
    let line = seen.borrow()[0].clone();
    assert_eq!((&line.0[..], line.1), ("GET /slow HTTP/1.1", 408));
}

#[test]
fn who_goes_away_is_noted_with_what_was_sent() {
    let (mut peer, seen) = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    let head = String::from_utf8_lossy(&peer.send(4096)).into_owned();
    let content = head.len() - head.find("\r\n\r\n").map_or(head.len(), |at| at + 4);
    let more = peer.send(100).len();
    peer.now = 70;
    peer.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    let line = seen.borrow()[0].clone();
    assert_eq!((line.1, line.2, line.3), (200, (content + more) as u64, 70));

    // Nobody has answered yet.
    for (why, status) in [(Why::ClientGone, 499), (Why::Stop, 503)] {
        let (mut peer, seen) = self::peer();
        peer.handler.files.is_slow = true;
        peer.receive(get("/a.txt", &[]).as_bytes());
        peer.with(|connection, cx| connection.abort(why, cx));
        peer.with(|connection, cx| connection.abort(why, cx));
        let seen = seen.borrow();
        assert_eq!(seen.len(), 1);
        assert_eq!((seen[0].1, seen[0].2), (status, 0));
    }
}

#[test]
fn a_stream_counts_as_far_as_it_was_sent() {
    let mut peer = script(|point, exchange| match point {
        Point::SubrequestStart => Flow::Finished,
        Point::HandleSubrequest if !exchange.stream.is_started() => {
            exchange.stream.start();
            exchange.stream.write(&[b'x'; 1000]);
            Flow::Wait
        }
        Point::HandleSubrequest => Flow::Wait,
        _ => Flow::GoOn,
    });
    let seen = watch(&mut peer);
    peer.receive(get("/", &[]).as_bytes());
    let head = String::from_utf8_lossy(&peer.send_all()).into_owned();
    assert!(head.contains("chunked"));
    peer.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    assert_eq!((seen.borrow()[0].1, seen.borrow()[0].2), (200, 1000));
}

#[test]
fn without_a_log_nobody_is_told() {
    let (mut peer, seen) = peer();
    peer.policy.hosts.default = Arc::default();
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.receive(b"\x16\x03\x01\r\n\r\n");
    peer.send_all();
    assert_eq!(seen.borrow().len(), 0);
}
