//! `swiftd -s`: how a server is found, what it answers, and what is said if it does not.
//!
//! What the orders do is in `signals.rs`, `reload.rs` and `upgrade.rs`.

#[path = "support/orders.rs"]
mod orders;
#[path = "support/server.rs"]
mod server;

use orders::{Outcome, Process, order, pid_in, run};
use server::{Client, Server, copy_program, pattern};
use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

struct Stage {
    directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("small.txt"), "small").unwrap();
        fs::write(directory.path().join("large.bin"), pattern(8_000_000, 1)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, options: &[&str]) -> Server {
        let pid_file = self.path("pid");
        let own = ["--pid-file", pid_file.to_str().unwrap()];
        Server::start(self.directory.path(), &[&own, options].concat())
    }

    fn order(&self, name: &str) -> Outcome {
        order(name, &self.path("pid"))
    }
}

#[track_caller]
fn expect(outcome: &Outcome, code: i32, said: &str) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    assert!(outcome.said.contains(said), "{outcome:?}");
    assert_eq!(outcome.said.lines().count(), 1, "{outcome:?}");
}

fn connect(pid: u32) -> UnixStream {
    let name = format!("swiftd.{pid}");
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let stream = UnixStream::connect_addr(&address).unwrap();
    stream.set_read_timeout(Some(server::PATIENCE)).unwrap();
    stream
}

