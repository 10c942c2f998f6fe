//! Which file answers, what is listed and what is never shown; and that the loop does not wait.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;

use dir_index::DirIndex;
use swiftd_plugin::testing::Harness;

use crate::site::{Site, ask, json, linked, names};

#[test]
fn the_first_index_that_is_a_file_answers() {
    let site = Site::new();
    site.file("index.htm", 1)
        .directory("index.html")
        .directory("a")
        .file("a/index.html", 1)
        .file("a/index.htm", 1);
    let mut harness = site.listing().config("index", "index.html, index.htm");
    for (path, index) in [("/", "index.htm"), ("/a/", "a/index.html")] {
        let answer = harness.get(path);
        assert!(!answer.is_claimed, "{answer}");
        assert_eq!(Path::new(&answer.physical), site.root().join(index));
        assert_eq!(answer.path, path);
    }
}

#[test]
fn without_listing_the_server_answers_for_a_directory() {
    let site = Site::new();
    site.directory("a").file("a/b", 1);
    let answer = site.server().get("/a/");
    assert!(!answer.is_claimed && answer.status == 404, "{answer}");
    assert_eq!(Path::new(&answer.physical), site.root().join("a/"));
}

#[test]
fn what_is_not_a_directory_to_be_seen_is_left_to_the_server() {
    let site = Site::new();
    site.directory("a")
        .directory(".git")
        .directory("a/.svn")
        .directory("a/.svn/b")
        .file("file", 1)
        .link("out", "../outside")
        .link("absolute", site.root().join("a"))
        .link("loop", "loop");
    let mut harness = site.listing();
    let paths = [
        "/a",
        "/file",
        "/file/",
        "/missing/",
        "/.git/",
        "/a/.svn/",
        "/a/.svn/b/",
        "/out/",
        "/absolute/",
        "/loop/",
        "/../outside/",
        "/a/%2e%2e/%2e%2e/outside/",
    ];
    for path in paths {
        let answer = harness.get(path);
        assert!(!answer.is_claimed, "{path}: {answer}");
    }
    for method in ["POST", "OPTIONS", "PUT", "DELETE", "get"] {
        let answer = harness.send(ask(method, "/a/"));
        assert!(!answer.is_claimed, "{method}: {answer}");
    }
}

#[test]
fn an_index_outside_of_the_root_does_not_answer() {
    let site = Site::new();
    site.link("index.html", "../outside/secret.txt")
        .link("index.htm", site.root().join("file"))
        .file("file", 1)
        .link("index.txt", "file");
    let mut harness = site
        .server()
        .config("index", "index.html\nindex.htm\nindex.txt");
    let answer = harness.get("/");
    assert_eq!(Path::new(&answer.physical), site.root().join("index.txt"));
}

#[test]
fn only_what_the_server_would_send_is_listed() {
    let site = Site::new();
    site.directory("d")
        .file("f", 7)
        .file(".hidden", 1)
        .file("old~", 1)
        .file("a.bak", 1)
        .link("to-d", "d")
        .link("to-f", "d/../f")
        .link("twice", "to-f")
        .link("broken", "nowhere")
        .link("out", "../outside/secret.txt")
        .link("out-dir", "../outside")
        .link("there-and-back", "../root/f")
        .link("absolute", site.root().join("f"))
        .link("passwd", "/etc/passwd")
        .link("loop", "loop");
    let _socket = UnixListener::bind(site.root().join("socket")).unwrap();
    let mut harness = site.listing().config("hide", "*~\n*.bak");
    let answer = harness.send(json("/"));
    assert_eq!(names(&answer), ["d", "to-d", "f", "to-f", "twice"]);
    let text = answer.text();
    assert!(text.contains("{\"name\":\"to-d\",\"type\":\"directory\",\"size\":null,"));
    assert!(text.contains("{\"name\":\"twice\",\"type\":\"file\",\"size\":7,"));
    let inside = harness.send(json("/to-d/"));
    assert_eq!(names(&inside), [""; 0]);
}

#[test]
fn what_was_found_is_believed_for_a_second() {
    let site = Site::new();
    site.file("index.html", 1);
    let index = site.root().join("index.html");
    let mut harness = site.server();
    assert_eq!(Path::new(&harness.get("/").physical), index);
    fs::remove_file(&index).unwrap();
    harness.advance(999);
    assert_eq!(Path::new(&harness.get("/").physical), index);
    harness.advance(1);
    assert_eq!(Path::new(&harness.get("/").physical), site.root().join(""));
}

#[test]
fn the_loop_does_not_wait_for_the_disk() {
    let site = Site::new();
    site.directory("a").file("a/b", 1);
    let mut harness = site.listing().hold_jobs();
    let exchange = harness.start(ask("GET", "/a/"));
    assert!(harness.is_waiting(exchange));
    harness.wake(exchange);
    assert!(harness.is_waiting(exchange));
    harness.run_jobs();
    assert!(harness.is_waiting(exchange));
    while harness.is_waiting(exchange) {
        harness.run_jobs();
    }
    let answer = harness.finish(exchange);
    assert_eq!(
        linked(answer.text()),
        BTreeSet::from([b"../".to_vec(), b"b".to_vec()])
    );
}

#[test]
fn a_directory_that_becomes_something_else_is_not_found() {
    let swaps: [fn(&Site); 3] = [
        |_| {},
        |site| {
            site.file("a", 1);
        },
        |site| {
            site.link("a", "../outside");
        },
    ];
    for swap in swaps {
        let site = Site::new();
        site.directory("a");
        let mut harness = site.listing().hold_jobs();
        let exchange = harness.start(ask("GET", "/a/"));
        harness.run_jobs();
        fs::remove_dir(site.root().join("a")).unwrap();
        swap(&site);
        harness.run_jobs();
        let answer = harness.finish(exchange);
        assert!(answer.is_claimed && answer.status == 404, "{answer}");
    }
}

#[test]
fn a_client_that_goes_leaves_nothing_behind() {
    let site = Site::new();
    site.directory("a");
    for rounds in 0..3 {
        let mut harness = site.listing().hold_jobs();
        let exchange = harness.start(ask("GET", "/a/"));
        for _ in 0..rounds {
            harness.run_jobs();
        }
        if rounds < 2 {
            assert_eq!(harness.gone(exchange).status, 0);
        } else {
            while harness.is_waiting(exchange) {
                harness.run_jobs();
            }
            assert_eq!(harness.finish(exchange).status, 200);
        }
    }
}

#[test]
fn a_value_that_is_not_understood_is_refused() {
    for (key, value, expected) in [
        ("listing", "maybe", "expected on or off"),
        ("max_entries", "0", "expected a number from 1 to 1000000"),
        ("index", "../index.html", "expected file names"),
    ] {
        let error = Harness::<DirIndex>::new()
            .config(key, value)
            .load()
            .unwrap_err();
        let is_clear = error.contains(key) && error.contains(value) && error.contains(expected);
        assert!(is_clear, "{error}");
    }
}
