//! The real program and each of its signals, alone and under `--supervise`.
//!
//! The end by SIGTERM is in `loopback/stopping.rs`, SIGHUP with a configuration in `reload.rs`, SIGUSR2
//! in `upgrade.rs`. INVARIANT: only what was started here is ever signalled.

#[path = "support/orders.rs"]
mod orders;
#[path = "support/server.rs"]
mod server;

use orders::{Process, order};
use rustix::process::Signal;
use server::{Client, Server, pattern, program};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

struct Site {
    directory: TempDir,
    large: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let large = pattern(8_000_000, 1);
        let root = directory.path().join("www");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("small.txt"), "small").unwrap();
        fs::write(root.join("large.bin"), &large).unwrap();
        Self { directory, large }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("www")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    fn start(&self, options: &[&str]) -> Server {
        Server::start(&self.root(), options)
    }
}

/// A client in the middle of a large download that it does not read.
fn busy(server: &Server) -> Client {
    let mut client = Client::connect_narrow(server.address(), 16 * 1024);
    client.ask("/large.bin");
    client.head();
    client
}

fn idle(server: &Server) -> Client {
    let mut client = server.connect();
    assert_eq!(client.get("/small.txt").body, b"small");
    client
}

#[test]
fn sigint_ends_at_once_and_well() {
    for options in [&[][..], &["--supervise"]] {
        let site = Site::new();
        let server = site.start(&[&["--drain-timeout", "3600"], options].concat());
        let mut busy = busy(&server);
        server.signal(Signal::INT);
        let (status, log) = server.wait();
        assert!(status.success() && log.is_empty(), "{status} {log:?}");
        assert!(busy.all_there_is().len() < site.large.len());
    }
}

#[test]
fn sigquit_leaves_the_time_to_the_connections() {
    let site = Site::new();
    let options = ["--drain-timeout", "0.1", "--head-timeout", "1.5"];
    let server = site.start(&options);
    let mut slow = server.connect();
    slow.send("GET /small.txt HTTP/1.1\r\n");
    let mut idle = idle(&server);
    server.signal(Signal::QUIT);
    idle.expect_end();
    assert!(TcpStream::connect(server.address()).is_err());
    // Saying it again changes nothing.
    server.signal(Signal::QUIT);
    // Long after a stop by SIGTERM would be over, its own deadline ends this one.
    assert_eq!(slow.response().status, 408);
    drop((slow, idle));
    assert!(server.wait().0.success());
}

#[test]
fn sigterm_hurries_what_sigquit_has_begun() {
    for options in [&[][..], &["--supervise"]] {
        let site = Site::new();
        let server = site.start(&[&["--drain-timeout", "0.3"], options].concat());
        let mut busy = busy(&server);
        let mut idle = idle(&server);
        server.signal(Signal::QUIT);
        idle.expect_end();
        server.signal(Signal::TERM);
        let (status, log) = server.wait();
        assert!(status.success() && log.is_empty(), "{status} {log:?}");
        assert!(busy.all_there_is().len() < site.large.len());
    }
}

#[test]
fn sighup_and_sigusr1_end_no_server() {
    for options in [&[][..], &["--supervise"]] {
        let site = Site::new();
        let server = site.start(options);
        let mut kept = idle(&server);
        for signal in [Signal::HUP, Signal::USR1, Signal::HUP] {
            server.signal(signal);
            assert_eq!(kept.get("/small.txt").status, 200);
            assert_eq!(server.get("/small.txt").status, 200);
        }
        drop(kept);
        server.finish(1);
    }
}

#[test]
fn sigusr2_is_refused_under_a_supervisor() {
    let site = Site::new();
    let mut server = site.start(&["--supervise"]);
    server.signal(Signal::USR2);
    let line = server.next_line().unwrap();
    assert_eq!(
        line,
        "swiftd: not upgraded: the server runs under --supervise; restart it instead"
    );
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish_with_log(1);
}

