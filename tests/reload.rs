//! The real program with a configuration file that changes: all of it holds, or nothing of it.
//!
//! How often a server is reloaded under load is a matter of time: 100 times here, SWIFTD_RELOADS says
//! otherwise.

#[path = "support/orders.rs"]
mod orders;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "support/server.rs"]
mod server;

use orders::{Outcome, Process, order};
use rustix::process::Signal;
use server::{Client, Server, pattern, program};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tempfile::TempDir;

struct Stage {
    directory: TempDir,
    large: Vec<u8>,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let large = pattern(8_000_000, 1);
        for (root, text) in [("www", "small"), ("other", "other")] {
            let root = directory.path().join(root);
            fs::create_dir(&root).unwrap();
            fs::write(root.join("small.txt"), text).unwrap();
            fs::write(root.join("large.bin"), &large).unwrap();
        }
        Self { directory, large }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration: the root `www`, one listener and the pid file, unless `text` says so
    /// itself, and `text`.
    fn configure(&self, text: &str) {
        let mut whole = String::new();
        let top = || text.lines().take_while(|line| !line.starts_with('['));
        let has = |key: &str| top().any(|line| line.starts_with(key));
        for (key, line) in [
            ("root =", format!("root = {:?}\n", self.path("www"))),
            ("listen =", "listen = [\"127.0.0.1:0\"]\n".to_owned()),
            ("pid-file =", format!("pid-file = {:?}\n", self.path("pid"))),
        ] {
            if !has(key) {
                whole.push_str(&line);
            }
        }
        // As editors do it.
        fs::write(self.path("new"), whole + text + "\n").unwrap();
        fs::rename(self.path("new"), self.path("swiftd.conf")).unwrap();
    }

    fn start_with(&self, options: &[&str]) -> Server {
        let mut command = program();
        command.arg("--config").arg(self.path("swiftd.conf"));
        command.args(options);
        Server::spawn(command)
    }

    fn start(&self, text: &str) -> Server {
        self.configure(text);
        self.start_with(&[])
    }

    fn reload(&self) -> Outcome {
        order("reload", &self.path("pid"))
    }

    #[track_caller]
    fn accept(&self, text: &str, said: &str) {
        self.configure(text);
        let outcome = self.reload();
        assert_eq!((outcome.code, &*outcome.said), (Some(0), said));
    }

    /// The configuration is refused, in one line that says all of this.
    #[track_caller]
    fn refuse(&self, text: &str, said: &[&str]) {
        self.configure(text);
        let outcome = self.reload();
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(outcome.said.lines().count(), 1, "{outcome:?}");
        for said in said {
            assert!(
                outcome.said.contains(said),
                "{said:?} is not in {outcome:?}"
            );
        }
    }
}

fn tcp(address: SocketAddr) -> String {
    format!("listen = [\"{address}\"]")
}

/// An address that nobody listens at.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn limits_really_change() {
    let stage = Stage::new();
    let server = stage.start("");
    let mut kept = server.connect();
    let long = format!("/{}", "x".repeat(200));
    assert_eq!(kept.get(&long).status, 404);
    stage.accept(
        "[limits]\ntarget-bytes = 100",
        "configuration reloaded: limits",
    );
    assert_eq!(server.get(&long).status, 414);
    // Those who were there before live on, under the same rules.
    assert_eq!(kept.get("/small.txt").status, 200);
    assert_eq!(kept.get(&long).status, 414);
    stage.accept(
        "[limits]\ntarget-bytes = 100\n[timeouts]\nhead = 0.2\n[cache]\nbytes = 0",
        "configuration reloaded: limits, cache",
    );
    let mut slow = server.connect();
    slow.send("GET / HT");
    assert_eq!(slow.response().status, 408);
    stage.accept("", "configuration reloaded: limits, cache");
    assert_eq!(server.get(&long).status, 404);
    stage.accept("", "configuration reloaded");
    drop((kept, slow));
    server.finish_with_log(1);
}

