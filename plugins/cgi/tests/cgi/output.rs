//! What becomes of the output.

use swiftd_plugin::testing::Outgoing;

use crate::site::{Fifo, get, server, variable, wait_written};

#[test]
fn status_and_fields_are_the_scripts() {
    let answer = get(
        "/cgi-bin/print?Status:+404+Gone+Fishing|Content-Type:+text/x|Set-Cookie:+a=1|Set-Cookie:+b=2\
         |Connection:+close|Content-Length:+1||x",
    );
    assert_eq!((answer.status, answer.text()), (404, "x"));
    let expected = [
        ("Content-Type", "text/x"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(answer.headers, expected);
    let with_cr = get("/cgi-bin/print?Status:+201~|Content-Type:+text/x~|~|x");
    assert_eq!((with_cr.status, with_cr.text()), (201, "x"));
    for status in [204, 304] {
        let bare = get(&format!("/cgi-bin/print?Status:+{status}||x"));
        assert_eq!((bare.status, bare.text()), (status, ""));
    }
}

#[test]
fn a_local_location_is_answered_by_this_server() {
    let mut server = server().page("/a b", "here");
    let answer = server.get("/cgi-bin/print?Location:+/a%20b?c||");
    assert_eq!((answer.status, answer.text()), (200, "here"));
    assert_eq!((answer.path.as_str(), answer.is_claimed), ("/a b", false));
    let script = server.get("/cgi-bin/print?Location:+/cgi-bin/env/x?d=e||");
    assert_eq!(variable(script.text(), "QUERY_STRING"), Some("d=e"));
    assert_eq!(variable(script.text(), "PATH_INFO"), Some("/x"));
    let elsewhere = server.send(Outgoing::new("POST", "/cgi-bin/print?Location:+/a||").body("x"));
    assert_eq!(
        (elsewhere.status, elsewhere.header("location")),
        (303, Some("/a"))
    );
    assert_eq!(
        server
            .get("/cgi-bin/print?Location:+/cgi-bin/print||")
            .status,
        502
    );
}

#[test]
fn a_redirect_in_a_circle_ends() {
    let mut server = server();
    assert_eq!(server.get("/cgi-bin/circle").status, 500);
    assert_eq!(server.log(), ["rewrite loop"]);
    assert_eq!(server.counter("scripts_started"), 11);
}

#[test]
fn any_other_location_is_the_clients() {
    for (query, status, location) in [
        ("Location:+http://h/a||", 302, "http://h/a"),
        ("Location:+//h/a||", 302, "//h/a"),
        ("Location:+/a%23b||", 302, "/a%23b"),
        ("Status:+307|Location:+/a||", 307, "/a"),
        ("Location:+http://h/a|Status:+201||", 201, "http://h/a"),
    ] {
        let query = query.replace("%23", "#");
        let answer = get(&format!("/cgi-bin/print?{query}"));
        let location = location.replace("%23", "#");
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, Some(&location[..]))
        );
    }
}

#[test]
fn a_bad_header_is_502_with_a_word_in_the_log() {
    for (target, word) in [
        ("/cgi-bin/print?", "no output"),
        ("/cgi-bin/silent", "no output; it ended with code 0"),
        ("/cgi-bin/print?Content-Type:+a", "no end of its header"),
        ("/cgi-bin/print?||hello", "none of"),
        ("/cgi-bin/print?<html>||", "<html>"),
        ("/cgi-bin/print?Status:+9||", "no status"),
        ("/cgi-bin/endless_header", "longer than 8192 bytes"),
    ] {
        let mut server = server();
        let answer = server.get(target);
        assert_eq!(
            (answer.status, answer.headers),
            (502, Vec::new()),
            "{target}"
        );
        assert!(
            server.log()[0].contains(word),
            "{target}: {:?}",
            server.log()
        );
        assert_eq!(server.counter("scripts_failed"), 1);
    }
}

