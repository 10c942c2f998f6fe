//! Responses that are sent while they are made (RFC 9112 §6, §7.1 and the plugin contract's
//! streaming): framing, back-pressure, and what the client sees when they come to no good end.

use super::hooks::{HEAD_POINTS, Script, and_end, failed, script};
use crate::support::play::{self, Sends};
use crate::support::reply::A;
use crate::support::{assert_sends, check_with, get, request, row};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use swiftd::conn::{End, Exchange, Flow, Hooks, Limits, Point, State, Why};
use swiftd::http::Status;
use swiftd::testing::Peer;

/// What may be unsent, as the contract's default.
const UNSENT_BYTES_MAX: usize = 64 * 1024;

/// A peer whose exchanges for `/s` are claimed and handled by `owner`, which is told how often it
/// has been called.
fn owned<F>(mut owner: F) -> Peer<Script<impl FnMut(Point, &mut Exchange) -> Flow>>
where
    F: FnMut(u32, &mut Exchange) -> Flow,
{
    let mut calls = 0;
    script(move |point, exchange| match point {
        Point::SubrequestStart if exchange.path == b"/s" => Flow::Finished,
        Point::HandleSubrequest => {
            calls += 1;
            owner(calls, exchange)
        }
        _ => Flow::GoOn,
    })
}

/// The head of a streamed response to a client of this version.
fn head(fields: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nServer: swiftd\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         X-By: owner\r\n{fields}\r\n"
    )
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const CLOSE: &str = "Connection: close\r\n";

/// Writes `hello` and waits, writes ` world` and waits, ends.
fn greet(call: u32, exchange: &mut Exchange) -> Flow {
    let stream = &mut exchange.stream;
    match call {
        1 => {
            exchange.response.push_field("X-By", b"owner");
            stream.start();
            assert_eq!(stream.write(b"hello"), Some(5));
            Flow::Wait
        }
        2 => {
            assert_eq!(stream.write(b" world"), Some(6));
            Flow::Wait
        }
        _ => {
            stream.end();
            Flow::Finished
        }
    }
}

fn resume<H: Hooks>(peer: &mut Peer<H>) {
    peer.with(|connection, cx| connection.handle_resume(cx));
}

#[track_caller]
fn assert_sends_text<H: Hooks>(peer: &mut Peer<H>, expected: &str) {
    assert_eq!(String::from_utf8_lossy(&peer.send_all()), expected);
}

#[test]
fn what_is_written_leaves_at_once_in_chunks() {
    let mut peer = owned(greet);
    peer.receive((get("/s", &[]) + &get("/a.txt", &[])).as_bytes());
    assert_sends_text(&mut peer, &(head(CHUNKED) + "5\r\nhello\r\n"));
    assert_eq!(peer.state(), State::HandleRequest);
    // The disk is not what it waits for.
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends_text(&mut peer, "");
    resume(&mut peer);
    assert_sends_text(&mut peer, "6\r\n world\r\n");
    assert_eq!(peer.hooks.take().1, []);
    resume(&mut peer);
    let mut expected = b"0\r\n\r\n".to_vec();
    expected.extend(A.ok().bytes());
    assert_eq!(peer.send_all(), expected, "the connection goes on");
    assert_eq!(peer.hooks.take().1, [Why::Done; 2]);
}

#[test]
fn an_http_1_0_client_finds_the_end_by_the_close() {
    for (field, end) in [
        ("", End::Close),
        ("Connection: keep-alive\r\n", End::Linger),
    ] {
        let mut peer = owned(greet);
        peer.receive(format!("GET /s HTTP/1.0\r\n{field}\r\n").as_bytes());
        assert_sends_text(&mut peer, &(head(CLOSE) + "hello"));
        resume(&mut peer);
        assert_sends_text(&mut peer, " world");
        resume(&mut peer);
        assert_sends_text(&mut peer, "");
        assert_eq!(peer.ending(), Some(end));
        assert_eq!(peer.hooks.take().1, [Why::Done]);
    }
}

