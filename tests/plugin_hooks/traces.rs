//! Which hooks run, in which order, for requests that end in all ways.

use super::guests::{A, Stage, lines_to, rest};
use super::server::{Client, Server};
use rustix::process::Signal;

fn stage() -> Stage {
    Stage::new().with("one", "t_hooks").with("two", "t_hooks")
}

/// What both plugins say of a request that nobody claims.
fn unclaimed(stage: &Stage, target: &str, path: &str, status: u16) -> Vec<String> {
    let root = stage.site().display().to_string();
    both(&[
        &format!("url_raw {target}"),
        &format!("url_clean {path}"),
        &format!("docroot {root}"),
        &format!("physical {root}{path}"),
        "subrequest_start",
        &format!("subrequest_end {status}"),
    ])
}

fn both(hooks: &[&str]) -> Vec<String> {
    let of_both = |hook: &&str| [format!("one: {hook}"), format!("two: {hook}")];
    hooks.iter().flat_map(of_both).collect()
}

/// What is said until the last plugin hears of the end of a connection.
fn until_close(server: &mut Server) -> Vec<String> {
    lines_to(server, "two: connection_close")
}

fn end(mut client: Client) {
    client.end();
    client.expect_end();
}

#[test]
fn a_file_and_one_that_is_missing_pass_every_hook_in_load_order() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    assert_eq!(client.get("/x/..//a.txt?q").body, A);
    assert_eq!(client.get("/a%2Etxt").body, A);
    assert_eq!(client.get("/none").status, 404);
    end(client);
    let mut expected = unclaimed(&stage, "/x/..//a.txt?q", "/a.txt", 200);
    expected.extend(unclaimed(&stage, "/a%2Etxt", "/a.txt", 200));
    expected.extend(unclaimed(&stage, "/none", "/none", 404));
    expected.extend(both(&["connection_close 0"]));
    assert_eq!(until_close(&mut server), expected);
}

#[test]
fn an_owner_gets_the_whole_body_and_only_it_is_asked() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.send("POST /p?claim=one&data=one HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n");
    // Nothing of the body is there, and all that sees the head alone has run.
    let root = stage.site().display().to_string();
    let mut expected = both(&[
        "url_raw /p?claim=one&data=one",
        "url_clean /p",
        &format!("docroot {root}"),
        &format!("physical {root}/p"),
    ]);
    expected.push("one: subrequest_start".into());
    assert_eq!(lines_to(&mut server, "one: subrequest_start"), expected);
    client.send("01234");
    client.send("56789");
    let response = client.response();
    assert_eq!(response.body, b"one: POST with 10 bytes\n");
    end(client);
    let mut expected = vec!["one: handle_subrequest one: POST with 10 bytes".to_owned()];
    expected.extend(both(&["subrequest_end 200"]));
    expected.extend(["one: connection_reset 0", "one: drop of request"].map(String::from));
    expected.extend(both(&["connection_close 0"]));
    assert_eq!(until_close(&mut server), expected);
    assert_eq!(lines_to(&mut server, "drop"), ["one: drop of connection"]);
}

#[test]
fn data_is_let_go_after_each_request_and_with_the_connection() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/a.txt?data=two").status, 200);
        let lines = lines_to(&mut server, "drop of request");
        let tail = &lines[lines.len() - 3..];
        let ends = [
            "two: subrequest_end 200",
            "two: connection_reset 0",
            "two: drop of request",
        ];
        assert_eq!(tail, ends, "only who keeps something is told");
    }
    end(client);
    let lines = lines_to(&mut server, "drop of connection");
    let ends = [
        "one: connection_close 0",
        "two: connection_close 0",
        "two: drop of connection",
    ];
    assert_eq!(lines, ends);
}

#[test]
fn pipelined_requests_take_turns() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    let one = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(one("/a.txt") + &one("/none") + &one("/b.txt"));
    let statuses = [(); 3].map(|()| client.response().status);
    assert_eq!(statuses, [200, 404, 200]);
    end(client);
    let mut expected = unclaimed(&stage, "/a.txt", "/a.txt", 200);
    expected.extend(unclaimed(&stage, "/none", "/none", 404));
    expected.extend(unclaimed(&stage, "/b.txt", "/b.txt", 200));
    expected.extend(both(&["connection_close 0"]));
    assert_eq!(until_close(&mut server), expected);
}

#[test]
fn heads_that_are_refused_reach_no_hook() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.send("GET /a.txt HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 400);
    client.expect_end();
    drop(client);
    assert_eq!(until_close(&mut server), both(&["connection_close 3"]));
    // One whose path cannot be decoded has a head; url_raw could have mended it.
    let mut client = server.connect();
    assert_eq!(client.get("/%00").status, 400);
    client.expect_end();
    drop(client);
    let expected = both(&["url_raw /%00", "subrequest_end 400", "connection_close 3"]);
    assert_eq!(until_close(&mut server), expected);
}

#[test]
fn a_body_that_is_refused_never_reaches_the_owner() {
    let stage = stage();
    let mut server = stage.start(&["--body-bytes", "5"]);
    let mut client = server.connect();
    client.send("POST /p?claim=two HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n012345");
    assert_eq!(client.response().status, 413);
    client.end();
    client.expect_end();
    let lines = until_close(&mut server);
    let is_handled = |line: &String| line.contains("handle_subrequest");
    assert!(!lines.iter().any(is_handled), "{lines:?}");
    let mut expected = both(&["subrequest_end 413"]);
    expected.extend(both(&["connection_close 3"]));
    assert_eq!(lines[lines.len() - 4..], expected);
}

#[test]
fn a_client_that_resets_is_told_as_gone() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.send("POST /p?claim=one&data=two HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n0123");
    lines_to(&mut server, "one: subrequest_start");
    client.reset();
    let mut expected = both(&["subrequest_end 0"]);
    expected.push("two: connection_reset 1".into());
    expected.extend(both(&["connection_close 1"]));
    let mut lines = until_close(&mut server);
    lines.retain(|line| !line.contains("drop of"));
    assert_eq!(lines, expected);
}

#[test]
fn a_stop_ends_connections_first_and_then_instances_the_last_one_first() {
    let stage = stage();
    let mut server = stage.start(&["--drain-timeout", "0.1"]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/a.txt").status, 200);
    lines_to(&mut server, "two: subrequest_end");
    let mut busy = server.connect();
    busy.send("POST /p?claim=one&data=one HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n0123");
    lines_to(&mut server, "one: subrequest_start");
    server.signal(Signal::TERM);
    idle.expect_end();
    let lines = until_close(&mut server);
    assert_eq!(lines, both(&["connection_close 5"]), "the idle one");
    let mut expected = both(&["subrequest_end 0"]);
    expected.push("one: connection_reset 5".into());
    expected.extend(both(&["connection_close 5"]));
    let drops = ["one: drop of request", "one: drop of connection"];
    expected.extend(drops.map(String::from));
    expected.extend(["two: cleanup", "one: cleanup"].map(String::from));
    assert_eq!(rest(server), expected);
}