#[test]
fn the_connection_limit_changes_and_connections_do_not() {
    let stage = Stage::new();
    let server = stage.start("");
    let mut clients = [server.connect(), server.connect(), server.connect()];
    for client in &mut clients {
        assert_eq!(client.get("/small.txt").status, 200);
    }
    stage.accept("[limits]\nconnections = 2", "configuration reloaded: loop");
    for client in &mut clients {
        assert_eq!(client.get("/small.txt").status, 200);
    }
    let mut late = server.connect();
    late.ask("/small.txt");
    // Three are more than two already, and none of them has been idle for long.
    assert_eq!(order("reopen", &stage.path("pid")).code, Some(0));
    assert!(late.is_silent());
    drop(clients);
    assert_eq!(late.response().status, 200);
    drop(late);
    server.finish_with_log(1);
}

#[test]
fn another_root_is_served_from_then_on() {
    let stage = Stage::new();
    let server = stage.start("");
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    assert_eq!(server.get("/small.txt").body, b"small");
    let other = format!("root = {:?}", stage.path("other"));
    stage.accept(&other, "configuration reloaded: root");
    assert_eq!(server.get("/small.txt").body, b"other");
    // What was begun is finished.
    assert_eq!(busy.bytes(stage.large.len()), stage.large);
    drop(busy);
    stage.accept("", "configuration reloaded: root");
    assert_eq!(server.get("/small.txt").body, b"small");
    server.finish_with_log(2);
}

#[test]
fn logs_come_and_go() {
    let stage = Stage::new();
    let server = stage.start("");
    let mut kept = server.connect();
    assert_eq!(kept.get("/small.txt?before").status, 200);
    let path = stage.path("access.log");
    let logged = format!("[log]\naccess = {path:?}");
    stage.accept(&logged, "configuration reloaded: rules");
    assert_eq!(kept.get("/small.txt?meanwhile").status, 200);
    // Rotated by renaming, and a reload.
    fs::rename(&path, stage.path("access.log.1")).unwrap();
    stage.accept(&logged, "configuration reloaded");
    assert_eq!(kept.get("/small.txt?later").status, 200);
    stage.accept("", "configuration reloaded: rules");
    assert_eq!(kept.get("/small.txt?after").status, 200);
    drop(kept);
    // For those that began before, the file stays open for a few configurations more.
    assert_eq!(order("stop", &stage.path("pid")).code, Some(0));
    assert!(server.wait().0.success());
    let read = |name: &str| fs::read_to_string(stage.path(name)).unwrap();
    let (old, new) = (read("access.log.1"), read("access.log"));
    assert!(
        old.contains("?meanwhile") && old.lines().count() == 1,
        "{old}"
    );
    assert!(new.contains("?later") && new.lines().count() == 1, "{new}");
}

