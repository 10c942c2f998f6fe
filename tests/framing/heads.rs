//! Request lines, line ends, field lines, Host, the four forms of a target, and the bounds on a
//! head.

use crate::support::reply::{A, HOME, Reply, bad, not_allowed, not_found, options, page, refused};
use crate::support::{Row, assert_sends, check, check_with, get, peer, row, rows};
use crate::{NEXT, small, too_large, version};
use swiftd::conn::{Limits, NoHooks};
use swiftd::http::parse::Scan;

/// A head that must be refused, each line of it given; the empty line is added.
fn refusal(fact: &'static str, rule: &'static str, lines: &str, reply: Reply) -> Row {
    row(fact, rule, format!("{lines}\r\n\r\n{NEXT}"), reply)
}

#[test]
#[rustfmt::skip] // One row a line.
fn request_lines() {
    let field = |line: &str| format!("{line}\r\nHost: h");
    let refusal = |fact, rule, line, reply| refusal(fact, rule, &field(line), reply);
    check(&[
        refusal("two blanks before the target", "RFC 9112 §3", "GET  / HTTP/1.1", bad()),
        refusal("two blanks before the version", "RFC 9112 §3", "GET /  HTTP/1.1", bad()),
        refusal("a blank behind the version", "RFC 9112 §3", "GET / HTTP/1.1 ", bad()),
        refusal("a blank in the target", "RFC 9112 §3.2", "GET /a b HTTP/1.1", bad()),
        refusal("a tab between the parts", "RFC 9112 §3", "GET\t/\tHTTP/1.1", bad()),
        refusal("a blank before the method", "RFC 9112 §3", " GET / HTTP/1.1", bad()),
        refusal("no target", "RFC 9112 §3", "GET HTTP/1.1", bad()),
        refusal("no method", "RFC 9112 §3", "/ HTTP/1.1", bad()),
        refusal("a method that is no token", "RFC 9110 §9.1", "G@T / HTTP/1.1", bad()),
        refusal("a method in quotes", "RFC 9110 §9.1", "\"GET\" / HTTP/1.1", bad()),
        refusal("a colon in the method", "RFC 9110 §9.1", "GET: / HTTP/1.1", bad()),
        refusal("a form feed in the line", "RFC 9112 §3", "GET /\x0c HTTP/1.1", bad()),
        refusal("NUL in the target", "RFC 9112 §3.2", "GET /\0 HTTP/1.1", bad()),
        refusal("DEL in the target", "RFC 9112 §3.2", "GET /\x7f HTTP/1.1", bad()),
        refusal("HTTP/0.9, a line without a version", "RFC 9112 §2.3", "GET /", bad()),
        refusal("a name in lower case", "RFC 9112 §2.3", "GET / http/1.1", bad()),
        refusal("another protocol", "RFC 9112 §2.3", "GET / HTTQ/1.1", bad()),
        refusal("a version without a minor one", "RFC 9112 §2.3", "GET / HTTP/1", bad()),
        refusal("a version with two digits", "RFC 9112 §2.3", "GET / HTTP/1.10", bad()),
        refusal("a version with a leading zero", "RFC 9112 §2.3", "GET / HTTP/01.1", bad()),
        refusal("a version with a sign", "RFC 9112 §2.3", "GET / HTTP/+1.1", bad()),
        refusal("letters for a version", "RFC 9112 §2.3", "GET / HTTP/x.y", bad()),
        refusal("an old version, named", "RFC 9110 §15.6.6", "GET / HTTP/0.9", version()),
        refusal("a later major version", "RFC 9110 §15.6.6", "GET / HTTP/2.0", version()),
        refusal("HTTP/3.0", "RFC 9110 §15.6.6", "GET / HTTP/3.0", version()),
        // RFC 9110 §2.5 would have 1.2 treated as 1.1, which does not exist and never will.
        refusal("a later minor version", "RFC 9110 §2.5", "GET / HTTP/1.2", version()),
        row("the preface of HTTP/2", "RFC 9113 §3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", version()),
        row(
            "a method compares with case, and is else unknown",
            "RFC 9110 §9.1",
            "get / HTTP/1.1\r\nHost: h\r\n\r\n",
            page("501 Not Implemented"),
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn line_ends() {
    check(&[
        row("one empty line before a request line is skipped", "RFC 9112 §2.2", format!("\r\n{NEXT}"), A.ok()),
        rows("one empty line before each of two", "RFC 9112 §2.2", format!("\r\n{NEXT}\r\n{NEXT}"), vec![A.ok(), A.ok()]),
        row("a second empty line", "RFC 9112 §2.2", format!("\r\n\r\n{NEXT}"), bad()),
        row("an empty line that is a bare LF", "RFC 9112 §2.2", format!("\n{NEXT}"), bad()),
        row("an empty line that is a bare CR", "RFC 9112 §2.2", format!("\r{NEXT}"), bad()),
        row("a blank line before the request line", "RFC 9112 §2.2", " \r\n", bad()),
        row("a bare LF ends the request line", "RFC 9112 §2.2", "GET / HTTP/1.1\nHost: h\r\n\r\n", bad()),
        row("a bare LF ends a field", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: h\n\r\n", bad()),
        row("a bare LF ends the head", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: h\r\n\n", bad()),
        row("only bare LFs", "RFC 9112 §2.2", "GET / HTTP/1.1\nHost: h\n\n", bad()),
        row("a bare CR ends the request line", "RFC 9112 §2.2", "GET / HTTP/1.1\rHost: h\r\n\r\n", bad()),
        row("a bare CR in the target", "RFC 9112 §2.2", "GET /\r HTTP/1.1\r\nHost: h\r\n\r\n", bad()),
        row("a bare CR in a value", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", bad()),
        row("a bare CR in a name", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: h\r\nX\r: a\r\n\r\n", bad()),
        row("two CRs before an LF", "RFC 9112 §2.2", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", bad()),
        row("CR LF in the wrong order", "RFC 9112 §2.2", "GET / HTTP/1.1\n\rHost: h\n\r\n\r", bad()),
        row("a TLS hello on a plain port", "RFC 9112 §3", b"\x16\x03\x01\x02\x00\x01\x00", bad()),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn field_lines() {
    let refusal = |fact, rule, line: &str, status: &'static str| {
        let lines = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}");
        refusal(fact, rule, &lines, refused(status))
    };
    const BAD: &str = "400 Bad Request";
    let mut table = vec![
        refusal("a blank before the colon", "RFC 9112 §5.1", "X : a", BAD),
        refusal("a tab before the colon", "RFC 9112 §5.1", "X\t: a", BAD),
        refusal("a folded field", "RFC 9112 §5.2", "X: a\r\n b", BAD),
        refusal("a field folded with a tab", "RFC 9112 §5.2", "X: a\r\n\tb", BAD),
        refusal("a field folded to nothing", "RFC 9112 §5.2", "X: a\r\n \r\nY: b", BAD),
        refusal("no colon", "RFC 9112 §5", "X", BAD),
        refusal("no name", "RFC 9110 §5.1", ": a", BAD),
        refusal("a name of two words", "RFC 9110 §5.1", "X Y: a", BAD),
        refusal("a name in brackets", "RFC 9110 §5.1", "(X): a", BAD),
        refusal("a name that is not ASCII", "RFC 9110 §5.1", "é: a", BAD),
        refusal("a slash in a name", "RFC 9110 §5.1", "X/Y: a", BAD),
        refusal("NUL in a name", "RFC 9110 §5.1", "X\0: a", BAD),
        row("a blank before the first field", "RFC 9112 §2.2", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", bad()),
        row("a field folded into the request line", "RFC 9112 §2.2", "GET / HTTP/1.1\r\n X\r\nHost: h\r\n\r\n", bad()),
    ];
    for byte in (0..0x20)
        .chain([0x7f])
        .filter(|byte| !b"\t\r\n".contains(byte))
    {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nX: a".to_vec();
        bytes.extend_from_slice(&[byte, b'\r', b'\n', b'\r', b'\n']);
        table.push(row("a control byte in a value", "RFC 9110 §5.5", bytes, bad()));
    }
    check(&table);
    let fine = |fact, rule, line: &str| row(fact, rule, get("/a.txt", &[line]), A.ok());
    check(&[
        fine("blanks and tabs around a value", "RFC 9112 §5.1", "X: \t a \t "),
        fine("no blank before a value", "RFC 9112 §5.1", "X:a"),
        fine("an empty value", "RFC 9110 §5.5", "X:"),
        fine("a value of blanks", "RFC 9110 §5.5", "X: \t "),
        fine("a tab in a value", "RFC 9110 §5.5", "X: a\tb"),
        fine("obs-text in a value", "RFC 9110 §5.5", "X: é"),
        fine("a colon in a value", "RFC 9112 §5.1", "X: a: b"),
        fine("every tchar in a name", "RFC 9110 §5.6.2", "!#$%&'*+-.^_`|~09azAZ: a"),
        row(
            "names compare without case",
            "RFC 9110 §5.1",
            "GET /a.txt HTTP/1.1\r\nhOsT: h\r\ncONNECTION: cLOSE\r\n\r\n",
            A.ok().close(),
        ),
    ]);
}

#[test]
#[rustfmt::skip] // One row a line.
fn hosts() {
    let with = |fact, lines: &str, reply| {
        let rule = "RFC 9112 §3.2";
        row(fact, rule, format!("GET /a.txt HTTP/1.1\r\n{lines}\r\n"), reply)
    };
    let mut table = vec![
        with("no Host", "", bad()),
        with("two Hosts", "Host: a\r\nHost: b\r\n", bad()),
        with("two equal Hosts", "Host: h\r\nX: y\r\nhost: h\r\n", bad()),
        row("HTTP/1.0 needs no Host", "RFC 9112 §3.2", "GET /a.txt HTTP/1.0\r\n\r\n", A.ok().close()),
        row("HTTP/1.0, two Hosts", "RFC 9112 §3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", bad()),
        row("HTTP/1.0, a wrong Host", "RFC 9112 §3.2", "GET / HTTP/1.0\r\nHost: a b\r\n\r\n", bad()),
    ];
    let invalid = [
        "",
        " ",
        "a b",
        "a, b",
        "a/",
        "a?",
        "a#",
        "a@b",
        "http://a",
        "a:b",
        "a:-1",
        "a:65536",
        "a:80:80",
        ":80",
        "[::1",
        "::1",
        "[]",
        "[1.2.3.4]",
        "[::g]",
        "[fe80::1%25eth0]",
        "a%",
        "a%2",
        "a%zz",
        "\"a\"",
        "a\\b",
        "é",
        "a\0",
    ];
    table.extend(invalid.map(|host| with("a wrong Host", &format!("Host: {host}\r\n"), bad())));
    let valid = [
        "h",
        "a.example",
        "A.EXAMPLE.",
        "a_b",
        "h:",
        "h:0",
        "h:65535",
        "1.2.3.4:80",
        "[::1]",
        "[::1]:8080",
        "[::ffff:1.2.3.4]",
        "[v1.a:b]",
        "a%41",
        "!$&'()*+,;=",
        " h\t",
    ];
    table.extend(valid.map(|host| with("a Host", &format!("Host: {host}\r\n"), A.ok())));
    check(&table);
}

#[test]
#[rustfmt::skip] // One row a line.
fn target_forms() {
    let to = |fact, rule, line: &str, reply| {
        row(fact, rule, format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), reply)
    };
    const ABSOLUTE: &str = "RFC 9112 §3.2.2";
    const ASTERISK: &str = "RFC 9112 §3.2.4";
    const AUTHORITY: &str = "RFC 9112 §3.2.3";
    let mut table = vec![
        to("absolute-form", ABSOLUTE, "GET http://h/a.txt", A.ok()),
        to("absolute-form, the scheme without case", ABSOLUTE, "GET HTTP://h/a.txt", A.ok()),
        to("absolute-form, https, with port and query", ABSOLUTE, "GET https://[::1]:443/a.txt?q", A.ok()),
        to("absolute-form, another host than Host", ABSOLUTE, "GET http://other.example/a.txt", A.ok()),
        to("absolute-form without a path means /", "RFC 9110 §4.2.3", "GET http://h", HOME.ok()),
        to("absolute-form without a path, with a query", "RFC 9110 §4.2.3", "GET http://h?q", HOME.ok()),
        row("absolute-form needs Host all the same", ABSOLUTE, "GET http://h/ HTTP/1.1\r\n\r\n", bad()),
        row("absolute-form and a wrong Host", ABSOLUTE, "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", bad()),
        to("asterisk-form", ASTERISK, "OPTIONS *", options()),
        to("absolute-form with OPTIONS", ASTERISK, "OPTIONS http://h", options()),
        to("authority-form with CONNECT", AUTHORITY, "CONNECT h:80", not_allowed()),
        to("CONNECT to an IPv6 address", AUTHORITY, "CONNECT [::1]:443", not_allowed()),
        to("a query with every byte of the grammar", "RFC 3986 §3.4", "GET /a.txt?a=b&c;/?:@!$'()*+,~%20%FF", A.ok()),
        to("an empty query", "RFC 3986 §3.4", "GET /a.txt?", A.ok()),
        to("what browsers leave raw in a query", "URL Standard", "GET /a.txt?[]|^{}`\\", A.ok()),
    ];
    let wrong = [
        "GET *",
        "POST *",
        "OPTIONS *?q",
        "OPTIONS **",
        "GET a.txt",
        "GET h:80",
        "GET ?q",
        "GET ://h/",
        "GET http:/h/",
        "GET http:///",
        "GET http://",
        "GET http://:80/",
        "GET http://u@h/",
        "GET http://u:p@h/",
        "GET http://h:x/",
        "GET http://h h/",
        "GET ftp://h/",
        "GET file:///etc/passwd",
        "GET javascript:x",
        "CONNECT h",
        "CONNECT h:",
        "CONNECT h:0",
        "CONNECT h:65536",
        "CONNECT /",
        "CONNECT http://h:80",
        "CONNECT h:80/",
        "CONNECT *",
        "GET /#f",
        "GET /a?b#f",
        "GET /a\"b",
        "GET /<a>",
        "GET /{a}",
        "GET /a\\b",
        "GET /é",
        "GET /?é",
        "GET /?\"",
        "GET /%",
        "GET /%4",
        "GET /%zz",
        "GET /?%",
        "GET /?%4g",
        "GET \\",
    ];
    table.push(to("a wrong target, for HEAD", "RFC 9112 §3.2", "HEAD *", bad().for_head()));
    table.extend(wrong.map(|line| to("a wrong target", "RFC 9112 §3.2", line, bad())));
    check(&table);
}

#[test]
#[rustfmt::skip] // One row a line.
fn bounds() {
    let head = |bytes: usize| {
        let start = "GET /a.txt HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
    };
    let target = |bytes: usize| get(&format!("/{}", "x".repeat(bytes - 1)), &[]);
    let body = |lines: &str, body: &str| {
        format!("GET /a.txt HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n{body}")
    };
    let coded = |text: &str| body("Transfer-Encoding: chunked", text);
    let head_too_large = || refused("431 Request Header Fields Too Large");
    let too_long = || refused("414 URI Too Long");
    let table = [
        row("a head as large as allowed", "RFC 6585 §5", head(256), A.ok()),
        row("a head one byte too large", "RFC 6585 §5", head(257), head_too_large()),
        row("a head without an end", "RFC 6585 §5", format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(400)), head_too_large()),
        row("many lines without an end", "RFC 6585 §5", format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(60)), head_too_large()),
        row("as many fields as allowed", "RFC 6585 §5", get("/a.txt", &["A: 1", "B: 2", "C: 3"]), A.ok()),
        row("one field too many", "RFC 6585 §5", get("/a.txt", &["A: 1", "B: 2", "C: 3", "D:"]), head_too_large()),
        row("a target as long as allowed", "RFC 9110 §15.5.15", target(64), not_found()),
        row("a target one byte too long", "RFC 9110 §15.5.15", target(65), too_long()),
        row("a query counts", "RFC 9110 §15.5.15", get(&format!("/a.txt?{}", "x".repeat(64)), &[]), too_long()),
        row("a target far too long", "RFC 9110 §15.5.15", target(200), too_long()),
        row("a target without an end", "RFC 9110 §15.5.15", format!("GET /{}", "x".repeat(500)), too_long()),
        row("a method without an end", "RFC 9112 §3", "G".repeat(500), too_long()),
        row("a method far too long", "RFC 9112 §3", format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "G".repeat(140)), too_long()),
        row("a wrong line that is too long", "RFC 9112 §3", format!("GET /{}\n\n", "x".repeat(140)), too_long()),
        row("a body as large as allowed", "RFC 9110 §15.5.14", body("Content-Length: 16", "0123456789abcdef"), A.ok()),
        row("a body one byte too large", "RFC 9110 §15.5.14", body("Content-Length: 17", "0123456789abcdefg"), too_large()),
        row("chunks as large as allowed", "RFC 9110 §15.5.14", coded("8\r\n01234567\r\n8\r\n89abcdef\r\n0\r\n\r\n"), A.ok()),
        row("chunks one byte too large", "RFC 9110 §15.5.14", coded("8\r\n01234567\r\n9\r\n89abcdefg\r\n0\r\n\r\n"), too_large()),
        row("trailers as large as allowed", "RFC 6585 §5", coded("0\r\nX: 345678901234567\r\n\r\n"), A.ok()),
        row("trailers one byte too large", "RFC 6585 §5", coded("0\r\nX: 3456789012345678\r\n\r\n"), head_too_large()),
        row("an extension without an end", "RFC 9112 §7.1.1", coded(&format!("1;{}", "x".repeat(300))), bad()),
    ];
    check_with(&table, &small(), || NoHooks);
}

#[test]
fn default_bounds() {
    for (bytes, reply) in [
        (16 * 1024, A.ok()),
        (
            16 * 1024 + 1,
            refused("431 Request Header Fields Too Large"),
        ),
    ] {
        let start = "GET /a.txt HTTP/1.1\r\nHost: h\r\nX: ";
        let head = format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4));
        let mut peer = peer();
        peer.receive(head.as_bytes());
        assert_sends(&mut peer, &[reply]);
    }
    for (bytes, reply) in [
        (8 * 1024, not_found()),
        (8 * 1024 + 1, refused("414 URI Too Long")),
    ] {
        let mut peer = peer();
        peer.receive(get(&format!("/{}", "x".repeat(bytes - 1)), &[]).as_bytes());
        assert_sends(&mut peer, &[reply]);
    }
    for (count, reply) in [
        (99, A.ok()),
        (100, refused("431 Request Header Fields Too Large")),
    ] {
        let mut peer = peer();
        peer.receive(get("/a.txt", &vec!["X: y"; count]).as_bytes());
        assert_sends(&mut peer, &[reply]);
    }
}

#[test]
fn what_has_been_scanned_is_not_scanned_again() {
    // The bytes before the last call are changed to ones that would be refused, if looked at.
    let bounds = Limits::default().head;
    let mut scan = Scan::default();
    let mut input = b"GET / HTTP/1.1\r\nX: yyyy".to_vec();
    assert_eq!(scan.find_end(&input, &bounds), Ok(None));
    input[4..].fill(b'\n');
    input.extend_from_slice(b"y\r\n\r\n");
    assert_eq!(scan.find_end(&input, &bounds), Ok(Some(input.len())));
}

#[test]
#[rustfmt::skip] // One row a line.
fn a_refused_head_gets_no_content_if_it_was_for_head() {
    let rule = "RFC 9110 §9.3.2";
    let with = |fact, lines: &str, reply: Reply| {
        row(fact, rule, format!("HEAD /{lines}\r\n\r\n"), reply.for_head())
    };
    let table = [
        with("a wrong name", " HTTP/1.1\r\nHost : h", bad()),
        with("a folded field", " HTTP/1.1\r\nHost: h\r\nX: y\r\n z", bad()),
        with("a bare LF", " HTTP/1.1\nHost: h", bad()),
        with("a wrong version", " HTTP/2.0\r\nHost: h", version()),
        with("no Host", " HTTP/1.1", bad()),
        with("a wrong target", "%00 HTTP/1.1\r\nHost: h", bad()),
        with("too long a target", &format!("{} HTTP/1.1", "x".repeat(200)), refused("414 URI Too Long")),
        with("too large a head", &format!(" HTTP/1.1\r\nX: {}", "x".repeat(300)), refused("431 Request Header Fields Too Large")),
        with("an expectation", " HTTP/1.1\r\nHost: h\r\nExpect: more", refused("417 Expectation Failed")),
        with("two lengths", " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1", bad()),
        with("an unknown coding", " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: x", refused("501 Not Implemented")),
        with("too large a body", " HTTP/1.1\r\nHost: h\r\nContent-Length: 99", too_large()),
    ];
    check_with(&table, &small(), || NoHooks);
}
