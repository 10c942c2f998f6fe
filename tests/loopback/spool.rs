//! Bodies of requests: in memory, in a file, nowhere. A plugin of this test answers with what it
//! got, so the server runs in a thread of this process.

use crate::server::{Client, assert_same, pattern};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use swiftd::config::Config;
use swiftd::conn::{Caller, Exchange, Flow, Hooks, Point, Why};
use swiftd::http::Body;
use swiftd::server::{Server, Stopper};
use swiftd::sys::socket::Address;
use tempfile::TempDir;

/// Answers every request by its own body, after two fields that tell where that was.
struct Echo {
    ends: Sender<Why>,
}

impl swiftd::plugin::Extension for Echo {}

impl Hooks for Echo {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, _caller: Caller<'_>) -> Flow {
        match point {
            Point::SubrequestStart => Flow::Finished,
            Point::HandleSubrequest => {
                let (place, body) = match exchange.body.file() {
                    Some(file) => ("file", read(file, exchange.body.kept_bytes())),
                    None => ("memory", exchange.body.memory().unwrap().to_vec()),
                };
                exchange.response.push_field("X-Place", place.as_bytes());
                exchange.response.body = Body::Bytes(body);
                Flow::Finished
            }
            _ => Flow::GoOn,
        }
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, why: Why, _caller: Caller<'_>) {
        self.ends.send(why).unwrap();
    }
}

fn read(file: &Arc<OwnedFd>, bytes: u64) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::from(file.try_clone().unwrap());
    assert_eq!(
        file.metadata().unwrap().len(),
        bytes,
        "nothing else is in it"
    );
    let mut content = vec![0; bytes as usize];
    file.read_exact_at(&mut content, 0).unwrap();
    content
}

/// A server in a thread.
struct Running {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    ends: Receiver<Why>,
}

impl Running {
    fn start(temporary: PathBuf) -> Self {
        let mut config = Config::new(std::env::temp_dir());
        config.listen = vec![Address::Tcp(([127, 0, 0, 1], 0).into()).into()];
        config.temporary = temporary;
        config.limits.body.memory_bytes_max = 10_000;
        config.limits.body.body_bytes_max = 8 * 1024 * 1024;
        let (sender, ends) = channel();
        let (started, has_started) = channel();
        // A server stays in its thread, so it is made there.
        let thread = std::thread::spawn(move || {
            let server = Server::start(config, Box::new(Echo { ends: sender }), None).unwrap();
            let address = server.addresses().next().cloned();
            started.send((address, server.stopper())).unwrap();
            server.run()
        });
        let (Some(Address::Tcp(address)), stopper) = has_started.recv().unwrap() else {
            unreachable!("it listens where it was told to");
        };
        Self {
            address,
            stopper,
            thread: Some(thread),
            ends,
        }
    }

    /// Stops the server; returns how the exchanges ended.
    fn stop(mut self) -> Vec<Why> {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
        self.ends.try_iter().collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

fn post_sized(client: &mut Client, body: &[u8]) {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length";
    client.send(format!("{head}: {}\r\n\r\n", body.len()));
    client.send(body);
}

/// In chunks of many sizes.
fn post_chunked(client: &mut Client, body: &[u8]) {
    let mut message = Vec::new();
    message.extend_from_slice(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (mut rest, mut step) = (body, 1);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(step.min(rest.len()));
        write!(message, "{:x}\r\n", chunk.len()).unwrap();
        message.extend_from_slice(chunk);
        message.extend_from_slice(b"\r\n");
        rest = after;
        step = step * 5 % 70_001;
    }
    message.extend_from_slice(b"0\r\n\r\n");
    client.send(message);
}

fn count_files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[test]
fn bodies_of_all_sizes_come_back_as_they_were_sent() {
    let temporary = TempDir::new().unwrap();
    let server = Running::start(temporary.path().into());
    let mut client = Client::connect(server.address);
    let mut count = 0;
    for bytes in [0, 1, 9_999, 10_000, 10_001, 16_385, 1_000_000, 3_000_000] {
        let body = pattern(bytes, bytes as u64);
        for post in [post_sized, post_chunked] {
            post(&mut client, &body);
            let response = client.response();
            assert_eq!(response.status, 200, "{bytes}");
            assert_same(&response.body, &body);
            let place = if bytes > 10_000 { "file" } else { "memory" };
            assert_eq!(response.field("X-Place"), Some(place), "{bytes}");
            // It has no name that could stay behind.
            assert_eq!(count_files(temporary.path()), 0);
            count += 1;
        }
    }
    assert_eq!(server.stop(), vec![Why::Done; count]);
}

#[test]
fn many_bodies_at_once_are_not_mixed_up() {
    let temporary = TempDir::new().unwrap();
    let server = Running::start(temporary.path().into());
    let body = |number| pattern(200_000, number);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server.address)).collect();
    let pieces = 0..10_usize;
    for client in &mut clients {
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    }
    for piece in pieces {
        for (client, number) in clients.iter_mut().zip(0..) {
            client.send(&body(number)[piece * 20_000..(piece + 1) * 20_000]);
        }
    }
    for (client, number) in clients.iter_mut().zip(0..) {
        assert_same(&client.response().body, &body(number));
    }
    assert_eq!(server.stop(), [Why::Done; 20]);
}

#[test]
fn a_body_that_cannot_be_kept_is_answered_by_507() {
    let directory = TempDir::new().unwrap();
    assert_insufficient(directory.path().join("missing"));
    // Where no file can be made.
    assert_insufficient("/proc/self".into());
}

#[test]
fn a_full_disk_is_answered_by_507() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can make a small file system");
        return;
    }
    let directory = TempDir::new().unwrap();
    // In a mount namespace of its own, so that nothing can stay behind.
    let script = "mount -t tmpfs -o size=64k none \"$1\" && \
                  exec \"$0\" --exact spool::within_a_small_file_system --ignored";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]);
    command.arg(std::env::current_exe().unwrap());
    command.arg(directory.path()).env(SMALL, directory.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("running 1 test") {
        eprintln!("skipped: root may not mount here");
        return;
    }
    assert!(output.status.success(), "{said}");
}

/// Names the small file system to the test below.
const SMALL: &str = "SWIFTD_TEST_SMALL";

#[test]
#[ignore = "run by the test above"]
fn within_a_small_file_system() {
    assert_insufficient(std::env::var_os(SMALL).unwrap().into());
}

fn assert_insufficient(temporary: PathBuf) {
    let server = Running::start(temporary);
    for post in [post_sized, post_chunked] {
        let mut client = Client::connect(server.address);
        post(&mut client, &pattern(200_000, 1));
        let response = client.response();
        assert_eq!(response.status, 507);
        assert_eq!(response.field("Connection"), Some("close"));
        client.expect_end();
        // What fits in memory needs no disk.
        let mut client = Client::connect(server.address);
        post(&mut client, b"small");
        assert_eq!(client.response().body, b"small");
    }
    assert_eq!(server.stop().len(), 4);
}

#[test]
fn a_body_whose_client_goes_away_is_told_to_the_plugin() {
    let temporary = TempDir::new().unwrap();
    let server = Running::start(temporary.path().into());
    for round in 0..10 {
        let mut client = Client::connect(server.address);
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n");
        client.send(pattern(20_000 * round, 1));
        client.reset();
        assert_eq!(server.ends.recv().unwrap(), Why::ClientGone);
    }
    assert_eq!(count_files(temporary.path()), 0);
    assert!(server.stop().is_empty());
}
