//! What a connection does while memory is short: whoever wants more is asked to come back.

use super::hooks::script;
use crate::support::reply::{A, LARGE_BYTES, Reply, refused};
use crate::support::{assert_sends, get, request, site};
use swiftd::conn::{Flow, Limits, NoHooks, Point, State};
use swiftd::testing::Peer;

fn busy() -> Reply {
    refused("503 Service Unavailable").field("Retry-After: 1")
}

fn peer() -> Peer<NoHooks> {
    Peer::new(site(), NoHooks, Limits::default())
}

#[test]
fn a_new_request_is_a_503_and_the_last_one() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    peer.is_short = true;
    peer.receive(get("/a.txt", &[]).repeat(2).as_bytes());
    assert_sends(&mut peer, &[busy()]);
    assert_eq!(peer.state(), State::Close);
}

#[test]
fn a_head_that_would_have_to_be_kept_is_a_503() {
    let mut peer = peer();
    peer.receive(b"GET /a.txt HTTP/1.1\r\nHo");
    peer.is_short = true;
    peer.receive(b"st: h\r\nX: ");
    assert_sends(&mut peer, &[busy()]);
    assert_eq!(peer.connection.owned_bytes(), 0);
}

#[test]
fn a_body_that_is_kept_is_let_go_at_once() {
    let mut peer = script(|point, _| match point {
        Point::SubrequestStart => Flow::Finished,
        _ => Flow::GoOn,
    });
    let head = request("PUT", "/", &["Content-Length: 50000"]);
    peer.receive(&[head.as_bytes(), &[b'x'; 20_000]].concat());
    assert!(peer.connection.owned_bytes() > 20_000);
    peer.is_short = true;
    peer.receive(&[b'x'; 1_000]);
    assert!(peer.connection.owned_bytes() < 4_000);
    assert_sends(&mut peer, &[busy()]);
}

#[test]
fn what_was_begun_in_better_times_is_finished() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    let begun = peer.send(100);
    peer.is_short = true;
    let rest = peer.send_all();
    assert!(begun.len() + rest.len() > LARGE_BYTES as usize);
    assert_eq!(
        peer.state(),
        State::RequestStart,
        "and the connection lives"
    );
}

#[test]
fn pipelined_answers_gather_no_more() {
    let mut peer = peer();
    let asked = get("/a.txt", &[]).repeat(2_000);
    peer.receive(asked.as_bytes());
    let gathered = peer.connection.held_bytes();
    peer.send(1);
    peer.is_short = true;
    peer.receive(b"");
    assert!(peer.connection.held_bytes() <= gathered);
}