#[test]
fn head_gets_the_head_and_its_content_is_swallowed() {
    let mut peer = owned(|call, exchange| {
        let flow = greet(call, exchange);
        let much = vec![b'x'; 3 * UNSENT_BYTES_MAX];
        assert!(call > 1 || exchange.stream.write(&much) == Some(much.len()));
        flow
    });
    peer.receive((request("HEAD", "/s", &[]) + &get("/a.txt", &[])).as_bytes());
    assert_sends_text(&mut peer, &head(CHUNKED));
    resume(&mut peer);
    resume(&mut peer);
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn an_answer_to_head_that_is_no_stream_swallows_nothing_of_the_next_one() {
    let mut peer = owned(|call, exchange| match call {
        1 => {
            exchange.response.set_status(Status::OK);
            Flow::Finished
        }
        _ => {
            greet(1, exchange);
            Flow::Finished
        }
    });
    peer.receive(request("HEAD", "/s", &[]).as_bytes());
    peer.send_all();
    peer.receive(get("/s", &[]).as_bytes());
    assert_sends_text(&mut peer, &(head("Content-Length: 5\r\n") + "hello"));
}

#[test]
fn a_status_without_content_swallows_it_too() {
    for status in [Status::NO_CONTENT, Status::NOT_MODIFIED] {
        let mut written = 0;
        let mut peer = owned(|_, exchange| {
            exchange.response.set_status(status);
            exchange.stream.start();
            while written < 3 * UNSENT_BYTES_MAX {
                match exchange.stream.write(&[b'x'; 10_000]) {
                    Some(bytes) => written += bytes,
                    None => return Flow::Wait,
                }
            }
            Flow::Finished
        });
        peer.receive((get("/s", &[]) + &get("/a.txt", &[])).as_bytes());
        let sent = String::from_utf8(peer.send_all()).unwrap();
        let (first, rest) = sent.split_at(sent.find("\r\n\r\n").unwrap() + 4);
        assert!(
            !first.contains("chunked") && !first.contains("Length"),
            "{first}"
        );
        assert_eq!(rest.as_bytes(), A.ok().bytes());
    }
}

#[test]
fn what_has_ended_before_its_head_was_due_has_a_length() {
    let whole = |method, is_ended: bool, waits: bool| {
        let mut peer = owned(move |call, exchange| {
            if call == 1 {
                greet(1, exchange);
                if is_ended {
                    exchange.stream.end();
                    assert_eq!(exchange.stream.write(b"late"), Some(0));
                }
            }
            if waits && call == 1 {
                Flow::Wait
            } else {
                Flow::Finished
            }
        });
        peer.receive((request(method, "/s", &[]) + &get("/a.txt", &[])).as_bytes());
        let mut sent = peer.send_all();
        resume(&mut peer);
        sent.extend(peer.send_all());
        let content = if method == "HEAD" { "" } else { "hello" };
        let mut expected = (head("Content-Length: 5\r\n") + content).into_bytes();
        expected.extend(A.ok().bytes());
        assert_eq!(sent, expected, "{method} {is_ended} {waits}");
    };
    for method in ["GET", "HEAD"] {
        whole(method, true, false);
        whole(method, true, true);
        // FINISHED without an end is the end.
        whole(method, false, false);
    }
}

#[test]
fn one_that_ends_in_one_call_is_a_response_like_any_other() {
    let streams = || {
        let answer = |point, exchange: &mut Exchange| match point {
            Point::SubrequestStart => Flow::Finished,
            Point::HandleSubrequest => {
                exchange.stream.start();
                exchange.stream.write(b"hello");
                Flow::Finished
            }
            _ => Flow::GoOn,
        };
        Script {
            log: Rc::default(),
            answer,
        }
    };
    let said = super::hooks::said;
    let rows = [
        row("GET", "contract §4", get("/s", &[]), said()),
        row(
            "HEAD",
            "RFC 9110 §9.3.2",
            request("HEAD", "/s", &[]),
            said().for_head(),
        ),
        row(
            "HTTP/1.0",
            "contract §4",
            "GET /s HTTP/1.0\r\n\r\n",
            said().close(),
        ),
    ];
    check_with(&rows, &Limits::default(), streams);
}

#[test]
fn a_failure_before_the_head_is_a_500_and_after_it_cuts_the_connection() {
    for flow in [Flow::Error, Flow::GoOn, Flow::Comeback] {
        let mut peer = owned(|call, exchange| {
            greet(call, exchange);
            flow
        });
        peer.receive(get("/s", &[]).as_bytes());
        assert_sends(&mut peer, &[failed()]);
        for version in ["1.0", "1.1"] {
            for is_taken in [true, false] {
                let mut peer = owned(|call, exchange| match call {
                    1 => greet(1, exchange),
                    _ => flow,
                });
                peer.receive(format!("GET /s HTTP/{version}\r\nHost: h\r\n\r\nGET").as_bytes());
                if is_taken {
                    peer.send_all();
                }
                resume(&mut peer);
                assert_eq!(
                    peer.ending(),
                    Some(End::Reset),
                    "else it would look complete"
                );
                assert_eq!((peer.send_all(), peer.connection.held_bytes()), (vec![], 0));
                assert_eq!(peer.connection.why(), Why::Error);
                let points = [&HEAD_POINTS[..], &[Point::HandleSubrequest; 2]].concat();
                assert_eq!(peer.hooks.take(), (and_end(&points), vec![Why::Error]));
            }
        }
    }
}

#[test]
fn a_hook_that_waits_too_long_within_its_response_cuts_the_connection() {
    let mut peer = owned(greet);
    peer.receive(get("/s", &[]).as_bytes());
    peer.send_all();
    peer.pass(29_999);
    assert_eq!(peer.ending(), None);
    peer.pass(30_000);
    assert_eq!(peer.ending(), Some(End::Reset));
    assert_eq!(peer.connection.why(), Why::Deadline);
    let (points, resets) = peer.hooks.take();
    assert_eq!(
        (points.last(), resets),
        (Some(&Point::SubrequestEnd), vec![Why::Deadline])
    );
}

#[test]
fn a_hook_that_waits_too_long_behind_its_response_harms_nobody() {
    let mut peer = owned(|_, exchange| {
        greet(1, exchange);
        exchange.stream.end();
        Flow::Wait
    });
    peer.receive((get("/s", &[]) + &get("/a.txt", &[])).as_bytes());
    assert_sends_text(&mut peer, &(head("Content-Length: 5\r\n") + "hello"));
    peer.pass(30_000);
    assert_sends(&mut peer, &[A.ok()]);
    assert_eq!(peer.hooks.take().1, [Why::Deadline, Why::Done]);
}

#[test]
fn a_client_that_goes_away_or_takes_nothing_ends_the_stream() {
    let mut peer = owned(greet);
    peer.receive(get("/s", &[]).as_bytes());
    peer.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    assert_eq!(peer.ending(), Some(End::Close));
    assert_eq!(peer.hooks.take().1, [Why::ClientGone]);
    resume(&mut peer);
    assert_eq!(peer.hooks.take().0, [], "nobody is there to be woken");

    let mut peer = owned(greet);
    peer.receive(get("/s", &[]).as_bytes());
    peer.pass(20_000);
    assert_eq!(peer.ending(), Some(End::Reset), "the time to write is over");
    assert_eq!(peer.hooks.take().1, [Why::Deadline]);
}

#[test]
fn each_wait_has_a_deadline_of_its_own_which_a_hook_may_choose() {
    let mut peer = owned(|call, exchange| {
        exchange.wait_ms = (call > 1).then_some(500);
        Flow::Wait
    });
    peer.receive(get("/s", &[]).as_bytes());
    peer.pass(29_000);
    resume(&mut peer);
    assert_eq!(peer.connection.deadline(), 29_500);
    peer.pass(29_400);
    resume(&mut peer);
    peer.pass(29_899);
    assert_sends(&mut peer, &[]);
    peer.pass(29_900);
    assert_eq!(peer.hooks.take().1, [Why::Deadline]);
}

#[test]
fn a_client_that_sends_no_more_is_given_up_before_the_deadline_but_not_at_once() {
    // It shuts its side while a hook waits, or before.
    for is_early in [false, true] {
        let mut peer = owned(|_, _| Flow::Wait);
        peer.receive(get("/s", &[]).as_bytes());
        peer.pass(1_000);
        peer.end();
        if is_early {
            resume(&mut peer);
        }
        assert_eq!(peer.connection.deadline(), 6_000);
        peer.pass(5_999);
        assert_eq!(peer.hooks.take().1, []);
        peer.pass(6_000);
        assert_eq!(peer.hooks.take().1, [Why::ClientGone]);
        assert_eq!(peer.ending(), Some(End::Close));
    }
    // A shorter wait ends as for everybody.
    let mut peer = owned(|_, exchange| {
        exchange.wait_ms = Some(500);
        Flow::Wait
    });
    peer.receive(get("/s", &[]).as_bytes());
    peer.end();
    peer.pass(500);
    assert_eq!(peer.hooks.take().1, [Why::Deadline]);
    assert!(peer.send_all().starts_with(b"HTTP/1.1 504 "));
}

/// An owner that writes `total` bytes of a pattern, as much at a time as it can.
fn pour(total: usize, refusals: Rc<Cell<u32>>) -> impl FnMut(u32, &mut Exchange) -> Flow {
    let mut written = 0;
    move |call, exchange| {
        let stream = &mut exchange.stream;
        stream.start();
        assert_eq!(std::mem::take(&mut stream.has_room_event), call > 1);
        while written < total {
            let bytes: Vec<u8> = (written..total.min(written + 9_999)).map(byte_at).collect();
            match stream.write(&bytes) {
                Some(count) => written += count,
                None => {
                    refusals.set(refusals.get() + 1);
                    return Flow::Wait;
                }
            }
        }
        Flow::Finished
    }
}

fn byte_at(index: usize) -> u8 {
    (index ^ (index >> 8)) as u8
}

/// The content of chunks, which must be whole.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let end = bytes
            .iter()
            .position(|&byte| byte == b'\r')
            .expect("a size");
        let size = std::str::from_utf8(&bytes[..end]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a size");
        assert_eq!(bytes[end + 2 + size..][..2], *b"\r\n");
        content.extend_from_slice(&bytes[end + 2..][..size]);
        bytes = &bytes[end + 4 + size..];
        if size == 0 {
            assert!(bytes.is_empty(), "something follows the last chunk");
            return content;
        }
    }
}

