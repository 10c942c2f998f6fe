//! Waits that end in another way: a deadline, a client that has gone, a stop.

use super::guests::{Stage, lines_to, rest, stop};
use super::server::{Client, PATIENCE};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const HOOKS: [&str; 6] = [
    "url_raw",
    "url_clean",
    "docroot",
    "physical",
    "subrequest_start",
    "handle_subrequest",
];

fn waiter() -> Stage {
    Stage::new().with("waiter", "t_waiting")
}

/// What the server holds for the plugin: timers, watches, jobs, children; and how many requests are
/// known, this one among them.
fn held(control: &mut Client) -> (Vec<u64>, u64) {
    let text = String::from_utf8(control.get("/figures").body).unwrap();
    let number = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    let holds = |kind: &str| {
        let kind = format!("kind=\"{kind}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with("swiftd_plugin_holds") && line.contains(&kind));
        number(line.unwrap_or_else(|| panic!("{text}")))
    };
    let requests = text
        .lines()
        .find(|line| line.starts_with("swiftd_plugin_requests "));
    let held = ["timer", "watch", "job", "child"].map(holds).to_vec();
    (held, number(requests.unwrap()))
}

/// Asks the server again and again until something is so.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it is never so");
    }
}

#[test]
fn a_deadline_is_a_504_and_leaves_nothing() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut control = server.connect();
    for at in HOOKS {
        for by in ["forever", "long", "silent", "early,forever"] {
            let mut client = server.connect();
            let response = client.get(&format!("/a.txt?at={at}&by={by}&deadline=60"));
            assert_eq!(response.status, 504, "{by} at {at}");
            client.end();
            client.all();
            let lines = lines_to(&mut server, "connection_close");
            let ends = lines.iter().filter(|line| !line.ends_with("drop"));
            let ends: Vec<_> = ends.rev().take(3).map(String::as_str).collect();
            let wanted = [
                "waiter: connection_close 2",
                "waiter: subrequest_end",
                "waiter: connection_reset 2",
            ];
            assert_eq!(ends, wanted, "{by} at {at}: {lines:#?}");
            assert_eq!(held(&mut control), (vec![0; 4], 1), "{by} at {at}");
        }
    }
}

#[test]
fn each_wait_has_a_deadline_of_its_own() {
    let stage = waiter();
    let server = stage.start(&[]);
    for at in ["url_clean", "handle_subrequest"] {
        let start = Instant::now();
        let target = format!("/a.txt?at={at}&by=timer,timer,timer&ms=400&deadline=900");
        assert_eq!(server.get(&target).status, 200);
        assert!(start.elapsed() >= Duration::from_millis(1200));
    }
}

#[test]
fn a_deadline_is_30_seconds_if_nobody_says_otherwise() {
    let stage = waiter();
    let server = stage.start(&[]);
    let start = Instant::now();
    let mut first = server.connect();
    first.ask("/a.txt?at=physical&by=silent");
    assert_eq!(
        server.get("/a.txt?at=handle_subrequest&by=long").status,
        504
    );
    assert_eq!(first.response().status, 504);
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_request_whose_client_has_gone_lets_go_of_everything() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut control = server.connect();
    for at in HOOKS {
        for by in ["long", "repeat,long", "silent", "forever", "sleep"] {
            let mut client = server.connect();
            client.ask(&format!("/a.txt?at={at}&by={by}&deadline=20000"));
            let waits = format!("waiter: {at}");
            let begun = match by {
                "repeat,long" => "resumed by timer",
                "sleep" => "child said ready",
                _ => &waits,
            };
            lines_to(&mut server, begun);
            client.reset();
            let end = if by == "sleep" {
                "child is gone"
            } else {
                "connection_close 1"
            };
            let mut lines = lines_to(&mut server, end);
            if by == "sleep" && !lines.contains(&"waiter: connection_close 1".to_owned()) {
                lines.extend(lines_to(&mut server, "connection_close 1"));
            }
            lines.retain(|line| {
                !line.ends_with("drop")
                    && !line.contains("child")
                    && !line.ends_with("joblist")
                    && !line.contains("resumed")
            });
            let wanted = [
                "waiter: subrequest_end",
                "waiter: connection_reset 1",
                "waiter: connection_close 1",
            ];
            assert_eq!(lines, wanted, "{by} at {at}");
            // It is dead for everybody: the loop, and the plugin's own thread.
            assert_eq!(control.get("/wake-dead").body, b"-3");
            lines_to(&mut server, "thread: wake is -3");
            // The end of the child's pipe and the watch on it come when they come.
            until(|| held(&mut control) == (vec![0; 4], 1));
        }
    }
}

