//! Hosts with roots, settings and pages of their own, on real sockets over real files; and what
//! becomes of requests and descriptors when the hosts are replaced while a server runs.
//!
//! The server is driven turn by turn by the test that asks it, so that a swap happens exactly
//! between two turns.

use crate::server::{PATIENCE, assert_same, pattern};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use swiftd::config::PAGE_BYTES_MAX;
use swiftd::config::{AccessLog, Config, Destination, Format, Host, Rules};
use swiftd::conn::NoHooks;
use swiftd::http::Status;
use swiftd::policy::{Field, FieldRule, HostName, PathPattern, Redirect};
use swiftd::server::hosts::prepare;
use swiftd::server::{Error, Server};
use swiftd::sys::file::Features;
use swiftd::sys::socket::Address;
use tempfile::TempDir;

/// Directories with a file each.
struct Grounds(TempDir);

impl Grounds {
    fn new(roots: &[&str]) -> Self {
        let grounds = Self(TempDir::new().unwrap());
        for root in roots {
            grounds.write(&format!("{root}/file"), root);
            grounds.write(&format!("{root}/index.html"), &format!("index of {root}"));
            grounds.write(&format!("{root}/home.htm"), &format!("home of {root}"));
            grounds.write(&format!("{root}/x.own"), root);
        }
        grounds
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A server of one root.
    fn config(&self, root: &str) -> Config {
        let mut config = Config::new(self.path(root));
        config.listen = vec![Address::Tcp(([127, 0, 0, 1], 0).into()).into()];
        config
    }

    /// Descriptors of this process that lie in here.
    fn descriptors(&self) -> usize {
        let own = fs::canonicalize(self.0.path()).unwrap();
        let links = fs::read_dir("/proc/self/fd").unwrap();
        // Other tests open and close theirs meanwhile.
        let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|link| link.starts_with(&own)).count()
    }
}

/// One more host with a root of its own.
fn add_host<'a>(config: &'a mut Config, name: &str, root: &Path) -> &'a mut Host {
    let mut site = config.site.clone();
    site.root = root.into();
    config.hosts.push(Host {
        names: vec![HostName::parse(name).unwrap()],
        site,
        rules: Rules::default(),
    });
    config.hosts.last_mut().unwrap()
}

/// A server and who asks it.
struct Stage {
    server: Server,
    address: SocketAddr,
}

impl Stage {
    fn start(config: Config) -> Self {
        let server = Server::start(config, Box::new(NoHooks), None).unwrap();
        let Some(&Address::Tcp(address)) = server.addresses().next() else {
            unreachable!("it listens where it was told to");
        };
        Self { server, address }
    }

    /// Sends a request and takes turns until the server has taken it.
    fn ask(&mut self, host: &str, target: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        let before = self.server.connection_count();
        while self.server.connection_count() == before && peek(&stream) {
            self.server.step().unwrap();
        }
        stream
    }

    /// Takes turns until the answer is whole: its status, its head, its content.
    fn answer(&mut self, mut stream: TcpStream) -> (u16, String, Vec<u8>) {
        let mut all = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.server.step().unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        (head[9..12].parse().unwrap(), head, all[end..].to_vec())
    }

    fn get(&mut self, host: &str, target: &str) -> (u16, String, Vec<u8>) {
        let stream = self.ask(host, target);
        self.answer(stream)
    }

    #[track_caller]
    fn assert_gets(&mut self, host: &str, target: &str, content: &str) {
        let (status, head, body) = self.get(host, target);
        assert_eq!(
            (status, &body[..]),
            (200, content.as_bytes()),
            "{host}{target}: {head}"
        );
    }

    /// Replaces the hosts; another thread prepares them, as for a reload.
    fn set(&mut self, config: &Config) {
        let prepare = || prepare(config).unwrap();
        let prepared = std::thread::scope(|scope| scope.spawn(prepare).join());
        self.server.set_hosts(prepared.unwrap());
    }
}

