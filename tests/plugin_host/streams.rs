//! Responses that are sent while they are made.

use super::guests::{Stage, lines_to};
use super::host;
use super::server::Client;

const LARGE: usize = 3_000_000;

fn large(stage_query: &str) -> String {
    format!("/stream?bytes={LARGE}{stage_query}")
}

/// The content of a chunked body that a client reads up to its end.
fn chunks(client: &mut Client) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(client.bytes(1));
        }
        let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
        let bytes = usize::from_str_radix(digits, 16).unwrap();
        content.extend(client.bytes(bytes));
        assert_eq!(client.bytes(2), b"\r\n");
        if bytes == 0 {
            return content;
        }
    }
}

fn is_content(bytes: &[u8], count: usize) -> bool {
    bytes.len() == count && bytes.iter().all(|&byte| byte == b's')
}

#[test]
fn a_stream_that_ends_at_once_is_a_response_like_any_other() {
    let stage = host();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    let response = client.get("/stream?bytes=10&probe=1");
    assert_eq!(
        (response.status, response.field("X-Streamed")),
        (203, Some("yes"))
    );
    assert!(is_content(&response.body, 10) && response.field("Transfer-Encoding").is_none());
    let lines = lines_to(&mut server, "end 0");
    let wanted = [
        "host: start at once -4",
        "host: early write -4, end -4",
        "host: start 0, again -4, status -4, field -4, body -4, empty 0",
        "host: end 0, write -4",
    ];
    assert_eq!(lines, wanted);
    assert_eq!(
        client.get("/stream?bytes=0").body,
        b"",
        "and the connection goes on"
    );
}

#[test]
fn a_slow_client_holds_the_owner_back_and_gets_everything() {
    let stage = host();
    let mut server = stage.start(&[]);
    let mut client = Client::connect_narrow(server.address(), 4096);
    client.ask(&large(""));
    lines_to(&mut server, "stream waits");
    let held = server.memory("Rss");
    assert!(held < 64 << 20, "{held}");
    let head = client.head();
    assert_eq!(head.field("Transfer-Encoding"), Some("chunked"));
    assert_eq!(head.field("Content-Length"), None);
    assert!(is_content(&chunks(&mut client), LARGE));
    let line = lines_to(&mut server, "woken by").pop().unwrap();
    assert_eq!(line, "host: woken by 6");
    assert!(
        is_content(&client.get("/stream?bytes=5").body, 5),
        "the connection goes on"
    );
}

#[test]
fn an_old_client_gets_the_stream_up_to_its_end() {
    let stage = host();
    let server = stage.start(&[]);
    let mut client = server.connect();
    client.send(format!("GET {} HTTP/1.0\r\n\r\n", large("")));
    let head = client.head();
    assert_eq!((head.status, head.field("Transfer-Encoding")), (200, None));
    assert_eq!(head.field("Content-Length"), None);
    assert!(is_content(&client.all(), LARGE));
}

#[test]
fn content_that_nobody_wants_is_taken_and_dropped() {
    let stage = host();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.send(format!(
        "HEAD {} HTTP/1.1\r\nHost: x\r\n\r\n",
        large("&probe=1")
    ));
    assert_eq!(client.head().status, 203);
    let lines = lines_to(&mut server, "end 0");
    assert!(
        !lines.iter().any(|line| line.contains("stream waits")),
        "{lines:#?}"
    );
    assert_eq!(client.get("/stream?bytes=5").body, b"sssss");
}

#[test]
fn an_owner_that_fails_within_its_stream_cuts_it_off() {
    let stage: Stage = host();
    let mut server = stage.start(&[]);
    for (fail, told) in [
        ("-1", "handle_subrequest: failed"),
        ("2", "COMEBACK after the response has begun"),
        ("7", "handle_subrequest: returned 7"),
        ("4", "WAIT_FOR_FD without a watch"),
    ] {
        let mut client = Client::connect_narrow(server.address(), 4096);
        client.ask(&large(&format!("&fail={fail}")));
        lines_to(&mut server, "stream waits");
        let all = client.all_there_is();
        assert!(all.starts_with(b"HTTP/1.1 200 "), "{fail}");
        assert!(
            !all.ends_with(b"0\r\n\r\n") && all.len() < LARGE,
            "{fail}: it is seen as cut off"
        );
        lines_to(&mut server, told);
    }
}

#[test]
fn a_client_that_leaves_a_stream_ends_it() {
    let stage = host();
    let mut server = stage.start(&[]);
    let mut client = Client::connect_narrow(server.address(), 4096);
    client.ask(&large(""));
    lines_to(&mut server, "stream waits");
    client.reset();
    lines_to(&mut server, "connection_close");
    server.wait_until_idle(0);
}
