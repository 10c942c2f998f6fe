//! The real program under `--supervise`: workers that are killed, signals, listeners that stay.
//!
//! What concerns plugins is in `culprit.rs`. INVARIANT: only the server that was started here and its
//! worker are ever signalled.

#[path = "support/server.rs"]
mod server;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getrlimit, kill_process, pidfd_open,
    pidfd_send_signal, setrlimit,
};
use server::{Client, PATIENCE, Server, pattern, program};
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::Instant;
use tempfile::TempDir;

fn site() -> TempDir {
    // Some of these deaths would leave a core behind.
    let limit = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    setrlimit(Resource::Core, none).unwrap();
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("small.txt"), "small").unwrap();
    fs::write(root.path().join("large.bin"), pattern(8_000_000, 1)).unwrap();
    root
}

fn start(root: &TempDir, options: &[&str]) -> Server {
    Server::start(root.path(), &[&["--supervise"], options].concat())
}

/// The worker of a server, held so that no other process can be meant.
struct Worker {
    pid: u32,
    handle: OwnedFd,
}

impl Worker {
    fn of(server: &Server) -> Self {
        let parent = server.pid();
        let list = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        let pid: u32 = list.trim().parse().expect("one worker");
        let number = Pid::from_raw(pid.cast_signed()).unwrap();
        let handle = pidfd_open(number, PidfdFlags::empty()).unwrap();
        Self { pid, handle }
    }

    fn signal(&self, signal: Signal) {
        pidfd_send_signal(&self.handle, signal).unwrap();
    }

    /// Waits until it is dead; it need not be waited for yet.
    fn wait(&self) {
        let patience = PATIENCE.try_into().unwrap();
        let mut ready = [PollFd::new(&self.handle, PollFlags::IN)];
        let count = poll(&mut ready, Some(&patience)).unwrap();
        assert_eq!(count, 1, "the worker lives on");
    }

    fn descriptors(&self) -> usize {
        let list = fs::read_dir(format!("/proc/{}/fd", self.pid));
        list.unwrap().count()
    }

    /// Memory of its own, KiB.
    fn memory(&self) -> usize {
        memory(self.pid)
    }
}

/// What belongs to a process alone, KiB.
fn memory(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}

/// The next line of the log, without the program's name.
fn next_line(server: &mut Server) -> String {
    let line = server.next_line().expect("the server lives");
    line.strip_prefix("swiftd: ").expect("our line").to_owned()
}

/// Reads the log until a worker serves again; `cause` is what the supervisor says of the death.
#[track_caller]
fn expect_restart(server: &mut Server, worker: &Worker, cause: &str) {
    let wanted = format!("worker {} {cause}", worker.pid);
    assert_eq!(next_line(server), wanted);
    assert_eq!(next_line(server), "worker restarted");
}

const KILLED: &str = "killed by signal 9 (SIGKILL) outside any plugin; restarting";

#[test]
fn a_worker_that_dies_is_named_and_replaced() {
    let root = site();
    let mut server = start(&root, &[]);
    for (signal, name, has_last_word) in [
        (Signal::SEGV, "SIGSEGV", true),
        (Signal::ABORT, "SIGABRT", true),
        (Signal::SYS, "SIGSYS", true),
        (Signal::KILL, "SIGKILL", false),
    ] {
        let worker = Worker::of(&server);
        assert_eq!(server.get("/small.txt").body, b"small");
        let time = Instant::now();
        worker.signal(signal);
        worker.wait();
        assert_eq!(server.get("/small.txt").body, b"small");
        println!(
            "{name}: the next request was answered after {:?}",
            time.elapsed()
        );
        let number = signal.as_raw();
        if has_last_word {
            let sender = std::process::id();
            let wanted =
                format!("fatal signal {number} outside any plugin sent by process {sender}");
            assert_eq!(next_line(&mut server), wanted);
        }
        let cause = format!("killed by signal {number} ({name}) outside any plugin; restarting");
        expect_restart(&mut server, &worker, &cause);
    }
    server.finish_with_log(1);
}

#[test]
fn who_connects_while_nobody_serves_is_answered() {
    let root = site();
    let mut server = start(&root, &[]);
    let worker = Worker::of(&server);
    // The supervisor cannot restart it until it goes on.
    server.signal(Signal::STOP);
    worker.signal(Signal::KILL);
    worker.wait();
    let mut clients = [server.connect(), server.connect()];
    clients[0].ask("/small.txt");
    server.signal(Signal::CONT);
    assert_eq!(clients[0].response().body, b"small");
    assert_eq!(clients[1].get("/small.txt").body, b"small");
    expect_restart(&mut server, &worker, KILLED);
    drop(clients);
    server.finish_with_log(1);
}

#[test]
fn nothing_leaks_and_a_series_of_deaths_is_slowed_down() {
    let root = site();
    let mut server = start(&root, &[]);
    let parent = server.descriptors();
    let first = Worker::of(&server);
    let descriptors = first.descriptors();
    first.signal(Signal::KILL);
    expect_restart(&mut server, &first, KILLED);
    for count in 2..=6 {
        let worker = Worker::of(&server);
        worker.signal(Signal::KILL);
        let pause = " in 1 s (6 times within 60 s)";
        let cause = format!("{KILLED}{}", if count == 6 { pause } else { "" });
        expect_restart(&mut server, &worker, &cause);
    }
    let last = Worker::of(&server);
    let start = Instant::now();
    while last.descriptors() > descriptors {
        assert!(start.elapsed() < PATIENCE, "descriptors leak");
        // A round trip: by then the connections before it are closed.
        assert_eq!(server.get("/.nothing").status, 404);
    }
    assert_eq!(server.descriptors(), parent);
    println!(
        "private memory: supervisor {} KiB, worker {} KiB",
        memory(server.pid()),
        last.memory()
    );
    server.finish_with_log(1);
}

