//! Every result at every hook, and what a hook can change.

use super::guests::{A, Stage, lines_to, plain};
use super::server::Server;

/// Hooks that see a request, and which results are allowed beside ERROR.
const HOOKS: [(&str, &[i64]); 7] = [
    ("url_raw", &[0, 1, 2, 3, 4]),
    ("url_clean", &[0, 1, 2, 3, 4]),
    ("docroot", &[0, 1, 3, 4]),
    ("physical", &[0, 1, 2, 3, 4]),
    ("subrequest_start", &[0, 1, 2, 3, 4]),
    ("handle_subrequest", &[1, 2, 3, 4]),
    ("subrequest_end", &[0]),
];

/// All results there are, codes of host functions, and rubbish.
const RESULTS: [i64; 15] = [
    0,
    1,
    2,
    3,
    4,
    -1,
    -2,
    -3,
    -4,
    -5,
    5,
    7,
    99,
    i32::MAX as i64,
    i32::MIN as i64,
];

const UNDECIDED: &str = "it would wait for ever";

/// The status and the log line of a request in which `hook` returns `rc` and does nothing else.
fn expected(hook: &str, allowed: &[i64], rc: i64) -> (u16, Option<String>) {
    let failed = |why: &str| (500, Some(format!("error: {hook}: {why}")));
    if hook == "subrequest_end" {
        // The client has its response.
        return match rc {
            0 => (200, None),
            -1 => (200, failed("failed").1),
            rc => (
                200,
                failed(&format!("returned {rc}, which is not allowed here")).1,
            ),
        };
    }
    match rc {
        -1 => failed("failed"),
        rc if !allowed.contains(&rc) => {
            failed(&format!("returned {rc}, which is not allowed here"))
        }
        0 => (200, None),
        // It claims the request and then answers it.
        1 if hook == "subrequest_start" => (200, None),
        1 => failed("FINISHED without a status, a body or a stream"),
        2 => failed("rewrite loop"),
        3 => failed("WAIT_FOR_EVENT without a timer"),
        _ => failed("WAIT_FOR_FD without a watch"),
    }
}

fn errors(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| line.contains("error: "))
        .collect()
}

