//! What hooks may ask of a real server: other roots, who is calling, streams that a slow client
//! holds back, and to be told of the end of every connection. The server runs in a thread of this
//! process, with hooks of this test.

use crate::server::{Client, assert_same, pattern};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use swiftd::config::Config;
use swiftd::conn::{Caller, Exchange, Flow, Hooks, Id, Point, Why};
use swiftd::http::Body;
use swiftd::server::{Server, Stopper};
use swiftd::sys::file::Features;
use swiftd::sys::socket::Address;
use tempfile::TempDir;

/// How much a stream sends.
const STREAM_BYTES: usize = 20_000_000;

/// `/NAME/REST` is REST beneath the root NAME; `/stream` and `/who` are answered here.
struct Router {
    grounds: PathBuf,
    closes: Sender<(Id, Why)>,
    written: usize,
}

impl swiftd::plugin::Extension for Router {}

impl Hooks for Router {
    fn is_empty(&self) -> bool {
        false
    }

    fn call(&mut self, point: Point, exchange: &mut Exchange, caller: Caller<'_>) -> Flow {
        let path = String::from_utf8(exchange.path.clone()).unwrap();
        match point {
            Point::UrlClean if path == "/who" => {
                let origin = caller.origin;
                let text = format!("{:?} {:?}", origin.peer(), origin.local());
                exchange.response.body = Body::Bytes(text.into_bytes());
                Flow::Finished
            }
            Point::Docroot if path.matches('/').count() > 1 => {
                let (name, _) = path[1..].split_once('/').unwrap();
                let root = self
                    .grounds
                    .join(name)
                    .into_os_string()
                    .into_encoded_bytes();
                let physical = [self.grounds.as_os_str().as_encoded_bytes(), path.as_bytes()];
                exchange.docroot = Some(root);
                exchange.physical = Some(physical.concat());
                Flow::GoOn
            }
            Point::SubrequestStart if path == "/stream" => Flow::Finished,
            Point::HandleSubrequest => self.stream(exchange),
            _ => Flow::GoOn,
        }
    }

