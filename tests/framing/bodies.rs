//! Content-Length, Transfer-Encoding, chunks and trailers, attempts at smuggling; and bodies that a
//! plugin wants, in memory or in a file.

use crate::support::reply::{A, Reply, bad, not_allowed, refused};
use crate::support::{assert_sends, check, check_with, request, row, rows, site};
use crate::{NEXT, small, too_large};
use std::sync::Arc;
use swiftd::conn::{Caller, End, Exchange, Flow, Hooks, Limits, Point, Why};
use swiftd::http::Body;
use swiftd::testing::Peer;

#[test]
#[rustfmt::skip] // One row a line.
fn content_lengths() {
    let with = |fact, rule, lines: &str, reply| {
        let head = format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        row(fact, rule, format!("{head}\r\n{NEXT}"), reply)
    };
    const LENGTH: &str = "RFC 9110 §8.6";
    let mut table = vec![
        with("a length twice", "RFC 9112 §6.3", "Content-Length: 5\r\nContent-Length: 6", bad()),
        with("the same length twice", "RFC 9112 §6.3", "Content-Length: 5\r\ncontent-length: 5", bad()),
        with("a list of lengths", "RFC 9112 §6.3", "Content-Length: 5, 5", bad()),
        with("a list with one length", "RFC 9112 §6.3", "Content-Length: 5,", bad()),
        with("a length one over the bound", "RFC 9110 §15.5.14", "Content-Length: 1048577", too_large()),
        with("a length of 64 bits", "RFC 9110 §15.5.14", "Content-Length: 18446744073709551615", too_large()),
        with("a length over 64 bits", LENGTH, "Content-Length: 18446744073709551616", bad()),
        with("a length over 128 bits", LENGTH, &format!("Content-Length: {}", "9".repeat(40)), bad()),
    ];
    let wrong = [
        "", "+5", "-5", "-0", "5.0", "0x5", "5e0", "5 5", "five", "٥", "5;", "\"5\"", "\u{b}5",
        "NaN",
    ];
    table.extend(wrong.map(|value| {
        with("no length", LENGTH, &format!("Content-Length: {value}"), bad())
    }));
    check(&table);

    let body = |length: &str, body: &str| {
        format!("GET /a.txt HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}{NEXT}")
    };
    check(&[
        rows("a body of no bytes", LENGTH, body("0", ""), vec![A.ok(), A.ok()]),
        rows("a body that nobody wants is passed over", LENGTH, body("5", "GET /"), vec![A.ok(), A.ok()]),
        rows("a length with zeros before it", LENGTH, body("0005", "12345"), vec![A.ok(), A.ok()]),
        rows("a length with blanks around it", "RFC 9112 §5.1", body(" \t5 \t", "12345"), vec![A.ok(), A.ok()]),
        rows(
            "a length in HTTP/1.0",
            LENGTH,
            "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n12345GET /a.txt HTTP/1.0\r\n\r\n",
            vec![A.ok().keep_alive(), A.ok().close()],
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn transfer_encodings() {
    let with = |fact, rule, lines: &str, status: &'static str| {
        let head = format!("POST /a.txt HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        row(fact, rule, format!("{head}\r\n0\r\n\r\n{NEXT}"), refused(status))
    };
    const BAD: &str = "400 Bad Request";
    const UNKNOWN: &str = "501 Not Implemented";
    const BOTH: &str = "RFC 9112 §6.3";
    const CODING: &str = "RFC 9112 §6.1";
    check(&[
        with("a length and a coding", BOTH, "Content-Length: 5\r\nTransfer-Encoding: chunked", BAD),
        with("a coding and a length", BOTH, "Transfer-Encoding: chunked\r\nContent-Length: 5", BAD),
        with("a wrong length and a coding", BOTH, "Content-Length: x\r\nTransfer-Encoding: chunked", BAD),
        with("a length and an unknown coding", BOTH, "Content-Length: 5\r\nTransfer-Encoding: identity", BAD),
        with("an unknown coding", CODING, "Transfer-Encoding: gzip", UNKNOWN),
        with("an unknown coding before chunked", CODING, "Transfer-Encoding: gzip, chunked", UNKNOWN),
        with("identity, which is no longer one", CODING, "Transfer-Encoding: identity", UNKNOWN),
        with("no coding", CODING, "Transfer-Encoding:", UNKNOWN),
        with("a coding with a byte too many", CODING, "Transfer-Encoding: xchunked", UNKNOWN),
        with("a coding with a parameter", CODING, "Transfer-Encoding: chunked;q=1", UNKNOWN),
        with("a coding in quotes", CODING, "Transfer-Encoding: \"chunked\"", UNKNOWN),
        with("an empty element before chunked", CODING, "Transfer-Encoding: ,chunked", UNKNOWN),
        with("chunked twice", CODING, "Transfer-Encoding: chunked, chunked", BAD),
        with("chunked in two lines", CODING, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BAD),
        with("chunked that is not last", CODING, "Transfer-Encoding: chunked, gzip", BAD),
        with("an empty element behind chunked", CODING, "Transfer-Encoding: chunked,", BAD),
        with("two lines of codings", CODING, "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", BAD),
        with("a vertical tab before chunked", "RFC 9110 §5.5", "Transfer-Encoding: \x0bchunked", BAD),
        row(
            "a coding in HTTP/1.0",
            CODING,
            "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            bad(),
        ),
        row(
            "a coding and a length in HTTP/1.0",
            CODING,
            "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            bad(),
        ),
    ]);
}

/// A GET with this chunked body, and a request behind it.
fn chunked(body: &str) -> String {
    format!("GET /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: cHuNkEd\r\n\r\n{body}{NEXT}")
}

#[test]
#[rustfmt::skip] // One row a line.
fn chunked_bodies() {
    let fine = |fact, rule, body| rows(fact, rule, chunked(body), vec![A.ok(), A.ok()]);
    const SIZE: &str = "RFC 9112 §7.1";
    const EXTENSION: &str = "RFC 9112 §7.1.1";
    const TRAILER: &str = "RFC 9112 §7.1.2";
    check(&[
        fine("no chunk", SIZE, "0\r\n\r\n"),
        fine("some chunks", SIZE, "3\r\nGET\r\n1\r\n \r\n0\r\n\r\n"),
        fine("digits in either case", SIZE, "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
        fine("zeros before a size", SIZE, "0000000000000003\r\nabc\r\n0000\r\n\r\n"),
        fine("line ends in the data", SIZE, "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"),
        fine("an extension", EXTENSION, "1;a\r\nx\r\n0;b=c\r\n\r\n"),
        fine("an extension in quotes, with blanks", EXTENSION, "1 ;\ta=\"b;c\"\r\nx\r\n0\t; d\r\n\r\n"),
        fine("blanks behind a size", EXTENSION, "1 ;x\r\nx\r\n0\r\n\r\n"),
        fine("trailers are dropped", TRAILER, "0\r\nX: y\r\nHost: other\r\nContent-Length: 9\r\n\r\n"),
        fine("a trailer that would close", "RFC 9110 §6.5.1", "0\r\nConnection: close\r\n\r\n"),
        fine("an empty trailer value", TRAILER, "0\r\nX:\r\n\r\n"),
    ]);
    let wrong = |fact, rule, body| row(fact, rule, chunked(body), bad());
    check(&[
        wrong("no size", SIZE, "\r\nabc\r\n0\r\n\r\n"),
        wrong("a size that is no number", SIZE, "x\r\n"),
        wrong("a size with a prefix", SIZE, "0x1\r\nx\r\n0\r\n\r\n"),
        wrong("a size with a sign", SIZE, "+1\r\nx\r\n0\r\n\r\n"),
        wrong("a negative size", SIZE, "-1\r\nx\r\n0\r\n\r\n"),
        wrong("a blank before a size", SIZE, " 1\r\nx\r\n0\r\n\r\n"),
        wrong("a size of 17 digits", SIZE, "00000000000000001\r\nx\r\n0\r\n\r\n"),
        wrong("a size with an underscore", SIZE, "1_0\r\n"),
        wrong("a bare LF behind a size", SIZE, "1\nx\r\n0\r\n\r\n"),
        wrong("a bare CR behind a size", SIZE, "1\rx\r\n0\r\n\r\n"),
        wrong("two CRs behind a size", SIZE, "1\r\r\nx\r\n0\r\n\r\n"),
        wrong("a blank behind a size", SIZE, "1 \r\nx\r\n0\r\n\r\n"),
        wrong("data longer than its size", SIZE, "1\r\nxy\r\n0\r\n\r\n"),
        wrong("data shorter than its size", SIZE, "3\r\nx\r\n0\r\n\r\n"),
        wrong("a bare LF behind data", SIZE, "1\r\nx\n0\r\n\r\n"),
        wrong("a bare CR behind data", SIZE, "1\r\nx\r0\r\n\r\n"),
        wrong("no line end behind data", SIZE, "1\r\nx0\r\n\r\n"),
        wrong("a bare LF in an extension", EXTENSION, "1;a\nx\r\n0\r\n\r\n"),
        wrong("a bare CR in an extension", EXTENSION, "1;a\rx\r\n0\r\n\r\n"),
        wrong("NUL in an extension", EXTENSION, "1;\0\r\nx\r\n0\r\n\r\n"),
        wrong("two words for a size", EXTENSION, "1 1\r\nx\r\n0\r\n\r\n"),
        wrong("a bare LF ends the body", TRAILER, "0\r\n\n"),
        wrong("a bare LF behind the last size", SIZE, "0\n\r\n"),
        wrong("a bare CR ends the body", TRAILER, "0\r\n\rX"),
        wrong("a folded trailer", TRAILER, "0\r\nX: a\r\n b\r\n\r\n"),
        wrong("a blank before a trailer's colon", TRAILER, "0\r\nX : a\r\n\r\n"),
        wrong("a trailer without a colon", TRAILER, "0\r\nX\r\n\r\n"),
        wrong("a trailer without a name", TRAILER, "0\r\n: a\r\n\r\n"),
        wrong("a bare LF ends a trailer", TRAILER, "0\r\nX: a\n\r\n"),
        wrong("a control byte in a trailer", TRAILER, "0\r\nX: \x01\r\n\r\n"),
        wrong("the next request for trailers", TRAILER, "0\r\n"),
        row("a size over every bound", "RFC 9110 §15.5.14", chunked("ffffffffffffffff\r\nx"), too_large()),
        row("a size one over the bound", "RFC 9110 §15.5.14", chunked("100001\r\nx"), too_large()),
        row("sizes that are too large together", "RFC 9110 §15.5.14", chunked("1\r\nx\r\n100000\r\n"), too_large()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn smuggling_attempts() {
    let inner = "GET /secret HTTP/1.1\r\nHost: h\r\n\r\n";
    let post =
        |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}");
    check(&[
        row(
            "CL.TE",
            "RFC 9112 §11.2",
            post("Content-Length: 6\r\nTransfer-Encoding: chunked", &format!("0\r\n\r\n{inner}")),
            bad(),
        ),
        row(
            "TE.CL",
            "RFC 9112 §11.2",
            post("Transfer-Encoding: chunked\r\nContent-Length: 4", &format!("5c\r\n{inner}0\r\n\r\n")),
            bad(),
        ),
        row(
            "TE.TE, a blank before the colon",
            "RFC 9112 §5.1",
            post("Transfer-Encoding : chunked\r\nContent-Length: 4", inner),
            bad(),
        ),
        row("TE.TE, hidden by a folded line", "RFC 9112 §5.2", post("X: y\r\n Transfer-Encoding: chunked", inner), bad()),
        row("TE.TE, hidden behind a bare CR", "RFC 9112 §2.2", post("X: y\rTransfer-Encoding: chunked", inner), bad()),
        row("TE.TE, hidden behind a bare LF", "RFC 9112 §2.2", post("X: y\nTransfer-Encoding: chunked", inner), bad()),
        row(
            "CL.0: a body that is refused is never a request",
            "RFC 9112 §11.2",
            post(&format!("Content-Length: {}", inner.len()), inner),
            not_allowed().linger(),
        ),
        row("a chunk extension that ends in LF", "RFC 9112 §7.1.1", chunked(&format!("2;\nxx\r\n0\r\n\r\n{inner}")), bad()),
    ]);
}

/// Claims every POST, and answers with where its body was kept and, from memory, what it was.
struct Echo;

impl Hooks for Echo {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        match point {
            Point::SubrequestStart if exchange.request.method_bytes() == b"POST" => Flow::Finished,
            Point::HandleSubrequest => {
                let kept_bytes = exchange.body.kept_bytes();
                let text = match exchange.body.memory() {
                    Some(bytes) => [b"memory ", bytes].concat(),
                    None => format!("file {kept_bytes}").into_bytes(),
                };
                assert_eq!(
                    exchange.body.memory().is_none(),
                    exchange.body.file().is_some()
                );
                exchange.response.body = Body::Bytes(text);
                Flow::Finished
            }
            _ => Flow::GoOn,
        }
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, _why: Why, _caller: Caller<'_>) {}
}

fn echo(text: &str) -> Reply {
    Reply::new("200 OK", "", text.as_bytes())
}

#[test]
#[rustfmt::skip] // One row a line.
fn wanted_bodies() {
    let post = |lines: &str, body: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}")
    };
    let sized = |body: &str| post(&format!("Content-Length: {}", body.len()), body);
    let coded = |body: &str| post("Transfer-Encoding: chunked", body);
    let table = [
        row("no body", "RFC 9112 §6.3", request("POST", "/echo", &[]), echo("memory ")),
        row("an empty body", "RFC 9112 §6.2", sized(""), echo("memory ")),
        row("a body up to the bound stays in memory", "ours", sized("01234567"), echo("memory 01234567")),
        row("a larger one goes to a file", "ours", sized("012345678"), echo("file 9")),
        row("the largest one", "ours", sized("0123456789abcdef"), echo("file 16")),
        row("one that is too large", "RFC 9110 §15.5.14", sized("0123456789abcdefg"), too_large()),
        row("no chunk", "RFC 9112 §7.1", coded("0\r\n\r\n"), echo("memory ")),
        row(
            "chunks are put together",
            "RFC 9112 §7.1.3",
            coded("3\r\nabc\r\n2;x\r\nde\r\n0\r\nX: y\r\n\r\n"),
            echo("memory abcde"),
        ),
        row("chunks that go to a file", "RFC 9112 §7.1.3", coded("8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n"), echo("file 16")),
        row("chunks that are too large", "RFC 9110 §15.5.14", coded("8\r\n01234567\r\n9\r\n89abcdefg\r\n"), too_large()),
        row("chunks that turn out wrong", "RFC 9112 §7.1", coded("9\r\n012345678\r\nx"), bad()),
        rows(
            "bodies in a pipeline",
            "RFC 9112 §9.3.2",
            [
                sized("abc"),
                coded("1\r\nd\r\n0\r\n\r\n"),
                sized("0123456789"),
                NEXT.to_owned(),
            ]
            .concat(),
            vec![
                echo("memory abc"),
                echo("memory d"),
                echo("file 10"),
                A.ok(),
            ],
        ),
    ];
    check_with(&table, &small(), || Echo);
}

#[test]
fn a_spooled_body_is_written_in_order_and_nothing_is_read_meanwhile() {
    let mut peer = Peer::new(site(), Echo, small());
    peer.receive(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n012345678");
    let append = peer
        .connection
        .take_append()
        .expect("nine bytes are over the bound");
    assert_eq!((append.offset, &append.bytes[..]), (0, &b"012345678"[..]));
    assert!(append.file.is_none() && !peer.connection.wants_input());
    assert!(peer.connection.take_append().is_none(), "one job at a time");
    let file = || Arc::new(std::fs::File::open("/dev/null").unwrap().into());
    peer.with(|connection, cx| connection.handle_appended(Some(file()), cx));
    assert!(peer.connection.wants_input());
    peer.receive(b"9abcde");
    assert_sends(&mut peer, &[]);
    let append = peer
        .connection
        .take_append()
        .expect("the rest follows the first part");
    assert_eq!((append.offset, &append.bytes[..]), (9, &b"9abcde"[..]));
    peer.with(|connection, cx| connection.handle_appended(append.file, cx));
    assert_sends(&mut peer, &[echo("file 15")]);
    assert_eq!(peer.ending(), None);
}

#[test]
fn a_disk_that_cannot_keep_a_body_is_a_507() {
    let mut peer = Peer::new(site(), Echo, small());
    peer.receive(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 15\r\n\r\n012345678");
    assert!(peer.connection.take_append().is_some());
    peer.with(|connection, cx| connection.handle_appended(None, cx));
    assert_sends(&mut peer, &[refused("507 Insufficient Storage")]);
    assert_eq!(peer.ending(), Some(End::Linger));
}

#[test]
fn a_body_that_ends_too_early_is_refused() {
    for body in [
        "Content-Length: 5\r\n\r\n1234",
        "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n",
    ] {
        for method in ["GET", "POST"] {
            let mut peer = Peer::new(site(), Echo, Limits::default());
            peer.receive(format!("{method} / HTTP/1.1\r\nHost: h\r\n{body}").as_bytes());
            assert_sends(&mut peer, &[]);
            peer.end();
            assert_sends(&mut peer, &[bad()]);
            assert_eq!(peer.ending(), Some(End::Close), "RFC 9112 §8");
        }
    }
}