#[test]
fn a_slow_client_holds_the_owner_back() {
    const TOTAL: usize = 1_000_000;
    let refusals = Rc::new(Cell::new(0));
    let mut peer = owned(pour(TOTAL, Rc::clone(&refusals)));
    peer.receive(get("/s", &[]).as_bytes());
    let mut sent = Vec::new();
    let mut most = 0;
    while peer.state() != State::RequestStart {
        let before = refusals.get();
        let bytes = peer.send(1_000);
        assert!(!bytes.is_empty(), "nobody wakes the owner");
        sent.extend(bytes);
        most = most.max(peer.connection.held_bytes());
        // Once in each half of the bound.
        assert!(refusals.get() <= before + 1);
    }
    assert!(refusals.get() as usize <= 2 * TOTAL / UNSENT_BYTES_MAX + 1);
    assert!(refusals.get() as usize > TOTAL / UNSENT_BYTES_MAX);
    assert!(most < 3 * UNSENT_BYTES_MAX, "{most} bytes are held");
    assert_eq!(peer.connection.held_bytes(), 0);
    let head = sent
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let expected: Vec<u8> = (0..TOTAL).map(byte_at).collect();
    assert!(unchunked(&sent[head..]) == expected);
}

#[test]
fn however_the_request_comes_and_the_client_reads_the_content_is_the_same() {
    const TOTAL: usize = 150_000;
    let expected: Vec<u8> = (0..TOTAL).map(byte_at).collect();
    let bytes = get("/s", &[]).into_bytes();
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for at in 1..bytes.len() {
        let (first, second) = bytes.split_at(at);
        let ways = [vec![first, second], vec![&bytes[..]], single.clone()];
        for (pieces, sends) in
            ways.into_iter()
                .zip([Sends::AtOnce, Sends::Few(6_007), Sends::WhenStuck])
        {
            let mut peer = owned(pour(TOTAL, Rc::default()));
            let sent = play::play(&mut peer, &pieces, sends);
            let head = sent
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
                .unwrap()
                + 4;
            assert!(unchunked(&sent[head..]) == expected, "{sends:?}");
            assert_eq!(peer.state(), State::RequestStart);
        }
    }
}