#[test]
fn a_stop_in_good_order_ends_both() {
    let root = site();
    for signal in [Signal::TERM, Signal::QUIT] {
        let server = start(&root, &["--drain-timeout", "3600"]);
        let worker = Worker::of(&server);
        let mut busy = server.connect();
        busy.ask("/large.bin");
        let length = busy.head().length();
        let mut idle = server.connect();
        idle.get("/small.txt");
        // A terminal and a service manager tell all processes of a group: the worker must not
        // take that for the second signal.
        worker.signal(signal);
        worker.signal(signal);
        assert_eq!(idle.get("/small.txt").status, 200);
        server.signal(signal);
        idle.expect_end();
        assert_eq!(busy.bytes(length).len(), length);
        busy.expect_end();
        drop((busy, idle));
        worker.wait();
        let (status, log) = server.wait();
        assert!(status.success() && log.is_empty(), "{status} {log:?}");
    }
}

#[test]
fn a_second_signal_ends_both_at_once() {
    let root = site();
    let server = start(&root, &["--drain-timeout", "3600"]);
    let worker = Worker::of(&server);
    let address = server.address();
    let mut busy = Client::connect_narrow(address, 16 * 1024);
    busy.ask("/large.bin");
    let length = busy.head().length();
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::TERM);
    // Now the first one has been taken, and nobody holds the door open.
    idle.expect_end();
    TcpListener::bind(address).unwrap();
    server.signal(Signal::TERM);
    worker.wait();
    let (status, log) = server.wait();
    assert!(status.success() && log.is_empty(), "{status} {log:?}");
    assert!(busy.all_there_is().len() < length);
}

#[test]
fn a_worker_that_dies_while_it_stops_is_not_restarted() {
    let root = site();
    let server = start(&root, &["--drain-timeout", "3600"]);
    let worker = Worker::of(&server);
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    busy.head();
    let mut idle = server.connect();
    idle.get("/small.txt");
    server.signal(Signal::TERM);
    idle.expect_end();
    worker.signal(Signal::KILL);
    let (status, log) = server.wait();
    let wanted = format!(
        "swiftd: worker {} killed by signal 9 (SIGKILL) outside any plugin",
        worker.pid
    );
    assert_eq!((status.code(), log), (Some(1), vec![wanted]));
}

#[test]
fn a_stop_while_no_worker_runs_is_in_good_order() {
    let root = site();
    let mut server = start(&root, &[]);
    for _ in 0..5 {
        let worker = Worker::of(&server);
        worker.signal(Signal::KILL);
        expect_restart(&mut server, &worker, KILLED);
    }
    Worker::of(&server).signal(Signal::KILL);
    assert!(next_line(&mut server).ends_with("; restarting in 1 s (6 times within 60 s)"));
    server.signal(Signal::TERM);
    let (status, log) = server.wait();
    // Two lines for each of the five, and the one of the sixth.
    assert!(status.success() && log.len() == 11, "{status} {log:?}");
}

#[test]
fn the_end_of_the_supervisor_is_the_end_of_the_worker() {
    let root = site();
    let server = start(&root, &[]);
    let worker = Worker::of(&server);
    let address = server.address();
    server.signal(Signal::KILL);
    worker.wait();
    assert_eq!(server.wait().1, [""; 0]);
    TcpListener::bind(address).unwrap();
}

#[test]
fn the_path_of_a_socket_outlives_the_worker_and_not_the_supervisor() {
    let root = site();
    let path = root.path().join("s.sock");
    let mut command = program();
    command.arg(root.path()).arg("--supervise").arg("--listen");
    command.arg(format!("unix:{}", path.display()));
    let mut server = Server::spawn(command);
    for signal in [Signal::KILL, Signal::KILL] {
        let worker = Worker::of(&server);
        worker.signal(signal);
        worker.wait();
        let mut client = Client::connect_unix(&path);
        assert_eq!(client.get("/small.txt").body, b"small");
        expect_restart(&mut server, &worker, KILLED);
    }
    let worker = Worker::of(&server);
    server.signal(Signal::TERM);
    worker.wait();
    assert!(server.wait().0.success());
    assert!(!path.exists());
}

#[test]
fn a_start_that_fails_is_not_tried_again() {
    let root = site();
    let path = root.path().join("s.sock");
    let mut command = program();
    command.arg(root.path().join("missing"));
    command.args(["--supervise", "--listen"]);
    command.arg(format!("unix:{}", path.display()));
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("name a directory that exists"), "{said}");
    assert!(!path.exists());
}

#[test]
fn without_a_supervisor_a_fatal_signal_has_its_line_and_its_status() {
    use std::os::unix::process::ExitStatusExt;
    let root = site();
    for signal in [
        Signal::SEGV,
        Signal::BUS,
        Signal::ILL,
        Signal::FPE,
        Signal::ABORT,
        Signal::TRAP,
        Signal::SYS,
    ] {
        let server = Server::start(root.path(), &[]);
        let pid = Pid::from_raw(server.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
        let (status, log) = server.wait();
        let number = signal.as_raw();
        assert_eq!(status.signal(), Some(number));
        let sender = std::process::id();
        let wanted =
            format!("swiftd: fatal signal {number} outside any plugin sent by process {sender}");
        assert_eq!(log, [wanted]);
    }
}
