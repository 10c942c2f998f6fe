//! More clients than there is room for.

use crate::server::{Client, Server, assert_same, first_answered};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use tempfile::TempDir;

fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("small.txt"), "small").unwrap();
    root
}

/// Whether a log has exactly one line, and that says `what`.
#[track_caller]
fn assert_said_once(log: &[String], what: &str) {
    assert!(log.len() == 1 && log[0].contains(what), "{log:?}");
}

/// New clients that have sent a request.
fn ask(server: &Server, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = server.connect();
        client.ask("/small.txt");
        client
    };
    (0..count).map(ask).collect()
}

/// The number that the next descriptor of the server would have.
fn lowest_free_descriptor(server: &Server) -> usize {
    let is_open = |number: &usize| {
        // Whatever it stands for, the link itself is there.
        fs::symlink_metadata(format!("/proc/{}/fd/{number}", server.pid())).is_ok()
    };
    (0..).find(|number| !is_open(number)).unwrap()
}

/// Half a request, so that the client is not idle.
const HALF: &str = "GET /small.txt HTTP/1.1\r\n";

/// Lets those who hold a place leave one after the other; each time the next one who waits gets
/// its answer, and nobody before that.
fn serve_all_in_turn(mut served: Vec<Client>, mut waiting: Vec<Client>) {
    while !waiting.is_empty() {
        for client in &mut served {
            client.send("Host: x\r\n\r\n");
            assert_eq!(client.response().body, b"small");
            client.send(HALF);
        }
        for client in &waiting {
            assert!(client.is_silent(), "there is no room yet");
        }
        drop(served.remove(0));
        let mut next = waiting.swap_remove(first_answered(&waiting));
        assert_eq!(next.response().body, b"small");
        next.send(HALF);
        served.push(next);
    }
}

#[test]
fn clients_beyond_the_connection_limit_wait_and_are_served() {
    let root = site();
    let options = ["--connections", "4", "--head-timeout", "600"];
    let server = Server::start(root.path(), &options);
    let mut served = ask(&server, 4);
    for client in &mut served {
        assert_eq!(client.response().status, 200);
        client.send(HALF);
    }
    let waiting = ask(&server, 8);
    serve_all_in_turn(served, waiting);
    let log = server.finish_with_log(0);
    assert_said_once(&log, "limit is reached");
}

#[test]
fn idle_clients_do_not_keep_others_out() {
    let root = site();
    let options = ["--connections", "4", "--idle-timeout", "600"];
    let server = Server::start(root.path(), &options);
    let mut served = ask(&server, 4);
    for client in &mut served {
        assert_eq!(client.response().status, 200);
    }
    // All of them are idle for ten minutes, but for two seconds only they are spared.
    for mut client in ask(&server, 4) {
        assert_eq!(client.response().body, b"small");
    }
    drop(served);
    let log = server.finish_with_log(0);
    assert_said_once(&log, "limit is reached");
}

#[test]
fn a_low_descriptor_limit_bounds_the_connections() {
    let root = site();
    let options = ["--cache-files", "0", "--idle-timeout", "3"];
    let server = Server::start_with_files_max(82, root.path(), &options);
    let mut served = ask(&server, 16);
    for client in &mut served {
        assert_eq!(client.response().status, 200);
    }
    let waiting = ask(&server, 8);
    // Nothing can be done until the first of them has been idle for its time. Then all are.
    let before = server.ticks();
    served[0].expect_end();
    let ticks = server.ticks() - before;
    assert!(ticks < 75, "{ticks} ticks of 300 spent on waiting");
    for mut client in waiting {
        assert_eq!(client.response().body, b"small");
    }
    drop(served);
    let log = server.finish_with_log(0);
    assert_said_once(&log, "limit is reached (16 connections)");
}

#[test]
fn running_out_of_descriptors_stops_accepting_and_nothing_else() {
    let root = site();
    let large = vec![7; 100_000];
    fs::write(root.path().join("large.bin"), &large).unwrap();
    // A connection that is left alone for so long ends the wait below.
    let options = ["--idle-timeout", "3", "--cache-trust", "3600000"];
    let server = Server::start(root.path(), &options);
    let mut served = ask(&server, 4);
    for client in &mut served {
        assert_eq!(client.response().status, 200);
    }
    // As if other files of the process had used them up.
    server.set_files_max(lowest_free_descriptor(&server));
    let waiting = ask(&server, 4);
    // Those who are connected are served from memory; for a file there is no descriptor left.
    assert_eq!(served[0].get("/small.txt").body, b"small");
    let refused = served[0].get("/large.bin");
    assert_eq!(refused.status, 503);
    for client in &waiting {
        assert!(client.is_silent());
    }
    let before = server.ticks();
    let mut last = served.split_off(3);
    last[0].expect_end();
    let ticks = server.ticks() - before;
    assert!(ticks < 75, "{ticks} ticks of 300 spent on waiting");
    drop((served, last));
    for mut client in waiting {
        assert_eq!(client.response().body, b"small");
    }
    server.set_files_max(1024);
    assert_same(&server.get("/large.bin").body, &large);
    let log = server.finish_with_log(1);
    assert_said_once(&log, "out of descriptors");
}

/// Raises this process' limit; tells whether there is room for `count` clients.
pub(crate) fn make_room(count: u64) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let wanted = count + 1000;
    if limit.current.is_some_and(|current| current < wanted) {
        let new = Rlimit {
            current: limit
                .maximum
                .map_or(Some(wanted), |most| Some(most.min(wanted))),
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, new).unwrap();
    }
    getrlimit(Resource::Nofile)
        .current
        .is_none_or(|current| current >= wanted)
}

#[test]
fn ten_thousand_connections_are_held_and_each_is_answered() {
    const COUNT: usize = 10_000;
    if !make_room(COUNT as u64) {
        eprintln!("skipped: the hard limit of open files is too low");
        return;
    }
    let root = site();
    let server = Server::start(root.path(), &["--idle-timeout", "600"]);
    let mut clients = Vec::with_capacity(COUNT);
    while clients.len() < COUNT {
        // No more at once than the kernel queues for any server (net.core.somaxconn).
        for _ in 0..100 {
            let mut client = server.connect();
            client.ask("/small.txt");
            clients.push(client);
        }
        for client in clients.iter_mut().rev().take(100) {
            assert_eq!(client.response().body, b"small");
        }
    }
    // All at once: no event may be lost.
    for client in &mut clients {
        client.ask("/small.txt");
    }
    for client in &mut clients {
        assert_eq!(client.response().body, b"small");
    }
    for client in clients {
        client.reset();
    }
    server.finish(0);
}