fn answer(stream: &mut UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn orders_have_verdicts_and_exit_codes() {
    for options in [&[][..], &["--supervise"]] {
        let stage = Stage::new();
        let server = stage.start(options);
        assert_eq!(pid_in(&stage.path("pid")), server.pid());
        expect(&stage.order("reload"), 0, "configuration reloaded");
        expect(&stage.order("reopen"), 0, "");
        expect(&stage.order("log"), 1, "no log is kept in memory");
        assert_eq!(server.get("/small.txt").status, 200);
        expect(
            &stage.order("stop"),
            0,
            &format!("process {} has ended", server.pid()),
        );
        assert!(server.wait().0.success());
        assert!(!stage.path("pid").exists());
    }
}

#[test]
fn a_log_that_cannot_be_opened_anew_is_a_reopen_that_fails() {
    for options in [&[][..], &["--supervise"]] {
        let stage = Stage::new();
        let logs = TempDir::new().unwrap();
        let path = |name: &str| logs.path().join(name);
        let (access, error) = (path("access"), path("error"));
        let own = [
            ["--access-log", access.to_str().unwrap()],
            ["--error-log", error.to_str().unwrap()],
        ];
        let server = stage.start(&[&own.concat(), options].concat());
        fs::rename(&access, path("access.1")).unwrap();
        fs::rename(&error, path("error.1")).unwrap();
        expect(&stage.order("reopen"), 0, "the logs are opened anew");
        // It is there when the command has returned.
        assert!(access.exists() && error.exists());
        fs::rename(&access, path("access.2")).unwrap();
        fs::create_dir(&access).unwrap();
        let outcome = stage.order("reopen");
        let line = format!(
            "cannot open the log {}: Is a directory (os error 21); name a file in it; what was open before is used on",
            access.display()
        );
        expect(&outcome, 1, &line);
        let both = path("error.2");
        fs::rename(&error, &both).unwrap();
        fs::create_dir(&error).unwrap();
        expect(&stage.order("reopen"), 1, "; and 1 more");
        fs::remove_dir(&access).unwrap();
        fs::remove_dir(&error).unwrap();
        expect(&stage.order("reopen"), 0, "the logs are opened anew");
        assert!(fs::read_to_string(&both).unwrap().contains(&line));
        assert_eq!(stage.order("stop").code, Some(0));
        assert!(server.wait().0.success());
    }
}

#[test]
fn logs_in_memory_are_printed() {
    for options in [&[][..], &["--supervise"]] {
        let stage = Stage::new();
        let server = stage.start(&[&["--access-log", "ram:64K"], options].concat());
        assert_eq!(server.get("/small.txt").status, 200);
        let log = stage.order("log");
        assert_eq!(log.code, Some(0), "{log:?}");
        let text = String::from_utf8(log.output).unwrap();
        assert!(text.contains("\"GET /small.txt HTTP/1.1\" 200"), "{text}");
        assert!(text.ends_with('\n') && !text.starts_with("ok"), "{text:?}");
        assert_eq!(stage.order("stop").code, Some(0));
        assert!(server.wait().0.success());
    }
}

#[test]
fn quit_waits_for_the_last_connection_for_a_while_only() {
    let stage = Stage::new();
    let server = stage.start(&[]);
    let process = Process::of(&stage.path("pid"));
    let mut busy = Client::connect_narrow(server.address(), 16 * 1024);
    busy.ask("/large.bin");
    let length = busy.head().length();
    let mut idle = server.connect();
    idle.get("/small.txt");
    let path = stage.path("pid");
    let mut command = Command::new(env!("CARGO_BIN_EXE_swiftd"));
    command
        .args(["-s", "quit", "--drain-timeout", "0.2", "--pid-file"])
        .arg(&path);
    expect(&run(command), 0, "takes no connections any more");
    idle.expect_end();
    assert!(!process.has_ended(std::time::Duration::ZERO));
    let waiting = std::thread::spawn(move || order("quit", &path));
    assert_eq!(busy.bytes(length).len(), length);
    busy.expect_end();
    drop(busy);
    expect(&waiting.join().unwrap(), 0, "has ended");
    assert!(server.wait().0.success());
}

#[test]
fn a_server_that_is_not_there_is_said_to_be_so() {
    let stage = Stage::new();
    for name in ["reload", "reopen", "stop", "quit", "upgrade", "log"] {
        let outcome = stage.order(name);
        expect(&outcome, 1, "cannot read the pid file");
        expect(&outcome, 1, "does the server run");
    }
    // It has been killed, so its file is still there.
    let server = stage.start(&[]);
    server.signal(rustix::process::Signal::KILL);
    server.wait();
    assert!(stage.path("pid").exists());
    for name in ["reload", "stop"] {
        expect(&stage.order(name), 1, "is stale");
    }
    fs::write(stage.path("pid"), "no number").unwrap();
    expect(&stage.order("stop"), 1, "is stale");
}

#[test]
fn only_root_and_the_servers_user_give_orders() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it takes root to be somebody else");
        return;
    }
    let stage = Stage::new();
    fs::set_permissions(stage.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let server = stage.start(&[]);
    let copy = copy_program(stage.directory.path());
    let by_nobody = |order: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        command.arg(&copy).args(["-s", order, "--pid-file"]);
        command.arg(stage.path("pid"));
        run(command)
    };
    for name in ["reload", "log", "upgrade", "reopen"] {
        expect(&by_nobody(name), 1, "only root and the server's own user");
    }
    for name in ["stop", "quit"] {
        expect(
            &by_nobody(name),
            1,
            "belongs to another user; try it as root",
        );
    }
    assert_eq!(server.get("/small.txt").status, 200);
    server.finish(1);
}

#[test]
fn a_server_in_another_network_namespace_gets_a_signal() {
    let unshare = Command::new("unshare")
        .args(["-n", "true"])
        .stderr(Stdio::null())
        .status();
    if !unshare.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no network namespace can be made here");
        return;
    }
    let stage = Stage::new();
    let server = stage.start(&[]);
    let elsewhere = |order: &str| {
        let mut command = Command::new("unshare");
        command.arg("-n").arg(env!("CARGO_BIN_EXE_swiftd"));
        command
            .args(["-s", order, "--pid-file"])
            .arg(stage.path("pid"));
        run(command)
    };
    for name in ["reload", "reopen"] {
        expect(&elsewhere(name), 0, "signal sent; process");
    }
    expect(&elsewhere("log"), 1, "takes no orders");
    assert_eq!(server.get("/small.txt").status, 200);
    expect(&elsewhere("stop"), 0, "has ended");
    assert!(server.wait().0.success());
}

