//! A disk that has stopped. There is none to be had without a device of one's own, so the disk
//! thread itself is stopped, as a debugger would stop it, and let go again.

use crate::server::{Client, Response, Server, first_answered, program};
use crate::stopped::StoppedThread;
use rustix::process::Signal;
use std::fs;
use tempfile::TempDir;

/// Look-ups that may wait for the disk thread; one more is refused.
const JOBS_MAX: usize = 256;

/// Connections: one for each of those, some that are refused, one to ask for what needs no disk.
const CLIENTS: usize = JOBS_MAX + 12;

fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    for number in 0..CLIENTS {
        fs::write(root.path().join(number.to_string()), number.to_string()).unwrap();
    }
    fs::write(root.path().join("known"), "known").unwrap();
    root
}

/// A server whose disk thread has stopped, with all the connections that it takes.
fn stop_disk(root: &TempDir, options: &[&str]) -> (Server, StoppedThread, Vec<Client>) {
    let mut command = program();
    command.arg(root.path()).args(["--port", "0"]).args(options);
    // Every look-up that the cache cannot answer is made by the disk thread, and each is made once.
    command.args(["--avoid", "resolve-cached", "--cache-trust", "3600000"]);
    let server = Server::spawn(command);
    let connect = || {
        let mut client = server.connect();
        assert_eq!(client.get("/known").body, b"known");
        client
    };
    let clients = (0..CLIENTS).map(|_| connect()).collect();
    let disk = StoppedThread::new(&server, "swiftd-disk");
    (server, disk, clients)
}

#[test]
fn look_ups_are_refused_when_too_many_wait_for_the_disk() {
    let root = site();
    let (server, disk, mut clients) = stop_disk(&root, &[]);
    let mut free = clients.pop().unwrap();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask(&format!("/{number}"));
    }
    let mut numbers: Vec<usize> = (0..clients.len()).collect();
    let mut refused = Vec::new();
    while clients.len() > JOBS_MAX {
        let index = first_answered(&clients);
        numbers.swap_remove(index);
        let mut client = clients.swap_remove(index);
        assert_busy(&client.response());
        refused.push(client);
    }
    // Their connections are kept, and what the cache knows is there for all.
    assert_eq!(free.get("/known").body, b"known");
    for client in &mut refused {
        assert_eq!(client.get("/known").body, b"known");
    }
    drop(disk);
    for (number, client) in numbers.into_iter().zip(&mut clients) {
        assert_eq!(client.response().body, number.to_string().as_bytes());
    }
    drop((clients, refused, free));
    server.finish_with_log(0);
}

#[track_caller]
fn assert_busy(response: &Response) {
    assert_eq!(response.status, 503);
    assert_eq!(response.field("Retry-After"), Some("1"));
}

#[test]
fn who_asks_for_the_same_waits_for_the_same_answer() {
    let root = site();
    let (server, disk, mut clients) = stop_disk(&root, &[]);
    // More than there may be look-ups.
    for client in &mut clients[1..] {
        client.ask("/7");
    }
    assert_eq!(clients[0].get("/known").body, b"known");
    for client in &clients[1..] {
        assert!(client.is_silent());
    }
    drop(disk);
    for client in &mut clients[1..] {
        assert_eq!(client.response().body, b"7");
    }
    drop(clients);
    server.finish_with_log(0);
}

#[test]
fn answers_for_those_who_are_gone_are_dropped() {
    let root = site();
    let (server, disk, mut clients) = stop_disk(&root, &[]);
    let gone = clients.split_off(100);
    for mut client in gone.into_iter().take(100) {
        client.ask("/1");
        client.ask("/2");
        client.reset();
    }
    // Others take their places and wait for something else.
    let mut others: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for (number, client) in others.iter_mut().enumerate() {
        client.ask(&format!("/{}", 10 + number % 2));
    }
    assert_eq!(clients[0].get("/known").body, b"known");
    drop(disk);
    for (number, client) in others.iter_mut().enumerate() {
        let wanted = (10 + number % 2).to_string();
        assert_eq!(client.response().body, wanted.as_bytes());
    }
    drop((clients, others));
    server.finish_with_log(0);
}

#[test]
fn who_waits_for_the_disk_too_long_is_told_so() {
    let root = site();
    let (server, disk, mut clients) = stop_disk(&root, &["--disk-timeout", "0.5"]);
    for client in &mut clients[..3] {
        client.ask("/1");
    }
    for client in &mut clients[..3] {
        let response = client.response();
        assert_eq!(response.status, 503);
        client.expect_end();
    }
    assert_eq!(clients[3].get("/known").body, b"known");
    drop(disk);
    assert_eq!(clients[3].get("/1").body, b"1");
    drop(clients);
    server.finish_with_log(0);
}

#[test]
fn a_stopped_disk_does_not_keep_the_server_from_ending() {
    let root = site();
    let (server, _disk, mut clients) = stop_disk(&root, &["--drain-timeout", "0.5"]);
    clients[0].ask("/1");
    server.signal(Signal::TERM);
    clients[1].expect_end();
    // A stopped thread keeps its process from being buried, so its end cannot be waited for; the
    // end of this connection is that of the server, which has not answered.
    assert!(clients[0].all_there_is().is_empty());
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let root = site();
    let mut command = program();
    command.arg(root.path()).args(["--port", "0"]);
    command.args(["--avoid", "resolve-cached", "--connections", "2"]);
    let (server, mut gate) = Server::spawn_gated(command);
    gate.shut();
    // With the second one the limit is reached, and the log is told so.
    let mut clients = [server.connect(), server.connect()];
    for number in 0..20 {
        for client in &mut clients {
            let name = format!("/{number}");
            assert_eq!(client.get(&name).body, number.to_string().as_bytes());
        }
    }
    drop((gate, clients));
    server.finish_with_log(0);
}
