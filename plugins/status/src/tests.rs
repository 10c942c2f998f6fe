//! The plugin under the harness, over a text that was written by hand.

use super::*;
use swiftd_plugin::testing::{Answer, Harness, Outgoing};

/// What a server tells that has something of everything, with a text that wants to be markup.
const TEXT: &str = include_str!("tests.txt");

fn harness() -> Harness<Status> {
    let mut harness = Harness::new();
    harness.set_status(TEXT);
    harness
}

#[track_caller]
fn assert_has(answer: &Answer, parts: &[&str]) {
    for part in parts {
        assert!(answer.text().contains(part), "no {part:?} in {answer}");
    }
}

#[test]
fn the_page_shows_what_the_server_tells() {
    let page = harness().get("/server-status");
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline';"));
    assert_has(
        &page,
        &[
            "swiftd <small>9.8.7</small>",
            "up 1 d 1 h",
            ">stopping</span>",
            "1\u{202f}000 in all, 3 broken off",
            "<p>locked in by landlock</p>",
            "100 µs <small>p50</small>",
            "<p>p90 500 µs</p>",
            "<p>p99 over 2.5 ms</p>",
            "<dt>idle</dt><dd class=\"bar \"><i style=\"width:100.0%\"></i></dd><dd>40</dd>",
            "<dt>2xx</dt>",
            "<dt>broken: client gone</dt>",
            "75 % answered by the cache",
            "generation 7, 6 reloads, 2 rejected",
            "cgi: &lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; more",
            "<span class=\"tag warn\">draining</span>",
            "<span class=\"tag bad\">stuck</span> a thread of its own",
            "<span class=\"tag bad\">left out</span>",
            "2 timers, 1 watch, 3 children",
            "1 of generation 6, 2 of generation 7",
            "cgi <b>started</b></dt><dd>12</dd>",
            "5 lines found no room",
        ],
    );
    for bad in ["<script", "http-equiv", "http://", "src="] {
        assert!(!page.text().contains(bad), "{bad}");
    }
}

#[test]
fn the_metrics_are_the_servers_own_text() {
    let metrics = harness().get("/server-status/metrics");
    let plain = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(metrics.header("content-type"), Some(plain));
    assert_eq!(metrics.text(), TEXT);
}

#[test]
fn the_json_has_the_same_numbers() {
    let json = harness().get("/server-status/json");
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_has(
        &json,
        &[
            "\"version\":\"9.8.7\"",
            "\"is_draining\":true",
            "\"open\":42",
            "\"total\":1000",
            "\"by_status\":{\"1xx\":0,\"2xx\":990,\"3xx\":0,\"4xx\":7,\"5xx\":0}",
            "\"p50\":0.0001",
            "{\"le\":null,\"count\":100}",
            "\"hit_ratio\":0.75",
            "\"last_rejection\":\"cgi: <script>alert(\\\"1\\\")</script> & more\"",
            "\"memory_bytes\":null",
            "\"sandbox\":{\"landlock\":1,\"seccomp\":0}",
            "{\"name\":\"cgi\",\"version\":\"1.1\",\"generation\":7,\"state\":\"current\",\
             \"reason\":\"\",\"calls\":100,\"errors\":1,\"slow_calls\":0,\"busy_seconds\":0.5,\
             \"holds\":{\"timer\":2,\"watch\":1,\"child\":3}}",
            "{\"plugin\":\"cgi\",\"name\":\"started\",\"value\":12}",
        ],
    );
}

#[test]
fn a_server_that_tells_nothing_has_a_page_too() {
    let mut harness = harness();
    harness.set_status("");
    let page = harness.get("/server-status");
    assert_eq!(page.status, 200);
    assert_has(&page, &["up –", "<dt>unknown</dt>"]);
    let json = harness.get("/server-status/json");
    assert_has(&json, &["\"uptime_seconds\":null", "\"instances\":[]"]);
}

#[test]
fn only_this_machine_may_look() {
    let mut harness = harness();
    let mut ask = |peer: &str, field: Option<&str>| {
        let request = Outgoing::new("GET", "/server-status/metrics").peer(peer);
        let request = match field {
            Some(field) => request.header(field, "192.0.2.7"),
            None => request,
        };
        let answer = harness.send(request);
        assert!(answer.is_claimed);
        answer.status
    };
    for near in [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "[::1]:1",
        "[::ffff:127.0.0.1]:1",
        "unix:",
    ] {
        assert_eq!(ask(near, None), 200, "{near}");
        for field in PASSED_ON {
            assert_eq!(ask(near, Some(field)), 403, "{near} {field}");
        }
    }
    for far in [
        "192.0.2.7:1",
        "[2001:db8::1]:1",
        "[::ffff:192.0.2.7]:1",
        "",
        "localhost",
    ] {
        assert_eq!(ask(far, None), 403, "{far}");
    }
    let mut public = Harness::<Status>::new().config("public", "on");
    let far = Outgoing::new("GET", "/server-status").peer("192.0.2.7:1");
    assert_eq!(public.send(far.header("via", "1.1 x")).status, 200);
}