#[test]
fn a_number_of_somebody_else_in_the_file_has_nobody_signalled() {
    let stage = Stage::new();
    let server = stage.start(&[]);
    let own = fs::read(stage.path("pid")).unwrap();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    // As a server could that somebody has got hold of; it is locked all the same.
    fs::write(stage.path("pid"), format!("{}\n", other.id())).unwrap();
    for name in ["stop", "quit", "reload", "upgrade"] {
        expect(&stage.order(name), 1, "is not the server");
    }
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
    fs::write(stage.path("pid"), own).unwrap();
    expect(&stage.order("stop"), 0, "has ended");
    assert!(server.wait().0.success());
}

#[test]
fn an_answer_of_somebody_else_is_not_believed() {
    let stage = Stage::new();
    // A process with a pid file of its own, at whose name this one listens.
    let mut sleeper = Command::new("flock");
    sleeper.args(["--no-fork", "-x"]).arg(stage.path("pid"));
    sleeper
        .args(["sh", "-c", "echo $$ > \"$0\"; echo; read _"])
        .arg(stage.path("pid"));
    sleeper.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut sleeper = sleeper.spawn().unwrap();
    sleeper
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0])
        .unwrap();
    let pid = pid_in(&stage.path("pid"));
    let name = SocketAddr::from_abstract_name(format!("swiftd.{pid}")).unwrap();
    let _listener = UnixListener::bind_addr(&name).unwrap();
    expect(&stage.order("reload"), 1, "another process than");
    drop(sleeper.stdin.take());
    assert!(sleeper.wait().unwrap().success() || sleeper.wait().is_ok());
}

#[test]
fn nobody_holds_the_desk() {
    let stage = Stage::new();
    let server = stage.start(&[]);
    let pid = server.pid();
    for (said, wanted) in [
        ("dance\n", "failed unknown order dance\n"),
        ("\n", "failed unknown order \n"),
        ("stop\n", "failed stop is said by a signal\n"),
    ] {
        let mut stream = connect(pid);
        stream.write_all(said.as_bytes()).unwrap();
        assert_eq!(answer(&mut stream), wanted);
    }
    let mut stream = connect(pid);
    stream.write_all(&[b'x'; 64]).unwrap();
    assert_eq!(
        answer(&mut stream),
        "failed an order is one word and a line feed\n"
    );
    // In pieces, too.
    let mut stream = connect(pid);
    for byte in b"reopen\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    assert!(answer(&mut stream).starts_with("ok "));
    // Four who say nothing keep a fifth out only until their time is over.
    let silent: Vec<UnixStream> = (0..4).map(|_| connect(pid)).collect();
    assert_eq!(
        answer(&mut connect(pid)),
        "failed too many orders at a time\n"
    );
    assert_eq!(server.get("/small.txt").status, 200);
    for mut stream in silent {
        assert_eq!(answer(&mut stream), "");
    }
    expect(&stage.order("reopen"), 0, "");
    server.finish(1);
}

#[test]
fn a_configuration_that_is_wrong_by_now_keeps_nobody_from_giving_orders() {
    let stage = Stage::new();
    let file = stage.path("swiftd.conf");
    let write = |more: &str| {
        let (root, pid) = (stage.directory.path().display(), stage.path("pid"));
        let text = format!("root = \"{root}\"\npid-file = {pid:?}\nlisten = [\"127.0.0.1:0\"]\n");
        fs::write(&file, text + more).unwrap();
    };
    write("");
    let mut command = server::program();
    command.arg("-c").arg(&file);
    let server = Server::spawn(command);
    let give = |order: &str| {
        let mut command = server::program();
        command.args(["-s", order, "-c"]).arg(&file);
        run(command)
    };
    write("bogus = 1\n");
    // It is the server who reads the file, so it is the server's verdict.
    expect(&give("reload"), 1, "unknown key bogus");
    expect(&give("reopen"), 0, "");
    fs::write(&file, "bogus = 1\n").unwrap();
    let outcome = give("reopen");
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    assert!(outcome.said.contains("--pid-file FILE"), "{outcome:?}");
    write("[limits\n");
    assert_eq!(give("stop").code, Some(0));
    server.wait();
}
