//! What is run, and what it is told.

use cgi::Cgi;
use swiftd_plugin::testing::{Harness, Outgoing};

use crate::site::{ROOT, get, server, variable};

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
