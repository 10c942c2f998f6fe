//! The end of the server: in good order, at the deadline, at once.

use crate::server::{Client, Server, assert_same, program};
use crate::serving::site;
use rustix::process::{Pid, Signal, kill_process};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Instant;

#[test]
fn a_stop_in_good_order_finishes_what_was_begun() {
    let (root, large) = site();
    let options = ["--drain-timeout", "3600", "--idle-timeout", "3600"];
    let server = Server::start(root.path(), &options);
    let address = server.address();
    let mut busy = Client::connect_narrow(address, 16 * 1024);
    busy.ask("/large.bin");
    let head = busy.head();
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::TERM);
    // By the time the idle one is closed, the doors are.
    idle.expect_end();
    assert!(TcpStream::connect(address).is_err());
    let body = busy.bytes(head.length());
    assert_same(&body, &large);
    // Its connection was to be kept, but not any more.
    busy.expect_end();
    drop((busy, idle));
    let (status, log) = server.wait();
    assert!(status.success() && log.is_empty(), "{status} {log:?}");
}

#[test]
fn requests_that_are_under_way_at_a_stop_are_answered() {
    let (root, large) = site();
    let options = ["--drain-timeout", "3600", "--idle-timeout", "3600"];
    let server = Server::start(root.path(), &options);
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    let two =
        ["large.bin", "small.txt"].map(|name| format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n"));
    // In one segment, so that the second has been read with the first.
    busy.send(two.concat());
    busy.head();
    let mut half = server.connect();
    half.send("GET /small.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n");
    half.send("Expect: 100-continue\r\n\r\n");
    assert_eq!(half.head().status, 100);
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::TERM);
    idle.expect_end();
    half.send("x");
    let last = half.response();
    assert_eq!(
        (last.status, last.field("Connection")),
        (200, Some("close"))
    );
    half.expect_end();
    assert_same(&busy.bytes(large.len()), &large);
    let last = busy.response();
    assert_eq!(
        (last.status, last.field("Connection")),
        (200, Some("close"))
    );
    busy.expect_end();
    drop((busy, half, idle));
    assert!(server.wait().0.success());
}

#[test]
fn a_stop_in_good_order_has_a_deadline() {
    let (root, large) = site();
    let server = Server::start(root.path(), &["--drain-timeout", "0.5"]);
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success() && log.is_empty(), "{status} {log:?}");
    assert!(busy.all_there_is().len() < large.len());
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let (root, large) = site();
    let server = Server::start(root.path(), &["--drain-timeout", "3600"]);
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::TERM);
    // Now the first one has been taken.
    idle.expect_end();
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success() && log.is_empty(), "{status} {log:?}");
    assert!(busy.all_there_is().len() < large.len());
}

#[test]
fn an_idle_server_ends_at_once() {
    let (root, _) = site();
    let server = Server::start(root.path(), &["--drain-timeout", "3600"]);
    let start = Instant::now();
    server.signal(Signal::QUIT);
    assert!(server.wait().0.success());
    assert!(start.elapsed() < crate::server::PATIENCE);
}

#[test]
fn sigpipe_is_harmless() {
    let (root, _) = site();
    let server = Server::start(root.path(), &[]);
    server.signal(Signal::PIPE);
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish(0);
}

#[test]
fn a_log_that_nobody_reads_is_no_reason_to_end() {
    let (root, _) = site();
    let path = root.path().join("s.sock");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program();
    command.arg(root.path()).arg("--listen");
    command.arg(format!("unix:{}", path.display()));
    let child = command.stdin(Stdio::null()).stderr(writer).spawn();
    let mut child = Killed(child.unwrap());
    // Without a ready line, the socket is what tells. It exists before it listens.
    while UnixStream::connect(&path).is_err() {
        if let Some(status) = child.0.try_wait().unwrap() {
            panic!("it ended: {status}");
        }
        std::thread::yield_now();
    }
    assert_eq!(Client::connect_unix(&path).get("/small.txt").status, 200);
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    assert!(child.0.wait().unwrap().success());
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