#[test]
fn hosts_come_and_go() {
    let stage = Stage::new();
    let server = stage.start("");
    let ask = |host: &str| {
        let mut client = server.connect();
        client.send(format!("GET /small.txt HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.response().body
    };
    assert_eq!(ask("other.example"), b"small");
    let host = format!(
        "[[host]]\nnames = [\"other.example\"]\nroot = {:?}",
        stage.path("other")
    );
    stage.accept(&host, "configuration reloaded: hosts");
    assert_eq!(ask("other.example"), b"other");
    assert_eq!(ask("www.example"), b"small");
    stage.accept("", "configuration reloaded: hosts");
    assert_eq!(ask("other.example"), b"small");
    server.finish_with_log(3);
}

#[test]
fn bounds_of_clients_and_the_kind_of_a_listener_change() {
    let stage = Stage::new();
    let server = stage.start("");
    let address = server.address();
    let mut kept = server.connect();
    assert_eq!(kept.get("/small.txt").status, 200);
    let clients = "[clients]\nconnections = 1";
    stage.accept(clients, "configuration reloaded: clients");
    // Who was there before counts.
    assert!(attempt(address).is_err());
    assert_eq!(kept.get("/small.txt").status, 200);
    let proxied = "listen = [{ address = \"127.0.0.1:0\", proxy-protocol = true }]\n\
        [clients]\ntrusted-proxies = [\"127.0.0.1\"]";
    let inode = listening_inode(&server, address);
    stage.accept(proxied, "configuration reloaded: clients, proxy-protocol");
    assert_eq!(listening_inode(&server, address), inode);
    let mut client = server.connect();
    client.send("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    assert_eq!(client.get("/small.txt").status, 200);
    assert!(attempt(address).is_err());
    stage.accept("", "configuration reloaded: clients, proxy-protocol");
    assert!(attempt(address).is_ok());
    drop((kept, client));
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}

#[test]
fn what_the_sandbox_keeps_out_is_refused_with_that_reason() {
    let stage = Stage::new();
    let outside = TempDir::new().unwrap();
    let path = |name: &str| outside.path().join(name);
    fs::create_dir(path("www")).unwrap();
    fs::write(path("404.html"), "gone").unwrap();
    let own = format!("temp-dir = {:?}\n", stage.path("www"));
    let server = stage.start(&own);
    if swiftd::sys::landlock::abi().is_err() {
        eprintln!("skipped: this kernel has no Landlock");
        return server.finish(0);
    }
    // The directory of the configuration may be read, and not be written.
    let beside = stage.path("beside.sock");
    for (text, said) in [
        (format!("root = {:?}\n{own}", path("www")), "cannot serve "),
        (
            format!("{own}[error-pages]\n404 = {:?}", path("404.html")),
            "cannot use the error page ",
        ),
        (
            format!("{own}[log]\naccess = {:?}", path("log")),
            "cannot open the log ",
        ),
        (
            format!("{own}[log]\naccess = {:?}", stage.path("log")),
            "cannot open the log ",
        ),
        (
            format!(
                "listen = [\"127.0.0.1:0\", {:?}]\n{own}",
                format!("unix:{}", beside.display())
            ),
            "cannot listen on unix:",
        ),
    ] {
        let outside = "outside of what the sandbox of this process allows";
        stage.refuse(&text, &[said, outside]);
        let outcome = order("upgrade", &stage.path("pid"));
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        for said in [said, "sandbox of this process"] {
            assert!(outcome.said.contains(said), "{outcome:?}");
        }
    }
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish_with_log(1);
}

#[test]
fn listeners_come_and_go_and_those_that_stay_are_not_touched() {
    let stage = Stage::new();
    let (first, second) = (free(), free());
    let socket = stage.path("socket");
    stage.configure(&tcp(first));
    // In the sandbox no path can be bound in a directory that was not named at the start.
    let server = stage.start_with(&["--landlock", "off"]);
    let inode = listening_inode(&server, first);
    let mut kept = Client::connect(first);
    assert_eq!(kept.get("/small.txt").status, 200);
    let three = format!(
        "listen = [\"{first}\", \"{second}\", \"unix:{}\"]",
        socket.display()
    );
    stage.accept(
        &three,
        "configuration reloaded: listeners (2 opened, 0 closed)",
    );
    assert_eq!(Client::connect(second).get("/small.txt").status, 200);
    assert_eq!(Client::connect_unix(&socket).get("/small.txt").status, 200);
    assert_eq!(listening_inode(&server, first), inode);
    // Connected to what goes, and not yet accepted, because the server does not run.
    server.signal(Signal::STOP);
    let mut waiting = [Client::connect(second), Client::connect(first)];
    let mut local = Client::connect_unix(&socket);
    for client in &mut waiting {
        client.ask("/small.txt");
    }
    local.ask("/small.txt");
    stage.configure(&tcp(first));
    server.signal(Signal::HUP);
    server.signal(Signal::CONT);
    for client in &mut waiting {
        assert_eq!(client.response().body, b"small");
    }
    assert_eq!(local.response().body, b"small");
    stage.accept(&tcp(first), "configuration reloaded");
    assert!(TcpStream::connect(second).is_err());
    assert!(!socket.exists());
    assert_eq!(listening_inode(&server, first), inode);
    // Connections outlive their listener.
    assert_eq!(waiting[0].get("/small.txt").status, 200);
    assert_eq!(local.get("/small.txt").status, 200);
    assert_eq!(kept.get("/small.txt").status, 200);
    // All are exchanged at once.
    stage.accept(
        &tcp(second),
        "configuration reloaded: listeners (1 opened, 1 closed)",
    );
    assert!(TcpStream::connect(first).is_err());
    assert_eq!(Client::connect(second).get("/small.txt").status, 200);
    drop((kept, waiting, local));
    assert_eq!(order("stop", &stage.path("pid")).code, Some(0));
    assert!(server.wait().0.success());
}

/// The kernel's name of the socket of a process that listens at an address.
fn listening_inode(server: &Server, address: SocketAddr) -> String {
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
    let local = format!("0100007F:{:04X}", address.port());
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut listening = rows.filter(|row| row[1] == local && row[3] == "0A");
    listening.next().expect("it listens")[9].to_owned()
}

#[test]
fn a_port_that_was_chosen_freely_stays() {
    let stage = Stage::new();
    let server = stage.start("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]");
    let places = server.places.clone();
    assert_eq!(places.len(), 2);
    stage.accept(
        "listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]",
        "configuration reloaded",
    );
    assert_eq!(server.get("/small.txt").status, 200);
    // By the number that it got, too.
    stage.accept(
        &tcp(server.address()),
        "configuration reloaded: listeners (0 opened, 1 closed)",
    );
    assert_eq!(server.get("/small.txt").status, 200);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}

#[test]
fn a_configuration_that_cannot_hold_changes_nothing() {
    let stage = Stage::new();
    let server = stage.start("");
    let mut kept = server.connect();
    let long = format!("/{}", "x".repeat(200));
    assert_eq!(kept.get(&long).status, 404);
    let changed = "[limits]\ntarget-bytes = 100\n";
    stage.refuse(&format!("{changed}colour = 1"), &["swiftd.conf:", "colour"]);
    stage.refuse("colour = 1\nflavour = 2", &["colour", "; ", "flavour"]);
    stage.refuse("[limits", &["swiftd.conf:4:"]);
    let many: String = (0..200).map(|i| format!("unknown{i} = 1\n")).collect();
    stage.refuse(&many, &["unknown0", "more"]);
    stage.refuse(
        &format!("root = \"/nonexistent\"\n{changed}"),
        &["cannot serve /nonexistent", "name a directory that exists"],
    );
    stage.refuse(
        &format!("[error-pages]\n404 = \"/nonexistent.html\"\n{changed}"),
        &["error page", "nonexistent.html"],
    );
    stage.refuse(
        &format!("{changed}[log]\naccess = \"/nonexistent/access.log\""),
        &["/nonexistent/access.log"],
    );
    // One of the new listeners can be had, the other one not.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (new, taken) = (free(), taken.local_addr().unwrap());
    stage.refuse(
        &format!("listen = [\"{new}\", \"{taken}\"]\n{changed}"),
        &[
            &format!("cannot listen on {taken}"),
            "stop whoever has it (ss -ltnp)",
        ],
    );
    assert!(TcpStream::connect(new).is_err());
    stage.refuse(
        &format!("listen = [\"unix:/nonexistent/socket\"]\n{changed}"),
        &[
            "cannot listen on unix:/nonexistent/socket",
            "make the directory",
        ],
    );
    // Its own listener is in the way.
    let port = server.address().port();
    stage.refuse(
        &format!("listen = [\"0.0.0.0:{port}\"]\n{changed}"),
        &["while this server listens on", "with one reload"],
    );
    fs::remove_file(stage.path("swiftd.conf")).unwrap();
    let outcome = stage.reload();
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.said.contains("cannot read the configuration file"),
        "{outcome:?}"
    );
    assert_eq!(kept.get(&long).status, 404);
    assert_eq!(server.get(&long).status, 404);
    assert_eq!(server.get("/small.txt").status, 200);
    // That nothing is left of what was opened is seen at the end.
    drop(kept);
    let log = server.finish_with_log(1);
    assert_eq!(log.len(), 11, "{log:#?}");
    for line in &log {
        assert!(
            line.starts_with("swiftd: configuration not reloaded, the one before still holds: "),
            "{line}"
        );
    }
}

#[test]
fn a_privileged_port_needs_its_privilege() {
    let first: Option<u16> = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if !rustix::process::geteuid().is_root() || first.is_none_or(|first| first <= 1) {
        eprintln!("skipped: every port is free for all here, or this is not root");
        return;
    }
    let stage = Stage::new();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(stage.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let server = stage.start("user = \"nobody\"");
    stage.refuse(
        "user = \"nobody\"\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:1\"]",
        &[
            "cannot listen on 127.0.0.1:1",
            "CAP_NET_BIND_SERVICE",
            "restart",
        ],
    );
    assert_eq!(server.get("/small.txt").status, 200);
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}

#[test]
fn what_cannot_change_is_said_to_come_later() {
    let stage = Stage::new();
    let server = stage.start("");
    let text = format!(
        "pid-file = {:?}\ntemp-dir = {:?}",
        stage.path("p"),
        stage.path("www")
    );
    let said = "configuration reloaded; pid-file, temp-dir change at the next start";
    stage.accept(&text, said);
    // It is said as often as it is so.
    stage.accept(&text, said);
    assert!(!stage.path("p").exists());
    let text = "[sandbox]\nseccomp = \"off\"\n[limits]\ntarget-bytes = 100";
    let said = "configuration reloaded: limits; sandbox changes at the next start";
    stage.accept(text, said);
    server.finish_with_log(0);
}

#[test]
fn sighup_reloads_and_the_log_says_so() {
    let stage = Stage::new();
    let mut server = stage.start("");
    stage.configure("[limits]\ntarget-bytes = 100");
    server.signal(Signal::HUP);
    assert_eq!(
        server.next_line().as_deref(),
        Some("swiftd: configuration reloaded: limits")
    );
    assert_eq!(server.get(&format!("/{}", "x".repeat(200))).status, 414);
    stage.configure("colour = 1");
    server.signal(Signal::HUP);
    let line = server.next_line().unwrap();
    assert!(
        line.contains("not reloaded") && line.contains("colour"),
        "{line}"
    );
    // The command line still wins over the file.
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish_with_log(1);
}

#[test]
fn a_service_manager_is_told_of_a_reload_whatever_comes_of_it() {
    for options in [&[][..], &["--supervise"]] {
        let stage = Stage::new();
        let manager = UnixDatagram::bind(stage.path("notify")).unwrap();
        manager.set_read_timeout(Some(server::PATIENCE)).unwrap();
        let next = || {
            let mut told = [0; 1024];
            let count = manager.recv(&mut told).unwrap();
            String::from_utf8_lossy(&told[..count]).into_owned()
        };
        stage.configure("");
        let mut command = program();
        command
            .arg("--config")
            .arg(stage.path("swiftd.conf"))
            .args(options);
        command.env("NOTIFY_SOCKET", stage.path("notify"));
        let server = Server::spawn(command);
        let ready = format!("READY=1\nMAINPID={}", server.pid());
        assert_eq!(next(), ready);
        for (text, code) in [("", 0), ("colour = 1", 1)] {
            stage.configure(text);
            assert_eq!(stage.reload().code, Some(code));
            let told = next();
            assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{told}");
            assert_eq!(next(), ready);
        }
        server.signal(Signal::TERM);
        assert_eq!(next(), "STOPPING=1");
        assert!(server.wait().0.success());
    }
}

#[test]
fn a_worker_reloads_and_its_successor_knows() {
    let stage = Stage::new();
    stage.configure("");
    let mut server = stage.start_with(&["--supervise"]);
    let limit = "[limits]\ntarget-bytes = 100";
    stage.accept(limit, "configuration reloaded: limits");
    let long = format!("/{}", "x".repeat(200));
    assert_eq!(server.get(&long).status, 414);
    let elsewhere = format!("{}\n{limit}", tcp(free()));
    stage.accept(
        &elsewhere,
        "configuration reloaded; listen changes at the next start",
    );
    let parent = server.pid();
    let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    fs::write(stage.path("worker"), list.trim()).unwrap();
    Process::of(&stage.path("worker")).signal(Signal::KILL);
    while !server
        .next_line()
        .expect("it lives")
        .contains("worker restarted")
    {}
    assert_eq!(server.get(&long).status, 414);
    assert_eq!(server.get("/small.txt").status, 200);
    assert_eq!(order("stop", &stage.path("pid")).code, Some(0));
    assert!(server.wait().0.success());
}

#[test]
fn orders_that_come_during_a_reload_are_answered_all() {
    let stage = Stage::new();
    let server = stage.start("");
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let pid_file = stage.path("pid");
            thread::spawn(move || order("reload", &pid_file))
        })
        .collect();
    for outcome in waiting {
        let outcome = outcome.join().unwrap();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
    server.finish_with_log(0);
}

/// One request over a connection of its own, as a client would make it who gives up at the first
/// error.
fn attempt(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(server::PATIENCE))?;
    stream.write_all(b"GET /small.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"small") {
        return Ok(());
    }
    Err(std::io::Error::other(format!("{answer:?}")))
}

#[test]
fn many_reloads_under_load_lose_nothing() {
    let reloads = std::env::var("SWIFTD_RELOADS").ok();
    let reloads: u32 = reloads.map_or(100, |text| text.parse().expect("a number"));
    let stage = Stage::new();
    let (fixed, moving) = (free(), free());
    let server = stage.start(&tcp(fixed));
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let clients = (0..4).map(|number| {
        let (is_over, count) = (Arc::clone(&is_over), Arc::clone(&count));
        thread::spawn(move || {
            let mut kept = Client::connect(fixed);
            while !is_over.load(Ordering::Relaxed) {
                if number % 2 == 0 {
                    attempt(fixed).expect("an attempt is lost");
                } else {
                    assert_eq!(kept.get("/small.txt").body, b"small");
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut busy = Client::connect_narrow(fixed, 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    let descriptors = server.descriptors();
    for number in 0..reloads {
        stage.configure(&match number % 4 {
            0 => format!("listen = [\"{fixed}\", \"{moving}\"]"),
            1 => format!("{}\n[limits]\ntarget-bytes = {}", tcp(fixed), 1000 + number),
            2 => format!("listen = [\"{fixed}\"]\ncolour = 1"),
            _ => format!(
                "{}\n[[host]]\nnames = [\"other.example\"]\nroot = {:?}",
                tcp(fixed),
                stage.path("other")
            ),
        });
        let outcome = stage.reload();
        let code = if number % 4 == 2 { 1 } else { 0 };
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
    }
    assert_eq!(busy.bytes(stage.large.len()), stage.large);
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    println!("{count:?} requests during {reloads} reloads");
    drop(busy);
    assert!(server.descriptors() <= descriptors + 8, "{server:?}");
    assert_eq!(order("stop", &stage.path("pid")).code, Some(0));
    assert!(server.wait().0.success());
}

/// A configuration with a list of the plugin `t_hooks`, whose value `init` is what its init returns.
fn stage_with_a_plugin() -> (Stage, String) {
    let stage = Stage::new();
    let options = ["-DNAME=\"t_hooks\""];
    plugins::build_with("t_hooks", stage.directory.path(), &options);
    let line = format!("t_hooks:{}/$\n", stage.directory.path().display());
    fs::write(stage.path("list"), line).unwrap();
    let named = format!("plugins = {:?}\n", stage.path("list"));
    (stage, named)
}

const FIELD: &str = "[[header]]\npath = \"/*\"\nset = { X-New = \"1\" }\n";

#[test]
fn what_is_wrong_with_plugins_refuses_all_of_a_configuration() {
    let (stage, named) = stage_with_a_plugin();
    let server = stage.start(&named);
    let is_new = || server.get("/small.txt").field("x-new").is_some();
    assert!(!is_new());
    let list = stage.path("list").display().to_string();
    let good = fs::read_to_string(&list).unwrap();
    let changed = format!("{named}{FIELD}");
    let bad = format!("{changed}[plugin.t_hooks]\ninit = -1\n");
    stage.refuse(&bad, &[&list, ":1: t_hooks: init failed (-1): init"]);
    assert!(!is_new());
    let bad = format!("{changed}[plugin.t_hooks]\nset_default = -1\n");
    stage.refuse(&bad, &[&list, ":1: t_hooks: set_default failed (-1)"]);
    assert!(!is_new());
    // The same of the list and of what it names, without a change of the values.
    fs::write(&list, format!("{good}nope\n")).unwrap();
    stage.refuse(&changed, &[&list, ":2: no $ at the end"]);
    let nope = good.replace("t_hooks", "nope");
    fs::write(&list, format!("{good}{nope}")).unwrap();
    stage.refuse(&changed, &[&list, ":2: nope: ", "there is no such file"]);
    assert!(!is_new());
    fs::write(&list, &good).unwrap();
    // The name of a value and that of a field change together.
    let good = format!("{changed}[plugin.t_hooks]\nset_default = 0\n");
    stage.accept(&good, "configuration reloaded: rules, plugins");
    assert!(is_new());
    stage.accept(&named, "configuration reloaded: rules, plugins");
    assert!(!is_new());
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    assert!(status.success());
    let refused = |line: &&String| line.contains("configuration not reloaded");
    assert_eq!(log.iter().filter(refused).count(), 4, "{log:#?}");
}

/// It begins once, and leaves a file that keeps any other from beginning.
const ONCE: &str = r#"
#include "swiftd_plugin.h"
#include <fcntl.h>
#include <string.h>
static sw_rc init(const sw_host *host, sw_self *self, void **state) {
  sw_str path = host->config(self, "mark", 4);
  *state = NULL;
  char name[256] = {0};
  if (!path.p || path.n >= sizeof name) return SW_ERROR;
  memcpy(name, path.p, path.n);
  return open(name, O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 ? SW_ERROR : SW_GO_ON;
}
SW_EXPORT const sw_plugin swiftd_plugin_v1 = {
  .magic = SW_MAGIC, .size = sizeof(sw_plugin), .abi_major = 1, .name = "once", .version = "1",
  .init = init,
};
"#;

#[test]
fn a_plugin_that_stays_as_it_is_is_not_begun_again_for_a_reload() {
    let stage = Stage::new();
    let source = stage.path("once.c");
    fs::write(&source, ONCE).unwrap();
    plugins::compile("cc", &source, &stage.path("once.so"), &[]);
    let line = format!("once:{}/$\n", stage.directory.path().display());
    fs::write(stage.path("list"), line).unwrap();
    let named = format!("plugins = {:?}\n", stage.path("list"));
    let told = format!("[plugin.once]\nmark = {:?}\n", stage.path("mark"));
    stage.configure(&format!("{named}{told}"));
    // In the sandbox it could not write.
    let server = stage.start_with(&["--landlock", "off"]);
    assert!(stage.path("mark").exists());
    stage.accept(
        &format!("{named}{FIELD}{told}"),
        "configuration reloaded: rules",
    );
    assert!(server.get("/small.txt").field("x-new").is_some());
    stage.refuse(
        &format!("{named}{told}more = 1\n"),
        &["list:1: once: init failed (-1)"],
    );
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}

#[test]
fn without_trials_a_reload_runs_no_code_of_plugins() {
    let (stage, named) = stage_with_a_plugin();
    stage.configure(&named);
    let server = stage.start_with(&["--plugin-trial", "off"]);
    let list = stage.path("list");
    let good = fs::read_to_string(&list).unwrap();
    fs::write(&list, good.replace("t_hooks", "nope")).unwrap();
    stage.refuse(&named, &[":1: nope: ", "there is no such file"]);
    fs::write(&list, &good).unwrap();
    // That it does not begin only the log tells.
    let bad = format!("{named}[plugin.t_hooks]\ninit = -1\n");
    stage.accept(&bad, "configuration reloaded: plugins");
    server.signal(Signal::TERM);
    assert!(server.wait().0.success());
}