#[test]
fn earlier_answers_count_as_backlog_and_leave_first() {
    let took = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&took);
    let mut peer = owned(move |_, exchange| {
        exchange.stream.start();
        log.borrow_mut()
            .push(exchange.stream.write(&[b'x'; UNSENT_BYTES_MAX]));
        if log.borrow().len() < 2 {
            Flow::Wait
        } else {
            Flow::Finished
        }
    });
    peer.receive((get("/a.txt", &[]) + &get("/s", &[])).as_bytes());
    let answer = A.ok().bytes();
    assert_eq!(*took.borrow(), [Some(UNSENT_BYTES_MAX - answer.len())]);
    assert!(peer.send_all().starts_with(&answer));
    resume(&mut peer);
    assert_eq!(took.borrow().last(), Some(&Some(UNSENT_BYTES_MAX)));
}

#[test]
fn a_stopping_server_lets_a_stream_end() {
    let mut peer = owned(greet);
    peer.receive(get("/s", &[]).as_bytes());
    peer.send_all();
    peer.is_draining = true;
    peer.with(|connection, cx| connection.handle_stop(cx));
    resume(&mut peer);
    resume(&mut peer);
    assert_sends_text(&mut peer, "6\r\n world\r\n0\r\n\r\n");
    assert_eq!(peer.ending(), Some(End::Linger));
    assert_eq!(peer.connection.why(), Why::Stop);
    let mut peer = script(|_, _| Flow::GoOn);
    peer.with(|connection, cx| connection.handle_stop(cx));
    assert_eq!(peer.connection.why(), Why::Stop);
}
