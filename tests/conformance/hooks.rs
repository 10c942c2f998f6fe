//! What a hook may answer at each point, and what becomes of the exchange (the plugin contract's
//! table of moments and results).

use crate::support::reply::{A, PHOTO, Reply, bad, not_allowed, refused};
use crate::support::{assert_sends, check_with, get, request, row, rows, site};
use std::cell::RefCell;
use std::rc::Rc;
use swiftd::conn::{Caller, End, Exchange, Flow, Hooks, Limits, Point, State, Why};
use swiftd::http::{Body, Status};
use swiftd::testing::Peer;

/// What has been called, across connections.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) points: Vec<Point>,
    pub(super) resets: Vec<Why>,
}

/// Hooks that answer what a function says.
pub(super) struct Script<F> {
    pub(super) log: Rc<RefCell<Log>>,
    pub(super) answer: F,
}

impl<F: FnMut(Point, &mut Exchange) -> Flow> Hooks for Script<F> {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        assert_eq!(exchange.point, point, "the exchange knows where it is");
        self.log.borrow_mut().points.push(point);
        (self.answer)(point, exchange)
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, why: Why, _caller: Caller<'_>) {
        let log = &mut *self.log.borrow_mut();
        // A response may still follow a hook's deadline.
        let is_told = log.points.last() == Some(&Point::SubrequestEnd);
        assert!(is_told || why == Why::Deadline, "the end comes before");
        log.resets.push(why);
    }
}

pub(super) fn script<F: FnMut(Point, &mut Exchange) -> Flow>(answer: F) -> Peer<Script<F>> {
    let log = Rc::default();
    Peer::new(site(), Script { log, answer }, Limits::default())
}

impl<F: FnMut(Point, &mut Exchange) -> Flow> Script<F> {
    /// What has been called since the last time.
    pub(super) fn take(&self) -> (Vec<Point>, Vec<Why>) {
        let log = std::mem::take(&mut *self.log.borrow_mut());
        (log.points, log.resets)
    }
}

/// The points that see the head alone.
pub(super) const HEAD_POINTS: [Point; 5] = [
    Point::UrlRaw,
    Point::UrlClean,
    Point::Docroot,
    Point::Physical,
    Point::SubrequestStart,
];

/// These points, then the last one.
pub(super) fn and_end(points: &[Point]) -> Vec<Point> {
    [points, &[Point::SubrequestEnd]].concat()
}

pub(super) fn hello(exchange: &mut Exchange) {
    exchange.response.body = Body::Bytes(b"hello".to_vec());
}

pub(super) fn said() -> Reply {
    Reply::new("200 OK", "", b"hello")
}

pub(super) fn failed() -> Reply {
    refused("500 Internal Server Error")
}

#[test]
fn hooks_that_do_nothing_change_nothing() {
    let mut peer = script(|_, _| Flow::GoOn);
    peer.receive(get("/a.txt", &[]).repeat(2).as_bytes());
    assert_sends(&mut peer, &[A.ok(), A.ok()]);
    let (points, resets) = peer.hooks.take();
    assert_eq!(points, and_end(&HEAD_POINTS).repeat(2));
    assert_eq!(resets, [Why::Done; 2]);
}