#[test]
fn each_result_at_each_hook_is_what_the_contract_says() {
    let stage = Stage::new()
        .with("one", "t_hooks")
        .with("two", "t_hooks")
        .with_options("old", "t_hooks", &["-DOLD_ENTRY=old_init"]);
    let mut server = stage.start(&[]);
    let mut failures = String::new();
    for (hook, allowed) in HOOKS {
        for (who, rc) in ["two", "old"]
            .iter()
            .flat_map(|who| RESULTS.map(|rc| (who, rc)))
        {
            let claim = if hook == "handle_subrequest" { who } else { "" };
            let target = format!("/a.txt?at={who}.{hook}&rc={rc}&claim={claim}");
            let mut client = server.connect();
            let status = client.get(&target).status;
            client.end();
            client.all();
            let lines = lines_to(&mut server, "old: connection_close");
            let (wanted, line) = expected(hook, allowed, rc);
            let said = errors(&lines);
            let is_said = match (&line, &said[..]) {
                (None, []) => true,
                (Some(line), [only]) => {
                    only.starts_with(&format!("{who}: {line}"))
                        && (!line.contains("WAIT") || only.contains(UNDECIDED))
                }
                _ => false,
            };
            if status != wanted || !is_said {
                failures +=
                    &format!("{who}.{hook} {rc}: {status} {said:?} for {wanted} {line:?}\n");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn whoever_comes_after_an_answer_is_not_asked() {
    let stage = Stage::new().with("one", "t_hooks").with("two", "t_hooks");
    let mut server = stage.start(&[]);
    let heads = [
        "url_raw",
        "url_clean",
        "docroot",
        "physical",
        "subrequest_start",
    ];
    for (place, hook) in heads.iter().enumerate() {
        let mut client = server.connect();
        let target = format!("/a.txt?at=one.{hook}&rc=1&status=203&body=mine&header=X-Mine:yes");
        let response = client.get(&target);
        assert_eq!(
            (response.status, &response.body[..]),
            (203, &b"mine"[..]),
            "{hook}"
        );
        assert_eq!(response.field("X-Mine"), Some("yes"), "{hook}");
        client.end();
        client.all();
        let lines = lines_to(&mut server, "two: connection_close");
        let of = |who: &str| {
            let prefix = format!("{who}: ");
            let hooks = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
            hooks
                .map(|line| line.split(' ').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let ends = ["subrequest_end", "connection_close"];
        assert_eq!(of("one"), [&heads[..=place], &ends[..]].concat(), "{hook}");
        assert_eq!(of("two"), [&heads[..place], &ends[..]].concat(), "{hook}");
    }
}

#[test]
fn a_status_alone_is_an_answer() {
    let stage = Stage::new().with("one", "t_hooks");
    let server = stage.start(&[]);
    for hook in ["url_raw", "docroot", "subrequest_start"] {
        let response = server.get(&format!("/a.txt?at=one.{hook}&rc=1&status=403"));
        assert_eq!(response.status, 403);
        let page = String::from_utf8(response.body).unwrap();
        assert!(
            page.contains("403"),
            "an error without content gets the server's page: {page}"
        );
        let response = server.get(&format!("/a.txt?at=one.{hook}&rc=1&status=403&body="));
        assert_eq!(
            (response.status, response.body.len()),
            (403, 0),
            "an empty one does not"
        );
        let response = server.get(&format!("/a.txt?at=one.{hook}&rc=1&status=204"));
        assert_eq!((response.status, response.body.len()), (204, 0));
    }
}

#[test]
fn comeback_starts_over_at_the_changed_part_ten_times() {
    let stage = Stage::new().with("one", "t_hooks");
    let mut server = stage.start(&[]);
    // Where it says COMEBACK, what it changes, how often; how often url_raw and url_clean ran.
    for (hook, change, times, raws, cleans) in [
        ("url_raw", "", 10, 11, 1),
        ("url_raw", "target=/b.txt", 1, 2, 1),
        ("url_raw", "path=/b.txt", 1, 1, 1),
        ("url_clean", "path=/b.txt", 1, 1, 2),
        ("url_clean", "path=/b.txt", 10, 1, 11),
        ("physical", "path=/b.txt", 3, 1, 4),
        ("subrequest_start", "path=/b.txt", 10, 1, 11),
        ("subrequest_start", "", 2, 1, 3),
    ] {
        let target = format!("/a.txt?at=one.{hook}&rc=2&times={times}&{change}");
        let mut client = server.connect();
        let response = client.get(&target);
        client.end();
        client.all();
        let lines = lines_to(&mut server, "connection_close");
        let count = |hook: &str| lines.iter().filter(|line| line.contains(hook)).count();
        let counts = (count("one: url_raw "), count("one: url_clean "));
        assert_eq!(counts, (raws, cleans), "{target}: {lines:#?}");
        assert_eq!(response.status, 200, "{target}");
        let wanted = if change.is_empty() { A } else { b"from b\n" };
        assert_eq!(response.body, wanted, "{target}");
        assert!(errors(&lines).is_empty(), "{target}: {lines:#?}");
    }
    for hook in ["url_raw", "url_clean", "physical", "subrequest_start"] {
        let target = format!("/a.txt?at=one.{hook}&rc=2&times=11");
        assert_eq!(server.get(&target).status, 500);
        lines_to(&mut server, &format!("one: error: {hook}: rewrite loop"));
    }
}

#[test]
fn an_owner_that_says_comeback_hands_the_request_on() {
    let stage = Stage::new().with("one", "t_hooks");
    let server = stage.start(&[]);
    let target = "/p?claim=one&at=one.handle_subrequest&rc=2&times=1&path=/b.txt&status=201";
    // The claim is part of the query and stays, so the owner is asked again, for the new path.
    let response = server.get(target);
    assert_eq!(
        (response.status, &response.body[..]),
        (200, &b"one: GET with 0 bytes\n"[..])
    );
}

#[test]
fn what_hooks_set_steers_the_files() {
    let stage = Stage::new().with("one", "t_hooks");
    let mut server = stage.start(&[]);
    let other = stage.path("other").display().to_string();
    let site = stage.site().display().to_string();
    for (at, change, body) in [
        ("url_raw", "target=/b.txt".to_owned(), "from b\n"),
        ("url_raw", "path=/x/../b.txt".to_owned(), "from b\n"),
        ("url_clean", "path=/b.txt".to_owned(), "from b\n"),
        ("docroot", "path=/b.txt".to_owned(), "from b\n"),
        ("docroot", format!("docroot={other}"), "other\n"),
        ("url_clean", format!("docroot={other}"), "other\n"),
        ("physical", format!("physical={site}/b.txt"), "from b\n"),
        ("url_raw", "user=ann".to_owned(), "hello\n"),
        // Not there any more, or never: nothing changes.
        ("url_clean", "target=/b.txt".to_owned(), "hello\n"),
        ("physical", format!("docroot={other}"), "hello\n"),
        ("docroot", format!("physical={site}/b.txt"), "hello\n"),
        ("url_raw", "path=b.txt".to_owned(), "hello\n"),
    ] {
        let response = server.get(&format!("/a.txt?at=one.{at}&{change}"));
        let text = String::from_utf8(response.body).unwrap();
        assert_eq!((response.status, &text[..]), (200, body), "{at} {change}");
    }
    // A path outside of the root is checked after the hook.
    for outside in [
        "/etc/passwd",
        &format!("{site}/../other/a.txt"),
        &format!("{other}/a.txt"),
    ] {
        let response = server.get(&format!("/a.txt?at=one.physical&physical={outside}"));
        assert!(
            [403, 404].contains(&response.status),
            "{outside}: {response:?}"
        );
    }
    drop(server.connect());
    lines_to(&mut server, "connection_close");
}

#[test]
fn amendments_are_made_to_whatever_follows() {
    let stage = Stage::new().with("one", "t_hooks").with("two", "t_hooks");
    let server = stage.start(&[]);
    let get = |rest: &str, at: &str| server.get(&format!("{rest}&at=one.{at}&header=X-Is:here"));
    for at in [
        "url_raw",
        "url_clean",
        "docroot",
        "physical",
        "subrequest_start",
    ] {
        for (rest, status) in [
            ("/a.txt?", 200),
            ("/none?", 404),
            ("/p?claim=two", 200),
            ("/%2e%2e/?", 404),
        ] {
            let response = get(rest, at);
            assert_eq!(response.status, status, "{rest}");
            assert_eq!(response.field("X-Is"), Some("here"), "{rest} at {at}");
        }
    }
    // One of the server's own is replaced, another line is added, and one is taken away.
    let field = |query: &str, name: &str| {
        let response = server.get(&format!("/a.txt?at=one.url_raw&{query}"));
        let lines = response
            .head
            .lines()
            .filter_map(|line| line.split_once(": "));
        let values = lines.filter(|(this, _)| this.eq_ignore_ascii_case(name));
        values
            .map(|(_, value)| value.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        field("header=content-type:a/b&mode=0", "content-type"),
        ["a/b"]
    );
    assert_eq!(
        field("header=Content-Type:a/b&mode=1", "content-type").len(),
        2
    );
    assert_eq!(field("header=Etag:&mode=2", "etag"), [""; 0]);
    // Those of an owner belong to its response and go with it when it fails.
    let ok = server.get("/p?claim=one&at=one.handle_subrequest&rc=1&status=200&header=X-Is:mine");
    assert_eq!(ok.field("X-Is"), Some("mine"));
    let failed =
        server.get("/p?claim=one&at=one.handle_subrequest&rc=-1&status=200&header=X-Is:mine");
    assert_eq!((failed.status, failed.field("X-Is")), (500, None));
    // COMEBACK forgets them.
    let forgotten = server.get("/a.txt?at=one.physical&rc=2&times=1&header=X-Is:here");
    assert_eq!((forgotten.status, forgotten.field("X-Is")), (200, None));
}

#[test]
fn a_slow_hook_is_told_with_its_time() {
    let stage = Stage::new().with("one", "t_hooks");
    let mut server: Server = stage.start(&[]);
    assert_eq!(server.get("/a.txt?at=one.physical&ms=80").status, 200);
    let line = lines_to(&mut server, "held the loop").pop().unwrap();
    let ms = line
        .strip_prefix("one: physical held the loop for ")
        .unwrap_or_else(|| panic!("{line}"));
    let (ms, rest) = ms.split_once(' ').unwrap();
    assert!(
        ms.parse::<u32>().unwrap() >= 79 && rest.starts_with("ms (over 50)"),
        "{line}"
    );
    assert!(plain(&line).contains("physical"));
}
