//! Each format, and what a peer may try with it.

use crate::server::{Client, Server};
use crate::stage::{Stage, lines, wait_for_lines, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Sends a request as it is and reads to the end.
fn send_raw(server: &Server, bytes: &[u8]) {
    let mut client = server.connect();
    client.send(bytes);
    client.end();
    client.all_there_is();
}

/// A line without its time, which must be one.
fn without_time(line: &str) -> String {
    let (start, end) = (line.find('[').unwrap(), line.find(']').unwrap());
    let time = &line[start..=end];
    let shape: String = time
        .chars()
        .map(|char| match char {
            '0'..='9' => '0',
            'A'..='Z' => 'A',
            'a'..='z' => 'a',
            other => other,
        })
        .collect();
    assert_eq!(shape, "[00/Aaa/0000:00:00:00 +0000]");
    format!("{}[TIME]{}", &line[..start], &line[end + 1..])
}

const REQUEST: &str = "GET /a.txt?x=1 HTTP/1.1\r\nHost: Example.org:8080\r\nReferer: http://r/\r\n\
    User-Agent: Test/1.0 (a; b)\r\n\r\n";

#[test]
fn every_format_is_what_it_says() {
    let rest = "127.0.0.1 - - [TIME] \"GET /a.txt?x=1 HTTP/1.1\" 200 5";
    let more = " \"http://r/\" \"Test/1.0 (a; b)\"";
    for (format, expected) in [
        ("common", rest.to_owned()),
        ("combined", format!("{rest}{more}")),
        ("vcombined", format!("Example.org:PORT {rest}{more}")),
    ] {
        let stage = Stage::new();
        let server = stage.serve_logging(&["--log-format", format]);
        let port = server.address().port().to_string();
        send_raw(&server, REQUEST.as_bytes());
        server.finish(1);
        let lines = lines(&stage.path("access"));
        let [line] = &lines[..] else {
            panic!("one request, one line: {lines:?}")
        };
        assert_eq!(without_time(line), expected.replace("PORT", &port));
        let mode = fs::metadata(stage.path("access")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o137, 0, "not for everybody's eyes");
    }
}

#[test]
fn json_has_every_member_and_is_json() {
    let stage = Stage::new();
    let server = stage.serve_logging(&["--log-format", "json"]);
    let port = server.address().port();
    send_raw(&server, REQUEST.as_bytes());
    send_raw(&server, b"\xff\"\\\x1b junk\r\n\r\n");
    server.finish(1);
    let lines = lines(&stage.path("access"));
    assert_eq!(lines.len(), 2);
    let (start, rest) = lines[0].split_once(",\"client\"").unwrap();
    assert!(
        start.starts_with("{\"time\":\"20") && start.ends_with("Z\""),
        "{start}"
    );
    let (rest, agent) = rest.split_once(",\"referer\"").unwrap();
    assert_eq!(agent, ":\"http://r/\",\"user_agent\":\"Test/1.0 (a; b)\"}");
    let (rest, duration) = rest.split_once(",\"duration_ms\":").unwrap();
    assert!(duration.parse::<u64>().unwrap() < 60_000);
    assert_eq!(
        rest,
        format!(
            ":\"127.0.0.1\",\"user\":\"-\",\"host\":\"Example.org\",\"port\":{port},\
             \"method\":\"GET\",\"target\":\"/a.txt?x=1\",\"protocol\":\"HTTP/1.1\",\
             \"status\":200,\"bytes\":5"
        )
    );
    let wanted = "\"method\":\"-\",\"target\":\"\\u00FF\\u0022\\u005C\\u001B junk\",\"protocol\":\"-\",\"status\":400";
    assert!(lines[1].contains(wanted), "{}", lines[1]);
}

/// What a peer may send to forge a line, or to order a terminal about.
const FORGERIES: &[&[u8]] = &[
    b"GET /a.txt\n127.0.0.1 - - [x] \"GET /forged HTTP/1.1\" 200 5 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /%0a127.0.0.1%20forged HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\" 200 5 \"forged HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /\x1b[2Jforged HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: \" \"forged\\\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: \xff\xfe\x9b forged\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nReferer: \u{9b}2J\u{202e}\u{2028}forged\r\n\r\n".as_bytes(),
    b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a\rforged\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nReferer: a\0forged\r\n\r\n",
    b"\"forged\" / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \"forged\"\r\n\r\n",
];

#[test]
fn nobody_forges_a_line() {
    for format in ["common", "combined", "vcombined", "json"] {
        let stage = Stage::new();
        let server = stage.serve_logging(&["--log-format", format]);
        for forgery in FORGERIES {
            send_raw(&server, forgery);
        }
        server.finish(1);
        let lines = lines(&stage.path("access"));
        assert_eq!(lines.len(), FORGERIES.len(), "{format}: {lines:#?}");
        for line in &lines {
            assert!(!line.contains(char::is_control), "{line:?}");
            if format == "json" {
                // The names and the bounds of strings are the only quotes; none is escaped.
                assert_eq!(line.matches('"').count(), 13 * 2 + 9 * 2, "{line}");
                assert!(line.starts_with("{\"time\":") && line.ends_with("\"}"));
            } else {
                let quotes = if format == "common" { 2 } else { 6 };
                assert_eq!(line.matches('"').count(), quotes, "{line}");
                assert!(line.is_ascii(), "{line}");
            }
        }
    }
}

#[test]
fn malformed_requests_are_noted_as_far_as_they_came() {
    let stage = Stage::new();
    let server = stage.serve_logging(&["--head-timeout", "0.2", "--head-bytes", "1000"]);
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(9000));
    let large = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
        "a".repeat(2000)
    );
    let table: &[(&[u8], &str, u16)] = &[
        (
            b"\x16\x03\x01\x02\x00\r\n\r\n",
            "\\x16\\x03\\x01\\x02\\x00",
            400,
        ),
        (b"GET /\r\n\r\n", "GET /", 400),
        (b"GET / HTTP/3.0\r\nHost: h\r\n\r\n", "GET / HTTP/3.0", 505),
        (b"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.1", 400),
        (large.as_bytes(), "GET / HTTP/1.1", 431),
        (
            b"POST /a.txt HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST /a.txt HTTP/1.1",
            501,
        ),
        (
            b"BREW /a.txt HTTP/1.1\r\nHost: h\r\n\r\n",
            "BREW /a.txt HTTP/1.1",
            501,
        ),
        (b"GET /a.txt HTTP/1.0\r\n\r\n", "GET /a.txt HTTP/1.0", 200),
    ];
    for (request, _, _) in table {
        send_raw(&server, request);
    }
    send_raw(&server, long.as_bytes());
    // One that is too slow: its answer comes when the time is over.
    let mut client = server.connect();
    client.send("GET /slow HTTP/1.1\r\nHo");
    assert!(String::from_utf8_lossy(&client.all()).starts_with("HTTP/1.1 408"));
    drop(client);
    server.finish(1);
    let lines = lines(&stage.path("access"));
    assert_eq!(lines.len(), table.len() + 2, "{lines:#?}");
    for (line, (_, request, status)) in lines.iter().zip(table) {
        let wanted = format!("] \"{request}\" {status} ");
        assert!(line.contains(&wanted), "{line}: {wanted}");
    }
    let line = &lines[table.len()];
    assert!(
        line.contains("] \"GET /aaaa") && line.contains("aaa...\" 4"),
        "{line}"
    );
    let line = &lines[table.len() + 1];
    assert!(line.contains("] \"GET /slow HTTP/1.1\" 408 "), "{line}");
}