#[test]
fn a_client_that_has_gone_is_noticed_behind_what_it_has_sent() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    for at in HOOKS {
        let mut client = server.connect();
        client.ask(&format!("/a.txt?at={at}&by=forever&deadline=20000"));
        lines_to(&mut server, &format!("waiter: {at}"));
        // More than the server takes from a connection that it does not answer.
        client.stream.set_nonblocking(true).unwrap();
        let more = vec![b'x'; 1 << 20];
        while std::io::Write::write(&mut client.stream, &more).is_ok() {}
        client.reset();
        let lines = lines_to(&mut server, "connection_close");
        assert!(
            lines.contains(&"waiter: connection_reset 1".to_owned()),
            "{lines:#?}"
        );
    }
}

#[test]
fn processes_are_bounded_and_end_with_their_request() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut control = server.connect();
    for _ in 0..2 {
        assert_eq!(server.get("/many").body, b"256");
        lines_to(
            &mut server,
            "cannot start /bin/sleep: 256 processes run already",
        );
        lines_to(&mut server, "connection_close");
        until(|| held(&mut control).0 == [0; 4]);
        let children = format!("/proc/{0}/task/{0}/children", server.pid());
        // Each is reaped when the server hears of its end.
        until(|| {
            held(&mut control);
            std::fs::read_to_string(&children).unwrap().is_empty()
        });
    }
}

#[test]
fn jobs_of_a_client_that_has_gone_end_without_it() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut control = server.connect();
    // One that runs, and one that waits behind it.
    let mut first = server.connect();
    first.ask("/a.txt?at=handle_subrequest&by=held");
    lines_to(&mut server, "work begins");
    let mut second = server.connect();
    second.ask("/a.txt?at=physical&by=held");
    lines_to(&mut server, "waiter: physical");
    for client in [first, second] {
        client.reset();
        lines_to(&mut server, "connection_close 1");
    }
    assert_eq!(control.get("/release").body, b"released");
    let lines = lines_to(&mut server, "done 1");
    assert!(
        lines.contains(&"waiter: done 0, work ran".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(lines.last().unwrap(), "waiter: done 1, work did not run");
    assert_eq!(held(&mut control).0, [0; 4]);
    assert_eq!(
        server.get("/x?at=handle_subrequest&by=job").body,
        b"handled\n"
    );
}

#[test]
fn a_client_that_only_shuts_its_side_gets_its_answer() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.ask("/x?at=handle_subrequest&by=gate");
    client.end();
    lines_to(&mut server, "at the gate");
    assert_eq!(server.get("/open").status, 200);
    assert_eq!(client.response().body, b"handled\n");
    client.expect_end();
}

#[test]
fn a_stop_gives_up_what_waits_and_cleans_up() {
    for by in ["long", "silent", "forever", "sleep"] {
        let stage = waiter();
        let mut server = stage.start(&["--drain-timeout", "0.2"]);
        let mut client = server.connect();
        client.ask(&format!(
            "/a.txt?at=handle_subrequest&by={by}&deadline=60000"
        ));
        lines_to(
            &mut server,
            if by == "sleep" {
                "child said"
            } else {
                "waiter: handle_subrequest"
            },
        );
        let mut lines = stop(server);
        lines.retain(|line| !line.contains("child"));
        let wanted = [
            "waiter: subrequest_end",
            "waiter: connection_reset 5",
            "waiter: connection_close 5",
            "waiter: drop",
            "waiter: cleanup",
        ];
        assert_eq!(lines, wanted, "{by}");
        assert!(client.all_there_is().is_empty());
    }
}

#[test]
fn a_stop_lets_a_wait_end_in_good_order() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut client = server.connect();
    client.ask("/a.txt?at=physical&by=timer&ms=200");
    lines_to(&mut server, "waiter: physical");
    server.signal(Signal::TERM);
    assert_eq!(client.response().status, 200);
    drop(client);
    let lines = rest(server);
    assert!(
        lines.contains(&"waiter: connection_reset 0".to_owned()),
        "{lines:#?}"
    );
    assert_eq!(lines.last().unwrap(), "waiter: cleanup");
}

#[test]
fn work_that_has_not_begun_is_told_of_a_stop() {
    let stage = waiter();
    let mut server = stage.start(&["--drain-timeout", "0.2"]);
    let mut first = server.connect();
    first.ask("/a.txt?at=handle_subrequest&by=held");
    lines_to(&mut server, "work begins");
    let mut second = server.connect();
    second.ask("/a.txt?at=handle_subrequest&by=job");
    lines_to(&mut server, "waiter: handle_subrequest");
    let lines = stop(server);
    let dones: Vec<_> = lines.iter().filter(|line| line.contains("done")).collect();
    assert_eq!(dones, ["waiter: done 1, work did not run"], "{lines:#?}");
}
