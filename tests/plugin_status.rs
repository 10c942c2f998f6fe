//! The status plugin in the running server: what it tells is what has happened, in all its forms.
//!
//! The server gathers its own figures once a second, so a test that wants the newest asks until it
//! gets them; what plugins' requests add up to is exact at once.

#[path = "support/plugins.rs"]
mod plugins;
#[path = "plugin_status/scrape.rs"]
mod scrape;
#[path = "support/server.rs"]
mod server;
#[allow(dead_code, reason = "the tests of reloads use all of it")]
#[path = "plugin_reload/stage.rs"]
mod stage;

use scrape::Scrape;
use server::{Client, PATIENCE};
use stage::{Place, Stage};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// The plugin's library, built once.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY
        .get_or_init(|| plugins::build_crate("Cargo.toml", "swiftd-plugin-status", "libstatus.so"))
}

/// A server with the plugin and version 1 of plugin `a`.
fn stage(options: &[&str]) -> Stage {
    let place = Place::new();
    fs::copy(library(), place.library("status")).unwrap();
    place.install("a", 1, &[]);
    place.save(&["status", "a"]);
    place.start(options)
}

fn scrape(client: &mut Client) -> Scrape {
    let response = client.get("/server-status/metrics");
    assert_eq!(response.status, 200);
    let content_type = response.field("content-type");
    assert_eq!(
        content_type,
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    Scrape::parse(std::str::from_utf8(&response.body).unwrap())
}

/// Scrapes until something is to be seen.
#[track_caller]
fn scrape_until(client: &mut Client, what: &str, is_seen: impl Fn(&Scrape) -> bool) -> Scrape {
    let start = Instant::now();
    loop {
        let found = scrape(client);
        if is_seen(&found) {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "never: {what}");
    }
}

fn text(client: &mut Client, target: &str) -> String {
    let response = client.get(target);
    assert_eq!(response.status, 200, "{target}");
    assert_eq!(response.field("cache-control"), Some("no-store"));
    String::from_utf8(response.body).unwrap()
}

#[test]
fn the_numbers_are_what_has_happened() {
    let stage = stage(&[]);
    let mut client = stage.server.connect();
    for _ in 0..20 {
        assert_eq!(client.get("/small.txt").body, b"small");
    }
    for _ in 0..3 {
        assert_eq!(client.get("/none").status, 404);
    }
    client.send("HEAD /small.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().status, 200);

    let found = scrape(&mut client);
    let requests =
        |status: &str| found.get(&format!("swiftd_requests_total{{status=\"{status}\"}}"));
    assert_eq!(
        (requests("2xx"), requests("4xx"), requests("5xx")),
        (21.0, 3.0, 0.0)
    );
    assert_eq!(found.get("swiftd_request_seconds_count"), 24.0);
    assert!(found.get("swiftd_request_seconds_sum") > 0.0);
    let errors = 3.0 * client.get("/none").body.len() as f64;
    let body_bytes = found.get("swiftd_response_body_bytes_total");
    assert_eq!(body_bytes, 20.0 * 5.0 + errors, "HEAD has no content");
    assert_eq!(
        found.get("swiftd_plugin_requests{generation=\"1\"}"),
        1.0,
        "this one"
    );

    let hit = "swiftd_cache_lookups_total{result=\"hit\"}";
    let newest = scrape_until(&mut client, "the look-ups", |it| it.get(hit) >= 20.0);
    assert!(newest.get("swiftd_cache_lookups_total{result=\"miss\"}") >= 1.0);
    assert!(newest.get("swiftd_cache_entries") >= 1.0);
    assert!(newest.get("swiftd_received_bytes_total") > 24.0 * 30.0);
    assert!(newest.get("swiftd_sent_bytes_total") > body_bytes);
    assert_eq!(newest.get("swiftd_connections_accepted_total"), 1.0);
    assert_eq!(newest.sum("swiftd_connections{"), 1.0);
    assert!(newest.get("swiftd_connections_max") > 1.0);
    assert!(newest.get("process_resident_memory_bytes") > 65_536.0);
    assert!(newest.get("process_cpu_seconds_total") > 0.0);
    let version = concat!("swiftd_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}");
    assert_eq!(newest.get(version), 1.0);

    let json = text(&mut client, "/server-status/json");
    let counted = scrape(&mut client).sum("swiftd_requests_total{");
    for part in [
        format!("\"total\":{},", counted - 1.0),
        "\"4xx\":4,".into(),
        "\"accepted\":1,".into(),
        "{\"name\":\"a\",".into(),
    ] {
        assert!(json.contains(&part), "no {part} in {json}");
    }
    let page = text(&mut client, "/server-status");
    for part in [
        "<dt>4xx</dt>",
        "<b>status</b>",
        "<b>a</b>",
        "generation 1, 0 reloads, 0 rejected",
    ] {
        assert!(page.contains(part), "no {part} in {page}");
    }
    drop(client);
    stage.finish();
}

#[test]
fn connections_are_told_by_what_they_are_at() {
    let stage = stage(&[]);
    let mut client = stage.server.connect();
    let silent: Vec<Client> = (0..3).map(|_| stage.server.connect()).collect();
    let mut halves: Vec<Client> = (0..2).map(|_| stage.server.connect()).collect();
    for half in &mut halves {
        half.send("GET /small.txt HT");
    }
    let state =
        |it: &Scrape, state: &str| it.get(&format!("swiftd_connections{{state=\"{state}\"}}"));
    let found = scrape_until(&mut client, "all of them", |it| {
        state(it, "connect") == 3.0 && state(it, "read") == 2.0
    });
    assert_eq!(state(&found, "request_start"), 1.0, "the one that asks");
    assert_eq!(found.get("swiftd_connections_accepted_total"), 6.0);
    drop((silent, halves));
    scrape_until(&mut client, "their end", |it| {
        it.sum("swiftd_connections{") == 1.0
    });
    drop(client);
    stage.finish();
}

#[test]
fn a_reload_shows_what_is_current_and_what_drains() {
    let mut stage = stage(&[]);
    let mut client = stage.server.connect();
    let (pipe, target) = stage.place.pipe("a", "pipe");
    let mut waiting = stage.server.connect();
    waiting.ask(&target);
    stage.until(" waits");
    let watch = "swiftd_plugin_holds{plugin=\"a\",generation=\"1\",kind=\"watch\"}";
    assert_eq!(scrape(&mut client).get(watch), 1.0);

    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    let found = scrape(&mut client);
    let state = |generation: u32, state: &str| {
        let wanted = format!("plugin=\"a\",generation=\"{generation}\"");
        let mut infos = found
            .names()
            .filter(|name| name.starts_with("swiftd_plugin_info{"));
        infos.any(|name| name.contains(&wanted) && name.contains(&format!("state=\"{state}\"")))
    };
    assert!(state(1, "draining") && state(2, "current"));
    assert_eq!(found.get("swiftd_plugin_generation"), 2.0);
    assert_eq!(
        found.get("swiftd_plugin_reloads_total{result=\"done\"}"),
        2.0
    );
    assert_eq!(found.get("swiftd_plugin_requests{generation=\"1\"}"), 1.0);
    assert_eq!(found.get("swiftd_plugin_requests{generation=\"2\"}"), 1.0);
    assert_eq!(found.get(watch), 1.0);
    let page = text(&mut client, "/server-status");
    assert!(
        page.contains("<span class=\"tag warn\">draining</span>"),
        "{page}"
    );

    fs::write(&pipe, ".").unwrap();
    assert_eq!(waiting.response().body, b"v1\n");
    stage.until("plugin a: v1 cleanup");
    let after = scrape(&mut client);
    assert!(
        !after
            .names()
            .any(|name| name.contains("plugin=\"a\",generation=\"1\""))
    );
    drop((client, waiting));
    stage.finish();
}

#[test]
fn a_rejected_reload_is_told_with_its_reason() {
    let mut stage = stage(&[]);
    stage.place.save(&["status", "a", "none"]);
    stage.rejection();
    let mut client = stage.server.connect();
    let found = scrape(&mut client);
    assert!(found.get("swiftd_plugin_reloads_total{result=\"rejected\"}") >= 1.0);
    let mut names = found.names();
    let told = names.find(|name| name.starts_with("swiftd_plugin_reload_rejected{"));
    assert!(told.is_some_and(|told| told.contains("none.so: there is no such file")));
    let page = text(&mut client, "/server-status");
    assert!(page.contains("The last reload of plugins was rejected"));
    stage.place.save(&["status"]);
    stage.generation(2);
    let page = text(&mut client, "/server-status");
    assert!(!page.contains("was rejected</b>"), "{page}");
    drop(client);
    stage.finish();
}

#[test]
fn every_scrape_of_a_busy_server_is_consistent() {
    let stage = stage(&[]);
    let address = stage.server.address();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for index in 0..500 {
                    let target = if (index + worker) % 5 == 0 {
                        "/none"
                    } else {
                        "/small.txt"
                    };
                    client.get(target);
                }
            })
        })
        .collect();
    let mut client = stage.server.connect();
    let mut before = scrape(&mut client);
    let mut has_ended = false;
    while !has_ended {
        has_ended = workers.iter().all(std::thread::JoinHandle::is_finished);
        let now = scrape(&mut client);
        now.assert_follows(&before);
        let answered = now.sum("swiftd_requests_total{");
        assert_eq!(now.get("swiftd_request_seconds_count"), answered);
        before = now;
    }
    for worker in workers {
        worker.join().unwrap();
    }
    let last = scrape(&mut client);
    assert_eq!(last.get("swiftd_requests_total{status=\"4xx\"}"), 400.0);
    assert!(last.get("swiftd_requests_total{status=\"2xx\"}") >= 1600.0);
    drop(client);
    stage.finish();
}

