//! What the server holds, measured on the real program: fresh, with 10,000 idle connections, and
//! after much work.
//!
//! The numbers are of pages that belong to the process alone (Private_Dirty), so shared libraries
//! and files do not count, and the machine makes no difference.

#[path = "support/server.rs"]
mod server;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{Client, Server, pattern};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

const KIB: usize = 1024;

/// One measurement at a time: all of them are about memory, and one needs most descriptors.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn site() -> TempDir {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("small.txt"), "small").unwrap();
    fs::write(root.path().join("page.html"), pattern(12_000, 1)).unwrap();
    fs::write(root.path().join("large.bin"), pattern(400_000, 2)).unwrap();
    root
}

/// What belongs to the process alone.
fn private_bytes(server: &Server) -> usize {
    // Pages of a program that has just been linked count as dirty until they are on the disk.
    rustix::fs::sync();
    server.memory("Private_Dirty")
}

#[test]
fn a_fresh_server_is_small() {
    let _alone = alone();
    let root = site();
    let server = Server::start(root.path(), &[]);
    assert_eq!(server.get("/small.txt").status, 200);
    let bytes = private_bytes(&server);
    println!("fresh: {} KiB private", bytes / KIB);
    if !cfg!(debug_assertions) {
        assert!(bytes <= 256 * KIB, "{} KiB", bytes / KIB);
    }
    server.finish(0);
}

#[test]
fn an_idle_connection_costs_little_more_than_its_slot() {
    const COUNT: usize = 10_000;
    const BYTES_MAX: usize = 256;
    let _alone = alone();
    let limit = getrlimit(Resource::Nofile);
    let new = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, new).unwrap();
    if limit.maximum.is_some_and(|most| most < COUNT as u64 + 500) {
        println!("skipped: the hard limit of open files is too low");
        return;
    }
    let root = site();
    let server = Server::start(root.path(), &["--idle-timeout", "600"]);
    assert_eq!(server.get("/small.txt").status, 200);
    let before = private_bytes(&server);
    let connect = |_| {
        let mut client = server.connect();
        assert_eq!(client.get("/small.txt").body, b"small");
        client
    };
    let clients: Vec<Client> = (0..COUNT).map(connect).collect();
    let after = private_bytes(&server);
    let each = after.saturating_sub(before) / COUNT;
    println!("idle: {each} bytes each, {} KiB private", after / KIB);
    assert!(each <= BYTES_MAX, "{each} bytes for each idle connection");
    assert!(after <= 3 * KIB * KIB, "{} KiB in all", after / KIB);
    for client in clients {
        client.reset();
    }
    server.finish(0);
}

/// How many clients work at once.
const CLIENTS: usize = 8;

/// What the answers of one client hold at most until it reads them, and a little more: how many
/// of them hold how much at the same time is a matter of luck.
const CLIENT_BYTES: usize = 100 * KIB;

/// Everything that takes and gives back memory.
fn work(server: &Server) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        // Pipelined, so that answers gather.
        for _ in 0..20 {
            client.ask("/page.html");
        }
        client.ask("/large.bin");
        client.ask("/nothing");
    }
    for client in &mut clients {
        for _ in 0..22 {
            client.response();
        }
        let ranges = "Range: bytes=0-9, 1000-20000, -5\r\n";
        assert_eq!(client.get_with("/large.bin", ranges).status, 206);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.get(&format!("/missing-{number}"));
        match number % 3 {
            0 => client.send("GET /half"),
            1 => client.send("BAD\r\n\r\n"),
            _ => client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"),
        }
    }
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.reset();
        }
    }
    server.wait_until_idle(1);
}

#[test]
fn rounds_of_work_do_not_add_up() {
    let _alone = alone();
    let root = site();
    let server = Server::start(root.path(), &[]);
    // What is kept for next time has been taken by then.
    for _ in 0..3 {
        work(&server);
    }
    let before = private_bytes(&server);
    // About 12,000 requests: 70 bytes lost with each would be too many.
    for _ in 0..60 {
        work(&server);
    }
    let after = private_bytes(&server);
    println!("{} KiB before, {} KiB after", before / KIB, after / KIB);
    let growth = after.saturating_sub(before);
    assert!(growth <= CLIENTS * CLIENT_BYTES, "{} KiB", growth / KIB);
    server.finish(1);
}
