//! Everything that wakes, at every hook that may wait.

use super::guests::{Stage, lines_to};
use super::server::{Client, first_answered};

const HOOKS: [&str; 6] = [
    "url_raw",
    "url_clean",
    "docroot",
    "physical",
    "subrequest_start",
    "handle_subrequest",
];

/// What a request waits for, and what it is told then.
const WAKERS: [(&str, &str); 12] = [
    ("timer", "timer"),
    ("pipe", "watch"),
    ("socket", "watch"),
    ("eventfd", "watch"),
    ("job", "job"),
    ("child", "child 0 3 out"),
    ("outside", "wake"),
    ("wake", "wake"),
    ("early", "wake"),
    ("called", "timer"),
    ("writable", "watch"),
    ("hangup", "watch"),
];

fn stage() -> Stage {
    Stage::new()
        .with("first", "t_hooks")
        .with("waiter", "t_waiting")
        .with("last", "t_hooks")
}

fn waiter() -> Stage {
    Stage::new().with("waiter", "t_waiting")
}

/// The hooks in a trace: the details of plugins that do not wait, and callbacks, are left out.
fn hooks(lines: &[String]) -> Vec<String> {
    let is_callback = |line: &&String| {
        ["callback", "thread", "done", "drop"]
            .iter()
            .any(|word| line.contains(word))
    };
    let name = |line: &String| match line.split_once(": ") {
        Some((who, hook)) if who != "waiter" => {
            format!("{who}: {}", hook.split(' ').next().unwrap())
        }
        _ => line.clone(),
    };
    lines
        .iter()
        .filter(|line| !is_callback(line))
        .map(name)
        .collect()
}

/// The trace of a request that waits at `at` once for each of `causes`.
fn expected(at: &str, causes: &[&str]) -> Vec<String> {
    let mut trace = Vec::new();
    for hook in HOOKS {
        let is_owner = hook == "handle_subrequest";
        if is_owner && hook != at {
            continue;
        }
        if !is_owner {
            trace.push(format!("first: {hook}"));
        }
        trace.push(format!("waiter: {hook}"));
        if hook == at {
            for cause in causes {
                trace.push("waiter: joblist".to_owned());
                trace.push(format!("waiter: {hook} resumed by {cause}"));
            }
        }
        let is_claimed = at == "handle_subrequest" && hook == "subrequest_start";
        if !is_owner && !is_claimed {
            trace.push(format!("last: {hook}"));
        }
    }
    trace.extend(["first", "waiter", "last"].map(|who| format!("{who}: subrequest_end")));
    trace.push("waiter: connection_reset 0".to_owned());
    trace.push("first: connection_close".to_owned());
    trace.push("waiter: connection_close 0".to_owned());
    trace.push("last: connection_close".to_owned());
    trace
}