#[test]
fn sigwinch_lets_a_server_without_a_terminal_rest() {
    for options in [&[][..], &["--supervise"]] {
        let site = Site::new();
        let mut command = Command::new("setsid");
        command.arg(program().get_program()).arg(site.root());
        command
            .args(["--port", "0", "--pid-file"])
            .arg(site.pid_file());
        command.args(options).stdout(Stdio::null());
        let server = Server::spawn(command);
        let mut busy = busy(&server);
        let mut idle = idle(&server);
        server.signal(Signal::WINCH);
        idle.expect_end();
        let mut waiting = server.connect();
        waiting.ask("/small.txt");
        // By the time that this is answered, the loop has had every reason to accept.
        assert_eq!(order("reopen", &site.pid_file()).code, Some(0));
        assert!(waiting.is_silent());
        assert_eq!(busy.bytes(site.large.len()), site.large);
        busy.expect_end();
        server.signal(Signal::HUP);
        assert_eq!(waiting.response().body, b"small");
        // It is kept again.
        assert_eq!(waiting.get("/small.txt").status, 200);
        server.signal(Signal::WINCH);
        waiting.expect_end();
        // Who waits is served, also if what comes is the end.
        let mut waiting = server.connect();
        waiting.ask("/small.txt");
        server.signal(Signal::TERM);
        assert_eq!(waiting.response().body, b"small");
        let (status, log) = server.wait();
        assert!(status.success() && log.is_empty(), "{status} {log:?}");
    }
}

/// Runs a command line in a terminal, and returns it with what there is to read of the terminal.
fn in_terminal(line: &str) -> (Child, ChildStdout) {
    let mut command = Command::new("script");
    command.args(["-q", "-e", "-c", line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = command.spawn().unwrap();
    let terminal = script.stdout.take().unwrap();
    (script, terminal)
}

#[test]
fn sigwinch_means_nothing_where_there_is_a_terminal() {
    let site = Site::new();
    let socket = site.directory.path().join("socket");
    let log = site.directory.path().join("log");
    let line = format!(
        "{} {} -l unix:{} --pid-file {}",
        program().get_program().display(),
        site.root().display(),
        socket.display(),
        site.pid_file().display()
    );
    // One that still controls the process is one, too.
    let redirected = format!(
        "tail -F {0} 2>/dev/null & {line} </dev/null >{0} 2>&1; kill $!",
        log.display()
    );
    for line in [&format!("exec {line}"), &redirected] {
        let (mut script, mut terminal) = in_terminal(line);
        let mut said = Vec::new();
        while !String::from_utf8_lossy(&said).contains("serving") {
            let mut bytes = [0; 256];
            let count = terminal.read(&mut bytes).unwrap();
            assert!(count > 0, "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&bytes[..count]);
        }
        let process = Process::of(&site.pid_file());
        let mut kept = Client::connect_unix(&socket);
        kept.get("/small.txt");
        process.signal(Signal::WINCH);
        assert_eq!(order("reopen", &site.pid_file()).code, Some(0));
        assert_eq!(kept.get("/small.txt").status, 200);
        assert_eq!(Client::connect_unix(&socket).get("/small.txt").status, 200);
        assert_eq!(order("stop", &site.pid_file()).code, Some(0));
        assert!(script.wait().unwrap().success());
    }
}

#[test]
fn a_daemon_rests_that_was_started_from_a_terminal() {
    let site = Site::new();
    let socket = site.directory.path().join("socket");
    for option in ["", "--supervise"] {
        let line = format!(
            "exec {} {} -l unix:{} --pid-file {} --idle-timeout 3600 --daemon {option}",
            program().get_program().display(),
            site.root().display(),
            socket.display(),
            site.pid_file().display()
        );
        let (mut script, _terminal) = in_terminal(&line);
        assert!(script.wait().unwrap().success());
        let process = Process::of(&site.pid_file());
        let mut idle = Client::connect_unix(&socket);
        idle.get("/small.txt");
        process.signal(Signal::WINCH);
        idle.expect_end();
        assert_eq!(order("stop", &site.pid_file()).code, Some(0));
        process.wait();
    }
}