#[test]
fn only_reading_is_allowed() {
    let mut harness = harness();
    let head = harness.send(Outgoing::new("HEAD", "/server-status"));
    assert_eq!((head.status, head.text()), (200, ""));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = harness.send(Outgoing::new(method, "/server-status/json"));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    let far = Outgoing::new("POST", "/server-status").peer("192.0.2.7:1");
    assert_eq!(harness.send(far).status, 403, "not even that is told");
}

#[test]
fn the_path_can_be_chosen_and_nothing_else_is_claimed() {
    let mut harness = Harness::<Status>::new().config("path", "/-/status");
    assert_has(
        &harness.get("/-/status/"),
        &["href=\"/-/status?refresh=5\""],
    );
    assert_eq!(harness.get("/-/status/json").status, 200);
    for other in [
        "/",
        "/server-status",
        "/-/statusx",
        "/-/status/x",
        "/-/status/json/",
        "/-",
    ] {
        assert!(!harness.get(other).is_claimed, "{other}");
    }
}

#[test]
fn the_page_renews_itself_only_when_asked_to() {
    let mut harness = harness();
    let renewed = "<meta http-equiv=\"refresh\" content=\"5\">";
    assert_has(
        &harness.get("/server-status?a&refresh=5"),
        &[renewed, "<b>5 s</b>"],
    );
    for query in [
        "",
        "refresh=0",
        "refresh=3601",
        "refresh=5s",
        "refresh=",
        "xrefresh=5",
    ] {
        let page = harness.get(&format!("/server-status?{query}"));
        assert!(!page.text().contains("http-equiv"), "{query}");
    }
}

#[test]
fn a_bad_value_is_refused_with_what_was_expected() {
    for path in [
        "", "/", "status", "/a/", "/a//b", "/a/../b", "/a b", "/<b>", "/a?b",
    ] {
        let mut harness = Harness::<Status>::new().config("path", path);
        let error = harness.load().unwrap_err();
        assert!(error.contains(&format!("path: {path:?}")), "{error}");
    }
    let long = format!("/{}", "a".repeat(PATH_MAX));
    assert!(
        Harness::<Status>::new()
            .config("path", &long)
            .load()
            .is_err()
    );
    let mut harness = Harness::<Status>::new().config("public", "maybe");
    let error = harness.load().unwrap_err();
    assert!(
        error.contains("public: \"maybe\" is neither \"on\" nor \"off\""),
        "{error}"
    );
}

#[test]
fn somebody_who_looks_sees_how_fast_it_goes() {
    let mut harness = harness();
    let text = |requests: u64| format!("swiftd_requests_total{{status=\"2xx\"}} {requests}\n");
    harness.set_status(&text(0));
    assert_has(
        &harness.get("/server-status/json"),
        &["\"per_second\":null"],
    );
    harness.set_status(&text(300));
    harness.advance(3000);
    assert_has(&harness.get("/server-status/json"), &["\"per_second\":100"]);
    assert_has(
        &harness.get("/server-status"),
        &["100 <small>per second</small>", "<rect"],
    );
    // A minute after the last look nothing wakes the server any more.
    assert!(harness.plugin(|plugin| plugin.timer.is_some()));
    harness.advance(63_000);
    assert!(harness.plugin(|plugin| plugin.timer.is_none() && plugin.history.rates().is_none()));
    assert_has(
        &harness.get("/server-status/json"),
        &["\"per_second\":null"],
    );
    assert!(harness.plugin(|plugin| plugin.timer.is_some()));
}

#[test]
fn ten_thousand_lines_are_no_trouble() {
    let mut text = String::new();
    for index in 0..2500 {
        for name in ["info", "calls_total", "errors_total", "holds"] {
            text +=
                &format!("swiftd_plugin_{name}{{plugin=\"p{index}\",generation=\"1\"}} {index}\n");
        }
    }
    let mut harness = harness();
    harness.set_status(&text);
    let json = harness.get("/server-status/json");
    assert_has(
        &json,
        &["\"name\":\"p2499\"", "\"calls\":2499,\"errors\":2499"],
    );
    assert_eq!(
        harness.get("/server-status/metrics").text().lines().count(),
        10_000
    );
    assert_has(&harness.get("/server-status"), &["<b>p2499</b>"]);
}