/// Whether nothing has come yet.
fn peek(stream: &TcpStream) -> bool {
    let peeked = stream.peek(&mut [0]);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn each_host_is_served_from_its_root_in_its_way() {
    let grounds = Grounds::new(&["main", "one", "two"]);
    let with_and_without = [Features::ALL, Features::NONE];
    for features in with_and_without {
        let mut config = grounds.config("main");
        config.site.features = features;
        config.site.mime = vec![("own".into(), "a/main".into())];
        add_host(&mut config, "one.example", &grounds.path("one"));
        add_host(&mut config, "*.two.example", &grounds.path("two"));
        // The same root in another way.
        let other = add_host(&mut config, "other.example", &grounds.path("one"));
        other.site.index_names = vec!["home.htm".into(), "index.html".into()];
        other.site.mime = vec![
            ("own".into(), "a/other".into()),
            ("htm".into(), "a/htm".into()),
        ];
        // And in the same way.
        add_host(&mut config, "again.example", &grounds.path("one"));
        let mut stage = Stage::start(config);
        assert_eq!(stage.server.site_count(), 4);
        // The second time from the cache.
        for _ in 0..2 {
            for (host, root, home) in [
                ("x", "main", "index"),
                ("one.example", "one", "index"),
                ("a.two.example:80", "two", "index"),
                ("other.example", "one", "home"),
                ("AGAIN.example", "one", "index"),
            ] {
                stage.assert_gets(host, "/file", root);
                stage.assert_gets(host, "/", &format!("{home} of {root}"));
            }
            for (host, media_type) in [
                ("x", "a/main"),
                ("one.example", "a/main"),
                ("other.example", "a/other"),
            ] {
                let (_, head, _) = stage.get(host, "/x.own");
                assert!(
                    head.contains(&format!("Content-Type: {media_type}\r\n")),
                    "{head}"
                );
            }
            let (_, head, _) = stage.get("other.example", "/");
            assert!(head.contains("Content-Type: a/htm\r\n"), "{head}");
        }
    }
}

#[test]
fn rules_of_a_host_are_those_of_its_configuration() {
    let grounds = Grounds::new(&["main", "one"]);
    grounds.write("main/errors/404.html", "<p>main has none</p>");
    grounds.write("pages/404.txt", "one has none");
    let mut config = grounds.config("main");
    config.rules.error_pages = vec![(404, "errors/404.html".into())];
    let one = add_host(&mut config, "one.example", &grounds.path("one"));
    one.rules = Rules {
        error_pages: vec![(404, grounds.path("pages/404.txt"))],
        redirects: vec![Redirect {
            from: PathPattern::parse("/old/*").unwrap(),
            to: b"/*"[..].into(),
            status: Status::MOVED_PERMANENTLY,
        }],
        fields: vec![FieldRule {
            paths: PathPattern::parse("/*").unwrap(),
            fields: vec![Field {
                name: b"Cache-Control"[..].into(),
                value: b"max-age=60"[..].into(),
            }],
        }],
        access_log: None,
    };
    let mut stage = Stage::start(config.clone());
    let (status, head, body) = stage.get("x", "/none");
    assert_same(&body, b"<p>main has none</p>");
    assert!(status == 404 && head.contains("Content-Type: text/html; charset=utf-8\r\n"));
    let (status, head, body) = stage.get("one.example", "/none");
    assert_same(&body, b"one has none");
    assert!(status == 404 && head.contains("Content-Type: text/plain; charset=utf-8\r\n"));
    let (status, head, _) = stage.get("one.example", "/old/file?q");
    assert!(
        status == 301 && head.contains("Location: /file?q\r\n"),
        "{head}"
    );
    let (_, head, _) = stage.get("one.example", "/file");
    assert!(head.contains("Cache-Control: max-age=60\r\n"), "{head}");
    let (status, head, _) = stage.get("x", "/old/file");
    assert!(status == 404 && !head.contains("Cache-Control"), "{head}");
    // Without them it is as if they had never been.
    config.hosts[0].rules = Rules::default();
    stage.set(&config);
    let (status, head, _) = stage.get("one.example", "/old/file");
    assert!(status == 404 && head.contains("text/html") && !head.contains("Cache-Control"));
}

#[test]
fn what_cannot_be_had_is_told_and_changes_nothing() {
    let grounds = Grounds::new(&["main", "one"]);
    grounds.write("long", &"x".repeat(PAGE_BYTES_MAX as usize + 1));
    grounds.write("just", &"x".repeat(PAGE_BYTES_MAX as usize));
    let config = grounds.config("main");
    let mut stage = Stage::start(config.clone());
    let base = grounds.0.path().display();
    let page = |status: u16, file: &str| {
        let mut config = config.clone();
        config.rules.error_pages = vec![(status, grounds.path(file))];
        prepare(&config).err().map(|error| error.to_string())
    };
    let refused =
        |file: &str, why: &str| Some(format!("cannot use the error page {base}/{file}: {why}"));
    assert_eq!(
        page(404, "none"),
        refused("none", "there is none; make it, or name another file")
    );
    assert_eq!(page(404, "one"), refused("one", "it is no file; name one"));
    let why = "it has more than 64 KiB; let it refer to what is large";
    assert_eq!(page(404, "long"), refused("long", why));
    assert_eq!(page(404, "just"), None);
    let why = "200 is no error; name a status from 400 to 599";
    assert_eq!(page(200, "just"), refused("just", why));
    let mut missing = config.clone();
    add_host(&mut missing, "one.example", &grounds.path("none"));
    let error = prepare(&missing).unwrap_err();
    assert!(
        matches!(&error, Error::Root(path, _) if *path == grounds.path("none")),
        "{error}"
    );
    let mut twice = config.clone();
    add_host(&mut twice, "*.example", &grounds.path("one"));
    add_host(&mut twice, "*.EXAMPLE.", &grounds.path("main"));
    assert_eq!(
        prepare(&twice).unwrap_err().to_string(),
        "two hosts have the name *.example; take it from one of them"
    );
    stage.assert_gets("one.example", "/file", "main");
    assert_eq!(stage.server.site_count(), 1);
}

#[test]
fn logs_are_numbered_in_the_order_of_the_hosts() {
    let grounds = Grounds::new(&["main"]);
    let mut config = grounds.config("main");
    let log = |name: &str, format| {
        let destination = Destination::File(name.into());
        Some(AccessLog {
            destination,
            format,
        })
    };
    let off = AccessLog {
        destination: Destination::Off,
        format: Format::Combined,
    };
    assert_eq!(config.access_logs(), []);
    for (name, log) in [
        ("a", log("one", Format::Json)),
        ("b", None),
        ("c", log("main", Format::Combined)),
        ("d", log("one", Format::Combined)),
        ("e", Some(off)),
        ("f", log("one", Format::Json)),
    ] {
        add_host(&mut config, name, &grounds.path("main"))
            .rules
            .access_log = log;
    }
    config.rules.access_log = log("main", Format::Combined);
    let expected = [
        log("main", Format::Combined),
        log("one", Format::Json),
        log("one", Format::Combined),
    ];
    assert_eq!(config.access_logs(), expected.map(Option::unwrap));
}

#[test]
fn a_root_that_is_replaced_is_served_anew_for_its_host() {
    let grounds = Grounds::new(&["main", "one", "new"]);
    let mut config = grounds.config("main");
    config.cache.trust = Duration::from_millis(20);
    add_host(&mut config, "one.example", &grounds.path("one"));
    let mut stage = Stage::start(config);
    stage.assert_gets("one.example", "/file", "one");
    stage.assert_gets("x", "/file", "main");
    fs::rename(grounds.path("one"), grounds.path("old")).unwrap();
    fs::rename(grounds.path("new"), grounds.path("one")).unwrap();
    let start = Instant::now();
    // Each try is a round trip.
    while stage.get("one.example", "/file").2 != b"new" {
        assert!(start.elapsed() < PATIENCE, "it is not served anew");
    }
    stage.assert_gets("x", "/file", "main");
    stage.assert_gets("one.example", "/", "index of new");
}

#[test]
fn who_waits_for_the_disk_is_answered_by_the_host_that_he_asked() {
    let grounds = Grounds::new(&["main", "one", "two"]);
    let mut before = grounds.config("main");
    // Every look-up is made by the disk thread, whose answers are heard in later turns.
    before.site.features = Features::NONE;
    let mut after = before.clone();
    after.site.root = grounds.path("two");
    add_host(&mut before, "one.example", &grounds.path("one"));
    add_host(&mut after, "one.example", &grounds.path("two"));
    let mut stage = Stage::start(before);
    let waiting = ["x", "one.example"].map(|host| stage.ask(host, "/file"));
    assert_eq!(stage.server.site_count(), 2);
    stage.set(&after);
    // Both hosts have the same files now; the old ones are still needed.
    assert_eq!(stage.server.site_count(), 3);
    stage.assert_gets("x", "/file", "two");
    for (stream, content) in waiting.into_iter().zip(["main", "one"]) {
        let (status, _, body) = stage.answer(stream);
        assert_eq!((status, &body[..]), (200, content.as_bytes()));
    }
    for host in ["x", "one.example"] {
        stage.assert_gets(host, "/file", "two");
    }
    assert_eq!(stage.server.site_count(), 1, "nobody needs the old ones");
}

#[test]
fn a_file_that_is_being_sent_is_sent_to_its_end() {
    const BYTES: usize = 8 * 1024 * 1024;
    let grounds = Grounds::new(&["main", "one"]);
    let large = pattern(BYTES, 5);
    fs::write(grounds.path("main/large"), &large).unwrap();
    let mut stage = Stage::start(grounds.config("main"));
    let stream = stage.ask("x", "/large");
    stage.set(&grounds.config("one"));
    assert_eq!(stage.server.site_count(), 2);
    let (status, _, body) = stage.answer(stream);
    assert_eq!(status, 200);
    assert_same(&body, &large);
    assert_eq!(stage.get("x", "/large").0, 404);
    assert_eq!(stage.server.site_count(), 1);
}

#[test]
fn a_thousand_swaps_leave_nothing_behind() {
    let grounds = Grounds::new(&["main", "one", "two"]);
    let mut config = grounds.config("main");
    // Whoever asks waits for the disk thread, whose answers are heard in later turns.
    config.site.features = Features::NONE;
    add_host(&mut config, "one.example", &grounds.path("one"));
    let mut other = config.clone();
    other.hosts[0].site.root = grounds.path("two");
    add_host(&mut other, "three.example", &grounds.path("one"))
        .site
        .index_names
        .clear();
    let mut stage = Stage::start(config.clone());
    stage.set(&config);
    let before = grounds.descriptors();
    assert_eq!(before, 2, "a descriptor for each root");
    let mut waiting = None;
    for number in 0..1_000 {
        let is_odd = number % 2 == 1;
        // Somebody always waits who has asked hosts that have been replaced since.
        if number % 100 == 50
            && let Some(stream) = waiting.replace(stage.ask("one.example", "/file"))
        {
            assert_eq!(stage.answer(stream).0, 200);
        }
        stage.set(if is_odd { &config } else { &other });
        assert!(stage.server.site_count() <= 5);
        if number % 50 == 0 {
            stage.assert_gets("one.example", "/file", if is_odd { "one" } else { "two" });
            stage.assert_gets("x", "/file", "main");
        }
    }
    stage.set(&config);
    assert_eq!(stage.answer(waiting.unwrap()).0, 200);
    assert_eq!(stage.get("x", "/none").0, 404);
    assert_eq!(stage.server.site_count(), 2);
    assert_eq!(grounds.descriptors(), before);
}