#[test]
fn the_path_is_clean_from_url_clean_on() {
    let mut seen = Vec::new();
    let mut peer = script(|point, exchange| {
        seen.push((point, exchange.path.clone()));
        Flow::GoOn
    });
    peer.receive(get("/x/../%61.txt?q", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    drop(peer);
    assert_eq!(seen[0], (Point::UrlRaw, Vec::new()));
    for (point, path) in &seen[1..] {
        assert_eq!(path, b"/a.txt", "{point:?}");
    }
}

#[test]
fn a_response_can_be_complete_at_each_point() {
    for at in HEAD_POINTS.into_iter().take(4) {
        let mut peer = script(|point, exchange| {
            if point != at {
                return Flow::GoOn;
            }
            hello(exchange);
            Flow::Finished
        });
        peer.receive((get("/%00", &["Content-Length: 0"]) + &request("HEAD", "/", &[])).as_bytes());
        if at == Point::UrlRaw {
            assert_sends(&mut peer, &[said(), said().for_head()]);
            assert_eq!(peer.hooks.take().1, [Why::Done; 2]);
        } else {
            assert_sends(&mut peer, &[bad()]);
            assert_eq!(peer.hooks.take().0, [Point::UrlRaw, Point::SubrequestEnd]);
            continue;
        }
        peer.receive(request("POST", "/", &["Content-Length: 9"]).as_bytes());
        assert_sends(&mut peer, &[said().linger()]);
        assert_eq!(peer.ending(), Some(End::Linger), "nobody read the body");
    }
}

#[test]
fn finished_ends_the_chain() {
    for (index, at) in HEAD_POINTS.into_iter().enumerate().take(4) {
        let mut peer = script(|point, exchange| {
            if point != at {
                return Flow::GoOn;
            }
            hello(exchange);
            Flow::Finished
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[said()]);
        assert_eq!(peer.hooks.take().0, and_end(&HEAD_POINTS[..=index]));
    }
}

#[test]
fn an_error_at_each_point_is_a_500() {
    for (index, at) in HEAD_POINTS.into_iter().enumerate() {
        let mut peer = script(|point, _| if point == at { Flow::Error } else { Flow::GoOn });
        peer.receive(get("/a.txt", &[]).repeat(2).as_bytes());
        assert_sends(&mut peer, &[failed()]);
        let (points, resets) = peer.hooks.take();
        assert_eq!((points, resets.len()), (and_end(&HEAD_POINTS[..=index]), 1));
    }
}

#[test]
fn a_claimed_exchange_is_answered_by_its_owner() {
    let claims = || Script {
        log: Rc::default(),
        answer: |point, exchange: &mut Exchange| match point {
            Point::SubrequestStart => Flow::Finished,
            Point::HandleSubrequest => {
                assert!(exchange.is_claimed && exchange.body.is_complete());
                exchange.response.status = Status::CREATED;
                exchange.response.push_field("X-Plugin", b"yes");
                hello(exchange);
                Flow::Finished
            }
            _ => Flow::GoOn,
        },
    };
    let created = || Reply::new("201 Created", "X-Plugin: yes\r\n", b"hello");
    check_with(
        &[
            row(
                "any method",
                "contract §5",
                request("BREW", "/", &[]),
                created(),
            ),
            row(
                "HEAD",
                "RFC 9110 §9.3.2",
                request("HEAD", "/", &[]),
                created().for_head(),
            ),
            rows(
                "a body is complete before its owner is asked",
                "contract §5",
                request("PUT", "/", &["Content-Length: 5"])
                    + "abcde"
                    + &request("GET", "/", &["Connection: close"]),
                vec![created(), created().close()],
            ),
        ],
        &Limits::default(),
        claims,
    );
}

#[test]
fn an_owner_may_fail() {
    // GoOn is no answer of an owner's.
    for flow in [Flow::Error, Flow::GoOn] {
        let mut peer = script(|point, _| match point {
            Point::SubrequestStart => Flow::Finished,
            Point::HandleSubrequest => flow,
            _ => Flow::GoOn,
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[failed()]);
        assert_eq!(peer.hooks.take().1.len(), 1);
    }
}

#[test]
fn a_suspended_hook_is_called_again_when_woken_and_only_then() {
    let all = [&HEAD_POINTS[..], &[Point::HandleSubrequest]].concat();
    for (index, at) in all.iter().copied().enumerate() {
        let mut waits = 2;
        let mut peer = script(|point, exchange| {
            if point == at && waits > 0 {
                waits -= 1;
                exchange.resume = 7;
                return Flow::Wait;
            }
            assert_eq!(
                exchange.resume == 7,
                point == at,
                "each chain begins at its start"
            );
            match point {
                Point::SubrequestStart => Flow::Finished,
                Point::HandleSubrequest => {
                    hello(exchange);
                    Flow::Finished
                }
                _ => Flow::GoOn,
            }
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        let state = peer.state();
        let is_owner = at == Point::HandleSubrequest;
        assert_eq!(
            state,
            if is_owner {
                State::HandleRequest
            } else {
                State::RequestEnd
            }
        );
        assert_eq!(peer.hooks.take().0, all[..=index]);
        // Neither more input nor the client's end is what it waits for.
        peer.receive(b"G");
        peer.receive(b"ET / HTTP/1.1\r\n");
        peer.end();
        assert_eq!(peer.hooks.take().0, [], "{at:?}");
        peer.with(|connection, cx| connection.handle_resume(cx));
        assert_eq!(peer.hooks.take().0, [at]);
        peer.with(|connection, cx| connection.handle_resume(cx));
        assert_sends(&mut peer, &[said()]);
        assert_eq!(peer.hooks.take(), (and_end(&all[index..]), vec![Why::Done]));
        assert_eq!(
            peer.ending(),
            Some(End::Close),
            "half a request gets no answer"
        );
    }
}

#[test]
fn answers_before_a_suspended_one_are_sent() {
    let mut count = 0;
    let mut peer = script(|point, _| {
        count += usize::from(point == Point::Docroot);
        if point == Point::Docroot && count == 2 {
            Flow::Wait
        } else {
            Flow::GoOn
        }
    });
    peer.receive((get("/a.txt", &[]) + &get("/photo.png", &[])).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    assert_eq!(
        peer.state(),
        State::RequestEnd,
        "sending is not what it waits for"
    );
    peer.with(|connection, cx| connection.handle_resume(cx));
    assert_sends(&mut peer, &[PHOTO.ok()]);
}

#[test]
fn a_hook_that_waits_too_long_is_a_504() {
    for at in [
        Point::UrlRaw,
        Point::SubrequestStart,
        Point::HandleSubrequest,
    ] {
        let mut peer = script(|point, _| match point {
            _ if point == at => Flow::Wait,
            Point::SubrequestStart => Flow::Finished,
            _ => Flow::GoOn,
        });
        peer.now = 1_000;
        peer.receive(get("/a.txt", &[]).as_bytes());
        peer.pass(20_000);
        peer.with(|connection, cx| connection.handle_resume(cx));
        // It has answered anew that it waits, so it may wait as long again.
        peer.pass(49_999);
        assert_sends(&mut peer, &[]);
        peer.pass(50_000);
        let resets = peer.hooks.take().1;
        assert_eq!(resets, [Why::Deadline], "told before the answer is made");
        assert_sends(&mut peer, &[refused("504 Gateway Timeout")]);
        assert_eq!(peer.ending(), Some(End::Linger));
        assert_eq!(peer.hooks.take().1, [], "an exchange ends once");
    }
}

#[test]
fn an_aborted_exchange_is_reset_once() {
    let mut peer = script(|point, _| match point {
        Point::SubrequestEnd => Flow::GoOn,
        _ => Flow::Wait,
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    peer.with(|connection, cx| connection.abort(Why::Stop, cx));
    let expected = (and_end(&[Point::UrlRaw]), vec![Why::ClientGone]);
    assert_eq!(peer.hooks.take(), expected);
    let mut idle = script(|_, _| Flow::GoOn);
    idle.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    assert_eq!(idle.hooks.take().1, [], "there was no exchange");
}

#[test]
fn a_changed_path_starts_the_chain_over() {
    for at in [Point::UrlClean, Point::Physical, Point::SubrequestStart] {
        let mut peer = script(|point, exchange| {
            if point != at || exchange.path == b"/a.txt" {
                return Flow::GoOn;
            }
            exchange.path = b"/a.txt".to_vec();
            Flow::Comeback
        });
        peer.receive(get("/old", &[]).as_bytes());
        assert_sends(&mut peer, &[A.ok()]);
        let count = HEAD_POINTS.iter().position(|&point| point == at).unwrap();
        let expected = [&HEAD_POINTS[..=count], &HEAD_POINTS[1..]].concat();
        assert_eq!(peer.hooks.take().0, and_end(&expected));
    }
}

#[test]
fn a_changed_target_starts_at_the_raw_one() {
    let mut peer = script(|point, exchange| {
        if point != Point::UrlRaw || exchange.comebacks > 0 {
            return Flow::GoOn;
        }
        exchange.request.raw_path = exchange.request.query.take().unwrap();
        Flow::Comeback
    });
    peer.receive(get("/old?/%61.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    assert_eq!(
        peer.hooks.take().0,
        [&[Point::UrlRaw], &and_end(&HEAD_POINTS)[..]].concat()
    );
}

#[test]
fn an_owner_may_give_an_exchange_back() {
    let mut peer = script(|point, exchange| match point {
        Point::SubrequestStart if exchange.path != b"/a.txt" => Flow::Finished,
        Point::HandleSubrequest => {
            exchange.path = b"/a.txt".to_vec();
            Flow::Comeback
        }
        _ => Flow::GoOn,
    });
    peer.receive((get("/x", &["Content-Length: 3"]) + "abc" + &get("/a.txt", &[])).as_bytes());
    assert_sends(&mut peer, &[A.ok(), A.ok()]);
    // A body that has been read does not end the connection, whoever answers.
    peer.receive(
        (request("POST", "/x", &["Content-Length: 3"]) + "abc" + &get("/a.txt", &[])).as_bytes(),
    );
    assert_sends(&mut peer, &[not_allowed(), A.ok()]);
}

#[test]
fn the_eleventh_start_is_a_loop() {
    for at in [
        Point::UrlRaw,
        Point::UrlClean,
        Point::SubrequestStart,
        Point::HandleSubrequest,
    ] {
        for (comebacks, reply) in [(10, A.ok()), (11, failed())] {
            let mut left = comebacks;
            let mut peer = script(|point, _| match point {
                _ if point == at && left > 0 => {
                    left -= 1;
                    Flow::Comeback
                }
                Point::SubrequestStart if left > 0 => Flow::Finished,
                _ => Flow::GoOn,
            });
            peer.receive(get("/a.txt", &[]).as_bytes());
            assert_sends(&mut peer, &[reply]);
        }
    }
}

#[test]
fn a_malformed_request_reaches_no_hook() {
    for bytes in ["BAD\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut peer = script(|_, _| Flow::GoOn);
        peer.receive(bytes.as_bytes());
        assert_sends(&mut peer, &[bad()]);
        assert_eq!(peer.hooks.take(), (vec![], vec![]));
    }
}
