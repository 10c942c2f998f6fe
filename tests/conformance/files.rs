//! Static files: methods, paths, redirects, content codings, errors, and a disk that is slow.

use crate::support::reply::{
    A, EMPTY, HOME, LARGE, PAGE, PAGE_BR, PAGE_GZIP, PAGE_ZSTD, PERCENT, PHOTO, Reply, STYLE,
    STYLE_GZIP, bad, large, moved, not_allowed, not_found, options, page,
};
use crate::support::{Row, assert_sends, check, get, peer, request, row, rows};
use swiftd::conn::State;

#[test]
#[rustfmt::skip] // One row a line.
fn methods() {
    let to =
        |fact, rule, method: &str, reply| row(fact, rule, request(method, "/a.txt", &[]), reply);
    check(&[
        to("GET", "RFC 9110 §9.3.1", "GET", A.ok()),
        to("HEAD is GET without its content", "RFC 9110 §9.3.2", "HEAD", A.ok().for_head()),
        to("OPTIONS", "RFC 9110 §9.3.7", "OPTIONS", options()),
        to("POST is known and not allowed", "RFC 9110 §15.5.6", "POST", not_allowed()),
        to("PUT", "RFC 9110 §15.5.6", "PUT", not_allowed()),
        to("DELETE", "RFC 9110 §15.5.6", "DELETE", not_allowed()),
        to("PATCH", "RFC 9110 §15.5.6", "PATCH", not_allowed()),
        to("TRACE", "RFC 9110 §15.5.6", "TRACE", not_allowed()),
        to("another method is not implemented", "RFC 9110 §15.6.2", "BREW", page("501 Not Implemented")),
        to("a method compares with case", "RFC 9110 §9.1", "Get", page("501 Not Implemented")),
        row("OPTIONS of the server", "RFC 9110 §9.3.7", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", options()),
        row("OPTIONS of nothing", "RFC 9110 §9.3.7", request("OPTIONS", "/nothing", &[]), options()),
        row("a method goes before a path", "RFC 9110 §15.5.6", request("POST", "/nothing", &[]), not_allowed()),
        row(
            "a body that is empty does not end the connection",
            "RFC 9112 §9.3",
            request("POST", "/", &["Content-Length: 0"]) + &get("/a.txt", &[]),
            not_allowed(),
        )
        .then(A.ok()),
        row(
            "a body that is refused does",
            "RFC 9112 §9.3",
            request("POST", "/", &["Content-Length: 3"]) + "abc" + &get("/a.txt", &[]),
            not_allowed().linger(),
        ),
        row(
            "a body for OPTIONS is passed over",
            "RFC 9110 §9.3.7",
            request("OPTIONS", "/", &["Content-Length: 3"]) + "abc" + &get("/a.txt", &[]),
            options(),
        )
        .then(A.ok()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn paths() {
    let to = |fact, rule, target: &str, reply| row(fact, rule, get(target, &[]), reply);
    const DOTS: &str = "RFC 3986 §5.2.4";
    const ENCODED: &str = "RFC 3986 §2.1";
    let mut table = vec![
        to("the root", "RFC 9110 §4.2.3", "/", HOME.ok()),
        to("a file", "RFC 9110 §9.3.1", "/a.txt", A.ok()),
        to("an empty file", "RFC 9110 §8.6", "/empty.txt", EMPTY.ok()),
        to("a query is not part of the name", "RFC 3986 §3.4", "/a.txt?/../x", A.ok()),
        to("an encoded letter", ENCODED, "/%61.txt", A.ok()),
        to("digits in either case", ENCODED, "/a%2Etx%74", A.ok()),
        to("decoded once", "RFC 3986 §2.4", "/%2541", PERCENT.ok()),
        to("decoded once, to what is no file", "RFC 3986 §2.4", "/%2561.txt", not_found()),
        to("a question mark in a name", ENCODED, "/a.txt%3Fq", not_found()),
        to("a plus is a plus", "RFC 3986 §3.3", "/a+b", not_found()),
        to("a dot segment", DOTS, "/./a.txt", A.ok()),
        to("two dots", DOTS, "/x/../a.txt", A.ok()),
        to("two dots at the root", DOTS, "/../../a.txt", A.ok()),
        to("encoded dots", DOTS, "/x/%2e%2E/a.txt", A.ok()),
        to("one dot encoded", DOTS, "/x/.%2e/a.txt", A.ok()),
        to("dots to the root", DOTS, "/x/..", HOME.ok()),
        to("two slashes", DOTS, "//a.txt", A.ok()),
        to("dots encoded twice are a name", DOTS, "/%252e%252e/a.txt", not_found()),
        to("three dots are a name", DOTS, "/.../a.txt", not_found()),
        to("a file is no directory", "RFC 9110 §15.5.5", "/a.txt/", not_found()),
        to("nothing there", "RFC 9110 §15.5.5", "/nothing", not_found()),
        to("names compare with case", "RFC 9110 §4.2.3", "/A.TXT", not_found()),
        to("forbidden", "RFC 9110 §15.5.4", "/denied", page("403 Forbidden")),
        to("a backslash is a name", "RFC 3986 §2.1", "/x%5c..%5ca.txt", not_found()),
    ];
    for target in [
        "/%00",
        "/a.txt%00",
        "/a.txt%00.png",
        "/%2F",
        "/x%2f..%2fa.txt",
        "/%0d%0aX:y",
        "/%7f",
        "/%1b",
    ] {
        table.push(row("an encoding that no name has", "RFC 3986 §7.3", get(target, &[]), bad()));
    }
    check(&table);
}

#[test]
#[rustfmt::skip] // One row a line.
fn directories() {
    let to = |fact, target: &str, location: &str| {
        row(fact, "RFC 9110 §15.4.2", get(target, &[]), moved(location))
    };
    check(&[
        to("a directory is named with a slash", "/dir", "/dir/"),
        to("the query is kept", "/dir?a=b&c", "/dir/?a=b&c"),
        to("an empty query is kept", "/dir?", "/dir/?"),
        to("an encoded query stays encoded", "/dir?%0d%0a%41", "/dir/?%0d%0a%41"),
        to("a query gets encoded where it was not", "/dir?{a}|`^\\[]", "/dir/?%7Ba%7D%7C%60%5E%5C%5B%5D"),
        to("what is needless to encode is decoded", "/%64ir", "/dir/"),
        to("what must be is encoded", "/dir/%3Cb%3E%20&%20c%25", "/dir/%3Cb%3E%20&%20c%25/"),
        to("bytes that are not ASCII", "/%c3%a9", "/%C3%A9/"),
        to("never to another host", "//dir", "/dir/"),
        to("never to another host by dots", "/.//dir", "/dir/"),
        to("never to another host by absolute-form", "http://other.example/dir", "/dir/"),
        row("HEAD is redirected, too", "RFC 9110 §9.3.2", request("HEAD", "/dir?q", &[]), moved("/dir/?q").for_head()),
        row(
            "preconditions do not count where there is no 2xx",
            "RFC 9110 §13.2.1",
            get("/dir", &["If-Match: \"x\"", "If-None-Match: *"]),
            moved("/dir/"),
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn every_kind_of_answer_has_its_head() {
    let mut table = Vec::new();
    for (target, fields, reply) in [
        ("/a.txt", &[][..], A.ok()),
        ("/empty.txt", &[], EMPTY.ok()),
        ("/large.bin", &[], LARGE.ok_with(&large())),
        ("/page.html", &["Accept-Encoding: br"], PAGE_BR.ok()),
        ("/a.txt", &["If-None-Match: *"], A.unchanged()),
        (
            "/a.txt",
            &["If-Match: \"x\""],
            page("412 Precondition Failed"),
        ),
        ("/a.txt", &["Range: bytes=0-1"], A.ok()),
        ("/a.txt", &["Range: bytes=99-"], A.ok()),
        ("/dir", &[], moved("/dir/")),
        ("/denied", &[], page("403 Forbidden")),
        ("/nothing", &[], not_found()),
        ("/%00", &[], bad()),
    ] {
        let request = request("HEAD", target, fields);
        table.push(row("HEAD gets the head alone", "RFC 9110 §9.3.2", request, reply.for_head()));
    }
    check(&table);
}

#[test]
#[rustfmt::skip] // One row a line.
fn content_codings() {
    let of = |target: &str, accept: &str, reply: Reply| -> Row {
        let request = get(target, &[&format!("Accept-Encoding: {accept}")]);
        row("a coding", "RFC 9110 §12.5.3", request, reply)
    };
    let table: Vec<Row> = [
        ("", PAGE.ok()),
        ("br", PAGE_BR.ok()),
        ("zstd", PAGE_ZSTD.ok()),
        ("gzip", PAGE_GZIP.ok()),
        ("x-gzip", PAGE_GZIP.ok()),
        ("GZip", PAGE_GZIP.ok()),
        ("deflate", PAGE.ok()),
        ("identity", PAGE.ok()),
        ("gzip, deflate, br, zstd", PAGE_BR.ok()),
        ("gzip,zstd", PAGE_ZSTD.ok()),
        ("gzip;q=1, br;q=0.9", PAGE_GZIP.ok()),
        ("br;q=0.1, zstd;q=0.2, gzip;q=0.15", PAGE_ZSTD.ok()),
        ("br;q=0.001", PAGE_BR.ok()),
        ("br;q=0", PAGE.ok()),
        ("br;q=0.000, gzip", PAGE_GZIP.ok()),
        ("*", PAGE_BR.ok()),
        ("*;q=0", PAGE.ok()),
        ("br;q=0, *", PAGE_ZSTD.ok()),
        ("*;q=0, gzip", PAGE_GZIP.ok()),
        ("identity, gzip;q=0.5", PAGE.ok()),
        ("identity;q=0.5, gzip", PAGE_GZIP.ok()),
        ("identity;q=0, gzip", PAGE_GZIP.ok()),
        ("identity;q=0, deflate", PAGE.ok()),
        ("gzip ; q=0.5 , br\t;\tQ=0.4", PAGE_GZIP.ok()),
        ("br;q=2, gzip", PAGE_GZIP.ok()),
        ("br;q=0.1234, gzip", PAGE_GZIP.ok()),
        ("br;q=, gzip", PAGE_GZIP.ok()),
        ("br;x=1, gzip", PAGE_GZIP.ok()),
        (",,br,,", PAGE_BR.ok()),
        ("brr, bro tli", PAGE.ok()),
    ]
    .into_iter()
    .map(|(accept, reply)| of("/page.html", accept, reply))
    .collect();
    check(&table);
    check(&[
        row("no field: the identity", "RFC 9110 §12.5.3", get("/page.html", &[]), PAGE.ok()),
        row(
            "two lines are one list",
            "RFC 9110 §5.3",
            get("/page.html", &["Accept-Encoding: gzip;q=0.5", "Accept-Encoding: zstd"]),
            PAGE_ZSTD.ok(),
        ),
        of("/style.css", "br, gzip;q=0.1", STYLE_GZIP.ok()),
        of("/style.css", "br", STYLE.ok()),
        of("/a.txt", "br, gzip", A.ok()),
        of("/photo.png", "br, gzip", PHOTO.ok()),
        of("/nothing", "br, gzip", not_found()),
    ]);
}

#[test]
fn a_large_file_leaves_in_pieces() {
    let content = large();
    let mut peer = peer();
    peer.receive((get("/large.bin", &[]) + &get("/a.txt", &[])).as_bytes());
    let mut sent = Vec::new();
    loop {
        let piece = peer.send(4096);
        if piece.is_empty() {
            break;
        }
        sent.extend(piece);
    }
    assert!(sent == [LARGE.ok_with(&content).bytes(), A.ok().bytes()].concat());
    assert_eq!(
        (peer.state(), peer.connection.held_bytes()),
        (State::RequestStart, 0)
    );
}

#[test]
fn nothing_is_answered_behind_a_file_that_is_being_sent() {
    let mut peer = peer();
    peer.receive((get("/large.bin", &[]) + &get("/a.txt", &[])).as_bytes());
    peer.send(usize::MAX);
    assert_eq!(peer.send(1).len(), 1);
    assert!(
        !peer.connection.wants_input(),
        "the second request waits in memory, others in the socket"
    );
}

#[test]
fn a_slow_disk_is_waited_for() {
    let mut peer = peer();
    peer.handler.files.is_slow = true;
    peer.receive((get("/a.txt", &[]) + &get("/photo.png", &[])).as_bytes());
    assert_sends(&mut peer, &[]);
    assert_eq!(
        (peer.state(), peer.handler.files.askers.len()),
        (State::HandleRequest, 1)
    );
    // What arrives meanwhile is kept, and the disk is not asked again.
    assert!(!peer.connection.wants_input());
    peer.receive(b"G");
    peer.end();
    assert_eq!(peer.handler.files.askers.len(), 1);
    peer.handler.files.is_slow = false;
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends(&mut peer, &[A.ok(), PHOTO.ok()]);
}

#[test]
fn a_disk_that_answers_too_early_is_asked_again() {
    let mut peer = peer();
    peer.handler.files.is_slow = true;
    peer.receive(get("/a.txt", &[]).as_bytes());
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_eq!(peer.handler.files.askers.len(), 2);
    assert_sends(&mut peer, &[]);
    peer.handler.files.is_slow = false;
    peer.with(|connection, cx| connection.handle_wake(cx));
    assert_sends(&mut peer, &[A.ok()]);
}

#[test]
fn a_busy_disk_is_a_503() {
    for method in ["GET", "HEAD"] {
        let mut peer = peer();
        peer.handler.files.is_busy = true;
        peer.receive(request(method, "/a.txt", &[]).as_bytes());
        let reply = page("503 Service Unavailable").field("Retry-After: 1");
        let is_head = method == "HEAD";
        assert_sends(&mut peer, &[if is_head { reply.for_head() } else { reply }]);
        assert_eq!(peer.ending(), None, "it was no mistake of the client's");
        peer.handler.files.is_busy = false;
        peer.receive(request(method, "/a.txt", &[]).as_bytes());
        assert_sends(
            &mut peer,
            &[if is_head { A.ok().for_head() } else { A.ok() }],
        );
    }
}

#[test]
#[rustfmt::skip] // One row a line.
fn several_answers_in_any_mixture() {
    let requests = [
        get("/a.txt", &["Range: bytes=1-2"]),
        request("HEAD", "/page.html", &["Accept-Encoding: gzip"]),
        get("/dir?q", &[]),
        get("/a.txt", &["If-None-Match: *"]),
        request("OPTIONS", "/", &[]),
        request("BREW", "/", &[]),
        get("/nothing", &[]),
        get("/empty.txt", &[]),
        get("/photo.png", &["Connection: close"]),
    ];
    check(&[rows(
        "several answers",
        "RFC 9112 §9.3.2",
        requests.concat(),
        vec![
            A.part(1, 2),
            PAGE_GZIP.ok().for_head(),
            moved("/dir/?q"),
            A.unchanged(),
            options(),
            page("501 Not Implemented"),
            not_found(),
            EMPTY.ok(),
            PHOTO.ok().close(),
        ],
    )]);
}