#[test]
fn a_long_target_is_cut_and_keeps_its_version() {
    let stage = Stage::new();
    let server = stage.serve_logging(&[]);
    send_raw(
        &server,
        format!("GET /?{} HTTP/1.1\r\nHost: h\r\n\r\n", "q".repeat(4000)).as_bytes(),
    );
    server.finish(1);
    let lines = lines(&stage.path("access"));
    assert!(lines[0].contains("qqq... HTTP/1.1\" 404 "), "{}", lines[0]);
    assert!(lines[0].len() < 2300);
}

#[test]
fn what_was_sent_is_what_is_counted() {
    let stage = Stage::new();
    let server = stage.serve_logging(&[]);
    let mut client = server.connect();
    client.send("HEAD /a.txt HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    client.get_with("/a.txt", "Range: bytes=1-3\r\n");
    client.get_with("/a.txt", "If-None-Match: *\r\n");
    client.send("GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n".repeat(5));
    for _ in 0..5 {
        assert_eq!(client.response().body, b"hello");
    }
    drop(client);
    // A client that takes some of a large file and goes away.
    let mut client = Client::connect_narrow(server.address(), 4096);
    client.ask("/large.bin");
    client.head();
    client.bytes(10_000);
    client.reset();
    let path = stage.path("access");
    let lines = wait_for_lines(&path, 9);
    let ends: Vec<&str> = lines
        .iter()
        .map(|line| line.split("\" ").nth(1).unwrap())
        .map(|end| end.split(" \"").next().unwrap())
        .collect();
    assert_eq!(&ends[..3], ["200 0", "206 3", "304 0"]);
    assert_eq!(&ends[3..8], ["200 5"; 5]);
    let sent: u64 = ends[8].strip_prefix("200 ").unwrap().parse().unwrap();
    assert!((10_000..8_000_000).contains(&sent), "{sent}");
    server.finish(2);
}

#[test]
fn who_comes_through_a_unix_socket_is_on_this_machine() {
    let stage = Stage::new();
    let socket = stage.path("http.sock");
    let listen = format!("unix:{}", socket.display());
    let server = stage.serve_logging(&["--log-format", "vcombined", "--listen", &listen]);
    let mut client = Client::connect_unix(&socket);
    client.get("/a.txt");
    drop(client);
    wait_for_lines(&stage.path("access"), 1);
    server.finish(1);
    let lines = lines(&stage.path("access"));
    assert!(lines[0].starts_with("x:0 127.0.0.1 - - ["), "{}", lines[0]);
}

#[test]
fn error_lines_have_time_and_worth_in_a_file_and_none_on_stderr() {
    let stage = Stage::new();
    let error = stage.path("error");
    // A directory for temporary files that is not there is an error when a body needs one.
    for is_file in [true, false] {
        let to = if is_file {
            error.to_str().unwrap()
        } else {
            "stderr"
        };
        let server = stage.serve(&["--error-log", to]);
        let lost = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert!(lost.current.is_some());
        let start_lines = if is_file {
            wait_until("the start is in the log", || {
                let text = fs::read_to_string(&error).unwrap();
                text.ends_with("/\n") && text.contains("Z notice: serving ")
            });
            lines(&error).len()
        } else {
            0
        };
        // No descriptor is left, so that a connection is refused.
        server.set_files_max(3);
        let client = server.connect();
        if is_file {
            let lines = wait_for_lines(&error, start_lines + 1);
            let (time, rest) = lines[start_lines].split_once(' ').unwrap();
            assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
            assert!(
                rest.starts_with("warning: accept: out of descriptors"),
                "{rest}"
            );
            drop(client);
        } else {
            let mut server = server;
            let line = server.next_line().unwrap();
            assert!(
                line.starts_with("swiftd: accept: out of descriptors"),
                "{line}"
            );
        }
    }
}

#[test]
fn what_is_worth_less_than_the_level_is_not_logged() {
    let stage = Stage::new();
    let error = stage.path("error");
    let server = stage.serve(&[
        "--error-log",
        error.to_str().unwrap(),
        "--log-level",
        "error",
    ]);
    server.set_files_max(3);
    let client = server.connect();
    server.set_files_max(1000);
    drop(client);
    assert_eq!(server.get("/a.txt").status, 200);
    server.signal(rustix::process::Signal::TERM);
    server.wait();
    assert_eq!(lines(&error), [""; 0]);
}
