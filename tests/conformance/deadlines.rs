//! Clients, disks and hooks that are too slow (RFC 9110 §15.5.9; the bounds are ours).
//!
//! Time is in milliseconds and stands still unless it is set. Defaults: head 10 s, idle, body and
//! write 20 s at 128 bytes a second, linger 3 s, disk and hook 30 s.

use crate::support::reply::{A, bad, go_on, page, refused};
use crate::support::{assert_sends, get, peer};
use swiftd::conn::{End, NoHooks, State};
use swiftd::testing::Peer;

/// A connection on which one exchange is over, at time 1000.
fn used() -> Peer<NoHooks> {
    let mut peer = peer();
    peer.now = 1000;
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    peer
}

/// Asserts that nothing happens before `due`, and `refusal` then.
fn assert_refused_at(peer: &mut Peer<NoHooks>, due: u64, refusal: crate::support::reply::Reply) {
    peer.pass(due - 1);
    assert_sends(peer, &[]);
    assert_eq!(peer.ending(), None);
    peer.pass(due);
    assert_sends(peer, &[refusal]);
    assert_eq!(peer.ending(), Some(End::Linger));
}

/// Asserts that nothing happens before `due`, and a silent end then.
fn assert_ends_at(peer: &mut Peer<NoHooks>, due: u64, end: End) {
    peer.pass(due - 1);
    assert_ne!(peer.ending(), Some(end));
    peer.pass(due);
    assert_sends(peer, &[]);
    assert_eq!(
        (peer.ending(), peer.connection.held_bytes()),
        (Some(end), 0)
    );
}

/// The same for a client that leaves something unread: what is queued for it is let go.
fn assert_cut_at(peer: &mut Peer<NoHooks>, due: u64) {
    assert_ends_at(peer, due, End::Reset);
}

fn timeout() -> crate::support::reply::Reply {
    refused("408 Request Timeout")
}

#[test]
fn a_client_that_never_sent_a_byte_is_told_nothing() {
    assert_ends_at(&mut peer(), 20_000, End::Close);
}

#[test]
fn a_client_that_sent_an_empty_line_is_told_nothing() {
    for bytes in ["\r", "\r\n"] {
        let mut peer = peer();
        peer.now = 5_000;
        peer.receive(bytes.as_bytes());
        assert_ends_at(&mut peer, 20_000, End::Close);
    }
}

#[test]
fn an_idle_client_is_told_nothing() {
    assert_ends_at(&mut used(), 21_000, End::Close);
}

#[test]
fn a_slow_head_is_a_408() {
    let mut peer = peer();
    peer.now = 7_000;
    peer.receive(b"G");
    assert_refused_at(&mut peer, 17_000, timeout());
}

#[test]
fn a_slow_head_of_head_is_a_408_without_content() {
    let mut peer = peer();
    peer.receive(b"HEAD / HTTP/1.1\r\nHost: h\r\n");
    assert_refused_at(&mut peer, 10_000, timeout().for_head());
}

#[test]
fn more_bytes_do_not_prolong_a_head() {
    for mut peer in [peer(), used()] {
        peer.now = 2_000;
        for byte in get("/a.txt", &[]).as_bytes().iter().take(8) {
            peer.receive(&[*byte]);
            peer.pass(peer.now + 1_000);
        }
        assert_refused_at(&mut peer, 12_000, timeout());
    }
}

#[test]
fn a_head_behind_an_answer_has_its_own_time() {
    let mut peer = peer();
    peer.receive((get("/a.txt", &[]) + "GET / HT").as_bytes());
    peer.now = 4_000;
    assert_sends(&mut peer, &[A.ok()]);
    assert_refused_at(&mut peer, 14_000, timeout());
}

#[test]
fn a_slow_body_is_a_408() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &["Content-Length: 9999"]).as_bytes());
    peer.pass(10_000);
    peer.receive(&[b'x'; 2559]);
    assert_refused_at(&mut peer, 20_000, timeout());
}

#[test]
fn a_body_that_is_fast_enough_has_all_the_time() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &["Content-Length: 7680"]).as_bytes());
    for now in [19_999, 39_998, 59_997] {
        peer.pass(now);
        peer.receive(&[b'x'; 2560]);
    }
    assert_sends(&mut peer, &[A.ok()]);
    assert_ends_at(&mut peer, 79_997, End::Close);
}