#[test]
fn each_waker_resumes_the_very_hook_that_waited() {
    let stage = stage();
    let mut server = stage.start(&[]);
    let mut failures = String::new();
    for (at, (by, cause)) in HOOKS.iter().flat_map(|at| WAKERS.map(|waker| (at, waker))) {
        let mut client = server.connect();
        let response = client.get(&format!("/a.txt?at={at}&by={by}"));
        client.end();
        client.all();
        let lines = lines_to(&mut server, "last: connection_close");
        let body: &[u8] = if *at == "handle_subrequest" {
            b"handled\n"
        } else {
            b"hello\n"
        };
        if response.status != 200
            || response.body != body
            || hooks(&lines) != expected(at, &[cause])
        {
            failures += &format!("{by} at {at}: {} {lines:#?}\n", response.status);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn a_hook_may_wait_again_and_each_time_for_something_else() {
    let stage = stage();
    let mut server = stage.start(&[]);
    for at in HOOKS {
        let mut client = server.connect();
        client.get(&format!(
            "/a.txt?at={at}&by=early,timer,wake,job,pipe,child,timer"
        ));
        client.end();
        client.all();
        let lines = lines_to(&mut server, "last: connection_close");
        let causes = [
            "wake",
            "timer",
            "wake",
            "job",
            "watch",
            "child 0 3 out",
            "timer",
        ];
        assert_eq!(hooks(&lines), expected(at, &causes), "{lines:#?}");
    }
}

#[test]
fn wakes_coalesce_and_are_told_one_by_one() {
    let stage = stage();
    let mut server = stage.start(&[]);
    for (by, cause) in [("thrice", "wake"), ("two", "timer,timer")] {
        let mut client = server.connect();
        client.get(&format!("/a.txt?at=physical&by={by}"));
        client.end();
        client.all();
        let lines = lines_to(&mut server, "last: connection_close");
        assert_eq!(hooks(&lines), expected("physical", &[cause]), "{lines:#?}");
    }
}

#[test]
fn a_job_is_done_before_its_request_goes_on() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    assert_eq!(server.get("/x?at=handle_subrequest&by=job").status, 200);
    let lines = lines_to(&mut server, "waiter: connection_close");
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(
        place("done 0, work ran") < place("resumed by job"),
        "{lines:#?}"
    );
}

#[test]
fn a_callback_of_a_request_comes_before_the_resumption() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    for (by, callback) in [
        ("called", "callback of its timer"),
        ("writable", "callback of its watch, ready 2"),
        ("hangup", "callback of its watch, ready 5"),
    ] {
        assert_eq!(
            server.get(&format!("/a.txt?at=docroot&by={by}")).status,
            200
        );
        let lines = lines_to(&mut server, "waiter: connection_close");
        let at = lines
            .iter()
            .position(|line| line.contains("callback"))
            .unwrap();
        let wanted = [&format!("waiter: {callback}"), "waiter: joblist"];
        assert_eq!(lines[at..at + 2], wanted, "{lines:#?}");
        assert!(
            lines[at + 2].starts_with("waiter: docroot resumed by"),
            "{lines:#?}"
        );
    }
}

#[test]
fn a_body_waits_with_its_request() {
    const BYTES: usize = 300_000;
    let stage = stage();
    let server = stage.start(&[]);
    for at in &HOOKS[..5] {
        for by in ["timer", "early", "job,pipe"] {
            let mut client = server.connect();
            client.send(format!(
                "POST /p?at={at}&by={by}&claim=last HTTP/1.1\r\nHost: x\r\nContent-Length: {BYTES}\r\n\r\n"
            ));
            client.send(vec![b'b'; BYTES]);
            let wanted = format!("last: POST with {BYTES} bytes\n");
            assert_eq!(client.response().body, wanted.as_bytes(), "{by} at {at}");
            assert_eq!(client.get("/a.txt").body, b"hello\n");
        }
    }
}

#[test]
fn the_next_request_waits_behind_the_one_that_waits() {
    let stage = stage();
    let server = stage.start(&[]);
    for at in HOOKS {
        let mut client = server.connect();
        let one = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let first = one(&format!("/b.txt?at={at}&by=timer,child&ms=20"));
        client.send(first.clone() + &one("/a.txt") + &first + &one("/none"));
        let b: &[u8] = if at == "handle_subrequest" {
            b"handled\n"
        } else {
            b"from b\n"
        };
        assert_eq!(client.response().body, b, "{at}");
        assert_eq!(client.response().body, b"hello\n", "{at}");
        assert_eq!(client.response().body, b, "{at}");
        assert_eq!(client.response().status, 404, "{at}");
    }
}

#[test]
fn a_wait_that_nothing_could_end_is_an_error_at_once() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    for at in HOOKS {
        for (by, result) in [
            ("nothing", "WAIT_FOR_EVENT without"),
            ("nothing_fd", "WAIT_FOR_FD without"),
            ("timer_for_fd", "WAIT_FOR_FD without"),
            ("cancelled", "WAIT_FOR_EVENT without"),
            ("early,nothing", "WAIT_FOR_EVENT without"),
            ("timer,nothing", "WAIT_FOR_EVENT without"),
        ] {
            let status = server.get(&format!("/a.txt?at={at}&by={by}")).status;
            assert_eq!(status, 500, "{by} at {at}");
            let lines = lines_to(&mut server, "connection_close");
            let wanted = format!("waiter: error: {at}: {result}");
            let is_told = |line: &&String| line.starts_with(&wanted) && line.ends_with("for ever");
            assert_eq!(
                lines.iter().filter(is_told).count(),
                1,
                "{by} at {at}: {lines:#?}"
            );
        }
    }
}

#[test]
fn what_joblist_returns_is_judged() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    for (result, text) in [
        ("-1", "joblist: failed"),
        ("1", "joblist: returned 1, which is not allowed here"),
        ("3", "joblist: returned 3, which is not allowed here"),
    ] {
        for at in ["url_raw", "handle_subrequest"] {
            let target = format!("/a.txt?at={at}&by=timer&joblist={result}");
            assert_eq!(server.get(&target).status, 500);
            let lines = lines_to(&mut server, "connection_close");
            assert!(
                lines.contains(&format!("waiter: error: {text}")),
                "{lines:#?}"
            );
            assert!(
                !lines.iter().any(|line| line.contains("resumed")),
                "{lines:#?}"
            );
        }
    }
}

#[test]
fn many_are_resumed_in_bounded_portions() {
    const CLIENTS: usize = 200;
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    for (place, client) in clients.iter_mut().enumerate() {
        let at = HOOKS[place % HOOKS.len()];
        client.ask(&format!("/a.txt?at={at}&by=gate&of={CLIENTS}"));
    }
    lines_to(&mut server, "at the gate");
    assert_eq!(server.get("/open").body, b"open");
    while !clients.is_empty() {
        let mut client = clients.swap_remove(first_answered(&clients));
        assert_eq!(client.response().status, 200);
    }
    let line = lines_to(&mut server, "at once").pop().unwrap();
    let most = line
        .strip_prefix("waiter: at most ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let most: usize = most.parse().unwrap();
    assert!((1..=64).contains(&most), "{line}");
}

#[test]
fn others_are_served_meanwhile() {
    let stage = waiter();
    let mut server = stage.start(&[]);
    let mut waiting = server.connect();
    waiting.ask("/x?at=handle_subrequest&by=gate");
    lines_to(&mut server, "at the gate");
    let mut other = server.connect();
    for _ in 0..10 {
        assert_eq!(other.get("/a.txt").status, 200);
    }
    assert!(waiting.is_silent());
    assert_eq!(server.get("/open").status, 200);
    assert_eq!(waiting.response().body, b"handled\n");
}
