//! How long a connection lives: keep-alive, pipelining, half-close, draining, and how it ends
//! (RFC 9112 §9); and `100 Continue`, whose moment depends on what has arrived.

use crate::support::reply::{A, HOME, PHOTO, bad, go_on, not_allowed, not_found, refused};
use crate::support::{assert_sends, check, check_with, get, peer, peer_with, request, row, rows};
use swiftd::conn::{Connection, End, Limits, NoHooks, State, Why};

const OLD: &str = "RFC 9112 §9.3";

#[test]
#[rustfmt::skip] // One row a line.
fn versions_and_the_connection_field() {
    let old = |fields: &str| format!("GET /a.txt HTTP/1.0\r\n{fields}\r\n");
    let new = |fields: &[&str]| get("/a.txt", fields);
    let keep = || A.ok().keep_alive();
    check(&[
        rows("HTTP/1.1 goes on", OLD, new(&[]).repeat(2), vec![A.ok(), A.ok()]),
        row("HTTP/1.1 closes when asked", OLD, new(&["Connection: close"]), A.ok().close()),
        row("options compare without case", OLD, new(&["Connection: CLOSE"]), A.ok().close()),
        row("close among others", OLD, new(&["Connection: x, close ,y"]), A.ok().close()),
        row("close in a second line", OLD, new(&["Connection: x", "Connection: close"]), A.ok().close()),
        row("close goes before keep-alive", OLD, new(&["Connection: keep-alive, close"]), A.ok().close()),
        rows("another option means nothing", OLD, new(&["Connection: closed, x"]).repeat(2), vec![A.ok(), A.ok()]),
        rows("keep-alive says nothing new", OLD, new(&["Connection: keep-alive"]).repeat(2), vec![A.ok(), A.ok()]),
        rows("an upgrade is not taken", "RFC 9110 §7.8", new(&["Connection: upgrade", "Upgrade: h2c"]), vec![A.ok()]),
        row("HTTP/1.0 closes", OLD, old(""), A.ok().close()),
        row("HTTP/1.0 closes, Host or not", OLD, old("Host: h\r\n"), A.ok().close()),
        rows("HTTP/1.0 goes on when asked", OLD, old("Connection: keep-alive\r\n").repeat(2), vec![keep(), keep()]),
        rows(
            "HTTP/1.0 and HTTP/1.1 on one connection",
            OLD,
            [old("Connection: Keep-Alive\r\n"), new(&[]), old("")].concat(),
            vec![keep(), A.ok(), A.ok().close()],
        ),
        row("HTTP/1.0 closes when told both", OLD, old("Connection: keep-alive, close\r\n"), A.ok().close()),
        row(
            "HTTP/1.0 does not know 100-continue",
            "RFC 9110 §10.1.1",
            "GET /a.txt HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
            A.ok().close(),
        ),
        row("an error in HTTP/1.0", OLD, "GET /nothing HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", not_found().keep_alive()),
        row("a refusal in HTTP/1.0", OLD, "GET /%00 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", bad()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn pipelines() {
    let good = || get("/a.txt", &[]);
    check(&[
        rows("many", "RFC 9112 §9.3.2", good().repeat(12), vec![A.ok(); 12]),
        rows(
            "nothing behind an error is looked at",
            "RFC 9112 §9.6",
            good() + "GET / HTTP/9.9\r\n\r\n" + &good(),
            vec![A.ok(), refused("505 HTTP Version Not Supported")],
        ),
        rows("nothing behind a wrong path, either", "RFC 9112 §9.6", good() + &get("/%zz", &[]) + &good(), vec![A.ok(), bad()]),
        rows("404 is no such error", "RFC 9112 §9.3.2", get("/x", &[]) + &good(), vec![not_found(), A.ok()]),
        rows("nor is 405 without a body", "RFC 9112 §9.3.2", request("PUT", "/", &[]) + &good(), vec![not_allowed(), A.ok()]),
        rows("an unfinished request gets no answer", "RFC 9112 §9.3.2", good() + "GET / HT", vec![A.ok()]),
    ]);
}

#[test]
fn what_follows_a_last_request_is_not_answered() {
    let mut peer = peer();
    peer.receive((get("/a.txt", &["Connection: close"]) + &get("/a.txt", &[])).as_bytes());
    assert_sends(&mut peer, &[A.ok().close()]);
    assert_eq!(
        peer.ending(),
        Some(End::Linger),
        "closing on unread bytes would reset (RFC 9112 §9.6)"
    );
}

#[test]
fn answers_that_wait_are_bounded() {
    let count = 20_000;
    let mut peer = peer();
    peer.receive(get("/a.txt", &[]).repeat(count).as_bytes());
    let answer = A.ok().bytes().len();
    let mut answered = 0;
    loop {
        let sent = peer.send(usize::MAX);
        if sent.is_empty() {
            break;
        }
        assert!(sent.len() <= peer.limits.output_bytes_max + answer);
        assert_eq!(sent.len() % answer, 0);
        answered += sent.len() / answer;
    }
    assert_eq!(answered, count);
    assert_eq!(
        peer.connection.held_bytes(),
        0,
        "an idle connection holds no buffer"
    );
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut peer = peer();
    let mut received = 0;
    while peer.connection.wants_input() {
        peer.receive(get("/a.txt", &[]).as_bytes());
        received += 1;
        assert!(received < 1000, "bounded");
    }
    assert!(received > 100);
    assert!(peer.connection.held_bytes() < peer.limits.output_bytes_max + 4096);
    assert_sends(&mut peer, &vec![A.ok(); received]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn the_last_of_many_requests_says_so() {
    let limits = Limits {
        requests_max: 2,
        ..Limits::default()
    };
    check_with(
        &[rows("requests are counted", "RFC 9112 §9.6", get("/a.txt", &[]).repeat(3), vec![A.ok(), A.ok().linger()])],
        &limits,
        || NoHooks,
    );
    let mut peer = peer_with(limits);
    peer.receive((get("/a.txt", &[]) + &get("/a.txt", &["Connection: close"])).as_bytes());
    assert_sends(&mut peer, &[A.ok(), A.ok().close()]);
    assert_eq!(
        peer.ending(),
        Some(End::Close),
        "the client knows that it was its last"
    );
}

#[test]
fn a_half_closed_client_gets_its_answers() {
    for pipeline in [1, 3] {
        let mut peer = peer();
        peer.receive(get("/a.txt", &[]).repeat(pipeline).as_bytes());
        peer.end();
        assert!(!peer.connection.wants_input());
        assert_sends(&mut peer, &vec![A.ok(); pipeline]);
        assert_eq!(peer.ending(), Some(End::Close));
    }
    let mut peer = peer();
    peer.handler.files.is_slow = true;
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.end();
    peer.handler.files.is_slow = false;
    assert_eq!(peer.ending(), None);
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends(&mut peer, &[A.ok()]);
    assert_eq!(peer.ending(), Some(End::Close));
}

#[test]
fn a_client_that_ends_without_asking_is_told_nothing() {
    for bytes in [
        "",
        "\r",
        "\r\n",
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n",
    ] {
        let mut peer = peer();
        peer.receive(bytes.as_bytes());
        peer.end();
        assert_sends(&mut peer, &[]);
        assert_eq!(peer.ending(), Some(End::Close), "{bytes:?}");
    }
    let mut peer = peer();
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[A.ok()]);
    peer.receive(b"GET / HT");
    peer.end();
    assert_sends(&mut peer, &[]);
    assert_eq!(peer.ending(), Some(End::Close));
}

#[test]
fn a_refused_client_is_lingered_for() {
    let mut peer = peer();
    peer.receive(b"BAD\r\n\r\n");
    assert_eq!(peer.ending(), None, "not before the answer is out");
    assert_sends(&mut peer, &[bad()]);
    assert_eq!(peer.ending(), Some(End::Linger));
    assert!(peer.connection.wants_input());
    peer.receive(&[b'x'; 1000]);
    assert_eq!(
        (peer.ending(), peer.connection.held_bytes()),
        (Some(End::Linger), 0)
    );
    peer.end();
    assert_eq!(peer.ending(), Some(End::Close));
}

#[test]
fn lingering_is_bounded() {
    let mut peer = peer();
    peer.receive(b"BAD\r\n\r\n");
    assert_sends(&mut peer, &[bad()]);
    peer.receive(&vec![b'x'; peer.limits.linger_bytes_max as usize]);
    assert_eq!(peer.ending(), Some(End::Linger));
    peer.receive(b"x");
    assert_eq!(peer.ending(), Some(End::Close));
}

#[test]
fn a_server_that_stops_finishes_what_it_began() {
    let mut idle = peer();
    idle.is_draining = true;
    idle.with(Connection::handle_stop);
    assert_eq!(idle.ending(), Some(End::Linger));

    let mut between = peer();
    between.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut between, &[A.ok()]);
    between.is_draining = true;
    between.with(Connection::handle_stop);
    assert_eq!(between.ending(), Some(End::Linger));

    let mut reading = peer();
    reading.receive(b"GET /a.txt HTTP/1.1\r\n");
    reading.is_draining = true;
    reading.with(Connection::handle_stop);
    assert_eq!(reading.ending(), None);
    reading.receive(b"Host: h\r\n\r\n");
    assert_sends(&mut reading, &[A.ok().close()]);
    assert_eq!(
        reading.ending(),
        Some(End::Linger),
        "the client may have sent another one"
    );

    let mut writing = peer();
    writing.receive(get("/a.txt", &[]).as_bytes());
    writing.is_draining = true;
    writing.with(Connection::handle_stop);
    assert_eq!(writing.ending(), None);
    assert_sends(&mut writing, &[A.ok()]);
}

#[test]
fn an_answer_made_before_the_stop_does_not_keep_the_connection() {
    let mut peer = peer();
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.is_draining = true;
    peer.with(Connection::handle_stop);
    assert_sends(&mut peer, &[A.ok()]);
    // It said keep-alive, so the next request may be on its way: it must not reset the answer.
    assert_eq!(peer.ending(), Some(End::Linger));
    peer.receive(get("/a.txt", &[]).as_bytes());
    assert_sends(&mut peer, &[]);
    assert_eq!(peer.ending(), Some(End::Linger));
}

#[test]
fn an_aborted_connection_says_nothing_more() {
    let mut peer = peer();
    peer.receive(get("/large.bin", &[]).as_bytes());
    peer.send(100);
    peer.with(|connection, cx| connection.abort(Why::ClientGone, cx));
    assert_sends(&mut peer, &[]);
    assert_eq!(
        (peer.state(), peer.ending()),
        (State::Close, Some(End::Close))
    );
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.end();
    assert_sends(&mut peer, &[]);
    assert_eq!(peer.connection.held_bytes(), 0);
}

// ---- Expect ------------------------------------------------------------------------------------

const EXPECT: &str = "RFC 9110 §10.1.1";

#[test]
#[rustfmt::skip] // One row a line.
fn expectations() {
    let failed = || refused("417 Expectation Failed");
    check(&[
        row("another expectation", EXPECT, get("/a.txt", &["Expect: more"]), failed()),
        row("another one beside 100-continue", EXPECT, get("/a.txt", &["Expect: 100-continue, x"]), failed()),
        row("another one in a second line", EXPECT, get("/a.txt", &["Expect: 100-continue", "Expect: x"]), failed()),
        row("an expectation with a value", EXPECT, get("/a.txt", &["Expect: 100-continue=1"]), failed()),
        row("100-continue without a body", EXPECT, get("/a.txt", &["Expect: 100-continue"]), A.ok()),
        row("100-continue with an empty body", EXPECT, get("/a.txt", &["Expect: 100-continue", "Content-Length: 0"]), A.ok()),
        row("an empty expectation", EXPECT, get("/a.txt", &["Expect:"]), A.ok()),
        row(
            "a body that is refused is not asked for",
            EXPECT,
            request("POST", "/", &["Expect: 100-continue", "Content-Length: 3"]),
            not_allowed().linger(),
        ),
        row(
            "a body that is too large is not asked for",
            EXPECT,
            get("/", &["Expect: 100-continue", "Content-Length: 1048577"]),
            refused("413 Content Too Large"),
        ),
    ]);
}

#[test]
fn the_body_is_asked_for_once_the_head_is_complete() {
    for (framing, body) in [
        ("Content-Length: 3", "abc"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let head = get("/a.txt", &[framing, "Expect: 100-Continue"]);
        // The head at once or byte by byte, then the body likewise.
        for (head_bytes, body_bytes) in [
            (head.len(), body.len()),
            (1, 1),
            (1, body.len()),
            (head.len(), 1),
        ] {
            let mut peer = peer();
            let mut pieces = head.as_bytes().chunks(head_bytes).peekable();
            while let Some(piece) = pieces.next() {
                peer.receive(piece);
                if pieces.peek().is_some() {
                    assert_sends(&mut peer, &[]);
                }
            }
            assert_sends(&mut peer, &[go_on()]);
            for piece in body.as_bytes().chunks(body_bytes) {
                peer.receive(piece);
            }
            assert_sends(&mut peer, &[A.ok()]);
            peer.receive(get("/", &[]).as_bytes());
            assert_sends(&mut peer, &[HOME.ok()]);
        }
    }
}

#[test]
fn a_body_that_has_begun_is_not_asked_for() {
    let head = get("/a.txt", &["Content-Length: 3", "Expect: 100-continue"]);
    for first in ["a", "ab", "abc"] {
        let mut peer = peer();
        peer.receive((head.clone() + first).as_bytes());
        peer.receive(&b"abc"[first.len()..]);
        assert_sends(&mut peer, &[A.ok()]);
    }
}

#[test]
fn asking_for_a_body_keeps_its_place_in_a_pipeline() {
    let mut peer = peer();
    let expecting = get("/a.txt", &["Content-Length: 3", "Expect: 100-continue"]);
    peer.receive((get("/photo.png", &[]) + &expecting).as_bytes());
    assert_sends(&mut peer, &[PHOTO.ok(), go_on()]);
    peer.receive(b"abc");
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn a_body_that_turns_out_wrong_after_100_is_refused() {
    let mut peer = peer();
    peer.receive(
        get(
            "/a.txt",
            &["Transfer-Encoding: chunked", "Expect: 100-continue"],
        )
        .as_bytes(),
    );
    peer.receive(b"x");
    assert_sends(&mut peer, &[go_on(), bad()]);
    assert_eq!(peer.ending(), Some(End::Linger));
}
