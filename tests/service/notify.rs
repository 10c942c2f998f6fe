//! What a service manager is told.

use super::server::{PATIENCE, Server, program};
use super::{Process, grounds, is_root};
use rustix::process::Signal;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// A service manager's ear.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).unwrap())
    }

    fn of(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn hear(&self) -> String {
        let mut bytes = [0; 1024];
        let count = self.socket.recv(&mut bytes).expect("something is told");
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    /// What is told next beside signs of life.
    fn hear_news(&self) -> String {
        loop {
            let told = self.hear();
            if told != "WATCHDOG=1" {
                return told;
            }
        }
    }
}

fn start(root: &Path, socket: &str, options: &[&str]) -> Server {
    let mut command = program();
    command.arg(root).args(["-p", "0"]).args(options);
    command.env("NOTIFY_SOCKET", socket);
    Server::spawn(command)
}

#[test]
fn it_hears_of_the_beginning_and_of_the_end() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("notify");
    for options in [&[][..], &["--supervise"]] {
        let manager = Manager::at(&path);
        let server = start(&root, path.to_str().unwrap(), options);
        let wanted = format!("READY=1\nMAINPID={}", server.pid());
        assert_eq!(manager.hear(), wanted);
        assert_eq!(server.get("/small.txt").body, b"small");
        server.finish(1);
        assert_eq!(manager.hear(), "STOPPING=1");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn the_socket_may_be_abstract_and_outside_of_the_jail() {
    if !is_root("the_socket_may_be_abstract_and_outside_of_the_jail") {
        return;
    }
    let (grounds, root) = grounds();
    let name = format!("swiftd-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::of(UnixDatagram::bind_addr(&address).unwrap());
    let jail = grounds.path().canonicalize().unwrap();
    let options = ["--user", "nobody", "--chroot", jail.to_str().unwrap()];
    let root = jail.join(root.file_name().unwrap());
    let server = start(&root, &format!("@{name}"), &options);
    assert!(manager.hear().starts_with("READY=1"));
    server.finish(0);
    assert_eq!(manager.hear(), "STOPPING=1");
}

#[test]
fn signs_of_life_come_from_the_loop() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("notify");
    for options in [&[][..], &["--supervise"]] {
        let manager = Manager::at(&path);
        let mut command = program();
        command.arg(&root).args(["-p", "0"]).args(options);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "100000");
        let mut server = Server::spawn(command);
        assert!(manager.hear().starts_with("READY=1"));
        for _ in 0..5 {
            assert_eq!(manager.hear(), "WATCHDOG=1");
        }
        if !options.is_empty() {
            // Another worker goes on with it, under the same process.
            let worker = Process::new(server.pid()).child();
            worker.signal(Signal::KILL);
            worker.wait();
            let wanted = format!("READY=1\nMAINPID={}", server.pid());
            assert_eq!(manager.hear_news(), wanted);
            assert_eq!(manager.hear(), "WATCHDOG=1");
            server.next_line().unwrap();
            assert_eq!(server.next_line().unwrap(), "swiftd: worker restarted");
        }
        server.finish_with_log(0);
        assert_eq!(manager.hear_news(), "STOPPING=1");
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn signs_of_life_that_somebody_else_owes_are_not_given() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("notify");
    let manager = Manager::at(&path);
    let mut command = program();
    command
        .arg(&root)
        .args(["-p", "0"])
        .env("NOTIFY_SOCKET", &path);
    command
        .env("WATCHDOG_USEC", "1000")
        .env("WATCHDOG_PID", "1");
    let server = Server::spawn(command);
    assert!(manager.hear().starts_with("READY=1"));
    // By then a hundred would have come.
    for _ in 0..100 {
        server.get("/small.txt");
    }
    server.finish(1);
    assert_eq!(manager.hear(), "STOPPING=1");
}

#[test]
fn a_start_that_fails_is_not_ready() {
    let (grounds, root) = grounds();
    let path = grounds.path().join("notify");
    let manager = Manager::at(&path);
    let mut command = program();
    command.arg(root.join("missing")).args(["-p", "0"]);
    let output = command.env("NOTIFY_SOCKET", &path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0]).is_err());
}

#[test]
fn a_manager_that_is_not_there_is_no_reason_to_fail() {
    let (grounds, root) = grounds();
    let missing = grounds.path().join("missing");
    for socket in [missing.to_str().unwrap(), "vsock:2:1"] {
        let server = start(&root, socket, &[]);
        let notice = "swiftd: notice: the service manager is not told anything: NOTIFY_SOCKET: ";
        assert!(
            server.notices[0].starts_with(notice),
            "{:?}",
            server.notices
        );
        server.finish(0);
    }
}
