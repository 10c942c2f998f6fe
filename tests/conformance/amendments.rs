//! What a hook may do to a response that it does not make, and what of a response it must make.

use super::hooks::{HEAD_POINTS, Script, failed, hello, said, script};
use crate::support::reply::{A, Reply, bad, not_allowed, not_found, page};
use crate::support::{assert_sends, check_with, get, request, row};
use std::rc::Rc;
use swiftd::conn::{End, Exchange, Flow, Limits, Point, Why};
use swiftd::http::{Body, Status};
use swiftd::testing::Peer;

/// Fresh hooks that answer what a function says.
fn hooks<F>(answer: F) -> impl Fn() -> Script<F>
where
    F: FnMut(Point, &mut Exchange) -> Flow + Clone,
{
    move || Script {
        log: Rc::default(),
        answer: answer.clone(),
    }
}

#[test]
fn a_field_is_set_on_whatever_follows() {
    for at in HEAD_POINTS {
        let amends = hooks(move |point, exchange| {
            if point == at {
                exchange.amendments.set(b"X-Set", b"1");
                exchange.amendments.remove(b"eTAG");
            }
            Flow::GoOn
        });
        let amended = |reply: Reply| reply.without("ETag").field("X-Set: 1");
        let rows = [
            row("a file", "contract §4", get("/a.txt", &[]), amended(A.ok())),
            row(
                "its head",
                "contract §4",
                request("HEAD", "/a.txt", &[]),
                amended(A.ok()).for_head(),
            ),
            row(
                "304",
                "contract §4",
                get("/a.txt", &["If-None-Match: *"]),
                amended(A.unchanged()),
            ),
            row(
                "a part",
                "contract §4",
                get("/a.txt", &["Range: bytes=0-1"]),
                amended(A.part(0, 1)),
            ),
            row("404", "contract §4", get("/no", &[]), amended(not_found())),
            row(
                "405",
                "contract §4",
                request("PUT", "/", &[]),
                amended(not_allowed()),
            ),
        ];
        check_with(&rows, &Limits::default(), amends);
    }
}

