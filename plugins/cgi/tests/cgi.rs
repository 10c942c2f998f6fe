//! The plugin in the mock server, with real scripts.

mod site;

use cgi::Cgi;
use swiftd_plugin::testing::{Answer, Harness, Outgoing};

use self::site::{Fifo, ROOT, server, variable, wait_written};

fn get(target: &str) -> Answer {
    server().get(target)
}

#[test]
fn a_script_gets_the_variables_of_the_standard_and_no_others() {
    let request = Outgoing::new("POST", "/cgi-bin/env/a%20b/c?d=%20&e")
        .header("host", "www.example:8080")
        .header("content-type", "text/csv")
        .header("accept-language", "de")
        .peer("[2001:db8::1]:4711")
        .body("a;b");
    let root = ROOT.to_str().unwrap();
    let answer = server().send(request);
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("text/plain"))
    );
    let script = format!("{root}/cgi-bin/env");
    let translated = format!("{root}/a b/c");
    let expected = [
        ("ACCEPT", None),
        ("ARGUMENTS", Some("0")),
        ("AUTH_TYPE", None),
        ("CONTENT_LENGTH", Some("3")),
        ("CONTENT_TYPE", Some("text/csv")),
        ("DOCUMENT_ROOT", Some(root)),
        ("GATEWAY_INTERFACE", Some("CGI/1.1")),
        ("HTTPS", None),
        ("HTTP_ACCEPT_LANGUAGE", Some("de")),
        ("HTTP_HOST", Some("www.example:8080")),
        ("PATH", Some("/usr/local/bin:/usr/bin:/bin")),
        ("PATH_INFO", Some("/a b/c")),
        ("PATH_TRANSLATED", Some(&translated)),
        ("QUERY_STRING", Some("d=%20&e")),
        ("REDIRECT_STATUS", Some("200")),
        ("REMOTE_ADDR", Some("2001:db8::1")),
        ("REMOTE_HOST", Some("2001:db8::1")),
        ("REMOTE_PORT", Some("4711")),
        ("REMOTE_USER", None),
        ("REQUEST_METHOD", Some("POST")),
        ("REQUEST_URI", Some("/cgi-bin/env/a%20b/c?d=%20&e")),
        ("SCRIPT_FILENAME", Some(&script)),
        ("SCRIPT_NAME", Some("/cgi-bin/env")),
        ("SERVER_ADDR", Some("127.0.0.1")),
        ("SERVER_NAME", Some("www.example")),
        ("SERVER_PORT", Some("8080")),
        ("SERVER_PROTOCOL", Some("HTTP/1.1")),
        ("SERVER_SOFTWARE", Some("swiftd")),
    ];
    for (name, value) in expected {
        assert_eq!(variable(answer.text(), name), value, "{name}");
    }
    // The shell makes these itself.
    let of_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    for line in answer.text().lines() {
        let name = line.split('=').next().unwrap();
        let is_known = expected.iter().any(|(known, _)| *known == name);
        assert!(is_known || of_shell.contains(&name), "{line}");
    }
}

#[test]
fn without_query_body_and_rest_of_path_there_are_no_variables_for_them() {
    let answer = get("/cgi-bin/env");
    assert_eq!(variable(answer.text(), "QUERY_STRING"), Some(""));
    for name in [
        "PATH_INFO",
        "PATH_TRANSLATED",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
    ] {
        assert_eq!(variable(answer.text(), name), None, "{name}");
    }
    let empty = server().send(Outgoing::new("POST", "/cgi-bin/env").body(""));
    assert_eq!(variable(empty.text(), "CONTENT_LENGTH"), Some("0"));
}

#[test]
fn fields_that_would_deceive_a_script_stay_outside() {
    let request = Outgoing::new("GET", "/cgi-bin/env")
        .header("Proxy", "http://evil.example")
        .header("Authorization", "Basic c2VjcmV0")
        .header("X_Forwarded_For", "10.0.0.1")
        .header("X-Many", "a")
        .header("x-many", "b")
        .header("Cookie", "a=1")
        .header("Cookie", "b=2")
        .header("Connection", "close");
    let answer = server().send(request);
    for name in [
        "HTTP_PROXY",
        "HTTP_AUTHORIZATION",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_CONNECTION",
    ] {
        assert_eq!(variable(answer.text(), name), None, "{name}");
    }
    assert!(!answer.text().contains("c2VjcmV0"));
    assert_eq!(variable(answer.text(), "HTTP_X_MANY"), Some("a, b"));
    assert_eq!(variable(answer.text(), "HTTP_COOKIE"), Some("a=1; b=2"));
}

