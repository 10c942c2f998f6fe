//! Requests that began with an old version end with it; then nothing of it is left.

use crate::server::Client;
use crate::stage::Stage;
use std::fs;
use std::path::Path;

/// Gives a waiting request what it waits for.
fn release(pipe: &Path) {
    // Both directions: whoever waits may be gone already.
    let mut options = fs::OpenOptions::new();
    let pipe = options.read(true).write(true).open(pipe);
    std::io::Write::write_all(&mut pipe.unwrap(), b".").unwrap();
}

/// A request that waits in the plugin now; the pipe must still be kept by somebody.
fn suspended(stage: &mut Stage, target: &str) -> Client {
    let mut client = stage.server.connect();
    client.ask(target);
    stage.until(" waits");
    client
}

#[test]
fn a_suspended_request_ends_with_the_version_it_began_with() {
    let mut stage = Stage::with(&["a"], &[]);
    let (pipe, target) = stage.place.pipe("a", "pipe");
    let mut client = suspended(&mut stage, &target);
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    stage.assert_version("a", 2);
    assert!(stage.maps("swiftd:a#1") > 0, "somebody is still in it");
    release(&pipe);
    assert_eq!(client.response().body, b"v1\n");
    stage.until("plugin a: v1 cleanup");
    stage.until_unmapped("swiftd:a#1");
    assert!(stage.maps("swiftd:a#2") > 0);
    // The next request on that connection takes the current version.
    let body = client.get("/a/keep").body;
    assert_eq!(body, b"v2\n");
    let log = stage.finish();
    let told: Vec<_> = log
        .iter()
        .filter(|line| line.contains("plugin a: v1 "))
        .collect();
    let wanted = ["waits", "retire", "reset 0", "cleanup"];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (line, what) in told.iter().zip(wanted) {
        assert!(line.contains(what), "{told:#?}");
    }
}

#[test]
fn a_suspended_request_ends_also_after_its_plugin_was_removed() {
    let mut stage = Stage::with(&["a", "b"], &[]);
    let (pipe, target) = stage.place.pipe("a", "pipe");
    let mut client = suspended(&mut stage, &target);
    stage.place.save(&["b"]);
    stage.generation(2);
    stage.assert_version("a", 0);
    release(&pipe);
    assert_eq!(client.response().body, b"v1\n");
    stage.until("plugin a: v1 cleanup");
    stage.until_unmapped("swiftd:a#");
    stage.finish();
}

#[test]
fn a_client_that_leaves_ends_the_old_version() {
    let mut stage = Stage::with(&["a"], &[]);
    let (_pipe, target) = stage.place.pipe("a", "pipe");
    let client = suspended(&mut stage, &target);
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    client.reset();
    stage.until("plugin a: v1 reset 1");
    stage.until("plugin a: v1 cleanup");
    stage.until_unmapped("swiftd:a#1");
    stage.finish();
}

#[test]
fn draining_has_an_end() {
    let mut stage = Stage::with(&["a"], &["--plugin-drain-timeout", "0.5"]);
    let (_pipe, target) = stage.place.pipe("a", "pipe");
    let mut client = suspended(&mut stage, &target);
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    stage.until("plugin a: v1 reset 4");
    stage.until("plugin a: v1 cleanup");
    client.all_there_is();
    stage.until_unmapped("swiftd:a#1");
    stage.assert_version("a", 2);
    stage.finish();
}

#[test]
fn a_fifth_draining_generation_is_waited_for() {
    let mut stage = Stage::with(&["a"], &[]);
    let mut waiting = Vec::new();
    for version in 1..=4 {
        let (pipe, target) = stage.place.pipe("a", &format!("pipe{version}"));
        let client = suspended(&mut stage, &target);
        waiting.push((pipe, client));
        stage.place.install("a", version + 1, &[]);
        stage.hang_up();
        stage.generation(u64::from(version) + 1);
    }
    for version in 1..=5 {
        assert!(stage.maps(&format!("swiftd:a#{version}")) > 0);
    }
    stage.place.install("a", 6, &[]);
    stage.hang_up();
    stage.until("reload waits: 4 generations of plugins are draining");
    stage.assert_version("a", 5);
    let (pipe, mut client) = waiting.remove(1);
    release(&pipe);
    assert_eq!(client.response().body, b"v2\n");
    stage.generation(6);
    stage.assert_version("a", 6);
    assert_eq!(stage.count("reload waits"), 1, "it is said once");
    for (version, (pipe, mut client)) in [1, 3, 4].into_iter().zip(waiting) {
        release(&pipe);
        assert_eq!(client.response().body, format!("v{version}\n").as_bytes());
    }
    for version in 1..=5 {
        stage.until_unmapped(&format!("swiftd:a#{version}"));
    }
    stage.finish();
}

#[test]
fn idle_connections_let_go_of_an_old_version_and_stay() {
    let mut stage = Stage::with(&["a"], &[]);
    let mut clients = [stage.server.connect(), stage.server.connect()];
    for client in &mut clients {
        assert_eq!(client.get("/a/keep").body, b"v1\n");
    }
    let (pipe, target) = stage.place.pipe("a", "pipe");
    let mut busy = stage.server.connect();
    assert_eq!(busy.get("/a/keep").body, b"v1\n");
    busy.ask(&target);
    stage.until(" waits");
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    assert_eq!(stage.count("plugin a: v1 close 4"), 2, "{:#?}", stage.log);
    for client in &mut clients {
        assert_eq!(client.get("/a/keep").body, b"v2\n");
    }
    assert_eq!(stage.count("v1 cleanup"), 0);
    // The busy one follows when it is idle.
    release(&pipe);
    assert_eq!(busy.response().body, b"v1\n");
    stage.until("plugin a: v1 close 4");
    stage.until("plugin a: v1 cleanup");
    assert_eq!(stage.count("v1 drops what it kept"), 3, "{:#?}", stage.log);
    stage.until_unmapped("swiftd:a#1");
    drop(clients);
    stage.until("plugin a: v2 close 0");
    stage.finish();
}

#[test]
fn what_a_plugin_forgets_is_taken_back() {
    let mut stage = Stage::with(&["a"], &[]);
    let mut client = stage.server.connect();
    assert_eq!(client.get("/a/leak").body, b"left\n");
    let descriptors = stage.server.descriptors();
    stage.place.install("a", 2, &[]);
    stage.hang_up();
    stage.generation(2);
    stage.until("plugin a: v1 cleanup");
    stage.until_unmapped("swiftd:a#1");
    assert_eq!(client.get("/a/keep").body, b"v2\n");
    assert_eq!(
        stage.server.descriptors(),
        descriptors - 2,
        "{:?}",
        stage.server
    );
    assert_eq!(stage.count("v1 drops what it kept"), 1);
    drop(client);
    let log = stage.finish();
    assert!(
        !log.iter().any(|line| line.contains("too late")),
        "{log:#?}"
    );
}