    fn handle_reset(&mut self, _exchange: &mut Exchange, _why: Why, _caller: Caller<'_>) {}

    fn handle_close(&mut self, id: Id, why: Why) {
        self.closes.send((id, why)).unwrap();
    }
}

impl Router {
    fn stream(&mut self, exchange: &mut Exchange) -> Flow {
        let content = pattern(50_000, 7);
        if !exchange.stream.is_started() {
            self.written = 0;
        }
        exchange.stream.start();
        while self.written < STREAM_BYTES {
            let at = self.written % content.len();
            match exchange.stream.write(&content[at..]) {
                Some(bytes) => self.written += bytes,
                None => return Flow::Wait,
            }
        }
        Flow::Finished
    }
}

/// A server in a thread.
struct Running {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    closes: Receiver<(Id, Why)>,
}

impl Running {
    fn start(grounds: &Path, features: Features) -> Self {
        fs::create_dir_all(grounds.join("site")).unwrap();
        let mut config = Config::new(grounds.join("site"));
        config.listen = vec![Address::Tcp(([127, 0, 0, 1], 0).into()).into()];
        config.site.features = features;
        config.cache.trust = Duration::from_millis(50);
        let (sender, closes) = channel();
        let (started, has_started) = channel();
        let grounds = grounds.to_owned();
        // A server stays in its thread, so it is made there.
        let thread = std::thread::spawn(move || {
            let router = Router {
                grounds,
                closes: sender,
                written: 0,
            };
            let server = Server::start(config, Box::new(router), None).unwrap();
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
            closes,
        }
    }

    /// Stops the server; returns how the connections ended that have not been asked for yet.
    fn stop(mut self) -> Vec<Why> {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
        self.closes.try_iter().map(|(_, why)| why).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
    }
}

#[test]
fn other_roots_are_served_like_the_site_and_contain_what_they_hold() {
    let directory = TempDir::new().unwrap();
    let grounds = directory.path();
    for name in ["one", "two"] {
        let root = grounds.join(name);
        fs::create_dir_all(root.join("dir")).unwrap();
        fs::write(root.join("file"), name).unwrap();
        fs::write(root.join("dir/index.html"), format!("index of {name}")).unwrap();
        fs::write(root.join(".hidden"), "hidden").unwrap();
        symlink("file", root.join("inside")).unwrap();
        symlink("../one/file", root.join("outside")).unwrap();
        fs::write(root.join("large"), pattern(400_000, 3)).unwrap();
    }
    let without = Features {
        openat2: false,
        resolve_cached: false,
        nowait: false,
        cachestat: false,
    };
    for features in [Features::ALL, without] {
        let server = Running::start(grounds, features);
        let mut client = Client::connect(server.address);
        for _ in 0..2 {
            for name in ["one", "two"] {
                let mut get = |path: &str| client.get(&format!("/{name}/{path}"));
                assert_same(&get("file").body, name.as_bytes());
                assert_same(&get("inside").body, name.as_bytes());
                assert_same(&get("dir/").body, format!("index of {name}").as_bytes());
                assert_same(&get("large").body, &pattern(400_000, 3));
                let location = format!("/{name}/dir/");
                assert_eq!(get("dir").field("Location"), Some(&location[..]));
                assert_eq!(get(".hidden").status, 404);
                assert_ne!(get("outside").status, 200);
            }
            assert_eq!(client.get("/none/file").status, 404);
            assert_eq!(client.get("/file").status, 404);
        }
        drop(client);
        server.stop();
    }
}

#[test]
fn a_root_that_is_replaced_or_made_is_served_anew() {
    let directory = TempDir::new().unwrap();
    let grounds = directory.path();
    let server = Running::start(grounds, Features::ALL);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/late/file").status, 404);
    for (name, content) in [("first", "1"), ("second", "2")] {
        fs::create_dir(grounds.join(name)).unwrap();
        fs::write(grounds.join(name).join("file"), content).unwrap();
        let late = grounds.join("late");
        if late.exists() {
            fs::rename(&late, grounds.join("old")).unwrap();
        }
        fs::rename(grounds.join(name), late).unwrap();
        // Each answer is waited for, and each second the root is looked at again.
        while client.get("/late/file").body != content.as_bytes() {}
    }
    drop(client);
    server.stop();
}

#[test]
fn more_roots_than_are_kept_open_are_served() {
    let directory = TempDir::new().unwrap();
    let grounds = directory.path();
    for number in 0..80 {
        let root = grounds.join(format!("root{number}"));
        fs::create_dir(&root).unwrap();
        fs::write(root.join("file"), number.to_string()).unwrap();
    }
    let server = Running::start(grounds, Features::ALL);
    let mut client = Client::connect(server.address);
    for number in (0..80).chain(0..80) {
        let body = client.get(&format!("/root{number}/file")).body;
        assert_same(&body, number.to_string().as_bytes());
    }
    drop(client);
    server.stop();
}

#[test]
fn hooks_learn_who_is_calling_and_of_each_end() {
    let directory = TempDir::new().unwrap();
    let server = Running::start(directory.path(), Features::ALL);
    let stream = std::net::TcpStream::connect(server.address).unwrap();
    let local = stream.local_addr().unwrap();
    let mut client = Client::from_stream(stream);
    let expected = format!("{:?} {:?}", Some(local), Some(server.address));
    assert_same(&client.get("/who").body, expected.as_bytes());
    drop(client);
    let (first, why) = server.closes.recv().unwrap();
    assert_eq!(why, Why::Done);
    // One that never asks for anything has an end, too.
    let mut idle = Client::connect(server.address);
    idle.send("G");
    idle.end();
    idle.expect_end();
    let (second, why) = server.closes.recv().unwrap();
    assert_eq!(why, Why::ClientGone);
    assert_ne!(first, second);
    let mut kept = Client::connect(server.address);
    kept.get("/who");
    assert_eq!(server.stop(), [Why::Stop]);
}

#[test]
fn a_stream_waits_for_a_slow_client_and_arrives_whole() {
    let directory = TempDir::new().unwrap();
    let server = Running::start(directory.path(), Features::ALL);
    let mut client = Client::connect_narrow(server.address, 4096);
    client.send("GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    // Others are served although the sockets of this one are full.
    let mut other = Client::connect(server.address);
    for _ in 0..10 {
        assert_eq!(other.get("/who").status, 200);
    }
    assert_eq!(client.head().field("Transfer-Encoding"), Some("chunked"));
    let sent = client.all();
    let mut rest = &sent[..];
    let mut content = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        content.extend_from_slice(&rest[end + 2..][..size]);
        rest = &rest[end + 2 + size..];
        rest = rest.strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            break;
        }
    }
    assert!(rest.is_empty());
    assert_same(&content, &pattern(50_000, 7).repeat(STREAM_BYTES / 50_000));
    drop((client, other));
    server.stop();
}
