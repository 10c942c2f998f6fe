//! The real program replaced while it serves: no connection is lost, and a new program that does not
//! start changes nothing.

#[path = "support/orders.rs"]
mod orders;
#[path = "support/server.rs"]
mod server;

use orders::{Outcome, Process, order, pid_in};
use rustix::process::Signal;
use server::{Client, PATIENCE, Server, copy_program, pattern};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;
use tempfile::TempDir;

/// Some of the programs here are scripts, which a server that has locked itself in may not start.
const UNCONFINED: [&str; 4] = ["--landlock", "off", "--seccomp", "off"];

struct Stage {
    directory: TempDir,
    large: Vec<u8>,
    program: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let large = pattern(8_000_000, 1);
        let root = directory.path().join("www");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("small.txt"), "small").unwrap();
        fs::write(root.join("large.bin"), &large).unwrap();
        let program = copy_program(directory.path());
        Self {
            directory,
            large,
            program,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, options: &[&str]) -> Server {
        let mut command = Command::new(&self.program);
        // Relative paths must mean the same to the new one.
        command.current_dir(self.directory.path());
        command
            .args(["www", "--port", "0", "--pid-file", "pid"])
            .args(options);
        Server::spawn(command)
    }

    /// Puts another program in the place of the first one, as a package manager does.
    fn replace(&self, script: &str) {
        let new = self.path("new");
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(&new, &self.program).unwrap();
    }

    fn order(&self, name: &str) -> Outcome {
        order(name, &self.path("pid"))
    }
}

/// Reads the log up to a line with this.
#[track_caller]
fn expect_line(server: &mut Server, wanted: &str) {
    loop {
        let line = server.next_line().expect("the server lives");
        if line.contains(wanted) {
            return;
        }
    }
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
fn no_attempt_is_lost_while_programs_take_over() {
    let stage = Stage::new();
    let server = stage.start(&[]);
    let address = server.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let count = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (is_over, count) = (Arc::clone(&is_over), Arc::clone(&count));
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    attempt(address).expect("an attempt is lost");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut before = Process::of(&stage.path("pid"));
    assert_eq!(before.pid, server.pid());
    for _ in 0..5 {
        let outcome = stage.order("upgrade");
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let after = Process::of(&stage.path("pid"));
        let wanted = format!("process {} serves now", after.pid);
        assert!(outcome.said.starts_with(&wanted), "{outcome:?}");
        before.wait();
        let so_far = count.load(Ordering::Relaxed);
        while count.load(Ordering::Relaxed) < so_far + 100 {
            thread::yield_now();
        }
        before = after;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    println!("{count:?} requests");
    assert_eq!(stage.order("stop").code, Some(0));
    assert!(!stage.path("pid").exists());
    assert!(server.wait().0.success());
}

#[test]
fn what_was_begun_is_finished_by_who_began_it() {
    let stage = Stage::new();
    let mut server = stage.start(&["--drain-timeout", "0.1"]);
    let old = Process::of(&stage.path("pid"));
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::USR2);
    expect_line(&mut server, "upgraded: process");
    idle.expect_end();
    let new = Process::of(&stage.path("pid"));
    assert_ne!(new.pid, old.pid);
    assert_eq!(server.get("/small.txt").body, b"small");
    assert_eq!(busy.bytes(stage.large.len()), stage.large);
    busy.expect_end();
    drop(busy);
    old.wait();
    assert_eq!(server.get("/small.txt").body, b"small");
    assert_eq!(stage.order("quit").code, Some(0));
    new.wait();
    assert!(server.wait().0.success());
}

#[test]
fn who_waits_in_the_queue_is_served_by_the_new_one() {
    let stage = Stage::new();
    let socket = stage.path("socket");
    let mut command = Command::new("setsid");
    command
        .arg(&stage.program)
        .arg("www")
        .current_dir(stage.directory.path());
    command.args(["-p", "0", "-l", "unix:socket", "--pid-file", "pid"]);
    command.stdout(std::process::Stdio::null());
    let server = Server::spawn(command);
    let old = Process::of(&stage.path("pid"));
    let mut idle = server.connect();
    idle.get("/small.txt");
    // The old one takes nobody any more.
    server.signal(Signal::WINCH);
    idle.expect_end();
    let mut waiting = server.connect();
    waiting.ask("/small.txt");
    let mut local = Client::connect_unix(&socket);
    local.ask("/small.txt");
    assert_eq!(stage.order("upgrade").code, Some(0));
    assert_eq!(waiting.response().body, b"small");
    assert_eq!(local.response().body, b"small");
    old.wait();
    // The path is the new one's now.
    assert_eq!(Client::connect_unix(&socket).get("/small.txt").status, 200);
    drop((waiting, local));
    assert_eq!(stage.order("stop").code, Some(0));
    assert!(!socket.exists());
    assert!(server.wait().0.success());
}

#[test]
fn a_new_program_that_does_not_start_changes_nothing() {
    let stage = Stage::new();
    let server = stage.start(&[&["--listen", "unix:socket"][..], &UNCONFINED].concat());
    let socket = stage.path("socket");
    let mut kept = server.connect();
    let pid = server.pid();
    let original = stage.path("original");
    fs::copy(&stage.program, &original).unwrap();
    let refuse = |said: &str| {
        let outcome = stage.order("upgrade");
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(outcome.said.contains(said), "{outcome:?}");
    };
    stage.replace("#!/bin/sh\nexit 3\n");
    refuse("the new program: ended with status 3 before it was ready");
    stage.replace("#!/bin/sh\nkill -SEGV $$\n");
    refuse("the new program: was ended by signal 11 before it was ready");
    stage.replace("#!/nonexistent\n");
    refuse("cannot start");
    fs::remove_file(&stage.program).unwrap();
    refuse("cannot start");
    // The right program, but nothing that it could serve.
    fs::rename(&original, &stage.program).unwrap();
    fs::rename(stage.path("www"), stage.path("elsewhere")).unwrap();
    refuse("the new program: cannot serve");
    fs::rename(stage.path("elsewhere"), stage.path("www")).unwrap();
    assert_eq!(pid_in(&stage.path("pid")), pid);
    assert_eq!(kept.get("/small.txt").status, 200);
    assert_eq!(server.get("/small.txt").status, 200);
    assert_eq!(Client::connect_unix(&socket).get("/small.txt").status, 200);
    drop(kept);
    let log = server.finish_with_log(1);
    let lines = log
        .iter()
        .filter(|line| line.contains("not upgraded, this process serves on"));
    assert_eq!(lines.count(), 5, "{log:?}");
    assert!(!socket.exists() && !stage.path("pid").exists());
}

#[test]
fn a_new_program_that_hangs_is_killed() {
    let stage = Stage::new();
    let mut server = stage.start(&UNCONFINED);
    stage.replace(&format!(
        "#!/bin/sh\necho $$ > {}\nexec sleep 1000\n",
        stage.path("hanging").display()
    ));
    server.signal(Signal::USR2);
    let start = Instant::now();
    while !fs::read_to_string(stage.path("hanging")).is_ok_and(|text| text.ends_with('\n')) {
        assert!(start.elapsed() < PATIENCE, "the new program does not start");
        thread::yield_now();
    }
    // One at a time; this one hears what comes of the first.
    assert_eq!(server.get("/small.txt").status, 200);
    let outcome = stage.order("upgrade");
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(
        outcome.said.contains("was not ready within 30 s"),
        "{outcome:?}"
    );
    expect_line(&mut server, "was not ready within 30 s");
    let hanging = pid_in(&stage.path("hanging"));
    assert!(!fs::exists(format!("/proc/{hanging}")).unwrap());
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish_with_log(1);
}

#[test]
fn a_server_that_is_told_to_end_leaves_no_new_program_behind() {
    for end in ["stop", "quit"] {
        let stage = Stage::new();
        let mut server = stage.start(&UNCONFINED);
        stage.replace(&format!(
            "#!/bin/sh\necho $$ > {}\nexec sleep 1000\n",
            stage.path("starting").display()
        ));
        server.signal(Signal::USR2);
        while !fs::read_to_string(stage.path("starting")).is_ok_and(|text| text.ends_with('\n')) {
            thread::yield_now();
        }
        let starting = Process::of(&stage.path("starting"));
        assert_eq!(stage.order(end).code, Some(0));
        starting.wait();
        expect_line(&mut server, "not upgraded");
        assert!(server.wait().0.success());
        assert!(!stage.path("pid").exists());
    }
}

#[test]
fn whoever_takes_over_from_a_dropped_server_is_as_closed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("whoever_takes_over_from_a_dropped_server_is_as_closed: skipped, it needs root");
        return;
    }
    let stage = Stage::new();
    for path in [stage.directory.path(), &stage.program] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let server = stage.start(&["--user", "65534:65534"]);
    // Who may not be looked into belongs to root in /proc.
    let owner = |process: &Process| {
        fs::metadata(format!("/proc/{}/fd", process.pid))
            .unwrap()
            .uid()
    };
    let mut before = Process::of(&stage.path("pid"));
    assert_eq!(owner(&before), 0);
    for _ in 0..2 {
        let outcome = stage.order("upgrade");
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let after = Process::of(&stage.path("pid"));
        assert_eq!(owner(&after), 0);
        before.wait();
        before = after;
    }
    assert_eq!(stage.order("stop").code, Some(0));
    assert!(server.wait().0.success());
}