#[test]
fn a_body_that_was_asked_for_has_its_time_from_then() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &["Content-Length: 3", "Expect: 100-continue"]).as_bytes());
    peer.now = 5_000;
    assert_sends(&mut peer, &[go_on()]);
    assert_refused_at(&mut peer, 25_000, timeout());
}

#[test]
fn a_body_on_a_used_connection_has_no_more_time() {
    let mut peer = used();
    peer.now = 2_000;
    peer.receive(get("/a.txt", &["Content-Length: 9999"]).as_bytes());
    peer.now = 12_000;
    peer.receive(b"x");
    assert_refused_at(&mut peer, 22_000, timeout());
}

#[test]
fn a_client_that_reads_too_slowly_is_cut_off() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    peer.now = 10_000;
    let mut sent = 0;
    while sent < 2559 {
        let piece = peer.send(2559 - sent);
        assert!(!piece.is_empty());
        sent += piece.len();
    }
    assert_cut_at(&mut peer, 20_000);
}

#[test]
fn a_client_that_reads_fast_enough_gets_everything() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    let whole = crate::support::reply::LARGE
        .ok_with(&crate::support::reply::large())
        .bytes();
    let mut sent = Vec::new();
    while sent.len() < whole.len() {
        peer.pass(peer.now + 19_999);
        let end = whole.len().min(sent.len() + 2560);
        while sent.len() < end {
            let piece = peer.send(end - sent.len());
            assert!(!piece.is_empty(), "cut off after {} bytes", sent.len());
            sent.extend(piece);
        }
    }
    assert!(sent == whole);
    assert_eq!(peer.ending(), None);
}

#[test]
fn more_requests_do_not_prolong_the_time_to_read_answers() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.pass(19_000);
    assert!(peer.connection.wants_input());
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_cut_at(&mut peer, 20_000);
}

#[test]
fn a_refusal_that_is_not_read_is_cut_off() {
    let mut peer = peer();
    peer.receive(b"BAD\r\n\r\n");
    assert_cut_at(&mut peer, 20_000);
}

#[test]
fn lingering_has_an_end() {
    let mut peer = peer();
    peer.now = 1_000;
    peer.receive(b"BAD\r\n\r\n");
    assert_sends(&mut peer, &[bad()]);
    assert_eq!(peer.ending(), Some(End::Linger));
    peer.pass(3_000);
    peer.receive(b"more");
    assert_ends_at(&mut peer, 4_000, End::Close);
}

#[test]
fn a_disk_that_does_not_answer_is_a_503() {
    let mut peer = peer();
    peer.handler.files.is_slow = true;
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_refused_at(&mut peer, 30_000, refused("503 Service Unavailable"));
    // Its answer comes too late and changes nothing.
    peer.handler.files.is_slow = false;
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends(&mut peer, &[]);
}

#[test]
fn a_wake_does_not_prolong_the_wait_for_the_disk() {
    let mut peer = peer();
    peer.handler.files.is_slow = true;
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.pass(20_000);
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_refused_at(&mut peer, 30_000, refused("503 Service Unavailable"));
}

#[test]
fn a_file_that_the_disk_does_not_deliver_is_cut_off() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    peer.send(4096);
    peer.now = 1_000;
    peer.with(|connection, cx| connection.handle_loading(true, cx));
    assert!(peer.connection.is_loading());
    assert_cut_at(&mut peer, 31_000);
}

#[test]
fn a_file_that_the_disk_delivers_late_is_sent() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    peer.with(|connection, cx| connection.handle_loading(true, cx));
    peer.pass(29_000);
    peer.with(|connection, cx| connection.handle_loading(false, cx));
    // The client's own time begins now.
    assert_cut_at(&mut peer, 49_000);
}

#[test]
fn a_deadline_that_comes_too_early_is_harmless() {
    let mut peer = used();
    peer.pass(2_000);
    assert_eq!((peer.state(), peer.ending()), (State::RequestStart, None));
    peer.receive(get("/nothing", &[]).as_bytes());
    assert_sends(&mut peer, &[page("404 Not Found")]);
}
