//! Inner requests: what a plugin asks the server for, on behalf of a client, in the real server.

#[path = "support/guests.rs"]
mod guests;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;

use guests::{A, Stage, lines_to, rest, stop};
use rustix::process::Signal;
use server::{assert_same, pattern};
use std::fs;

/// The server keeps a whole answer in memory, its head included.
const MIB: usize = 1024 * 1024;

fn stage() -> Stage {
    Stage::new()
        .with("inner", "t_inner")
        .with_options("other", "t_inner", &["-DVERSION=\"7\""])
}

/// The status, the type and the body of what an inner request for `target` was answered.
fn passed(server: &server::Server, target: &str) -> (u16, Option<String>, Vec<u8>) {
    let response = server.get(&format!("/inner/pass?{target}"));
    let kind = response.field("x-inner-type").map(str::to_owned);
    (response.status, kind, response.body)
}

#[test]
fn an_inner_request_is_answered_as_any_other() {
    let stage = stage();
    let large = pattern(400_000, 3);
    fs::write(stage.site().join("large.bin"), &large).unwrap();
    let server = stage.start(&[]);
    let (status, kind, body) = passed(&server, "/a.txt");
    assert_eq!((status, &*body), (200, A));
    assert!(kind.unwrap().starts_with("text/plain"));
    let (status, kind, body) = passed(&server, "/large.bin");
    assert_eq!(status, 200);
    assert_eq!(kind.unwrap(), "application/octet-stream");
    assert_same(&body, &large);
    for (target, wanted) in [
        ("/none", 404),
        ("/inner/fail", 500),
        ("/other/version", 200),
        ("/inner/bulk?5", 200),
        ("/inner/many?2", 200),
    ] {
        assert_eq!(passed(&server, target).0, wanted, "{target}");
    }
    assert_eq!(passed(&server, "/other/version").2, b"version 7");
    assert_eq!(passed(&server, "/inner/bulk?5").2, b"01234");
    // More than the queue of a stream holds.
    let (status, _, body) = passed(&server, "/inner/bulk?300000");
    assert_eq!((status, body.len()), (200, 300_000));
    assert!(body.chunks(16).all(|chunk| chunk == b"0123456789abcdef"));
    // Before the request is claimed, as an authentication would.
    let response = server.get("/inner/early?/a.txt");
    assert_eq!((response.status, &*response.body), (200, A));
    let said = stop(server);
    assert!(
        said.iter()
            .any(|line| line == "inner: woken by 5, which is it: 1"),
        "{said:#?}"
    );
    assert!(!said.iter().any(|line| line.contains("which is it: 0")));
}

#[test]
fn what_is_lent_of_an_answer_outlives_its_cancellation() {
    let stage = stage();
    let server = stage.start(&[]);
    assert_eq!(server.get("/inner/lent?/a.txt").body, A);
    stop(server);
}

#[test]
fn an_answer_of_more_than_a_mebibyte_is_given_up() {
    let stage = stage();
    fs::write(stage.site().join("most.bin"), pattern(MIB - 1024, 1)).unwrap();
    fs::write(stage.site().join("more.bin"), pattern(MIB, 1)).unwrap();
    let server = stage.start(&[]);
    let (status, _, body) = passed(&server, "/most.bin");
    assert_eq!(status, 200);
    assert_same(&body, &pattern(MIB - 1024, 1));
    for target in ["/more.bin", "/inner/bulk?1048577", "/inner/bulk?99999999"] {
        let (status, _, body) = passed(&server, target);
        assert_eq!((status, &*body), (502, &b"none: 0"[..]), "{target}");
    }
    assert_eq!(passed(&server, "/a.txt").2, A);
    stop(server);
}