#[test]
fn the_service_manager_hears_of_no_end_and_from_the_new_one() {
    let stage = Stage::new();
    let name = format!("swiftd-upgrade-test-{}", std::process::id());
    let abstract_name = UnixAddress::from_abstract_name(&name).unwrap();
    let path = stage.path("notify");
    for (manager, socket) in [
        (UnixDatagram::bind_addr(&abstract_name), format!("@{name}")),
        (UnixDatagram::bind(&path), path.display().to_string()),
    ] {
        let manager = manager.unwrap();
        manager.set_read_timeout(Some(server::PATIENCE)).unwrap();
        let hear = || {
            let mut bytes = [0; 1024];
            let count = manager.recv(&mut bytes).expect("something is told");
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        };
        let mut command = Command::new(&stage.program);
        command.current_dir(stage.directory.path());
        command.args(["www", "--port", "0", "--pid-file", "pid"]);
        let server = Server::spawn({
            command.env("NOTIFY_SOCKET", socket);
            command
        });
        let old = Process::of(&stage.path("pid"));
        assert_eq!(hear(), format!("READY=1\nMAINPID={}", old.pid));
        assert_eq!(stage.order("upgrade").code, Some(0));
        let new = Process::of(&stage.path("pid"));
        // From both of them, and whoever is first is heard first.
        let mut told = [hear(), hear()];
        told.sort();
        let main = format!("MAINPID={}", new.pid);
        assert_eq!(told, [main.clone(), format!("READY=1\n{main}")]);
        old.wait();
        assert_eq!(stage.order("quit").code, Some(0));
        assert_eq!(hear(), "STOPPING=1");
        assert!(server.wait().0.success());
    }
}

#[test]
fn a_supervisor_does_not_give_way() {
    let stage = Stage::new();
    let server = stage.start(&["--supervise"]);
    let outcome = stage.order("upgrade");
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.said.contains("--supervise"), "{outcome:?}");
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish_with_log(1);
}