#[test]
fn the_bound_of_the_header_is_the_configurations() {
    let target = format!("/cgi-bin/print?Content-Type:+a|X:+{}||", "y".repeat(300));
    assert_eq!(get(&target).status, 200);
    assert_eq!(
        server()
            .config("max_header_bytes", "300")
            .get(&target)
            .status,
        502
    );
}

#[test]
fn a_length_is_held_to() {
    let get = |length: u32, content: &str| {
        get(&format!(
            "/cgi-bin/print?Content-Type:+a|Content-Length:+{length}||{content}"
        ))
    };
    assert_eq!(get(4, "four").text(), "four");
    assert_eq!(get(4, "four+more").text(), "four");
    assert_eq!(get(0, "x").text(), "");
    assert_eq!(get(5, "four").status, 502);
    // Too long to be held back until the end.
    let begun = get(100_000, &"x".repeat(70_000));
    assert_eq!((begun.status, begun.is_aborted), (200, true));
}

#[test]
fn head_runs_the_script_without_its_content() {
    let mut server = server();
    let answer = server.send(Outgoing::new("HEAD", "/cgi-bin/env"));
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    let large = server.send(Outgoing::new("HEAD", "/cgi-bin/large"));
    assert_eq!(
        (large.status, large.is_aborted, large.text()),
        (200, false, "")
    );
    let bare = server.send(Outgoing::new("HEAD", "/cgi-bin/print?Content-Type:+a||"));
    assert_eq!((bare.status, bare.header("content-type")), (200, Some("a")));
}

#[test]
fn output_is_sent_as_it_comes() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("steps")));
    wait_written(&mut server, exchange, b"zero");
    fifo.say("one");
    wait_written(&mut server, exchange, b"zero,one");
    fifo.say("two");
    wait_written(&mut server, exchange, b"zero,one,two");
    fifo.say("end");
    assert_eq!(server.finish(exchange).text(), "zero,one,two");
}

#[test]
fn a_client_that_does_not_read_holds_the_script() {
    let mut server = server().send_queue(1000);
    server.stall(true);
    let exchange = server.start(Outgoing::new("GET", "/cgi-bin/endless"));
    while server.written(exchange).len() < 1000 {
        server.poll();
    }
    for _ in 0..100 {
        server.poll();
    }
    // It is not the script's fault.
    server.advance(100_000);
    assert_eq!(server.written(exchange).len(), 1000);
    assert!(server.is_waiting(exchange));
    server.stall(false);
    while server.written(exchange).len() < 1_000_000 {
        server.poll();
    }
    server.gone(exchange);
}

#[test]
fn all_of_a_large_response_arrives() {
    let answer = server().send_queue(777).get("/cgi-bin/large");
    assert_eq!(answer.status, 200);
    assert!(answer.body == vec![0; 1_000_000]);
}

#[test]
fn codes_are_logged_and_signals_are_no_end() {
    let mut server = server();
    let answer = server.get("/cgi-bin/fails");
    assert_eq!((answer.text(), answer.is_aborted), ("fine", false));
    assert!(server.log()[0].ends_with("it ended with code 3"));
    let cut = server.get("/cgi-bin/dies");
    assert!(cut.status == 502 || cut.is_aborted);
    assert!(server.log()[1].contains("signal 9"));
}

#[test]
fn complaints_go_to_the_log_within_bounds() {
    let mut quiet = server().config("stderr", "null");
    quiet.get("/cgi-bin/complains");
    assert!(quiet.log().is_empty());
    let mut server = server();
    server.get("/cgi-bin/complains");
    let expected = ["/cgi-bin/complains: first", "/cgi-bin/complains: last"];
    assert_eq!(server.log(), expected);
    server.get("/cgi-bin/complains_long");
    let lines = server.log().split_off(2);
    assert_eq!(lines.len(), 100);
    assert_eq!(lines[0].len(), "/cgi-bin/complains_long: ".len() + 1024);
    assert!(lines[99].ends_with("(more left out)"));
}