#[test]
fn inner_requests_are_for_the_client_of_their_parent() {
    let stage = stage();
    let server = stage.start(&[]);
    let mut client = server.connect();
    let direct = client.get("/inner/who").body;
    assert_eq!(client.get("/inner/pass?/inner/who").body, direct);
    assert!(direct.starts_with(b"x 127.0.0.1:"));
    // A client of HTTP/1.0 need not name a host.
    client.send("GET /inner/pass?/inner/who HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.body.starts_with(b" 127.0.0.1:"));
    stop(server);
}

#[test]
fn depth_and_number_have_their_bounds() {
    let stage = stage();
    let server = stage.start(&[]);
    let text = |target| String::from_utf8(server.get(target).body).unwrap();
    assert_eq!(text("/inner/deep"), "[[[refused]]]");
    assert_eq!(text("/inner/many?16"), "16 good, 0 refused, 96 bytes");
    assert_eq!(text("/inner/many?17"), "16 good, 1 refused, 96 bytes");
    for target in ["", "a.txt", "http://x/", "/a%20b c"] {
        let response = server.get(&format!("/inner/pass?{}", target.replace(' ', "%20")));
        let is_fine = target.starts_with('/');
        assert_eq!(response.status, if is_fine { 404 } else { 502 }, "{target}");
    }
    stop(server);
}

#[test]
fn what_nobody_waits_for_any_more_is_cancelled() {
    let stage = stage();
    let mut server = stage.start(&[]);
    // The client goes.
    let mut client = server.connect();
    client.ask("/inner/pass?/inner/hold");
    lines_to(&mut server, "holds");
    client.reset();
    let said = lines_to(&mut server, "reset 1 of hold");
    assert!(
        said.iter().any(|line| line.contains("reset 1 of pass")),
        "{said:#?}"
    );
    // The parent ends at once: it is not even begun.
    assert_eq!(server.get("/inner/abandon?/inner/hold").body, b"abandoned");
    // The parent changes its mind.
    assert_eq!(server.get("/inner/cancel?/inner/hold").body, b"0 -3");
    let said = lines_to(&mut server, "reset 1 of hold");
    assert_eq!(said, ["inner: holds", "inner: reset 1 of hold"]);
    // All the way down.
    let mut client = server.connect();
    client.ask("/inner/pass?/inner/pass?/inner/hold");
    lines_to(&mut server, "holds");
    client.reset();
    let said = lines_to(&mut server, "reset 1 of hold");
    let count = |what| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("reset 1 of pass"), 2, "{said:#?}");
    assert_eq!(server.get("/a.txt").body, A);
    server.wait_until_idle(2);
    let said = stop(server);
    assert!(!said.iter().any(|line| line.contains("left")), "{said:#?}");
}

#[test]
fn the_deadline_of_the_parent_ends_an_inner_request_that_does_not() {
    let stage = stage();
    let mut server = stage.start(&[]);
    assert_eq!(server.get("/inner/late?/inner/hold").status, 504);
    let said = lines_to(&mut server, "reset 1 of hold");
    assert!(
        said.iter().any(|line| line.contains("reset 2 of late")),
        "{said:#?}"
    );
    // Its own deadline is a 504 as for any client.
    let (status, ..) = passed(&server, "/inner/late?/inner/hold");
    assert_eq!(status, 504);
    stop(server);
}

#[test]
fn an_inner_request_belongs_to_the_generation_of_its_parent() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let pipe = stage.path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut client = server.connect();
    client.ask(&format!("/inner/after?{}", pipe.display()));
    lines_to(&mut server, "waits");
    stage.compile("inner", "t_inner", &["-DVERSION=\"2\""]);
    server.signal(Signal::HUP);
    lines_to(&mut server, "plugins: generation 2 ");
    assert_eq!(passed(&server, "/inner/version").2, b"version 2");
    fs::write(&pipe, "x").unwrap();
    assert_eq!(client.response().body, b"version 1");
    // Nothing of it keeps the old copy.
    lines_to(&mut server, "cleanup of version 1");
    assert_eq!(client.get("/inner/pass?/inner/version").body, b"version 2");
    stop(server);
}

#[test]
fn an_inner_request_that_no_hook_sees_keeps_no_generation() {
    let stage = stage();
    let mut server = stage.start(&["--target-bytes", "64"]);
    assert_eq!(server.get("/inner/long").status, 414);
    stage.compile("inner", "t_inner", &["-DVERSION=\"2\""]);
    server.signal(Signal::HUP);
    lines_to(&mut server, "cleanup of version 1");
    stop(server);
}

#[test]
fn a_stop_ends_inner_requests_before_the_plugins() {
    let stage = stage();
    let mut server = stage.start(&["--drain-timeout", "0.2"]);
    let mut client = server.connect();
    client.ask("/inner/pass?/inner/hold");
    lines_to(&mut server, "holds");
    server.signal(Signal::TERM);
    let said = rest(server);
    let at = |what: &str| {
        let found = said.iter().position(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("no {what}: {said:#?}"))
    };
    assert!(at("reset 5 of pass") < at("reset 5 of hold"));
    assert!(at("reset 5 of hold") < at("cleanup of version 1"));
    client.all_there_is();
}

#[test]
fn a_parent_that_is_answered_before_the_stop_gets_its_answer() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let pipe = stage.path("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let mut client = server.connect();
    client.ask(&format!("/inner/after?{}", pipe.display()));
    lines_to(&mut server, "waits");
    server.signal(Signal::TERM);
    fs::write(&pipe, "x").unwrap();
    assert_eq!(client.response().body, b"version 1");
    client.expect_end();
    rest(server);
}