#[test]
fn only_this_machine_reads_it_and_only_reads_it() {
    let stage = stage(&["--set", "plugin.status.path=/-/s"]);
    let mut client = stage.server.connect();
    assert_eq!(client.get("/server-status").status, 404);
    assert_eq!(client.get("/-/s").status, 200);
    let passed_on = client.get_with("/-/s/json", "X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(passed_on.status, 403);
    client.send("HEAD /-/s HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.head();
    assert!(head.status == 200 && head.length() > 1000);
    client.send("POST /-/s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
    let refused = client.response();
    assert_eq!(
        (refused.status, refused.field("allow")),
        (405, Some("GET, HEAD"))
    );
    drop(client);
    stage.finish();
}

#[test]
fn without_anybody_who_asks_nothing_is_counted() {
    let mut stage = stage(&[]);
    let mut client = stage.server.connect();
    client.get("/small.txt");
    assert_eq!(scrape(&mut client).get("swiftd_request_seconds_count"), 1.0);
    stage.place.save(&["a"]);
    stage.generation(2);
    for _ in 0..7 {
        client.get("/small.txt");
    }
    stage.place.save(&["a", "status"]);
    stage.generation(3);
    let found = scrape(&mut client);
    assert_eq!(found.get("swiftd_request_seconds_count"), 2.0);
    drop(client);
    stage.finish();
}

#[test]
fn a_client_of_the_unix_socket_is_on_this_machine() {
    let directory = tempfile::TempDir::new().unwrap();
    let socket = directory.path().join("socket");
    let stage = stage(&["--listen", &format!("unix:{}", socket.display())]);
    let mut client = Client::connect_unix(&socket);
    assert_eq!(client.get("/server-status/json").status, 200);
    drop(client);
    stage.finish();
}