#[test]
fn a_field_is_set_on_errors_of_the_head_and_of_hooks() {
    let mut peer = script(|_, exchange| {
        exchange.amendments.set(b"X-Set", b"1");
        Flow::GoOn
    });
    peer.receive(get("/%00", &[]).as_bytes());
    assert_sends(&mut peer, &[bad().field("X-Set: 1")]);
    for at in HEAD_POINTS {
        let mut peer = script(|point, exchange| {
            exchange.amendments.add(b"X-Add", b"1");
            if point == at { Flow::Error } else { Flow::GoOn }
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        let count = HEAD_POINTS.iter().position(|&point| point == at).unwrap();
        let expected = (0..=count).fold(failed(), |reply, _| reply.field("X-Add: 1"));
        assert_sends(&mut peer, &[expected]);
    }
}

#[test]
fn what_an_owner_sets_is_amended_and_vanishes_if_it_fails() {
    for (flow, expected) in [
        (Flow::Finished, said().field("X-A: set")),
        (Flow::Error, failed().field("X-A: set")),
    ] {
        let mut peer = script(|point, exchange| match point {
            Point::UrlRaw => {
                exchange.amendments.set(b"X-A", b"set");
                Flow::GoOn
            }
            Point::SubrequestStart => Flow::Finished,
            Point::HandleSubrequest => {
                exchange.response.set_field(b"X-a", b"own");
                exchange.response.add_field(b"X-B", b"1");
                exchange.response.add_field(b"x-b", b"2");
                exchange.response.remove_field(b"X-B");
                hello(exchange);
                flow
            }
            _ => Flow::GoOn,
        });
        peer.receive(get("/", &[]).as_bytes());
        assert_sends(&mut peer, &[expected]);
    }
}

#[test]
fn starting_over_forgets_what_was_decided() {
    let mut peer = script(|point, exchange| {
        if point != Point::SubrequestStart || exchange.comebacks > 0 {
            return Flow::GoOn;
        }
        exchange.amendments.set(b"X-Set", b"1");
        exchange.response.set_status(Status::GONE);
        exchange.response.set_field(b"X-Own", b"1");
        exchange.docroot = Some(b"/nowhere".to_vec());
        exchange.physical = Some(b"/nowhere/a".to_vec());
        hello(exchange);
        Flow::Comeback
    });
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn who_lets_others_answer_leaves_no_answer() {
    for at in HEAD_POINTS {
        let mut peer = script(|point, exchange| {
            if point == at {
                exchange.response.set_status(Status::NOT_FOUND);
                exchange.response.set_field(b"X-Own", b"1");
                hello(exchange);
            }
            Flow::GoOn
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[A.ok()]);
    }
}

#[test]
fn finished_without_a_response_is_a_500() {
    for at in [&HEAD_POINTS[..4], &[Point::HandleSubrequest]].concat() {
        let mut peer = script(|point, exchange| match point {
            _ if point == at => {
                exchange.response.set_field(b"X-Own", b"1");
                Flow::Finished
            }
            Point::SubrequestStart => Flow::Finished,
            _ => Flow::GoOn,
        });
        peer.receive(get("/a.txt", &[]).as_bytes());
        assert_sends(&mut peer, &[failed()]);
    }
}

#[test]
fn a_status_is_a_response() {
    for at in [&HEAD_POINTS[..], &[Point::HandleSubrequest]].concat() {
        let answers = |status, body: Option<&'static [u8]>| {
            hooks(move |point, exchange: &mut Exchange| match point {
                _ if point == at => {
                    exchange.response.set_field(b"X-Own", b"1");
                    exchange.response.set_field(b"Content-Type", b"a/b");
                    exchange.response.set_status(status);
                    if let Some(body) = body {
                        exchange.response.body = Body::Bytes(body.to_vec());
                    }
                    Flow::Finished
                }
                Point::SubrequestStart => Flow::Finished,
                Point::HandleSubrequest => unreachable!("the response was complete"),
                _ => Flow::GoOn,
            })
        };
        let check = |fact, status, body, reply| {
            let rows = [row(fact, "contract §5", get("/a.txt", &[]), reply)];
            check_with(&rows, &Limits::default(), answers(status, body));
        };
        const OWN: &str = "X-Own: 1\r\nContent-Type: a/b\r\n";
        let empty = |line| Reply::new(line, OWN, b"");
        check("no body", Status::CREATED, None, empty("201 Created"));
        let bodiless = empty("204 No Content").bodiless();
        check("no content", Status::NO_CONTENT, None, bodiless);
        let forbidden = "403 Forbidden";
        let own_page = page(forbidden).before("X-Own: 1");
        check("an error's own page", Status::FORBIDDEN, None, own_page);
        let is_empty = empty(forbidden);
        check("an empty body", Status::FORBIDDEN, Some(b""), is_empty);
        let made = Reply::new(forbidden, OWN, b"made");
        check("a body", Status::FORBIDDEN, Some(b"made"), made);
    }
}

/// Bytes that are shared with whoever holds the other reference.
#[derive(Debug)]
struct Shared(Vec<u8>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn shared_bytes_are_a_body_like_any_other() {
    let shares = |bytes: &'static [u8]| {
        hooks(move |point, exchange: &mut Exchange| match point {
            Point::UrlClean => {
                exchange.response.body = Body::Shared(Rc::new(Shared(bytes.to_vec())));
                Flow::Finished
            }
            _ => Flow::GoOn,
        })
    };
    let rows = [
        row("GET", "contract §4", get("/", &[]), said()).then(A.ok()),
        row(
            "HEAD",
            "RFC 9110 §9.3.2",
            request("HEAD", "/", &[]),
            said().for_head(),
        ),
    ];
    let [mut twice, head] = rows;
    twice
        .request
        .extend(get("/", &["Connection: close"]).as_bytes());
    twice.replies = vec![said(), said().close()];
    check_with(&[twice, head], &Limits::default(), shares(b"hello"));
    let nothing = Reply::new("200 OK", "", b"");
    let rows = [row("nothing", "contract §4", get("/", &[]), nothing)];
    check_with(&rows, &Limits::default(), shares(b""));
}

#[test]
fn shared_bytes_are_not_copied_and_let_go() {
    let bytes = Rc::new(Shared(vec![b'x'; 1_000_000]));
    for is_aborted in [false, true] {
        let held = Rc::clone(&bytes);
        let answer = move |point, exchange: &mut Exchange| match point {
            Point::UrlRaw => {
                exchange.response.body = Body::Shared(held.clone());
                Flow::Finished
            }
            _ => Flow::GoOn,
        };
        let mut peer: Peer<Script<_>> = script(answer);
        peer.receive(get("/", &[]).as_bytes());
        assert!(peer.connection.held_bytes() < 1_000, "it was copied");
        assert!(Rc::strong_count(&bytes) > 2);
        let first = peer.send(usize::MAX).len();
        if is_aborted {
            assert_eq!(peer.send(1_000), [b'x'; 1_000]);
            peer.with(|connection, cx| connection.abort(Why::Stop, cx));
            assert_eq!(peer.ending(), Some(End::Reset));
        } else {
            assert_eq!(first + peer.send_all().len(), first + 1_000_000);
        }
        assert_eq!(Rc::strong_count(&bytes), 2, "the connection holds it");
    }
}
