//! What a plugin answers with: status, fields, content of all kinds, and what becomes of what it
//! lends.

use super::guests::{Stage, lines_to};
use super::server::{Client, Server};
use super::{ask, host};
use std::io::Write;

#[test]
fn a_status_is_a_number_from_200_to_599() {
    let stage = host();
    let server = stage.start(&[]);
    let response = server.get("/status");
    assert_eq!(response.status, 299, "the last one that is good");
    let text = String::from_utf8(response.body).unwrap();
    let expected = "0 -4\n99 -4\n100 -4\n101 -4\n199 -4\n200 0\n299 0\n404 0\n599 0\n600 -4\n\
                    65736 -4\n4294967295 -4\n";
    assert_eq!(text, expected);
}

#[test]
fn fields_are_set_added_and_removed_and_cannot_break_the_head() {
    let stage = host();
    let server = stage.start(&[]);
    let mut client = server.connect();
    client.ask("/fields");
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        std::io::Read::read_exact(&mut client.stream, &mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let own: Vec<_> = head
        .lines()
        .filter(|line| line.to_lowercase().starts_with("x-"))
        .collect();
    let expected = [
        "X-A: 1",
        "x-a: 2",
        "X-B: \tb \u{fffd}",
        "X-C: ",
        "x-E: 2",
        "X-G: ",
    ];
    assert_eq!(own, expected);
    let codes = "0 0 0 0 0 0 0 0 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 -4 0";
    assert_eq!(client.bytes(codes.len()), codes.as_bytes());
    assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", codes.len())),
        "{head}"
    );
}

/// How often a name was dropped, in lines up to the end of a connection and a moment after it.
fn drops(server: &mut Server, names: &[&str]) -> Vec<String> {
    let mut lines = lines_to(server, "connection_close");
    // What is let go at the end of a turn is told with the next line at the latest.
    drop(server.connect());
    lines.extend(lines_to(server, "connection_close"));
    let mut drops: Vec<_> = lines
        .into_iter()
        .filter(|line| line.contains("drop "))
        .collect();
    drops.sort();
    let mut wanted: Vec<_> = names
        .iter()
        .map(|name| format!("host: drop {name}"))
        .collect();
    wanted.sort();
    assert_eq!(drops, wanted);
    drops
}

#[test]
fn lent_content_is_let_go_once_however_it_ends() {
    let stage = host();
    let mut server = stage.start(&[]);
    let get = |server: &Server, how: &str| server.get(&format!("/own?how={how}"));
    for (how, status, body, names) in [
        ("plain", 200, "lent\n", &["lent"][..]),
        ("replaced", 200, "0", &["lent"]),
        ("twice", 200, "second\n", &["lent", "second"]),
        ("error", 500, "", &["lent"]),
        ("none", 200, "none\n", &["lent"]),
        ("stale", 200, "lent\n", &["lent", "stale"]),
    ] {
        let response = get(&server, how);
        assert_eq!(response.status, status, "{how}");
        if status == 200 {
            assert_eq!(response.body, body.as_bytes(), "{how}");
        }
        drops(&mut server, names);
    }
    // Nobody sends it.
    let mut client = server.connect();
    client.send("HEAD /own?how=plain HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.length()), (200, 5));
    drop(client);
    drops(&mut server, &["lent"]);
    // The client goes away, before the answer and within it.
    let mut client = server.connect();
    client.ask("/own?how=wait");
    lines_to(&mut server, "waits");
    client.reset();
    drops(&mut server, &["lent"]);
    let mut client = Client::connect_narrow(server.address(), 4096);
    client.ask("/own?how=large");
    client.bytes(1000);
    client.reset();
    drops(&mut server, &["lent", "large"]);
    // And all of it arrives if it is large.
    let response = get(&server, "large");
    assert!(response.body.len() == 4_000_000 && response.body.iter().all(|&byte| byte == b'x'));
    drops(&mut server, &["lent", "large"]);
}

#[test]
fn lent_content_does_not_follow_a_stream() {
    let stage = host();
    let mut server = stage.start(&[]);
    let response = server.get("/own?how=streamed");
    assert_eq!(response.body, b"streamed\n");
    lines_to(&mut server, "too late is -4");
    drops(&mut server, &["lent", "late"]);
}

#[test]
fn a_file_is_sent_from_its_descriptor_and_closed_once() {
    let stage = host();
    let server = stage.start(&[]);
    let path = stage.path("file");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"0123456789").unwrap();
    let path = path.display();
    for (query, body) in [
        ("", "0123456789"),
        ("&off=3", "3456789"),
        ("&off=3&len=4", "3456"),
        ("&off=10", ""),
        ("&off=0&len=0", ""),
        ("&off=4&len=6", "456789"),
    ] {
        assert_eq!(
            ask(&server, &format!("/file?file={path}{query}")),
            body,
            "{query}"
        );
    }
    for query in [
        "&off=11",
        "&len=11",
        "&off=4&len=7",
        "&off=18446744073709551615",
    ] {
        assert_eq!(
            ask(&server, &format!("/file?file={path}{query}")),
            "-4 open",
            "{query}"
        );
    }
    let directory = stage.site().display().to_string();
    for (file, said) in [
        (&directory[..], "-4 open"),
        ("pipe", "-4 open"),
        ("/dev/null", "-4 open"),
        ("none", "-4 not open"),
        ("closed", "-4 not open"),
    ] {
        assert_eq!(ask(&server, &format!("/file?file={file}")), said, "{file}");
    }
    let mut client = server.connect();
    client.send(format!(
        "HEAD /file?file={path} HTTP/1.1\r\nHost: x\r\n\r\n"
    ));
    assert_eq!(client.head().length(), 10);
    drop(client);
    // Whoever keeps one more descriptor for each of these is found here.
    server.wait_until_idle(0);
}

#[test]
fn behind_the_response_nothing_can_be_answered() {
    let stage: Stage = host();
    let mut server = stage.start(&[]);
    assert_eq!(server.get("/late").status, 200);
    let lines = lines_to(&mut server, "connection_close");
    for hook in ["subrequest_end", "connection_reset"] {
        let line = format!("host: {hook} -4 -4 -4 -4 -4 -4");
        assert!(lines.contains(&line), "{lines:#?}");
    }
}