#[test]
fn words_of_a_query_are_no_arguments() {
    let answer = get("/cgi-bin/env?-s+-d");
    assert_eq!(variable(answer.text(), "ARGUMENTS"), Some("0"));
    assert_eq!(variable(answer.text(), "QUERY_STRING"), Some("-s+-d"));
}

#[test]
fn variables_of_the_server_are_passed_on_by_name_only() {
    let answer = server()
        .config("pass_env", "CARGO_MANIFEST_DIR\nNOT_SET_ANYWHERE")
        .get("/cgi-bin/env");
    let dir = Some(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(variable(answer.text(), "CARGO_MANIFEST_DIR"), dir);
    assert_eq!(variable(answer.text(), "NOT_SET_ANYWHERE"), None);
}

#[test]
fn a_body_goes_in_and_comes_out() {
    let small = server().send(Outgoing::new("POST", "/cgi-bin/cat").body("hello"));
    assert_eq!((small.status, small.text()), (200, "hello"));
    let body: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut server = server().send_queue(10_000);
    let large = server.send(Outgoing::new("PUT", "/cgi-bin/cat").body(&body));
    assert!(large.status == 200 && large.body == body && !large.is_aborted);
}

#[test]
fn a_script_that_does_not_read_its_body_answers_all_the_same() {
    let body = vec![b'x'; 300_000];
    let answer = server().send(Outgoing::new("POST", "/cgi-bin/hello").body(body));
    assert_eq!((answer.status, answer.text()), (200, "hello\n"));
}

#[test]
fn without_a_body_there_is_nothing_to_read() {
    assert_eq!(get("/cgi-bin/count").text(), "0\n");
}

#[test]
fn scripts_run_in_their_directories_and_get_the_rest_of_the_path() {
    let root = ROOT.to_str().unwrap();
    assert_eq!(get("/cgi-bin/cwd").text(), format!("{root}/cgi-bin\n"));
    let inner = format!("/cgi-bin/sub/inner /x/ {root}/x/\n{root}/cgi-bin/sub\n");
    assert_eq!(get("/cgi-bin/sub/inner/x/").text(), inner);
    assert_eq!(get("/cgi-bin/alias").text(), "hello\n");
}

#[test]
fn programs_and_handlers_run() {
    assert_eq!(get("/cgi-bin/c?x").text(), "C x\n");
    let mut server = server().config("handlers", "*.py=/usr/bin/python3 -S");
    let python = server.send(Outgoing::new("POST", "/cgi-bin/hello.py").body("body"));
    assert_eq!(python.text(), "python POST body\n");
    assert_eq!(server.get("/cgi-bin/hello").text(), "hello\n");
}

#[test]
fn what_is_no_script_is_refused() {
    for (path, status) in [
        ("/cgi-bin/absent", 404),
        ("/cgi-bin/absent/hello", 404),
        ("/cgi-bin/.hidden", 404),
        ("/cgi-bin/sub/.hidden/x", 404),
        ("/cgi-bin/hello%00", 404),
        ("/cgi-bin/", 403),
        ("/cgi-bin/sub", 403),
        ("/cgi-bin/sub/", 403),
        ("/cgi-bin/plain", 403),
        ("/cgi-bin/nph-raw", 403),
        ("/cgi-bin/escape", 403),
        ("/cgi-bin/no_interpreter", 500),
    ] {
        let answer = get(path);
        assert_eq!((answer.status, answer.is_claimed), (status, true), "{path}");
        assert_eq!(answer.body, b"", "{path}");
    }
    for path in ["/", "/cgi-bin", "/cgi-binary", "/x/cgi-bin/hello"] {
        assert!(!get(path).is_claimed, "{path}");
    }
}

#[test]
fn with_suffixes_other_files_are_left_to_others() {
    let mut server = server()
        .config("suffixes", ".py")
        .config("handlers", ".py=/usr/bin/python3")
        .page("/cgi-bin/note.txt", "a note\n");
    assert!(!server.get("/cgi-bin/note.txt").is_claimed);
    assert!(!server.get("/cgi-bin/hello").is_claimed);
    assert_eq!(server.get("/cgi-bin/sub/hello.py/x").text(), "inner\n");
    // It looks like one, but another file comes first.
    assert_eq!(server.get("/cgi-bin/note.txt/hello.py").status, 403);
}

#[test]
fn a_directory_of_its_own_can_be_told() {
    let dir = ROOT.join("cgi-bin");
    let mut server: Harness<Cgi> = Harness::new()
        .config("prefix", "/")
        .config("dir", dir.to_str().unwrap());
    let answer = server.get("/env/x");
    assert_eq!(variable(answer.text(), "SCRIPT_NAME"), Some("/env"));
    assert_eq!(
        variable(answer.text(), "PATH_TRANSLATED"),
        Some("/srv/www/x")
    );
}

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
fn a_script_without_output_is_ended_by_the_timeout() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    server.advance(29_999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    let answer = server.finish(exchange);
    assert_eq!((answer.status, answer.is_aborted), (504, false));
    script.wait_for_end();
    assert!(server.log()[0].ends_with("no output for 30 s (timeout)"));
}

#[test]
fn a_timeout_in_the_middle_cuts_the_response() {
    let (fifo, mut server) = (Fifo::new(), server().config("timeout", "7"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold_begun")));
    let script = fifo.wait_for_script();
    wait_written(&mut server, exchange, b"begun");
    server.advance(7_000);
    let answer = server.finish(exchange);
    assert_eq!(
        (answer.status, answer.is_aborted, answer.text()),
        (200, true, "begun")
    );
    script.wait_for_end();
}

#[test]
fn output_begins_the_timeout_anew_but_not_the_time_in_all() {
    let (fifo, mut server) = (Fifo::new(), server().config("max_time", "60"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("steps")));
    wait_written(&mut server, exchange, b"zero");
    server.advance(20_000);
    fifo.say("one");
    wait_written(&mut server, exchange, b"zero,one");
    server.advance(20_000);
    fifo.say("two");
    wait_written(&mut server, exchange, b"zero,one,two");
    server.advance(19_999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    assert!(server.finish(exchange).is_aborted);
    assert!(server.log()[0].ends_with("not ready after 60 s (max_time)"));
}

#[test]
fn a_script_ends_with_its_client() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    assert_eq!(server.gone(exchange).status, 0);
    script.wait_for_end();
}

#[test]
fn a_script_that_goes_on_without_output_is_ended_after_a_second() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold_closed")));
    let script = fifo.wait_for_script();
    // Its output has ended before it opened the fifo.
    server.advance(999);
    assert!(server.is_waiting(exchange));
    server.advance(1);
    assert!(!server.is_waiting(exchange));
    assert_eq!(server.finish(exchange).text(), "done");
    script.wait_for_end();
}

#[test]
fn what_a_script_leaves_behind_does_not_hold_the_response() {
    let (fifo, mut server) = (Fifo::new(), server());
    let exchange = server.start(Outgoing::new("GET", fifo.target("leave_behind")));
    let script = fifo.wait_for_script();
    let answer = server.finish(exchange);
    assert_eq!((answer.text(), answer.is_aborted), ("done", false));
    drop(server);
    drop(script);
}

#[test]
fn codes_are_logged_and_signals_are_no_end() {
    let mut server = server();
    let answer = server.get("/cgi-bin/fails");
    assert_eq!((answer.text(), answer.is_aborted), ("fine", false));
    assert!(server.log()[0].ends_with("ended badly: Code(3)"));
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

#[test]
fn so_many_processes_and_no_more() {
    let (fifo, mut server) = (Fifo::new(), server().config("max_processes", "1"));
    let exchange = server.start(Outgoing::new("GET", fifo.target("hold")));
    let script = fifo.wait_for_script();
    let refused = server.get("/cgi-bin/hello");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(server.counter("scripts_refused"), 1);
    server.gone(exchange);
    script.wait_for_end();
    assert_eq!(server.get("/cgi-bin/hello").text(), "hello\n");
    // Each way to end gives its place back.
    for target in [
        "/cgi-bin/silent",
        "/cgi-bin/no_interpreter",
        "/cgi-bin/print?Location:+/x||",
    ] {
        server.get(target);
        assert_eq!(server.get("/cgi-bin/hello").status, 200, "{target}");
    }
}

#[test]
fn a_client_may_go_while_the_script_is_looked_for() {
    let mut server = server().hold_jobs();
    let exchange = server.start(Outgoing::new("GET", "/cgi-bin/hello"));
    assert!(server.is_waiting(exchange));
    server.wake(exchange);
    assert!(server.is_waiting(exchange));
    server.gone(exchange);
    server.run_jobs();
    assert_eq!(server.counter("scripts_started"), 0);
}

#[test]
fn a_value_that_cannot_be_meant_is_refused() {
    for (key, value) in [
        ("prefix", "cgi-bin"),
        ("prefix", "/cgi-bin"),
        ("dir", "scripts"),
        ("suffixes", "php"),
        ("handlers", ".php"),
        ("timeout", "0"),
        ("timeout", "3601"),
        ("max_time", "-1"),
        ("max_processes", "many"),
        ("max_header_bytes", "1"),
        ("pass_env", "A B"),
        ("stderr", "file"),
    ] {
        let error = server().config(key, value).load().unwrap_err();
        assert!(error.contains(key) && error.contains(value), "{error}");
    }
}
